"""The day's losses of each wallet: added up in the settle's commit, read only when there is a loss.

Always holds: a row is the exact sum of its wallet's usage events settled on that day (`tessera verify`).
"""

import sqlite3
from collections.abc import Iterator
from datetime import date, timedelta

import msgspec

from tessera.adapters.storage.ledger.books import Book, Books
from tessera.domain.ledger.losses import (
    NO_LOSS,
    DayLoss,
    LossLimits,
    SuspensionReason,
    add_loss,
    day_of,
    is_too_much,
)
from tessera.domain.money import Mode
from tessera.domain.usage import UsageEvent, is_free_leave, settled_as
from tessera.log import get_logger
from tessera.ports import Page
from tessera.ports.administration import LossDay

log = get_logger(__name__)

_FIND_DAY = """
SELECT loss_nanos, forgiven_nanos, left_calls, left_loss_nanos FROM loss_day WHERE wallet_id = ? AND day = ?
"""

_WRITE_DAY = """
INSERT INTO loss_day (wallet_id, day, loss_nanos, forgiven_nanos, left_calls, left_loss_nanos) VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT (wallet_id, day) DO UPDATE SET loss_nanos = excluded.loss_nanos,
    left_calls = excluded.left_calls, left_loss_nanos = excluded.left_loss_nanos
"""

_FORGIVE = """
UPDATE loss_day SET forgiven_nanos = loss_nanos
WHERE wallet_id IN (SELECT id FROM wallet WHERE organization_id = ?) AND forgiven_nanos < loss_nanos
"""

_LIST_DAYS = """
SELECT day, loss_nanos, forgiven_nanos, left_calls, left_loss_nanos FROM loss_day
JOIN wallet ON wallet.id = loss_day.wallet_id
WHERE organization_id = ? AND mode = ? AND day < ? ORDER BY day DESC LIMIT ?
"""

_LOST = """
SELECT wallet_id, settled_at_us, loss_nanos, charge FROM usage_event JOIN hold ON hold.number = hold_number
WHERE loss_nanos > 0
"""

_STORED = "SELECT wallet_id, day, loss_nanos, left_calls, left_loss_nanos, forgiven_nanos FROM loss_day"

_DAY_ZERO = date(1970, 1, 1)
_DAY_AFTER_ALL = 2**40


class Losses:
    """The losses one transaction adds. Nothing is read or written while there is none."""

    def __init__(self, connection: sqlite3.Connection, books: Books, limits: LossLimits) -> None:
        self._connection = connection
        self._books = books
        self._limits = limits
        self._days: dict[tuple[int, int], DayLoss] = {}

    def choose(self, book: Book, event: UsageEvent) -> UsageEvent:
        """The event that settles a call whose client left: free, or charged once the day's allowance is used up."""
        return settled_as(event, self._day(book, day_of(event.settled_at_us)), self._limits)

    def add(self, book: Book, event: UsageEvent) -> None:
        """Adds an event's loss to its day, and suspends the organization if that is too much."""
        day = day_of(event.settled_at_us)
        found = add_loss(self._day(book, day), event.loss_nanos, left=is_free_leave(event.charge, event.loss_nanos))
        self._days[book.id, day] = found
        if not is_too_much(found, self._limits) or book.wallet.suspended:
            return
        if self._books.suspend_by_itself(self._connection, book, SuspensionReason.LOSS):
            log.error(
                "organization.suspended",
                organization_id=book.organization_id,
                reason=SuspensionReason.LOSS.value,
                loss_nanos=found.loss_nanos - found.forgiven_nanos,
                loss_max_nanos=self._limits.loss_max_nanos,
            )

    def write(self) -> None:
        """Writes every day that changed. Raises sqlite3.Error."""
        if self._days:
            rows = [(wallet, day, *msgspec.structs.astuple(found)) for (wallet, day), found in self._days.items()]
            self._connection.executemany(_WRITE_DAY, rows)

    def _day(self, book: Book, day: int) -> DayLoss:
        found = self._days.get((book.id, day))
        if found is None:
            row = self._connection.execute(_FIND_DAY, (book.id, day)).fetchone()
            found = (
                NO_LOSS
                if row is None
                else DayLoss(loss_nanos=row[0], forgiven_nanos=row[1], left_calls=row[2], left_loss_nanos=row[3])
            )
        return found


def forgive(connection: sqlite3.Connection, organization_id: str) -> None:
    """Lets what an organization has cost so far no longer count towards a day's limit."""
    connection.execute(_FORGIVE, (organization_id,))


def list_losses(connection: sqlite3.Connection, organization_id: str, mode: Mode, page: Page) -> tuple[LossDay, ...]:
    """Days with losses, newest first."""
    before = _DAY_AFTER_ALL if page.after is None else (date.fromisoformat(page.after) - _DAY_ZERO).days
    rows = connection.execute(_LIST_DAYS, (organization_id, mode.value, before, page.limit))
    return tuple(
        LossDay(
            day=_DAY_ZERO + timedelta(days=row[0]),
            loss_nanos=row[1],
            forgiven_nanos=row[2],
            left_calls=row[3],
            left_loss_nanos=row[4],
        )
        for row in rows
    )


def loss_faults(connection: sqlite3.Connection) -> Iterator[str]:
    """Days whose losses are not the sum of their usage events."""
    expected: dict[tuple[int, int], DayLoss] = {}
    for wallet, settled_at_us, loss, charge in connection.execute(_LOST):
        place = (wallet, day_of(settled_at_us))
        expected[place] = add_loss(expected.get(place, NO_LOSS), loss, left=is_free_leave(bytes(charge), loss))
    for wallet, day, *found, forgiven in connection.execute(_STORED):
        events = _sums(expected.pop((wallet, day), NO_LOSS))
        if tuple(found) != events or not 0 <= forgiven <= found[0]:
            yield f"wallet {wallet}, day {day}: losses are {(*found, forgiven)}, its usage events say {events}"
    for (wallet, day), missing in expected.items():
        yield f"wallet {wallet}, day {day}: no losses are noted, its usage events say {_sums(missing)}"


def _sums(day: DayLoss) -> tuple[int, int, int]:
    return day.loss_nanos, day.left_calls, day.left_loss_nanos
