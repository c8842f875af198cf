"""PNG (W3C PNG, third edition): IHDR, and what stands before the first IDAT."""

from tessera.adapters.media.exif import NO_EXIF, Exif, read_exif, read_projection
from tessera.adapters.media.formats.header import DamagedError, Header
from tessera.adapters.media.source import Source

SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CHUNKS_MAX = 1_000
_BITS = {0: (1, 2, 4, 8, 16), 2: (8, 16), 3: (1, 2, 4, 8), 4: (8, 16), 6: (8, 16)}
# Of two sizes some decoders believe the first, some the last.
_MISPLACED = {b"IEND": "it has no image data", b"IHDR": "it states its size twice"}
_XMP = b"XML:com.adobe.xmp\0\0"  # the second zero: not compressed; a compressed packet is left alone


def read_png(source: Source) -> Header:
    """The header of a PNG. An animated PNG counts its frames."""
    head = source.take(0, 41)
    if head[8:16] != b"\0\0\0\rIHDR":
        raise DamagedError("the first chunk is not IHDR")
    width, height = int.from_bytes(head[16:20], "big"), int.from_bytes(head[20:24], "big")
    bits, colour = head[24], head[25]
    if not (0 < width < 1 << 31 and 0 < height < 1 << 31):
        raise DamagedError("the width or height is impossible")
    if bits not in _BITS.get(colour, ()) or head[26] or head[27] or head[28] > 1:
        raise DamagedError("the colour type, bit depth or method is impossible")
    exif, projection, frames = NO_EXIF, "", 1
    offset, length, kind = 33, int.from_bytes(head[33:37], "big"), head[37:41]
    for _ in range(_CHUNKS_MAX):
        if kind == b"IDAT":
            return _header(width, height, bits, exif, projection, frames)
        if kind in _MISPLACED:
            raise DamagedError(_MISPLACED[kind])
        if kind == b"eXIf" and exif is NO_EXIF:
            exif = read_exif(source, offset + 8, length)
        elif kind == b"acTL" and length == 8:
            frames = max(1, int.from_bytes(source.take(offset + 8, 4), "big"))
        elif kind == b"iTXt" and not projection and source.take_up_to(offset + 8, 19) == _XMP:
            projection = read_projection(source, offset + 8, length)
        offset += 12 + length
        piece = source.take(offset, 8)
        length, kind = int.from_bytes(piece[:4], "big"), piece[4:]
    raise DamagedError("it has too many chunks before its image data")


def _header(width: int, height: int, bits: int, exif: Exif, projection: str, frames: int) -> Header:
    return Header(format="png", width=width, height=height, bits=bits, exif=exif, projection=projection, frames=frames)
