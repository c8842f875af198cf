"""Where header bytes come from: a file in memory, the part of it that has arrived, or base64 text.

A source is asked for a few bytes at an offset, so a parser can jump over what it does not need.
"""

from typing import Protocol


class NeedBytesError(Exception):
    """The answer lies beyond what has arrived: try again with at least `size` bytes."""

    def __init__(self, size: int) -> None:
        super().__init__(f"at least {size} bytes are needed")
        self.size = size


class TruncatedError(Exception):
    """The file ends before its header does."""


class Source(Protocol):
    """Random access to a file's bytes. `size` is its length as far as it is known."""

    size: int

    def take(self, offset: int, length: int) -> bytes:
        """Exactly `length` bytes at `offset`. Raises TruncatedError past the end, NeedBytesError past what is here."""
        ...

    def take_up_to(self, offset: int, length: int) -> bytes:
        """As `take`, but as many as there are. Raises NeedBytesError when more could still arrive."""
        ...


class Held:
    """A file in memory, whole (`complete`) or its first part."""

    __slots__ = ("_complete", "_data", "size")

    def __init__(self, data: bytes | memoryview, *, complete: bool) -> None:
        self._data = data
        self._complete = complete
        self.size = len(data)

    def take(self, offset: int, length: int) -> bytes:
        end = offset + length
        if end > self.size:
            if self._complete:
                raise TruncatedError
            raise NeedBytesError(end)
        return bytes(self._data[offset:end])

    def take_up_to(self, offset: int, length: int) -> bytes:
        end = offset + length
        if end > self.size and not self._complete:
            raise NeedBytesError(end)
        return bytes(self._data[offset:end])
