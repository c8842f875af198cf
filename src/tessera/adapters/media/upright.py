"""Turning pixels upright and converting formats: the only code here that decodes.

Pillow raises many kinds of error on damaged files; each becomes [image_parse_error]. The pixel limit is applied to the
header, before any pixel is decoded.
"""

import io
import struct
import zlib

from PIL import Image, ImageOps

from tessera.adapters.media.conversion import Converted
from tessera.adapters.media.formats.magic import heif_format
from tessera.adapters.media.header import probe_header
from tessera.domain.errors import ErrorCode, TesseraError

_JPEG_QUALITY = 95
_DECODE_ERRORS = (OSError, ValueError, SyntaxError, EOFError, IndexError, KeyError, TypeError, struct.error, zlib.error)


def check_pixels(width: int, height: int, pixels_max: int, param: str | None = None) -> None:
    """Refuses an image that would decode to too many pixels. Raises [image_too_large]."""
    if width * height > pixels_max:
        raise TesseraError(
            ErrorCode.IMAGE_TOO_LARGE,
            f"The image claims {width}×{height} pixels; at most {pixels_max // 1_000_000} million are decoded. "
            "Shrink it.",
            param=param,
        )


def upright(data: bytes, *, pixels_max: int = 50_000_000) -> bytes:
    """The same picture with its pixels turned as EXIF says and the tag gone; unchanged when it stands upright.

    Colour profile kept, other metadata dropped. JPEG is written at quality 95. Raises [unsupported_image_format,
    image_parse_error, image_too_large].
    """
    header = probe_header(data, complete=True)
    if header.orientation == 1:
        return data
    check_pixels(header.width, header.height, pixels_max)
    return _rewrite(data, header.format).content


def convert(data: bytes, *, pixels_max: int = 50_000_000) -> Converted:
    """A HEIC or AVIF as JPEG, or as PNG when it has transparency; upright. Needs the `heif` extra for HEIC.

    Raises [unsupported_image_format, image_parse_error, image_too_large].
    """
    kind = heif_format(data[:512])
    if kind == "heic":
        import pi_heif  # the extra; loaded only where a HEIC is decoded

        pi_heif.register_heif_opener()
    elif kind is None:
        raise TesseraError(ErrorCode.UNSUPPORTED_IMAGE_FORMAT, "Only HEIC and AVIF are converted.")
    try:
        with Image.open(io.BytesIO(data)) as image:
            size, transparent = image.size, image.has_transparency_data
            frames = getattr(image, "n_frames", 1)
    except _DECODE_ERRORS:
        raise _unreadable() from None
    if kind == "avif" and frames > 1:
        raise TesseraError(
            ErrorCode.UNSUPPORTED_IMAGE_FORMAT,
            "The image is an animated AVIF, which vision models do not accept. Send one frame of it.",
        )
    check_pixels(*size, pixels_max)
    return _rewrite(data, "png" if transparent else "jpeg")


def _rewrite(data: bytes, kind: str) -> Converted:
    target = io.BytesIO()
    try:
        with Image.open(io.BytesIO(data)) as image:
            image.load()
            profile = image.info.get("icc_profile")
            turned: Image.Image = ImageOps.exif_transpose(image)
            if kind == "jpeg" and turned.mode not in ("RGB", "L", "CMYK"):
                turned = turned.convert("RGB")
            # A fresh image carries no metadata, so that the tag cannot be written again by any format's writer.
            plain = Image.frombytes(turned.mode, turned.size, turned.tobytes())
            if turned.mode == "P" and turned.palette is not None:
                plain.putpalette(turned.palette)
            options: dict[str, object] = {"icc_profile": profile} if profile else {}
            if kind == "jpeg":
                options["quality"] = _JPEG_QUALITY
            elif kind == "webp":
                options["lossless"] = True
            plain.save(target, format=kind.upper(), **options)
    except (*_DECODE_ERRORS, Image.DecompressionBombError):
        raise _unreadable() from None
    return Converted(format=kind, width=plain.width, height=plain.height, content=target.getvalue())


def _unreadable() -> TesseraError:
    return TesseraError(ErrorCode.IMAGE_PARSE_ERROR, "The image's pixels cannot be decoded. Save it again and resend.")
