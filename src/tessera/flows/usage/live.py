"""Live events of an organization in one mode: who listens, and what they are given.

Always holds: a call does nothing for listeners but look whether there are any; each listener has bounded room, and one
that falls behind is told how many events it missed.
"""

import asyncio
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode

WAITING_MAX = 1_000
"""How many events wait for one listener; older ones give way."""

LISTENERS_MAX = 16
"""How many may listen to one organization and mode in one process."""

Place = tuple[str, Mode]


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """One event. `seq` is the movement of the ledger it follows from; None for one that moved nothing."""

    id: str
    type: str
    created_at: int
    data: dict[str, Any]
    seq: int | None = None


class Listener:
    """One who listens: events wait here until they are taken."""

    def __init__(self) -> None:
        self._waiting: deque[Event] = deque()
        self._missed = 0
        self._heard = asyncio.Event()

    def give(self, event: Event) -> None:
        """Adds an event; the oldest one gives way when there is no room."""
        if len(self._waiting) >= WAITING_MAX:
            self._waiting.popleft()
            self._missed += 1
        self._waiting.append(event)
        self._heard.set()

    def wake(self) -> None:
        """Ends a wait without an event."""
        self._heard.set()

    async def wait(self, seconds: float) -> None:
        """Returns when something waits, or after a while."""
        try:
            async with asyncio.timeout(seconds):
                await self._heard.wait()
        except TimeoutError:
            return

    def take(self) -> tuple[int, list[Event]]:
        """How many were missed since the last time, and what waits."""
        missed, self._missed = self._missed, 0
        events = list(self._waiting)
        self._waiting.clear()
        self._heard.clear()
        return missed, events


@dataclass(slots=True)
class Live:
    """Everybody who listens in this process. `followers` are the tasks that follow the ledger for them.

    `closing` is set when the server ends: whoever listens is let go.
    """

    listeners: dict[Place, set[Listener]] = field(default_factory=dict)
    followers: dict[Place, "asyncio.Task[None]"] = field(default_factory=dict)
    closing: bool = False

    def join(self, place: Place) -> Listener:
        """A new listener. Raises [concurrency_exceeded] when there are enough."""
        listening = self.listeners.setdefault(place, set())
        if len(listening) >= LISTENERS_MAX:
            raise TesseraError(
                ErrorCode.CONCURRENCY_EXCEEDED,
                f"{LISTENERS_MAX} connections listen to this organization's events already; close one first.",
                retry_after_s=5,
            )
        listener = Listener()
        listening.add(listener)
        return listener

    def leave(self, place: Place, listener: Listener) -> None:
        """Ends a listener; the last one ends the follower too."""
        listening = self.listeners.get(place, set())
        listening.discard(listener)
        if not listening:
            self.listeners.pop(place, None)
            follower = self.followers.pop(place, None)
            if follower is not None:
                follower.cancel()

    def tell(self, place: Place, event: Event) -> None:
        """Gives an event to all who listen there."""
        for listener in self.listeners.get(place, ()):
            listener.give(event)

    def close(self) -> None:
        """Lets everybody go: the server ends."""
        self.closing = True
        for listener in self._all():
            listener.wake()

    def _all(self) -> Iterator[Listener]:
        for listening in self.listeners.values():
            yield from listening
