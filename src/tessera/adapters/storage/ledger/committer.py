"""Commits groups of orders on one connection. Synchronous, used by one thread at a time.

Always holds: after `commit` returns, every order has its answer and every granted hold and accepted settlement is on
disk: in the database, or (settlements only) in the outbox.
"""

import sqlite3
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tessera.adapters.storage.ledger.books import Books, ConflictError
from tessera.adapters.storage.ledger.group import Answer, Group, Order, VoidOrder, record_refusal
from tessera.adapters.storage.ledger.lease import Lease
from tessera.adapters.storage.ledger.outbox import Outbox, keep_unread, read_outbox
from tessera.adapters.storage.ledger.unavailable import taken_over, unavailable
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.losses import LossLimits
from tessera.domain.ledger.orders import HoldOrder, Outcome
from tessera.domain.usage import UsageEvent
from tessera.log import get_logger

log = get_logger(__name__)

_ADD_PROCESS = """
INSERT INTO process (owner, started_at_us, heartbeat_at_us) VALUES (?, ?, ?)
ON CONFLICT (owner) DO UPDATE SET heartbeat_at_us = excluded.heartbeat_at_us
"""

SAID_EVERY_S = 10.0
"""How often an outage is logged while it goes on: its reason is the same for every group that is refused."""

T = TypeVar("T")


class NotDurableError(Exception):
    """The answer to a settlement that is nowhere yet: neither the database nor the outbox took it."""


class Committer(ABC):
    """The one writer of this process. `changed` is called when another process has committed.

    `outdated` says that a newer Tessera has migrated the database: no hold is placed then, and what runs is settled.
    `failures` are the errors that say the database or the disk failed, `refusals` those that say it refused what one
    order would write; each database has its own.
    """

    failures: tuple[type[Exception], ...]
    refusals: tuple[type[Exception], ...]

    def __init__(
        self,
        data_dir: Path,
        owner: str,
        books: Books,
        clock: Callable[[], int],
        make_id: Callable[[str], str],
        limits: LossLimits,
    ) -> None:
        self.data_dir = data_dir
        self._limits = limits
        self._connection: Any = None
        self._clock = clock
        self._make_id = make_id
        self._registered = False
        self._doubtful: list[VoidOrder] = []
        self._may_be_written = False
        self._said, self._say_at, self._unsaid = "", 0.0, 0
        self.owner = owner
        self.books = books
        self.lease = Lease(data_dir, owner)
        self.outbox = Outbox(data_dir, owner)
        self.changed: Callable[[], None] = lambda: None
        self.outdated = False

    @abstractmethod
    def connection(self) -> Any:
        """The writing connection, opened again after a failure. Raises `failures`."""

    @abstractmethod
    def look(self) -> None:
        """Notices, between transactions, that other processes have committed, or migrated. Raises `failures`."""

    @abstractmethod
    def _begin(self) -> Any:
        """Begins a transaction on the writing connection, whose books know what they may remember."""

    def commit(self, orders: Sequence[Order]) -> list[Answer]:
        """Decides and writes orders in one commit; gives each one's answer, in the same order.

        Errors are answers, not exceptions. `NotDurableError` says of a settlement that it must be handed in again.
        """
        answers: list[Answer] = [
            taken_over() if self.outdated and isinstance(order, HoldOrder) else None for order in orders
        ]
        waiting = [position for position, answer in enumerate(answers) if answer is None]
        while waiting:
            group = [orders[i] for i in waiting]
            self._may_be_written = False
            try:
                found, later = self._round(group)
            except self.failures as error:
                found, later = self._keep(group, error), []
            for position, answer in found.items():
                answers[waiting[position]] = answer
            waiting = [waiting[position] for position in later]
        return answers

    def change(self, work: Callable[[sqlite3.Connection, Books], T]) -> T:
        """Runs an administrative change in a commit of its own. Raises [storage_unavailable] and what `work` raises."""
        try:
            connection = self._begin()
            result = work(connection, self.books)
            self.books.write(connection)
            connection.execute("COMMIT")
        except BaseException as error:
            self._roll_back(broken=self._is_broken(error))
            if isinstance(error, Exception) and isinstance(error, (*self.failures, ConflictError)):
                raise unavailable(error) from error
            raise
        return result

    def note_schema(self, found: int, known: int) -> None:
        """Compares the database's schema with the newest that this version knows."""
        if found > known and not self.outdated:
            log.critical("ledger.taken_over", schema=found, known=known)
        self.outdated = found > known

    def retry(self) -> None:
        """Tries again what the database did not take: voids of doubtful holds, then the outbox."""
        if self._doubtful:
            doubtful, self._doubtful = self._doubtful, []
            self.commit(doubtful)
        if self.outbox.waiting and self.settle_outbox(self.outbox.path):
            self.outbox.clear()

    def keep_reserve(self) -> None:
        """Keeps space aside again once no settlement waits that it was given up for. Raises OSError."""
        if not self.outbox.waiting:
            self.outbox.prepare()

    def give_up(self, event: UsageEvent) -> None:
        """Lets a settlement go that could not be made durable in time, or was refused: its hold, if it is open, is
        voided as soon as that can be."""
        self._doubtful.append(VoidOrder(event.hold_id, event.organization_id, event.mode, Outcome.EXPIRED))

    def settle_outbox(self, path: Path) -> bool:
        """Brings an outbox file into the database; False if that cannot be reached. The file stays.

        A settlement that its hold refuses is recorded for reconciliation, as any other. Lines that are none are kept.
        """
        events, unread = read_outbox(path)
        waiting: list[UsageEvent] = events
        try:
            while waiting:
                _, later = self._round(waiting)
                waiting = [waiting[position] for position in later]
        except self.failures as error:
            log.error("outbox.waits", settlements=len(waiting), error=repr(error))
            return False
        if unread:
            log.error("outbox.unread", file=path.name, lines=len(unread))
            try:
                keep_unread(path, unread)
            except OSError as error:
                log.error("outbox.waits", settlements=0, error=repr(error))
                return False
        return True

    def close(self) -> None:
        """Closes the connection and ends this process's lease."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None
        self.lease.drop()

    # ---- one transaction ----------------------------------------------------------------------------------------

    def _round(self, orders: Sequence[Order]) -> tuple[dict[int, Answer], list[int]]:
        """One commit: the answers by position, and the positions that must wait for the next.

        Raises `failures` when the database cannot be reached.
        """
        try:
            group = self._together(orders)
        except self.refusals:
            return self._released(orders, self._apart(orders)), []
        except self.failures:
            raise
        except Exception as error:
            log.error("ledger.group_failed", error=repr(error), orders=len(orders))
            return self._released(orders, self._apart(orders)), []
        return self._released(orders, group.answers), group.deferred

    def _released(self, orders: Sequence[Order], answers: dict[int, Answer]) -> dict[int, Answer]:
        """Sees to it that no hold stays open whose settlement was refused: the money goes back with the next retry."""
        for position, answer in answers.items():
            order = orders[position]
            if isinstance(order, UsageEvent) and isinstance(answer, Exception):
                self.give_up(order)
        return answers

    def _together(self, orders: Sequence[Order]) -> Group:
        try:
            connection = self._begin()
            group = self._group(connection, orders, careful=False)
            self._may_be_written = True
            connection.execute("COMMIT")
        except BaseException as error:
            self._roll_back(broken=self._is_broken(error))
            raise
        return group

    def _apart(self, orders: Sequence[Order]) -> dict[int, Answer]:
        """One by one under savepoints, after something in a group could not be written: it fails alone."""
        answers: dict[int, Answer] = {}
        try:
            connection = self._begin()
            for position, order in enumerate(orders):
                connection.execute("SAVEPOINT one")
                try:
                    answers[position] = self._group(connection, [order], careful=True).answers[0]
                except Exception as error:
                    if self._is_broken(error):
                        raise
                    log.error("ledger.order_failed", order_id=_hold_id(order), error=repr(error))
                    connection.execute("ROLLBACK TO one")
                    self.books.clear()
                    answers[position] = _failed(order)
                    if isinstance(order, UsageEvent):
                        record_refusal(connection, order, "it breaks a constraint", self._clock())
                connection.execute("RELEASE one")
            self._may_be_written = True
            connection.execute("COMMIT")
        except BaseException as error:
            self._roll_back(broken=self._is_broken(error))
            raise
        return answers

    def _is_broken(self, error: BaseException) -> bool:
        """Whether the database or the disk failed, rather than one order."""
        return isinstance(error, self.failures) and not isinstance(error, self.refusals)

    def _group(self, connection: sqlite3.Connection, orders: Sequence[Order], *, careful: bool) -> Group:
        now_us = self._clock()
        if not self._registered and any(isinstance(order, HoldOrder) for order in orders):
            self.register(connection, now_us)
        self._lock(connection, orders)
        group = Group(connection, self.books, now_us, self._make_id, self._limits, careful=careful)
        group.decide(orders)
        group.write()
        for hold_id in group.resolved:
            self.books.open_holds.pop(hold_id, None)
        return group

    @abstractmethod
    def _lock(self, connection: Any, orders: Sequence[Order]) -> None:
        """Locks what the orders are decided on."""

    def register(self, connection: sqlite3.Connection, now_us: int) -> None:
        """Shows that this process lives, in its lock file and in the database."""
        self.lease.take()
        connection.execute(_ADD_PROCESS, (self.owner, now_us, now_us))
        self._registered = True

    def _roll_back(self, *, broken: bool) -> None:
        self.books.clear()
        self._registered = False
        connection = self._connection
        if connection is None:
            return
        try:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
        except self.failures:
            broken = True
        if broken:
            self._connection = None
            connection.close()

    # ---- when the database cannot be reached --------------------------------------------------------------------

    def _keep(self, orders: Sequence[Order], error: Exception) -> dict[int, Answer]:
        """Settlements go to the outbox; the rest is refused. Holds that may exist after all are voided later: those
        whose commit was asked for. In an outage, where nothing begins, none is remembered, however many are refused."""
        self._say(repr(error), len(orders))
        events = {i: order for i, order in enumerate(orders) if isinstance(order, UsageEvent)}
        answers: dict[int, Answer] = {i: unavailable(error) for i in range(len(orders))}
        if events:
            try:
                self.lease.take()
                self.outbox.add(list(events.values()))
            except OSError as outbox_error:
                log.critical("ledger.outbox_failed", error=repr(outbox_error), settlements=len(events))
                answers.update(dict.fromkeys(events, NotDurableError(repr(outbox_error))))
            else:
                answers.update(dict.fromkeys(events))
        for order in orders:
            if isinstance(order, VoidOrder):
                self._doubtful.append(order)
            elif isinstance(order, HoldOrder) and self._may_be_written:
                self._doubtful.append(VoidOrder(order.id, order.organization_id, order.mode, Outcome.CANCELLED))
        return answers

    def _say(self, reason: str, orders: int) -> None:
        """Logs that orders could not be committed: at once for a new reason, and then now and again how many."""
        self._unsaid += orders
        now = time.monotonic()
        if reason != self._said or now >= self._say_at:
            log.error("ledger.unavailable", error=reason, orders=self._unsaid)
            self._said, self._say_at, self._unsaid = reason, now + SAID_EVERY_S, 0


def _hold_id(order: Order) -> str:
    return order.id if isinstance(order, HoldOrder) else order.hold_id


def _failed(order: Order) -> TesseraError:
    return TesseraError(
        ErrorCode.INTERNAL_ERROR, f"The ledger could not write request {_hold_id(order)}.", should_retry=False
    )
