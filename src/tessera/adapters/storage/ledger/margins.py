"""What was charged and what it cost, over all organizations. Runs on SQLite and, translated, on PostgreSQL."""

import sqlite3
from typing import Any

from tessera.domain.margins import MarginSums, SettledSums
from tessera.domain.money import Mode

_DAY_S = 86_400

# The sums of whole days say between which numbers a period's calls are, so that no other call is read.
NUMBERS = """
SELECT min(first_number), max(last_number) FROM usage_sum JOIN wallet ON wallet.id = usage_sum.wallet_id
WHERE wallet.mode = ? AND width_s = 86400 AND start_at >= ? AND start_at < ?
"""

_SUMS = """
SELECT settled_at_us / 86400000000 AS day, organization_id, model, deployment, count(*), sum(event.charge_nanos),
    sum(waived_nanos), sum(cost_nanos), sum(loss_nanos)
FROM usage_event AS event JOIN hold ON hold.number = event.hold_number JOIN wallet ON wallet.id = hold.wallet_id
WHERE event.hold_number >= ? AND event.hold_number <= ? AND wallet.mode = ?
    AND settled_at_us >= ? AND settled_at_us < ?
GROUP BY settled_at_us / 86400000000, organization_id, model, deployment
ORDER BY day, organization_id, model, deployment
"""

_FEES = """
SELECT created_at_us / 86400000000 AS day, organization_id, '' AS model, '' AS deployment,
    sum(CASE WHEN kind = 'fee' THEN amount_nanos ELSE -amount_nanos END)
FROM adjustment JOIN wallet ON wallet.id = adjustment.wallet_id
WHERE kind IN ('fee', 'fee_returned') AND created_at_us >= ? AND created_at_us < ? AND wallet.mode = ?
GROUP BY created_at_us / 86400000000, organization_id ORDER BY day, organization_id
"""

# Of calls of any time: in the day they were given back.
_REFUNDS = """
SELECT refunded_at / 86400 AS day, organization_id, model, deployment, sum(refund.amount_nanos)
FROM charge_refund AS refund JOIN usage_event AS event ON event.hold_number = refund.hold_number
JOIN hold ON hold.number = refund.hold_number JOIN wallet ON wallet.id = hold.wallet_id
WHERE refunded_at >= ? AND refunded_at < ? AND wallet.mode = ?
GROUP BY refunded_at / 86400, organization_id, model, deployment
ORDER BY day, organization_id, model, deployment
"""

_NOTHING = {"requests": 0, "charge_nanos": 0, "waived_nanos": 0, "cost_nanos": 0, "loss_nanos": 0}


def sum_settled(connection: sqlite3.Connection, mode: Mode, start_at: int, end_at: int) -> tuple[SettledSums, ...]:
    """See the port."""
    return (
        *_of_calls(connection, mode, start_at, end_at),
        *_of_refunds(connection, mode, start_at, end_at),
        *_of_payments(connection, mode, start_at, end_at),
    )


def _of_refunds(connection: sqlite3.Connection, mode: Mode, start_at: int, end_at: int) -> tuple[SettledSums, ...]:
    rows = connection.execute(_REFUNDS, (start_at, end_at, mode.value)).fetchall()
    return tuple(_of_group(row, MarginSums(**_NOTHING, refund_nanos=int(row[4]))) for row in rows)


def _of_payments(connection: sqlite3.Connection, mode: Mode, start_at: int, end_at: int) -> tuple[SettledSums, ...]:
    rows = connection.execute(_FEES, (start_at * 1_000_000, end_at * 1_000_000, mode.value)).fetchall()
    return tuple(_of_group(row, MarginSums(**_NOTHING, fee_nanos=int(row[4]))) for row in rows)


def _of_calls(connection: sqlite3.Connection, mode: Mode, start_at: int, end_at: int) -> tuple[SettledSums, ...]:
    first, last = connection.execute(NUMBERS, (mode.value, start_at - start_at % _DAY_S, end_at)).fetchone()
    if first is None:
        return ()
    values = (first, last, mode.value, start_at * 1_000_000, end_at * 1_000_000)
    return tuple(
        _of_group(
            row,
            MarginSums(requests=row[4], charge_nanos=row[5], waived_nanos=row[6], cost_nanos=row[7], loss_nanos=row[8]),
        )
        for row in connection.execute(_SUMS, values).fetchall()
    )


def _of_group(row: tuple[Any, ...], sums: MarginSums) -> SettledSums:
    """Sums of the day, organization, model and deployment that a row begins with."""
    return SettledSums(day=row[0], organization_id=row[1], model=row[2], deployment=row[3], sums=sums)
