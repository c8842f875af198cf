"""The few EXIF and XMP facts that matter: orientation, camera, description, panorama projection.

Metadata is hostile: an impossible value, a wrong type or an offset outside the file means "not said", never an error.
"""

import re
import struct
from typing import Literal

import msgspec

from tessera.adapters.media.source import Source, TruncatedError

_ORIENTATION, _DESCRIPTION, _MAKE, _MODEL, _EXIF_IFD, _LENS_MODEL = 0x0112, 0x010E, 0x010F, 0x0110, 0x8769, 0xA434
_ENTRIES_MAX = 256
_TEXT_BYTES_MAX = 200
_XMP_BYTES_MAX = 16_384
_TYPES = {1: 1, 3: 2, 4: 4}  # the TIFF integer types an orientation may have, and their size in bytes
_ASCII = 2

_WANTED = (_ORIENTATION, _MAKE, _MODEL, _DESCRIPTION, _EXIF_IFD)

_LITTLE = struct.Struct("<HHI4s")
_BIG = struct.Struct(">HHI4s")
_Entry = tuple[int, int, int, bytes]  # tag, type, count, value or offset
_PROJECTION = re.compile(rb"GPano:ProjectionType\s*(?:=\s*[\"']|>)\s*([A-Za-z]{1,30})")


class Exif(msgspec.Struct, frozen=True):
    """`orientation` is 1 to 8, 1 when not said; `camera` is make, model and lens, in lower case."""

    orientation: int = 1
    camera: str = ""
    description: str = ""


NO_EXIF = Exif()


def read_exif(source: Source, start: int, length: int) -> Exif:
    """Reads the TIFF structure of `length` bytes at `start`. Raises NeedBytesError when it has not arrived yet."""
    if length < 14:
        return NO_EXIF
    head = source.take_up_to(start, 8)
    if head[:4] == b"II*\0":
        order: Literal["little", "big"] = "little"
    elif head[:4] == b"MM\0*":
        order = "big"
    else:
        return NO_EXIF
    block = _Block(source, start, length, order)
    orientation, make, model, description, inner = block.find(int.from_bytes(head[4:8], order), _WANTED)
    lens = block.find(int.from_bytes(inner[3], order), (_LENS_MODEL,))[0] if inner else None
    camera = f"{block.text(make)} {block.text(model)} {block.text(lens)}" if make or model or lens else ""
    return Exif(block.orientation(orientation), camera.strip(), block.text(description))


class _Block:
    """One TIFF structure, with offsets that never leave it."""

    def __init__(self, source: Source, start: int, length: int, order: Literal["little", "big"]) -> None:
        self._source, self._start, self._length = source, start, length
        self._order: Literal["little", "big"] = order
        self._entry, self._mark = (_LITTLE, "<") if order == "little" else (_BIG, ">")

    def _take(self, offset: int, length: int) -> bytes:
        if offset < 0 or offset + length > self._length:
            return b""
        try:
            return self._source.take(self._start + offset, length)
        except TruncatedError:
            return b""

    def find(self, offset: int, wanted: tuple[int, ...]) -> list[_Entry | None]:
        """The entries of these tags in the directory at an offset; None for each that is not there."""
        count = min(int.from_bytes(self._take(offset, 2), self._order), _ENTRIES_MAX)
        body = self._take(offset + 2, count * 12)
        if not body:
            return [None] * len(wanted)
        # Only the tags are unpacked: a phone writes dozens of entries of which a few matter.
        tags = struct.unpack(self._mark + "H10x" * count, body)
        return [self._entry.unpack_from(body, tags.index(tag) * 12) if tag in tags else None for tag in wanted]

    def orientation(self, found: _Entry | None) -> int:
        if found is None or found[2] != 1 or found[1] not in _TYPES:
            return 1
        value = int.from_bytes(found[3][: _TYPES[found[1]]], self._order)
        return value if 1 <= value <= 8 else 1

    def text(self, found: _Entry | None) -> str:
        if found is None or found[1] != _ASCII or not 0 < found[2] <= self._length:
            return ""
        length = min(found[2], _TEXT_BYTES_MAX)
        raw = found[3] if found[2] <= 4 else self._take(int.from_bytes(found[3], self._order), length)
        return raw[:length].split(b"\0", 1)[0].decode("ascii", "replace").strip().lower()


def read_projection(source: Source, start: int, length: int) -> str:
    """The panorama projection an XMP packet of `length` bytes at `start` names, in lower case, or nothing."""
    packet = source.take_up_to(start, min(length, _XMP_BYTES_MAX))
    found = _PROJECTION.search(packet)
    return found.group(1).decode("ascii").lower() if found else ""
