"""What keys, projects and organizations have used, counted in the commits that place and resolve holds.

Always holds: a meter equals the sums of its subject's holds and usage events (`tessera verify`); a subject has one from
its first hold on, or from the moment a limit is set. A hold is decided on the sums of its own day and month: a meter
that was last used in others, earlier or (a clock was ahead) later, takes them from what was used.
"""

import sqlite3
from collections.abc import Iterator
from typing import Any

import msgspec

from tessera.adapters.storage.ledger.books import Book, OpenHold
from tessera.adapters.storage.ledger.usage_sums import UsageSums
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.limits import (
    NO_LIMITS,
    Limits,
    Meter,
    SubjectKind,
    first_day_of,
    month_of,
    resolve,
)
from tessera.domain.ledger.losses import day_of
from tessera.domain.money import Mode
from tessera.domain.usage import UsageEvent

METERS_KEPT_MAX = 10_000

_COLUMNS = """spent_nanos, held_nanos, open_calls, month, month_nanos, day, day_nanos, requests_at_us, tokens_at_us,
    used_at_us, budget_total_nanos, budget_month_nanos, budget_day_nanos, requests_per_minute, tokens_per_minute,
    concurrent_max"""

_FIND = f"SELECT {_COLUMNS} FROM meter WHERE wallet_id = ? AND kind = ? AND subject_id = ?"  # noqa: S608

WRITE_METER = """
INSERT INTO meter (
    wallet_id, kind, subject_id, spent_nanos, held_nanos, open_calls, month, month_nanos, day, day_nanos,
    requests_at_us, tokens_at_us, used_at_us
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (wallet_id, kind, subject_id) DO UPDATE SET spent_nanos = excluded.spent_nanos,
    held_nanos = excluded.held_nanos, open_calls = excluded.open_calls, month = excluded.month,
    month_nanos = excluded.month_nanos, day = excluded.day, day_nanos = excluded.day_nanos,
    requests_at_us = excluded.requests_at_us, tokens_at_us = excluded.tokens_at_us, used_at_us = excluded.used_at_us
"""

_SET_LIMITS = """
INSERT INTO meter (
    wallet_id, kind, subject_id, budget_total_nanos, budget_month_nanos, budget_day_nanos, requests_per_minute,
    tokens_per_minute, concurrent_max
)
SELECT id, ?, ?, ?, ?, ?, ?, ?, ? FROM wallet WHERE organization_id = ? AND mode = ?
ON CONFLICT (wallet_id, kind, subject_id) DO UPDATE SET budget_total_nanos = excluded.budget_total_nanos,
    budget_month_nanos = excluded.budget_month_nanos, budget_day_nanos = excluded.budget_day_nanos,
    requests_per_minute = excluded.requests_per_minute, tokens_per_minute = excluded.tokens_per_minute,
    concurrent_max = excluded.concurrent_max
"""

_FIND_KEY = "SELECT id FROM api_key WHERE id = ? AND organization_id = ? AND mode = ?"

_FIND_PROJECT = "SELECT id FROM project WHERE organization_id = ? AND (id = ? OR name = ?)"

_LIMITS_CHANGED = "UPDATE organization SET limits_version = limits_version + 1 WHERE id = ?"

_LIST = f"""
SELECT kind, subject_id, {_COLUMNS} FROM meter
WHERE wallet_id = (SELECT id FROM wallet WHERE organization_id = ? AND mode = ?) ORDER BY kind, subject_id
"""  # noqa: S608

_STORED = """
SELECT wallet_id, kind, subject_id, spent_nanos, held_nanos, open_calls, month, month_nanos, day, day_nanos FROM meter
"""

_CALLS = """
SELECT wallet_id, key_id, project_id, state, amount_nanos, event.charge_nanos, settled_at_us
FROM hold LEFT JOIN usage_event AS event ON event.hold_number = hold.number
"""


class Meters:
    """The meters one transaction reads and changes; they are kept with the book of their wallet."""

    def __init__(self, connection: sqlite3.Connection, usage: UsageSums, now_us: int) -> None:
        self._connection = connection
        self._usage = usage
        self._day, self._month = day_of(now_us), month_of(now_us)
        # By the identity of a call's meters, which stand beside it and so keep it.
        self._changed: dict[int, tuple[Book, tuple[Meter, Meter, Meter]]] = {}

    def of(self, book: Book, project_id: str, key_id: str) -> tuple[Meter, Meter, Meter]:
        """The meters of a key, its project and its organization."""
        metered = book.metered.get((project_id, key_id))
        if metered is None:
            metered = book.metered[project_id, key_id] = (
                self._meter(book, SubjectKind.KEY, key_id),
                self._meter(book, SubjectKind.PROJECT, project_id),
                self._meter(book, SubjectKind.ORGANIZATION, book.organization_id),
            )
        return metered

    def today(self, book: Book, project_id: str, key_id: str) -> tuple[Meter, Meter, Meter]:
        """The meters of a key, its project and its organization, at the day and month that it is now."""
        meters = self.of(book, project_id, key_id)
        for meter in meters:
            if meter.day != self._day:
                meter.day, meter.day_nanos = self._day, self._charged_on(book, meter, self._day)
            if meter.month != self._month:
                meter.month, meter.month_nanos = self._month, self._charged_in(book, meter, self._month)
        return meters

    def resolve(self, book: Book, hold: OpenHold, event: UsageEvent) -> None:
        """Counts a hold that ends with an event, which is among what was used already."""
        meters = self.of(book, *hold.kind[:2])
        for meter in resolve(meters, hold.amount_nanos, event.charge_nanos, event.settled_at_us):
            meter.day_nanos = self._charged_on(book, meter, meter.day)
            meter.month_nanos = self._charged_in(book, meter, meter.month)
        self.changed(book, meters)

    def _charged_on(self, book: Book, meter: Meter, day: int) -> int:
        if not meter.spent_nanos:
            return 0
        return self._usage.charged(book, meter.kind, meter.subject_id, day, day + 1)

    def _charged_in(self, book: Book, meter: Meter, month: int) -> int:
        if not meter.spent_nanos:
            return 0
        bounds = first_day_of(month), first_day_of(month + 1)
        return self._usage.charged(book, meter.kind, meter.subject_id, *bounds)

    def changed(self, book: Book, meters: tuple[Meter, Meter, Meter]) -> None:
        """Notes that the meters of a call were changed, so that they are written."""
        self._changed[id(meters)] = book, meters

    def write(self) -> None:
        """Writes every meter that changed, once. Raises sqlite3.Error."""
        rows: dict[tuple[int, str, str], list[int]] = {}
        for book, meters in self._changed.values():
            for meter in meters:
                key = (book.id, meter.kind._value_, meter.subject_id)
                if key not in rows:
                    rows[key] = _counters(meter)
        if rows:
            self._connection.executemany(WRITE_METER, [(*key, *counters) for key, counters in rows.items()])
        for book, _ in self._changed.values():
            # Only here, where this transaction needs none of them any more.
            if len(book.meters) > METERS_KEPT_MAX:
                book.meters.clear()
                book.metered.clear()

    def _meter(self, book: Book, kind: SubjectKind, subject_id: str) -> Meter:
        meter = book.meters.get((kind, subject_id))
        if meter is None:
            row = self._connection.execute(_FIND, (book.id, kind.value, subject_id)).fetchone()
            meter = Meter(kind=kind, subject_id=subject_id) if row is None else read_meter(kind, subject_id, row)
            book.meters[kind, subject_id] = meter
        return meter


def read_meter(kind: SubjectKind, subject_id: str, row: tuple[Any, ...]) -> Meter:
    """A meter out of its row."""
    limits = Limits(
        budget_total_nanos=row[10],
        budget_month_nanos=row[11],
        budget_day_nanos=row[12],
        requests_per_minute=row[13],
        tokens_per_minute=row[14],
        concurrent_max=row[15],
    )
    return Meter(
        kind=kind,
        subject_id=subject_id,
        spent_nanos=row[0],
        held_nanos=row[1],
        open_calls=row[2],
        month=row[3],
        month_nanos=row[4],
        day=row[5],
        day_nanos=row[6],
        requests_at_us=row[7],
        tokens_at_us=row[8],
        used_at_us=row[9],
        limits=NO_LIMITS if limits == NO_LIMITS else limits,
    )


def set_limits(
    connection: sqlite3.Connection, organization_id: str, mode: Mode, kind: SubjectKind, subject: str, limits: Limits
) -> Meter:
    """Replaces a subject's limits; what it has used stays counted. Other writers see the organization's row change.

    `subject` is an id, or a project's name. Raises [not_found].
    """
    subject_id = _find_subject(connection, organization_id, mode, kind, subject)
    values = msgspec.structs.astuple(limits)
    connection.execute(_SET_LIMITS, (kind.value, subject_id, *values, organization_id, mode.value))
    connection.execute(_LIMITS_CHANGED, (organization_id,))
    return find_meter(connection, organization_id, mode, kind, subject_id)


def find_meter(
    connection: sqlite3.Connection, organization_id: str, mode: Mode, kind: SubjectKind, subject_id: str
) -> Meter:
    """The meter of a subject; an empty one for what was never used nor limited."""
    found = list_meters(connection, organization_id, mode)
    empty = Meter(kind=kind, subject_id=subject_id)
    return next((meter for meter in found if (meter.kind, meter.subject_id) == (kind, subject_id)), empty)


def _find_subject(
    connection: sqlite3.Connection, organization_id: str, mode: Mode, kind: SubjectKind, subject: str
) -> str:
    if kind is SubjectKind.KEY:
        row = connection.execute(_FIND_KEY, (subject, organization_id, mode.value)).fetchone()
    elif kind is SubjectKind.PROJECT:
        row = connection.execute(_FIND_PROJECT, (organization_id, subject, subject)).fetchone()
    else:
        row = (subject,) if subject == organization_id else None
    if row is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"This organization has no {kind} {subject[:64]!r} in {mode} mode.")
    return str(row[0])


def list_meters(connection: sqlite3.Connection, organization_id: str, mode: Mode) -> tuple[Meter, ...]:
    """Every meter of an organization in one mode."""
    rows = connection.execute(_LIST, (organization_id, mode.value))
    return tuple(read_meter(SubjectKind(row[0]), row[1], row[2:]) for row in rows)


def meter_faults(connection: sqlite3.Connection) -> Iterator[str]:
    """Meters that are not the sums of their subject's holds and usage events."""
    organizations = dict(connection.execute("SELECT id, organization_id FROM wallet").fetchall())
    stored = {(wallet, kind, subject_id): found for wallet, kind, subject_id, *found in connection.execute(_STORED)}
    expected: dict[tuple[int, str, str], Meter] = {}
    for wallet, key_id, project_id, state, amount, charge, settled_at_us in connection.execute(_CALLS):
        for kind, subject_id in (
            (SubjectKind.KEY, key_id),
            (SubjectKind.PROJECT, project_id),
            (SubjectKind.ORGANIZATION, organizations[wallet]),
        ):
            place = (wallet, kind.value, subject_id)
            meter = expected.get(place)
            if meter is None:
                meter = expected[place] = _at_periods_of(stored.get(place), kind, subject_id)
            if state == "open":
                meter.held_nanos += amount
                meter.open_calls += 1
            elif charge:
                _add_charge(meter, charge, settled_at_us)
    for (wallet, kind, subject_id), found in stored.items():
        meter = expected.pop((wallet, kind, subject_id), None) or _at_periods_of(found, kind, subject_id)
        if found != _counters(meter)[:7]:
            yield f"wallet {wallet}, {kind} {subject_id}: its meter says {found}, its calls {_counters(meter)[:7]}"
    for wallet, missing, subject_id in expected:
        yield f"wallet {wallet}, {missing} {subject_id}: there is no meter of its calls"


def _at_periods_of(found: list[int] | None, kind: str, subject_id: str) -> Meter:
    """A meter that has counted nothing, at the month and day of a stored one."""
    month, day = (found[3], found[5]) if found else (0, 0)
    return Meter(kind=SubjectKind(kind), subject_id=subject_id, month=month, day=day)


def _add_charge(meter: Meter, charge_nanos: int, settled_at_us: int) -> None:
    """Adds a charge of any time to the sums of the meter's own day and month."""
    meter.spent_nanos += charge_nanos
    meter.day_nanos += charge_nanos if day_of(settled_at_us) == meter.day else 0
    meter.month_nanos += charge_nanos if month_of(settled_at_us) == meter.month else 0


def _counters(meter: Meter) -> list[int]:
    return [
        meter.spent_nanos,
        meter.held_nanos,
        meter.open_calls,
        meter.month,
        meter.month_nanos,
        meter.day,
        meter.day_nanos,
        meter.requests_at_us,
        meter.tokens_at_us,
        meter.used_at_us,
    ]
