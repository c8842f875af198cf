"""Top-ups that deleted organizations left behind: pages that can still be paid, payments and refunds that came late."""

from typing import Any

from tessera.adapters.storage.money.topups import TOPUP, topup_of
from tessera.domain.money import Mode
from tessera.domain.payments.records import NANOS_PER_CENT, Service, TopUp

_LEFT_OPEN = f"""
{TOPUP} WHERE state = 'open' AND session_id IS NOT NULL AND service = ? AND mode = ?
    AND organization_id IN (SELECT id FROM organization WHERE closed_at IS NOT NULL)
ORDER BY id LIMIT 100
"""  # noqa: S608
_SOMETHING_LEFT = f"""
{TOPUP} JOIN organization ON organization.id = organization_id AND closed_at >= ?
    JOIN lot ON lot.id = lot_id AND remaining_nanos >= ?
WHERE state = 'paid' AND service = ? AND mode = ?
"""
_PAID_LATE = _SOMETHING_LEFT + " AND closed_at <= paid_at"
# Nothing of live money was left when it was deleted.
_CAME_BACK = _SOMETHING_LEFT + " AND closed_at > paid_at AND mode = 'live'"
_UNTOUCHED = """
    AND NOT EXISTS (
        SELECT 1 FROM payment_claim AS claim WHERE claim.service = topup.service AND claim.payment_id = topup.payment_id
    )
"""
_SOME = " ORDER BY topup.id LIMIT 100"


def list_left_open(connection: Any, service: Service, mode: Mode) -> tuple[TopUp, ...]:
    """Top-ups of deleted organizations whose page can still be paid."""
    return tuple(topup_of(row) for row in connection.execute(_LEFT_OPEN, (service.value, mode.value)))


def list_paid_late(connection: Any, service: Service, mode: Mode, since: int, *, untouched: bool) -> tuple[TopUp, ...]:
    """Top-ups of organizations deleted from a time on that were paid after that, and of which something is left;
    `untouched` leaves out those that were ever refunded or disputed."""
    sql = _PAID_LATE + (_UNTOUCHED if untouched else "") + _SOME
    rows = connection.execute(sql, (since, NANOS_PER_CENT, service.value, mode.value))
    return tuple(topup_of(row) for row in rows)


def list_came_back(connection: Any, service: Service, mode: Mode, since: int) -> tuple[TopUp, ...]:
    """Top-ups of organizations deleted from a time on that were paid before that, and of which something is left again:
    of live money."""
    rows = connection.execute(_CAME_BACK + _SOME, (since, NANOS_PER_CENT, service.value, mode.value))
    return tuple(topup_of(row) for row in rows)
