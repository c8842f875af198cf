"""GIF (89a): the screen and the first image; a second image makes it an animation."""

from tessera.adapters.media.formats.header import DamagedError, Header
from tessera.adapters.media.source import Source, TruncatedError

_BLOCK_BYTES_MAX = 255
_BLOCKS_MAX = 200_000
"""50 MB in full blocks, as encoders write them. A short one counts twice: many of them cost time and show nothing."""
_EXTENSIONS_MAX = 2_000
_WINDOW_BYTES_MIN, _WINDOW_BYTES_MAX = 512, 65_536
_EXTENSION, _IMAGE = 0x21, 0x2C  # anything else, such as the trailer, ends the file


def is_gif(head: bytes) -> bool:
    """Whether the first six bytes are GIF's."""
    return head[:6] in (b"GIF87a", b"GIF89a")


def read_gif(source: Source) -> Header:
    """The header of a GIF; `frames` is 2 for any animation. A file that ends after its first image is still one."""
    head = source.take(0, 13)
    width, height = int.from_bytes(head[6:8], "little"), int.from_bytes(head[8:10], "little")
    offset = 13 + _table_bytes(head[10])
    images, blocks, extensions = 0, _BLOCKS_MAX, _EXTENSIONS_MAX
    while images < 2:
        try:
            kind = source.take(offset, 1)[0]
        except TruncatedError:
            if images:
                break
            raise
        if kind == _EXTENSION:
            offset, extensions = offset + 2, extensions - 1
        elif kind == _IMAGE:
            images += 1
            if images == 2:
                break
            # Decoders grow the screen to hold the first image; so does the size that is counted.
            place = source.take(offset + 1, 9)
            width = max(width, int.from_bytes(place[0:2], "little") + int.from_bytes(place[4:6], "little"))
            height = max(height, int.from_bytes(place[2:4], "little") + int.from_bytes(place[6:8], "little"))
            offset += 11 + _table_bytes(place[8])
        else:
            break
        offset, blocks = _skip_blocks(source, offset, blocks)
        if not extensions:
            raise DamagedError("it has too many extensions")
    if not images:
        raise DamagedError("it has no image")
    if not width or not height:
        raise DamagedError("the width or height is zero")
    return Header(format="gif", width=width, height=height, frames=images)


def _table_bytes(flags: int) -> int:
    """The length of the colour table that a flags byte announces."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0


def _skip_blocks(source: Source, offset: int, blocks_left: int) -> tuple[int, int]:
    """Goes over sub-blocks to the byte after their end, looking at their lengths only."""
    step = _WINDOW_BYTES_MIN  # most runs are short; a window is widened only where one is long
    while True:
        window = source.take(offset, min(step, max(source.size - offset, 1)))
        step = _WINDOW_BYTES_MAX
        position, size = 0, len(window)
        while position < size:
            length = window[position]
            position += 1 + length
            if not length:
                return offset + position, blocks_left
            blocks_left -= 1 if length == _BLOCK_BYTES_MAX else 2
            if blocks_left <= 0:
                raise DamagedError("it has too many blocks")
        offset += position
