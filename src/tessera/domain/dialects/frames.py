"""Server-sent events as bytes: whole frames out of a stream that is cut anywhere."""

import re

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError

FRAME_BYTES_MAX = 16 * 1024 * 1024
"""The longest single event; far above any text delta, enough for a response object with images in it."""

_BLANK = re.compile(rb"(?:\r\n|\n|\r(?=[^\n])){2}")
_LINE = re.compile(rb"\r\n|\n|\r")
_BOM = b"\xef\xbb\xbf"


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One event: its bytes as they came, blank line included, and its data (None for a comment)."""

    raw: bytes
    data: bytes | None


class OverlongFrameError(TesseraError):
    """An event has not ended within `FRAME_BYTES_MAX`: a [provider_error]."""

    def __init__(self) -> None:
        super().__init__(ErrorCode.PROVIDER_ERROR, "The provider sent an event that never ends.")


class FrameCutter:
    """Cuts a byte stream into frames. `rest` is what has not ended yet."""

    def __init__(self) -> None:
        self.rest = b""
        self._searched = 0

    def feed(self, chunk: bytes) -> list[Frame]:
        """The frames that `chunk` completes. Raises OverlongFrameError for one that goes on beyond the bound."""
        text = self.rest + chunk if self.rest else chunk
        frames: list[Frame] = []
        start = 0
        at = max(0, self._searched - 3)
        # `find`, here and below: `in` first tries to read bytes as a number, and takes two to three times as long.
        if text.find(b"\r") >= 0:
            while blank := _BLANK.search(text, at):
                at = blank.end()
                raw = text[start:at]
                frames.append(Frame(raw, data_of(raw)))
                start = at
        else:
            while (blank_at := text.find(b"\n\n", at)) >= 0:
                at = blank_at + 2
                raw = text[start:at]
                frames.append(Frame(raw, data_of(raw)))
                start = at
        self.rest = text[start:] if start else text
        self._searched = len(self.rest)
        if self._searched > FRAME_BYTES_MAX:
            raise OverlongFrameError
        return frames


def data_of(frame: bytes) -> bytes | None:
    """The data of a frame, its lines joined as the standard has it; None when it has no data line."""
    if frame.startswith(b"data: ") and frame.find(b"\n") == len(frame) - 2 and frame.find(b"\r") < 0:
        return frame[6:-2]
    found = []
    for line in _LINE.split(frame.removeprefix(_BOM)):
        name, _, value = line.partition(b":")
        if name == b"data":
            found.append(value.removeprefix(b" "))
    return b"\n".join(found) if found else None


def make_frame(data: bytes, event: str | None = None) -> bytes:
    """A frame of JSON data; line breaks, which JSON has only between values, become blanks."""
    if data.find(b"\n") >= 0 or data.find(b"\r") >= 0:
        data = data.replace(b"\n", b" ").replace(b"\r", b" ")
    head = b"" if event is None else b"event: " + event.encode() + b"\n"
    return head + b"data: " + data + b"\n\n"
