"""The queue of connections that the kernel has made and that the server has not taken up.

The event loop takes one up on each of its turns. While its turns are long that is far too few: whoever dials then, an
operator's probe too, would wait behind everybody else. So some more are taken up at each look at the load. And where
more dial than can be taken up, a long queue only makes all of them wait for what they no longer want: one that stays
long is bounded. A client beyond the bound is not answered by the kernel and dials again after a second.
"""

import asyncio
import socket
import struct
import sys
from collections.abc import Callable

from tessera.log import get_logger

log = get_logger(__name__)

TAKEN_MAX = 32
"""Connections taken up at a look."""
WAITING_MAX = 256
"""How many may wait while the queue is bounded."""
STANDING_SECONDS = 0.5
"""How long as many must have waited at every look before it is: it takes bursts for what they are."""
QUIET_SECONDS = 2.0
"""How long fewer must have waited before it is bounded no more."""
_INFO_BYTES = 32
_AT = 24
"""Where `tcp_info` of a listening socket says how many wait (Linux)."""


class AcceptQueue:
    """What waits at the listening socket of this process, taken up by connections that `make` makes."""

    def __init__(self, listener: socket.socket, usual_max: int, make: Callable[[], asyncio.BaseProtocol]) -> None:
        self._listener = listener
        self._usual_max = usual_max
        self._make = make
        self._opening: set[asyncio.Task[None]] = set()
        self.bounded = False
        self._seconds = 0.0

    def look(self, elapsed_s: float) -> None:
        """Takes some connections up, and bounds the queue or no more; so long after the last look."""
        waiting = self._waiting()
        if (waiting >= WAITING_MAX) == self.bounded:
            self._seconds = 0.0
        else:
            self._seconds += elapsed_s
            if self._seconds >= (QUIET_SECONDS if self.bounded else STANDING_SECONDS):
                self.bounded, self._seconds = not self.bounded, 0.0
                self._listener.listen(WAITING_MAX if self.bounded else self._usual_max)
                log.warning("overload.queue", bounded=self.bounded, waiting=waiting)
        for _ in range(min(waiting, TAKEN_MAX)):
            if not self._take():
                return

    def _waiting(self) -> int:
        info = self._listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, _INFO_BYTES)
        waiting: int = struct.unpack_from("=I", info, _AT)[0]
        return waiting

    def _take(self) -> bool:
        """Takes one up, if it can."""
        try:
            taken, _ = self._listener.accept()
        except BlockingIOError:
            return False
        except OSError as error:
            # Out of descriptors, or the client has left. Those that wait go on waiting.
            log.warning("http.not_accepted", error=error.strerror)
            return False
        taken.setblocking(False)
        taken.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        task = asyncio.get_running_loop().create_task(self._open(taken))
        self._opening.add(task)
        task.add_done_callback(self._opening.discard)
        return True

    async def _open(self, taken: socket.socket) -> None:
        try:
            await asyncio.get_running_loop().connect_accepted_socket(self._make, taken)
        except OSError as error:
            log.warning("http.not_accepted", error=error.strerror)
            taken.close()


def tells_its_length(listener: socket.socket) -> bool:
    """Whether the system says how many connections wait at a listening socket."""
    return sys.platform == "linux" and listener.type == socket.SOCK_STREAM
