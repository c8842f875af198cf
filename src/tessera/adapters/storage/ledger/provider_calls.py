"""The live calls that a provider served, as its own books should have them. Runs on SQLite and on PostgreSQL.

A call that it refused or failed counts nothing there, unless it may bill what it had done of it.
"""

import sqlite3

from tessera.domain.money import Mode
from tessera.domain.provider_comparison import OwnCall
from tessera.domain.usage_report import Width

_NUMBERS = """
SELECT min(first_number), max(last_number) FROM usage_sum JOIN wallet ON wallet.id = usage_sum.wallet_id
WHERE wallet.mode = ? AND width_s = 86400 AND start_at >= ? AND start_at < ?
"""

# "0" is the byte after "/": names that start with the provider and a slash.
_CALLS = """
SELECT hold.id, settled_at_us, deployment, input_tokens, cached_input_tokens, output_tokens, event.charge_nanos,
    cost_nanos + loss_nanos
FROM usage_event AS event JOIN hold ON hold.number = event.hold_number JOIN wallet ON wallet.id = hold.wallet_id
WHERE event.hold_number >= ? AND event.hold_number <= ? AND wallet.mode = ?
    AND settled_at_us >= ? AND settled_at_us < ? AND deployment >= ? AND deployment < ?
    AND (input_tokens + output_tokens > 0 OR loss_nanos > 0)
ORDER BY event.hold_number
"""


def list_served(connection: sqlite3.Connection, provider: str, start_at: int, end_at: int) -> tuple[OwnCall, ...]:
    """See the port."""
    day = start_at - start_at % Width.DAY.seconds
    first, last = connection.execute(_NUMBERS, (Mode.LIVE.value, day, end_at)).fetchone()
    if first is None:
        return ()
    prefix = f"{provider}/"
    values = (first, last, Mode.LIVE.value, start_at * 1_000_000, end_at * 1_000_000, prefix, f"{provider}0")
    return tuple(
        OwnCall(
            request_id=row[0],
            at=row[1] // 1_000_000,
            model=row[2].removeprefix(prefix),
            input_tokens=row[3],
            cached_input_tokens=row[4],
            output_tokens=row[5],
            charge_nanos=row[6],
            cost_nanos=row[7],
        )
        for row in connection.execute(_CALLS, values).fetchall()
    )
