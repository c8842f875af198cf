"""What an organization was charged in a month. Runs on SQLite and, translated, on PostgreSQL."""

import sqlite3

from tessera.adapters.storage.ledger.usage_sums import CHARGED
from tessera.domain.ledger.limits import first_day_of
from tessera.domain.money import Mode

_METER = """
SELECT wallet.id, month, month_nanos FROM wallet
JOIN meter ON meter.wallet_id = wallet.id AND kind = 'organization' AND subject_id = organization_id
WHERE organization_id = ? AND mode = ?
"""


def read_volume(connection: sqlite3.Connection, organization_id: str, mode: Mode, month: int) -> int:
    """See the port. The organization's meter knows the month it was last used in; days are added up for others."""
    row = connection.execute(_METER, (organization_id, mode.value)).fetchone()
    if row is None:
        return 0
    if row[1] == month:
        return int(row[2])
    start, end = first_day_of(month) * 86_400, first_day_of(month + 1) * 86_400
    return int(connection.execute(CHARGED, (row[0], start, end)).fetchone()[0])
