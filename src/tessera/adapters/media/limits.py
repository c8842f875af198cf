"""How much an image may ask of us. Times are in seconds, sizes in bytes of the decoded file."""

import msgspec


class MediaLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Limits on images, equal for addresses and bodies.

    `pixels_max` bounds decoding only: work that reads a header has no pixel limit of its own. `images_bytes_max` is
    for all images of one call together. `fetch_s` is the whole time a fetch may take, redirects included;
    `rate_bytes_min` the bytes a second it must average once `rate_grace_s` have passed.
    """

    images_max: int = 100
    image_bytes_max: int = 50_000_000
    images_bytes_max: int = 200_000_000
    pixels_max: int = 50_000_000
    redirects_max: int = 5
    url_chars_max: int = 8_192
    fetch_s: float = 10.0
    connect_s: float = 4.0
    first_byte_s: float = 8.0
    rate_bytes_min: int = 2_000
    rate_grace_s: float = 3.0
    fetches_per_call_max: int = 8
    fetches_max: int = 64
