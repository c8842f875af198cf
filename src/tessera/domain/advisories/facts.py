"""What an advisory starts from, and what it is."""

import msgspec


class Advisory(msgspec.Struct, frozen=True, kw_only=True):
    """Something vision models are documented to do badly with this image, and what to do about it. Never blocks."""

    code: str
    message: str


class ImageFacts(msgspec.Struct, frozen=True, kw_only=True):
    """What the file says of itself, read without decoding a pixel. Zero, 1 and empty mean "not said".

    `width`, `height` are in pixels as displayed; `orientation` is the EXIF value, 1 to 8. `projection` is the XMP
    panorama projection (`equirectangular`, `fisheye`, …), `camera` the EXIF make, model and lens, `description` the
    EXIF description and the file's name in its address, both in lower case and short.
    """

    width: int = 0
    height: int = 0
    orientation: int = 1
    projection: str = ""
    camera: str = ""
    description: str = ""
