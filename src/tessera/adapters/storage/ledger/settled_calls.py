"""Calls settled in a period, of all organizations, page by page. Runs on SQLite and, translated, on PostgreSQL."""

import sqlite3

from tessera.adapters.storage.ledger.margins import NUMBERS
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities
from tessera.domain.repricing import SettledCall

_DAY_S = 86_400

_SETTLED = """
SELECT number, organization_id, model, deployment, served_tier, input_tokens, cached_input_tokens, cache_write_tokens,
    input_image_tokens, output_tokens, reasoning_tokens, output_image_tokens, event.charge_nanos, waived_nanos,
    cost_nanos, loss_nanos, placed_at_us, settled_at_us
FROM usage_event AS event JOIN hold ON hold.number = event.hold_number JOIN wallet ON wallet.id = hold.wallet_id
WHERE event.hold_number > ? AND event.hold_number <= ? AND mode = ? AND settled_at_us >= ? AND settled_at_us < ?
ORDER BY event.hold_number LIMIT ?
"""


def find_numbers(connection: sqlite3.Connection, mode: Mode, start_at: int, end_at: int) -> tuple[int, int] | None:
    """See the port."""
    values = (mode.value, start_at - start_at % _DAY_S, end_at)
    first, last = connection.execute(NUMBERS, values).fetchone()
    return None if first is None else (first, last)


def list_settled(
    connection: sqlite3.Connection, mode: Mode, start_at: int, end_at: int, after: int, last: int, limit: int
) -> tuple[SettledCall, ...]:
    """See the port."""
    values = (after, last, mode.value, start_at * 1_000_000, end_at * 1_000_000, limit)
    return tuple(
        SettledCall(
            number=row[0],
            organization_id=row[1],
            mode=mode,
            model=row[2],
            deployment=row[3],
            tier=row[4],
            usage=Quantities(
                input_tokens=row[5],
                cached_input_tokens=row[6],
                cache_write_tokens=row[7],
                input_image_tokens=row[8],
                output_tokens=row[9],
                reasoning_tokens=row[10],
                output_image_tokens=row[11],
            ),
            charge_nanos=row[12],
            waived_nanos=row[13],
            cost_nanos=row[14],
            loss_nanos=row[15],
            placed_at_us=row[16],
            settled_at_us=row[17],
        )
        for row in connection.execute(_SETTLED, values)
    )
