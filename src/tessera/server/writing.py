"""The writing half of a connection: what was written goes out, or its client is cut off."""

import asyncio
from typing import cast

DRAINED_BYTES_MIN = 64 * 1024
"""What a client that has stopped the server's writing must take within the time for it, or it is cut off."""


class BoundedWriting(asyncio.Protocol):
    """Writes only while the client reads; one that takes too little in `write_seconds_max` is cut off, and so is one
    that does not take what is left when the connection ends."""

    write_seconds_max = 30

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.transport = cast(asyncio.Transport, None)
        self.writing_paused = False
        self._drained: asyncio.Event | None = None
        self._write_timer: asyncio.TimerHandle | None = None

    def close(self) -> None:
        """Ends the connection once what was written has gone out; a client that does not take it is cut off."""
        self.transport.close()
        if self._write_timer is None and self.transport.get_write_buffer_size():
            self._watch_writing()

    def writing_ended(self) -> None:
        """The connection is gone: nobody waits any more."""
        self._stop_write_timer()
        self.writing_paused = False
        if self._drained is not None:
            self._drained.set()

    async def drained(self) -> None:
        """Returns when the client has read enough for more to be written, or has left."""
        while self.writing_paused:
            if self._drained is None:
                self._drained = asyncio.Event()
            await self._drained.wait()

    def pause_writing(self) -> None:
        """The client reads more slowly than is written."""
        self.writing_paused = True
        self._drained = None
        if self._write_timer is None:
            self._watch_writing()

    def resume_writing(self) -> None:
        """The client has read."""
        if not self.transport.is_closing():
            self._stop_write_timer()
        self.writing_paused = False
        if self._drained is not None:
            self._drained.set()

    def _watch_writing(self) -> None:
        waiting = self.transport.get_write_buffer_size()
        self._write_timer = self.loop.call_later(self.write_seconds_max, self._look_at_writing, waiting)

    def _look_at_writing(self, waiting_before: int) -> None:
        if waiting_before - self.transport.get_write_buffer_size() >= DRAINED_BYTES_MIN:
            self._watch_writing()
        else:
            self._write_timer = None
            self.transport.abort()

    def _stop_write_timer(self) -> None:
        if self._write_timer is not None:
            self._write_timer.cancel()
            self._write_timer = None
