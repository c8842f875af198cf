"""What is in hand, and whether more can be taken: past its bounds the server refuses at once instead of failing slowly.

The bounds are those of faults F33, the thresholds Envoy's example of overload: 95 % of a count, 92 % of the memory.
What the processor can take has no fixed bound: `admission` finds it.
"""

import asyncio
import contextlib
import os
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any, Protocol

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.flows.duties import start_duty
from tessera.http import metrics
from tessera.http.admission import LATE_SECONDS_MAX, Admission
from tessera.log import get_logger

log = get_logger(__name__)

CALLS_SHARE_MAX = 0.95
CROWD_SHARE = 0.4
"""From this part of the calls that may be in hand on, a loop that is late is no burst that passes."""
MEMORY_SHARE_MAX = 0.92
LOOK_SECONDS = 0.5
STALL_SECONDS_MAX = 2.0
LATENESS_LOOK_SECONDS = 0.05
LIMITING_LOOK_SECONDS = 0.01
"""How often the lateness of the loop is looked at, and how often while requests are refused for it."""
OWNERS_KEPT_MAX = 10_000
_CGROUP_MAX = Path("/sys/fs/cgroup/memory.max")
_STATM = Path("/proc/self/statm")


class Queue(Protocol):
    """Connections that clients have opened and that were not taken up yet."""

    def look(self, elapsed_s: float) -> None:
        """Takes some up; so long after the last look."""
        ...


class Load:
    """Requests and body bytes in hand. `pressed` says that memory or the event loop has nothing left to give."""

    def __init__(self, calls_max: int, bodies_bytes_max: int) -> None:
        self._calls_max = max(1, int(calls_max * CALLS_SHARE_MAX))
        self._crowd = max(1, int(calls_max * CROWD_SHARE))
        self._bodies_bytes_max = bodies_bytes_max
        self.calls = 0
        self._ended = 0
        self.bodies_bytes = 0
        self.pressed = False
        self.admission = Admission()
        self._owners: dict[int, str] = {}
        self._looked_at = self.due_at = time.monotonic()
        self.queue: Queue | None = None

    def enter(self) -> None:
        """Takes a request in hand; `leave` gives it back. Raises overloaded, and then takes none."""
        if self.pressed or self.calls >= self._calls_max:
            metrics.count_shed("pressed" if self.pressed else "calls")
            raise overloaded()
        self.calls += 1

    def leave(self, body_bytes: int) -> None:
        """Ends a request whose body took so many bytes."""
        self.calls -= 1
        self._ended += 1
        self.bodies_bytes -= body_bytes

    def is_tight(self, in_hand: int) -> bool:
        """Whether any request may have to be refused while so many are in hand: those that have not begun, which
        `calls` does not count yet, and those just answered among them."""
        return in_hand >= self._crowd or self.admission.limiting or self.pressed

    def sheds(self, key: bytes, addresses: Mapping[str, Any], in_hand: int) -> bool:
        """Whether a request with this key is refused before anything is made of it; counts it. Who has a key that was
        not seen yet is known by the address of the `client`."""
        if self.pressed or self.calls >= self._calls_max:
            metrics.count_shed("pressed" if self.pressed else "calls")
            return True
        if in_hand >= self._crowd and not self.admission.limiting and time.monotonic() > self.due_at + LATE_SECONDS_MAX:
            self.look(in_hand)
        owner = self._owners.get(hash(key))
        if owner is None:
            client = addresses["client"]
            owner = client[0] if client else ""
        if self.admission.admit(owner):
            return False
        metrics.count_shed("processor")
        return True

    def look(self, in_hand: int) -> float:
        """Looks at how late the event loop is, which was to be looked at when `due_at` came. Returns the seconds since
        the last look."""
        now, limited = time.monotonic(), self.admission.limiting
        elapsed_s = max(now - self._looked_at, 0.001)
        crowded = in_hand >= self._crowd
        late_s = now - self.due_at
        self.admission.look(elapsed_s, late_s, in_hand, self._ended, crowded=crowded)
        self._looked_at, self._ended = now, 0
        if self.admission.limiting != limited:
            event = "overload.limits" if self.admission.limiting else "overload.limits_no_more"
            log.warning(event, calls_per_second=round(self.admission.rate), calls=in_hand)
        return elapsed_s

    def remember_owner(self, key: str, owner: str) -> None:
        """Whose a key is, as long as it matters; not the key itself."""
        if self.admission.limiting:
            if len(self._owners) >= OWNERS_KEPT_MAX:
                self._owners.clear()
            self._owners[hash(key.encode())] = owner

    def take(self, body_bytes: int) -> None:
        """Takes so many more bytes of a body in hand. Raises overloaded, and then takes none."""
        if self.bodies_bytes + body_bytes > self._bodies_bytes_max:
            metrics.count_shed("bodies")
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
    loop = asyncio.get_running_loop()
    task = start_duty("memory", lambda: _watch(load, bound))
    timers: list[asyncio.TimerHandle] = []
    load.due_at = time.monotonic()
    _look_again(load, loop, timers)
    try:
        yield
    finally:
        timers[0].cancel()
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


def _look_again(load: Load, loop: asyncio.AbstractEventLoop, timers: list[asyncio.TimerHandle]) -> None:
    """Looks at the lateness now and from then on; `timers` holds the timer of the next look."""
    since_s = load.look(load.calls)
    if load.queue is not None:
        load.queue.look(since_s)
    seconds = LIMITING_LOOK_SECONDS if load.admission.limiting else LATENESS_LOOK_SECONDS
    load.due_at = time.monotonic() + seconds
    timers[:] = [loop.call_later(seconds, _look_again, load, loop, timers)]


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
