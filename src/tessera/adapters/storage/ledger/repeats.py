"""What an idempotency key was used for before."""

import sqlite3

from tessera.domain.ledger.idempotency import EarlierCall, KeyOrder, decide_repeat
from tessera.domain.ledger.orders import HoldGrant, HoldOrder, StoredReply
from tessera.domain.ledger.resolutions import HoldState

_FIND_WALLET = "SELECT id FROM wallet WHERE organization_id = ? AND mode = ?"

_FIND_KEY = """
SELECT hold.id, hold.state, hold.amount_nanos, hold.charge_nanos, idempotency.fingerprint, idempotency.placed_at_us,
    status, content_type, body
FROM idempotency JOIN hold ON hold.number = idempotency.hold_number
WHERE idempotency.wallet_id = ? AND key = ?
"""


def find_repeat(connection: sqlite3.Connection, order: KeyOrder) -> HoldGrant | None:
    """The finished reply of the call that used the key, None for a free key. Raises as `decide_repeat`."""
    wallet = connection.execute(_FIND_WALLET, (order.organization_id, order.mode.value)).fetchone()
    earlier = None if wallet is None else find_earlier(connection, wallet[0], order.idempotency_key)
    return None if earlier is None else repeated(earlier, order)


def find_earlier(connection: sqlite3.Connection, wallet_id: int, key: str) -> EarlierCall | None:
    """The call that used a key of this wallet, as long as the key is remembered."""
    row = connection.execute(_FIND_KEY, (wallet_id, key)).fetchone()
    if row is None:
        return None
    reply = None
    if row[6] is not None:
        reply = StoredReply(request_id=row[0], status=row[6], content_type=row[7], body=row[8], charge_nanos=row[3])
    return EarlierCall(
        hold_id=row[0],
        state=HoldState(row[1]),
        amount_nanos=row[2],
        charge_nanos=row[3],
        fingerprint=row[4],
        placed_at_us=row[5],
        reply=reply,
    )


def repeated(earlier: EarlierCall, order: HoldOrder | KeyOrder) -> HoldGrant | None:
    """The earlier call's reply and what had been held for it. Raises as `decide_repeat`."""
    reply = decide_repeat(earlier, order)
    return None if reply is None else HoldGrant(granted_nanos=earlier.amount_nanos, replay=reply)
