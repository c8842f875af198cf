"""What is in hand, and whether more can be taken: past its bounds the server refuses at once instead of failing slowly.

The bounds are those of faults F33, the thresholds Envoy's example of overload: 95 % of a count, 92 % of the memory.
"""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator
from pathlib import Path

import structlog

from tessera.domain.errors import ErrorCode, TesseraError

log = structlog.get_logger(__name__)

CALLS_SHARE_MAX = 0.95
MEMORY_SHARE_MAX = 0.92
LOOK_SECONDS = 0.5
STALL_SECONDS_MAX = 2.0
_CGROUP_MAX = Path("/sys/fs/cgroup/memory.max")
_STATM = Path("/proc/self/statm")


class Load:
    """Requests and body bytes in hand. `pressed` says that memory or the event loop has nothing left to give."""

    def __init__(self, calls_max: int, bodies_bytes_max: int) -> None:
        self._calls_max = max(1, int(calls_max * CALLS_SHARE_MAX))
        self._bodies_bytes_max = bodies_bytes_max
        self.calls = 0
        self.bodies_bytes = 0
        self.pressed = False

    def enter(self) -> None:
        """Takes a request in hand; `leave` gives it back. Raises overloaded, and then takes none."""
        if self.pressed or self.calls >= self._calls_max:
            raise overloaded()
        self.calls += 1

    def leave(self, body_bytes: int) -> None:
        """Ends a request whose body took so many bytes."""
        self.calls -= 1
        self.bodies_bytes -= body_bytes

    def take(self, body_bytes: int) -> None:
        """Takes so many more bytes of a body in hand. Raises overloaded, and then takes none."""
        if self.bodies_bytes + body_bytes > self._bodies_bytes_max:
            raise overloaded()
        self.bodies_bytes += body_bytes


def overloaded() -> TesseraError:
    """The refusal of a request that nothing was done for yet: a client may send it again."""
    return TesseraError(
        ErrorCode.OVERLOADED,
        "This server has all it can carry in hand; nothing was done and nothing charged. Try again in a moment.",
        retry_after_s=1,
    )


@contextlib.asynccontextmanager
async def watched(load: Load, memory_bytes_max: int) -> AsyncIterator[None]:
    """Keeps `load.pressed` true to what the machine has left, while the block runs."""
    bound = (memory_bytes_max or _memory_here()) * MEMORY_SHARE_MAX
    task = asyncio.get_running_loop().create_task(_watch(load, bound))
    try:
        yield
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)


async def _watch(load: Load, memory_bytes: float) -> None:
    loop = asyncio.get_running_loop()
    while True:
        asked = loop.time()
        await asyncio.sleep(LOOK_SECONDS)
        late = loop.time() - asked - LOOK_SECONDS
        used = _memory_used()
        pressed = used > memory_bytes or late > STALL_SECONDS_MAX
        if pressed and not load.pressed:
            log.error("overload.begins", memory_bytes=used, loop_late_ms=round(late * 1000), calls=load.calls)
        load.pressed = pressed


def _memory_used() -> int:
    """Resident bytes of this process; 0 where the system does not say."""
    try:
        return int(_STATM.read_bytes().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, ValueError, IndexError):
        return 0


def _memory_here() -> int:
    """The bytes of memory this process may use: the container's, or the machine's."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    try:
        return min(machine, int(_CGROUP_MAX.read_text()))
    except (OSError, ValueError):
        return machine
