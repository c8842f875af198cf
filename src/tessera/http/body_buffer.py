"""Where a body that comes in pieces is put together: each piece is copied once, to the place where it will stay."""

import ctypes
from io import BytesIO

_ROOM_STEP = 4
_ROOM_BYTES_MIN = 256 * 1024

# Room that nothing was written to yet: `bytes(n)` would clear 20 MB first, which takes 4 ms in one go.
_new_room = ctypes.PYFUNCTYPE(ctypes.py_object, ctypes.c_void_p, ctypes.c_ssize_t)(
    ("PyBytes_FromStringAndSize", ctypes.pythonapi)
)


class BodyBuffer:
    """A body as far as it has come. `expected_bytes` is how long its sender said it will be, or else may be at most.

    To join 20 MB at the end would hold every other call up for 10 ms, and to grow little by little copies a body up to
    nine times. So there is room for the whole of it once a quarter is here, and until then for a quarter of that: what
    is only promised takes at most four times what has come.
    """

    def __init__(self, expected_bytes: int) -> None:
        self._expected_bytes = expected_bytes
        self._room_bytes = 0
        self._bytes = BytesIO()
        self.size_bytes = 0

    def add(self, piece: bytes) -> None:
        """The next piece."""
        end = self.size_bytes + len(piece)
        if self._room_bytes < end <= self._expected_bytes:
            self._make_room(end)
        self._bytes.write(piece)
        self.size_bytes = end

    def whole(self) -> bytes:
        """All of it, once the last piece is here; nothing is copied."""
        self._bytes.truncate(self.size_bytes)
        return self._bytes.getvalue()

    def _make_room(self, needed_bytes: int) -> None:
        room = self._expected_bytes
        while room > _ROOM_BYTES_MIN and -(-room // _ROOM_STEP) >= needed_bytes:
            room = -(-room // _ROOM_STEP)
        # The buffer is the room's only owner, so it writes there without a copy; what is never written never leaves.
        larger = BytesIO(_new_room(None, room))
        with self._bytes.getbuffer() as here:
            larger.write(here[: self.size_bytes])
        self._bytes, self._room_bytes = larger, room
