"""The header probe: one answer however a file arrives, and the size that a decoder sees."""

import base64
import io
import warnings
from collections.abc import Iterator

from PIL import Image

import image_files as files
from tessera.adapters.media.base64_prefix import open_base64
from tessera.adapters.media.formats import Header
from tessera.adapters.media.header import probe_header, read_header
from tessera.adapters.media.source import NeedBytesError
from tessera.domain.errors import ErrorCode, TesseraError

Image.MAX_IMAGE_PIXELS = None
WEBP_PIXELS_MAX = 4_000_000  # Pillow's WebP reader makes room for the canvas before it knows whether there is one
CODES = {ErrorCode.UNSUPPORTED_IMAGE_FORMAT, ErrorCode.IMAGE_PARSE_ERROR}
WORDS = (
    b"\xff\xd8\xff",
    b"\xff\xc0\x00\x11\x08",
    b"\xff\xc2",
    b"\xff\xc4",
    b"\xff\xda",
    b"\xff\xe1",
    b"\xff\xe2",
    b"MPF\0",
    b"Exif\0\0",
    b"II*\0\x08\0\0\0",
    b"MM\0*\0\0\0\x08",
    b"\x12\x01\x03\0\x01\0\0\0\x06\0\0\0",
    b"\x89PNG\r\n\x1a\n",
    b"\0\0\0\rIHDR",
    b"IDAT",
    b"IEND",
    b"eXIf",
    b"acTL",
    b"\0\0\0\x08acTL",
    b"iTXt",
    b"XML:com.adobe.xmp\0\0",
    b"GPano:ProjectionType='equirectangular'",
    b"http://ns.adobe.com/xap/1.0/\0",
    b"RIFF",
    b"WEBP",
    b"VP8 ",
    b"VP8L",
    b"VP8X",
    b"ALPH",
    b"EXIF",
    b"XMP ",
    b"ANIM",
    b"\x9d\x01\x2a",
    b"GIF87a",
    b"GIF89a",
    b"\x21\xf9\x04",
    b"\x21\xff\x0bNETSCAPE2.0",
    b"\x2c",
    b"\x3b",
    b"ftypheic",
    b"ftypavif",
)


def seeds() -> Iterator[bytes]:
    """Each format, small, in its variants."""
    small = files.picture(12, 9)
    for kind in ("PNG", "JPEG", "WEBP", "GIF"):
        yield files.saved(kind, small)
        yield files.animated(kind) if kind != "JPEG" else files.saved(kind, small, progressive=True)
    for kind in ("PNG", "JPEG", "WEBP"):
        yield files.saved(kind, small, exif=files.exif(6, make="Phone", lens="wide", description="a cat"))
    yield files.saved("WEBP", small, lossless=True)
    yield files.saved("WEBP", small.convert("RGBA").rotate(45))
    yield files.phone_photo()
    yield files.png_claiming(60_000, 60_000)
    yield files.jpeg_claiming(65_535, 1)
    yield files.jpeg_claiming(40, 30, files.jpeg_segment(0xE1, b"Exif\0\0" + files.exif_block(8, order=">")))
    yield files.webp_claiming(16_384, 2)
    yield files.gif_claiming(7, 5, (9, 9))
    yield files.heic()[:400]


def check(data: bytes) -> None:
    """Whole, in parts and as base64: one answer."""
    whole = _outcome(data)
    assert _as_it_arrives(data) == whole
    if data:
        source = open_base64(memoryview(base64.b64encode(data)), bytes_max=len(data))
        try:
            found: object = read_header(source, None)
        except TesseraError as error:
            found = (error.code, error.message)
        assert found == whole
    if isinstance(whole, Header):
        assert whole.width > 0
        assert whole.height > 0
        assert 1 <= whole.orientation <= 8
        _compare(whole, data)


def _outcome(data: bytes) -> Header | tuple[ErrorCode, str]:
    try:
        return probe_header(data, complete=True)
    except TesseraError as error:
        assert error.code in CODES
        return error.code, error.message


def _as_it_arrives(data: bytes) -> Header | tuple[ErrorCode, str]:
    """As a download is looked at: its first bytes, then as many as were asked for, at the end the whole file."""
    size = 1
    while size < len(data):
        try:
            return probe_header(memoryview(data)[:size], complete=False)
        except NeedBytesError as more:
            assert more.size > size
            size = more.size
        except TesseraError as error:
            return error.code, error.message
    return _outcome(data)


def _compare(header: Header, data: bytes) -> None:
    """Pillow, when it reads the file at all, sees the same size."""
    if header.format == "webp" and header.width * header.height > WEBP_PIXELS_MAX:
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            image = Image.open(io.BytesIO(data), formats=("PNG", "JPEG", "WEBP", "GIF"))
        except Exception:
            return  # Pillow does not read it: nothing to compare with
        with image:
            assert image.size == (header.width, header.height), (image.format, image.size, header)
