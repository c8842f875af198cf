"""What the ledger could not settle by itself, for an operator to look at. Reads one snapshot."""

import sqlite3

import msgspec

from tessera.domain.ledger.reconciliation import QuarantinedUsage, Reconciliation, RefusedSettlement
from tessera.domain.money import Mode
from tessera.domain.usage import UsageEvent, UsageSource

LISTED_MAX = 1000

_REFUSED = """
SELECT hold_id, reason, event, refused_at_us FROM refused_settlement ORDER BY number DESC LIMIT ?
"""

_STATE = """
SELECT hold.state FROM hold JOIN wallet ON wallet.id = hold.wallet_id
WHERE wallet.organization_id = ? AND wallet.mode = ? AND hold.id = ?
"""

_QUARANTINED = """
SELECT hold.id, wallet.organization_id, wallet.mode, hold.model, event.deployment, event.charge_nanos,
    event.cost_nanos, event.settled_at_us
FROM usage_event AS event JOIN hold ON hold.number = event.hold_number JOIN wallet ON wallet.id = hold.wallet_id
WHERE event.usage_source = ? ORDER BY hold.number DESC LIMIT ?
"""

_decode = msgspec.json.Decoder(UsageEvent).decode


def reconciliation(connection: sqlite3.Connection) -> Reconciliation:
    """Settlements that came too late or did not fit, and calls whose provider's usage could not be true; newest first,
    a thousand of each at most."""
    refused = [
        _refused(connection, hold_id, reason, _decode(event), refused_at_us)
        for hold_id, reason, event, refused_at_us in connection.execute(_REFUSED, (LISTED_MAX,)).fetchall()
    ]
    rows = connection.execute(_QUARANTINED, (UsageSource.QUARANTINED.value, LISTED_MAX)).fetchall()
    quarantined = [
        QuarantinedUsage(
            request_id=row[0],
            organization_id=row[1],
            mode=Mode(row[2]),
            model=row[3],
            deployment=row[4],
            charge_nanos=row[5],
            cost_nanos=row[6],
            settled_at=row[7] // 1_000_000,
        )
        for row in rows
    ]
    return Reconciliation(refused_settlements=tuple(refused), quarantined_usage=tuple(quarantined))


def _refused(
    connection: sqlite3.Connection, hold_id: str, reason: str, event: UsageEvent, refused_at_us: int
) -> RefusedSettlement:
    state = connection.execute(_STATE, (event.organization_id, event.mode.value, hold_id)).fetchone()
    return RefusedSettlement(
        request_id=hold_id,
        organization_id=event.organization_id,
        mode=event.mode,
        reason=reason,
        state=state[0] if state else "unknown",
        outcome=event.outcome,
        deployment=event.deployment,
        charge_nanos=event.charge_nanos,
        cost_nanos=event.cost_nanos + event.loss_nanos,
        refused_at=refused_at_us // 1_000_000,
    )
