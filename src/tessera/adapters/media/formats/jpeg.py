"""JPEG (ITU-T T.81, EXIF, XMP): segment after segment up to the first scan."""

from tessera.adapters.media.exif import NO_EXIF, Exif, read_exif, read_projection
from tessera.adapters.media.formats.header import DamagedError, Header
from tessera.adapters.media.source import Source

SIGNATURE = b"\xff\xd8\xff"
_SEGMENTS_MAX = 2_000
_SIZES = frozenset((0xC0, 0xC1, 0xC2, 0xC9, 0xCA))  # baseline, extended, progressive; Huffman or arithmetic
_OTHER_SIZES = frozenset((0xC3, 0xC5, 0xC6, 0xC7, 0xCB, 0xCD, 0xCE, 0xCF))
_FILL, _STUFFED, _SCAN, _END, _APP1 = 0xFF, 0x00, 0xDA, 0xD9, 0xE1
_ALONE = frozenset((_FILL, 0x01, *range(0xD0, 0xD9)))  # markers without a length; FF FF is one FF of padding
_EXIF = b"Exif\0\0"
_XMP = b"http://ns.adobe.com/xap/1.0/\0"


def read_jpeg(source: Source) -> Header:
    """The header of a JPEG, of a phone's two-frame MPO too. EXIF counts wherever it stands before the first scan."""
    exif, projection = NO_EXIF, ""
    size: bytes | None = None
    offset = 2
    for _ in range(_SEGMENTS_MAX):
        piece = source.take(offset, 4)
        marker = piece[1]
        if piece[0] != 0xFF:
            raise DamagedError("a segment does not start with a marker")
        if marker in _ALONE:
            offset += 1 if marker == _FILL else 2
            continue
        length = piece[2] << 8 | piece[3]
        if marker == _SCAN:
            return _header(size, exif, projection)
        _check_segment(marker, length, size)
        if marker in _SIZES:
            size = source.take(offset + 4, 6)
        elif marker == _APP1:
            tag = source.take_up_to(offset + 4, min(length - 2, len(_XMP)))
            if tag[:6] == _EXIF and exif is NO_EXIF:
                exif = read_exif(source, offset + 10, length - 8)
            elif tag == _XMP and not projection:
                projection = read_projection(source, offset + 4 + len(_XMP), length - 2 - len(_XMP))
        offset += 2 + length
    raise DamagedError("it has too many segments before its image data")


def _check_segment(marker: int, length: int, size: bytes | None) -> None:
    if marker == _STUFFED:
        # Decoders look for the next marker right behind it, so that what would be jumped over here is what they show.
        raise DamagedError("a segment does not start with a marker")
    if marker == _END:
        raise DamagedError("it has no image data")
    if length < 2:
        raise DamagedError("a segment has an impossible length")
    if marker in _OTHER_SIZES:
        raise DamagedError("it is a lossless or hierarchical JPEG, which vision models do not read")
    if marker in _SIZES and size is not None:
        raise DamagedError("it states its size twice")


def _header(size: bytes | None, exif: Exif, projection: str) -> Header:
    if size is None:
        raise DamagedError("its image data comes before its size")
    height, width = size[1] << 8 | size[2], size[3] << 8 | size[4]
    if not width or not height:
        raise DamagedError("the width or height is zero")
    return Header(format="jpeg", width=width, height=height, bits=size[0], exif=exif, projection=projection)
