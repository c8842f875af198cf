"""The writer thread: takes all that waits, without delay, commits it as one group, wakes the callers once.

Waiting even a millisecond for a larger group costs throughput; under load groups grow by themselves.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import msgspec

from tessera.adapters.storage.ledger.committer import Committer, NotDurableError
from tessera.adapters.storage.ledger.group import Answer, Order, VoidOrder
from tessera.adapters.storage.ledger.unavailable import unavailable
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.orders import HoldGrant, HoldOrder, Outcome
from tessera.domain.usage import UsageEvent
from tessera.log import get_logger

log = get_logger(__name__)

GROUP_MAX = 1000
LOOK_EVERY_S = 0.5
"""How often other processes' commits are looked for when nothing is written: key revocation is seen this soon."""

DURABLE_WITHIN_S = 30.0
"""How long a settlement that neither the database nor the outbox takes is tried again, its reply waiting."""

AGAIN_EVERY_S = 1.0


class Waiting(msgspec.Struct, eq=False):
    """One order or change on its way through the writer, and the caller's future.

    `until` is when a settlement that is not durable yet is given up; None before its first failure.
    """

    order: Order | None
    change: Callable[[], Any] | None
    loop: asyncio.AbstractEventLoop | None
    future: "asyncio.Future[Any] | None"
    answer: Any = None
    until: float | None = None


Duties = list[tuple[float, Callable[[], None]]]
"""What a writer does between groups: seconds of interval, and the duty."""


class Writer:
    """Runs a committer in a thread of its own, turn after turn, and its duties between them.

    Whoever drives the turns in another way overrides `start` and `ended` (the money simulation does); `monotonic` is
    the clock duties are due by.
    """

    def __init__(self, committer: Committer, every: Duties, *, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._committer = committer
        self._queue: queue.SimpleQueue[Waiting | None] = queue.SimpleQueue()
        self._closed = False
        self._monotonic = monotonic
        self._undurable: list[Waiting] = []
        self._failures: tuple[type[Exception], ...] = (*committer.failures, TesseraError)
        duties = [*every, (AGAIN_EVERY_S, self._hand_in_again)]
        self._duties = [(interval, monotonic() + interval, duty) for interval, duty in duties]
        self.start()

    def start(self) -> None:
        """Begins to take turns."""
        self._thread = threading.Thread(target=self._run, name="tessera-ledger", daemon=True)
        self._thread.start()

    async def ended(self) -> None:
        """Waits for the last turn."""
        await asyncio.to_thread(self._thread.join)

    def turn(self, wait_s: float) -> bool:
        """Commits all that waits as one group, after waiting for the first; False after the last turn."""
        group, running = self._take(wait_s)
        if group:
            self._commit(group)
        if not running and self._undurable:
            group, self._undurable = self._undurable, []
            self._commit(group)
        self._do_duties()
        return running

    def order(self, order: Order) -> "asyncio.Future[Any]":
        """Hands an order in; the future gets its answer."""
        loop = asyncio.get_running_loop()
        return self._hand_in(Waiting(order, None, loop, loop.create_future()))

    def change(self, work: Callable[[], Any]) -> "asyncio.Future[Any]":
        """Has an administrative change run in the writer's thread; the future gets its result."""
        loop = asyncio.get_running_loop()
        return self._hand_in(Waiting(None, work, loop, loop.create_future()))

    async def close(self) -> None:
        """Commits everything handed in and ends the thread."""
        if not self._closed:
            self._closed = True
            self._queue.put(None)
        await self.ended()

    def _hand_in(self, waiting: Waiting) -> "asyncio.Future[Any]":
        if self._closed:
            raise TesseraError(ErrorCode.STORAGE_UNAVAILABLE, "The ledger is shut down.", retry_after_s=1)
        self._queue.put(waiting)
        assert waiting.future is not None
        return waiting.future

    def _run(self) -> None:
        while self.turn(LOOK_EVERY_S):
            pass

    def _take(self, wait_s: float) -> tuple[list[Waiting], bool]:
        """Everything that waits now, after waiting for the first; and whether to go on."""
        group: list[Waiting] = []
        take = self._queue.get_nowait
        with contextlib.suppress(queue.Empty):
            item = self._queue.get(timeout=wait_s)
            while item is not None:
                group.append(item)
                if len(group) == GROUP_MAX:
                    return group, True
                item = take()
            return group, False
        return group, True

    def _commit(self, group: list[Waiting]) -> None:
        orders = [(item, item.order) for item in group if item.order is not None]
        for item in group:
            if item.change is not None:
                item.answer = _result(item.change)
        answers: list[Answer]
        try:
            answers = self._committer.commit([order for _, order in orders])
        except Exception as error:
            log.critical("ledger.writer_failed", error=repr(error))
            answers = [error] * len(orders)
        by_loop: dict[asyncio.AbstractEventLoop, list[Waiting]] = {}
        for (item, _), answer in zip(orders, answers, strict=True):
            item.answer = answer
        for item in group:
            if isinstance(item.answer, NotDurableError) and self._puts_off(item):
                continue
            if item.loop is not None:
                by_loop.setdefault(item.loop, []).append(item)
        for loop, items in by_loop.items():
            try:
                loop.call_soon_threadsafe(self._wake, items)
            except RuntimeError:
                self._give_back(items)

    def _puts_off(self, item: Waiting) -> bool:
        """Whether a settlement that is nowhere yet is tried again; if not, its hold is to be voided."""
        assert isinstance(item.order, UsageEvent)
        now = self._monotonic()
        if item.until is None:
            item.until = now + DURABLE_WITHIN_S
        if not self._closed and now < item.until:
            self._undurable.append(item)
            return True
        self._committer.give_up(item.order)
        item.answer = unavailable(item.answer)
        return False

    def _hand_in_again(self) -> None:
        again, self._undurable = self._undurable, []
        for item in again:
            self._queue.put(item)

    def _wake(self, items: list[Waiting]) -> None:
        """In the event loop: gives each caller its answer."""
        gone = []
        for item in items:
            future = item.future
            assert future is not None
            if future.done():
                gone.append(item)
            elif isinstance(item.answer, Exception):
                future.set_exception(item.answer)
            else:
                future.set_result(item.answer)
        if gone:
            self._give_back(gone)

    def give_back(self, order: HoldOrder, grant: HoldGrant) -> None:
        """Voids a hold whose caller went away as it was granted: nobody else knows of it."""
        if grant.replay is None:
            void = VoidOrder(order.id, order.organization_id, order.mode, Outcome.CANCELLED)
            self._queue.put(Waiting(void, None, None, None))

    def _give_back(self, items: list[Waiting]) -> None:
        for item in items:
            if isinstance(item.order, HoldOrder) and isinstance(item.answer, HoldGrant):
                self.give_back(item.order, item.answer)

    def _do_duties(self) -> None:
        now = self._monotonic()
        for position, (interval, due, duty) in enumerate(self._duties):
            if now >= due:
                try:
                    duty()
                except self._failures as error:
                    log.error("ledger.duty_failed", duty=duty.__name__, error=repr(error))
                except Exception:
                    log.exception("ledger.duty_failed", duty=duty.__name__)
                self._duties[position] = (interval, self._monotonic() + interval, duty)


def _result(change: Callable[[], Any]) -> Any:
    try:
        return change()
    except Exception as error:
        return error
