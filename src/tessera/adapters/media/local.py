"""A file of this machine, taken and refused as a server would take or refuse it."""

from tessera.adapters.media.formats import Header
from tessera.adapters.media.formats.magic import HEAD_BYTES, heif_format
from tessera.adapters.media.header import probe_header
from tessera.adapters.media.limits import MediaLimits


def read_image(data: bytes, *, pixels_max: int | None = None) -> tuple[bytes, Header]:
    """The file as a model would get it, and its header: a HEIC or AVIF converted where the `heif` extra is installed.

    Raises [unsupported_image_format, image_parse_error, image_too_large].
    """
    if heif_format(data[:HEAD_BYTES]):
        data = _converted(data, pixels_max or MediaLimits().pixels_max)
    return data, probe_header(data, complete=True)


def _converted(data: bytes, pixels_max: int) -> bytes:
    import asyncio  # only for files that are converted

    from tessera.adapters.media.conversion import Converter, can_convert

    if not can_convert():
        return data
    return asyncio.run(Converter(pixels_max).convert(data, None)).content
