"""WebP (RFC 9649): VP8, VP8L and VP8X. EXIF stands after the image data and is reached by jumping."""

from tessera.adapters.media.exif import NO_EXIF, Exif, read_exif, read_projection
from tessera.adapters.media.formats.header import DamagedError, Header
from tessera.adapters.media.source import Source

_CHUNKS_MAX = 1_000
_ANIMATED, _XMP, _EXIF = 0x02, 0x04, 0x08


def is_webp(head: bytes) -> bool:
    """Whether the first twelve bytes are WebP's."""
    return head[:4] == b"RIFF" and head[8:12] == b"WEBP"


def read_webp(source: Source) -> Header:
    """The header of a WebP. An animated one is said to have two frames; they are not counted."""
    kind = source.take(12, 4)
    if kind == b"VP8X":
        return _read_extended(source)
    width, height = _read_frame(source, kind, 20)
    return Header(format="webp", width=width, height=height)


def _read_frame(source: Source, kind: bytes, start: int) -> tuple[int, int]:
    """Width and height of a bitstream chunk whose payload is at `start`."""
    if kind == b"VP8 ":
        frame = source.take(start, 10)
        if frame[0] & 1 or frame[3:6] != b"\x9d\x01\x2a":
            raise DamagedError("its lossy frame is not a key frame")
        width = int.from_bytes(frame[6:8], "little") & 0x3FFF
        height = int.from_bytes(frame[8:10], "little") & 0x3FFF
        if not width or not height:
            raise DamagedError("the width or height is zero")
        return width, height
    if kind == b"VP8L":
        frame = source.take(start, 5)
        packed = int.from_bytes(frame[1:5], "little")
        if frame[0] != 0x2F or packed >> 29:
            raise DamagedError("its lossless frame has no valid signature")
        return (packed & 0x3FFF) + 1, (packed >> 14 & 0x3FFF) + 1
    raise DamagedError("its first chunk is not an image")


def _read_extended(source: Source) -> Header:
    head = source.take(20, 10)
    flags = head[0]
    canvas = int.from_bytes(head[4:7], "little") + 1, int.from_bytes(head[7:10], "little") + 1
    if flags & _ANIMATED:
        return Header(format="webp", width=canvas[0], height=canvas[1], frames=2)
    end = 8 + int.from_bytes(source.take(4, 4), "little")
    exif: Exif = NO_EXIF
    projection, frame = "", None
    missing = flags & (_EXIF | _XMP)
    offset = 20 + int.from_bytes(source.take(16, 4), "little")
    for _ in range(_CHUNKS_MAX):
        offset += offset & 1
        if frame is not None and (not missing or offset + 8 > end):
            break
        piece = source.take(offset, 8)
        kind, length = piece[:4], int.from_bytes(piece[4:], "little")
        if kind in (b"VP8 ", b"VP8L") and frame is None:
            frame = _read_frame(source, kind, offset + 8)
        elif kind == b"EXIF" and missing & _EXIF:
            missing &= ~_EXIF
            # Some writers put JPEG's own prefix before the TIFF structure.
            skip = 6 if source.take_up_to(offset + 8, min(length, 6)) == b"Exif\0\0" else 0
            exif = read_exif(source, offset + 8 + skip, length - skip)
        elif kind == b"XMP " and missing & _XMP:
            missing &= ~_XMP
            projection = read_projection(source, offset + 8, length)
        offset += 8 + length
    if frame != canvas:
        raise DamagedError("its canvas and its image differ in size")
    return Header(format="webp", width=canvas[0], height=canvas[1], exif=exif, projection=projection)
