"""Automatic top-up: which balances are low, and the one top-up at a time that is started for each."""

from datetime import UTC, datetime
from typing import Any

from tessera.adapters.storage.money.adjustments import Desk
from tessera.adapters.storage.money.topups import find_topup, insert_topup
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.payments.records import AutomaticTopUp, Service, TopUp, TopUpKind, TopUpOrder

_AUTOMATIC = """
SELECT organization_id, mode, customer_id, enabled, threshold_nanos, amount_nanos, month_max_nanos, failure
FROM automatic_topup
"""
_FIND = _AUTOMATIC + " WHERE organization_id = ? AND mode = ?"
_WRITE = """
INSERT INTO automatic_topup (
    organization_id, mode, enabled, threshold_nanos, amount_nanos, month_max_nanos, failure, changed_at
) VALUES (?, ?, 0, ?, ?, ?, NULL, ?)
ON CONFLICT (organization_id, mode) DO UPDATE SET threshold_nanos = excluded.threshold_nanos,
    amount_nanos = excluded.amount_nanos, month_max_nanos = excluded.month_max_nanos, failure = NULL,
    changed_at = excluded.changed_at
"""
_ENABLE = "UPDATE automatic_topup SET enabled = ? WHERE organization_id = ? AND mode = ?"
_FAIL = "UPDATE automatic_topup SET enabled = 0, failure = ?, changed_at = ? WHERE organization_id = ? AND mode = ?"
_DUE = """
SELECT automatic.organization_id, automatic.mode, automatic.customer_id, automatic.amount_nanos
FROM automatic_topup AS automatic
JOIN wallet ON wallet.organization_id = automatic.organization_id AND wallet.mode = automatic.mode
JOIN organization ON organization.id = automatic.organization_id
WHERE enabled = 1 AND automatic.customer_id IS NOT NULL AND organization.suspended = 0
    AND available_nanos + held_nanos - disputed_nanos < threshold_nanos
    AND NOT EXISTS (
        SELECT 1 FROM topup WHERE topup.organization_id = automatic.organization_id AND topup.mode = automatic.mode
            AND kind = 'automatic' AND state IN ('created', 'open')
    )
    AND automatic.amount_nanos + (
        SELECT coalesce(sum(topup.amount_nanos), 0) FROM topup
        WHERE topup.organization_id = automatic.organization_id AND topup.mode = automatic.mode
            AND kind = 'automatic' AND state = 'paid' AND created_at >= ?
    ) <= month_max_nanos
"""
"""For whom a top-up can begin: switched on, below the threshold, none under way, within the ceiling of the month that
began at the given time."""
_LIST_DUE = f"{_DUE} ORDER BY automatic.organization_id LIMIT 1000"
_IS_DUE = f"{_DUE} AND automatic.organization_id = ? AND automatic.mode = ?"
_LIST_OPEN = """
SELECT id FROM topup WHERE kind = 'automatic' AND state IN ('created', 'open') ORDER BY id LIMIT 1000
"""


def find_automatic(connection: Any, organization_id: str, mode: Mode) -> AutomaticTopUp | None:
    """How an organization's automatic top-up is set, if it ever was."""
    row = connection.execute(_FIND, (organization_id, mode.value)).fetchone()
    return None if row is None else _automatic_of(row)


def set_automatic(desk: Desk, wanted: AutomaticTopUp) -> AutomaticTopUp:
    """Sets threshold, amount and ceiling. Raises [invalid_request] when it is switched on without a saved card."""
    whose = (wanted.organization_id, wanted.mode.value)
    mine = (wanted.organization_id, wanted.mode)
    desk.book(wanted.organization_id, wanted.mode)
    amounts = (wanted.threshold_nanos, wanted.amount_nanos, wanted.month_max_nanos)
    desk.connection.execute(_WRITE, (*whose, *amounts, desk.now))
    found = find_automatic(desk.connection, *mine)
    assert found is not None
    if wanted.enabled and found.customer_id is None:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            "There is no saved card yet: pay a top-up with save_card first, then switch this on.",
            param="enabled",
        )
    desk.connection.execute(_ENABLE, (int(wanted.enabled), *whose))
    found = find_automatic(desk.connection, *mine)
    assert found is not None
    return found


def fail_automatic(desk: Desk, topup: TopUp, reason: str) -> None:
    """Switches automatic top-up off after a payment that failed, until somebody sets it again."""
    desk.connection.execute(_FAIL, (reason, desk.now, topup.organization_id, topup.mode.value))


def list_due(connection: Any, now: int) -> tuple[tuple[str, Mode], ...]:
    """Some of those whose balance, with what running calls hold, is below the threshold, and for whom one can begin."""
    return tuple((row[0], Mode(row[1])) for row in connection.execute(_LIST_DUE, (month_start(now),)))


def list_started(connection: Any) -> tuple[TopUp, ...]:
    """Automatic top-ups whose payment was begun and whose outcome is not known."""
    found = (find_topup(connection, row[0]) for row in connection.execute(_LIST_OPEN).fetchall())
    return tuple(topup for topup in found if topup is not None)


def start_automatic(desk: Desk, organization_id: str, mode: Mode, taxed: bool) -> tuple[TopUp, str] | None:
    """Begins one automatic top-up, decided under the wallet's lock: due, none under way, within the month's ceiling.

    Gives it with the customer whose card pays, or None when there is nothing to do.
    """
    # What was due when it was listed need not be any more: it is asked again under the lock.
    desk.book(organization_id, mode)
    due = desk.connection.execute(_IS_DUE, (month_start(desk.now), organization_id, mode.value)).fetchone()
    if due is None:
        return None
    _, _, customer_id, amount_nanos = due
    topup_id = desk.make_id("topup")
    order = TopUpOrder(
        id=topup_id,
        organization_id=organization_id,
        mode=mode,
        service=Service.STRIPE,
        kind=TopUpKind.AUTOMATIC,
        amount_nanos=amount_nanos,
        idempotency_key=topup_id,
        fingerprint="",
        taxed=taxed,
    )
    insert_topup(desk, order)
    started = find_topup(desk.connection, order.id)
    assert started is not None
    return started, customer_id


def month_start(now: int) -> int:
    """When the UTC month of a time began, both in seconds since 1970."""
    at = datetime.fromtimestamp(now, UTC)
    return int(datetime(at.year, at.month, 1, tzinfo=UTC).timestamp())


def _automatic_of(row: tuple[Any, ...]) -> AutomaticTopUp:
    return AutomaticTopUp(
        organization_id=row[0],
        mode=Mode(row[1]),
        customer_id=row[2],
        enabled=bool(row[3]),
        threshold_nanos=row[4],
        amount_nanos=row[5],
        month_max_nanos=row[6],
        failure=row[7],
    )
