"""Statements out of the ledger: every figure is a sum of its movements, read on one snapshot."""

from typing import Any

from tessera.adapters.storage.ledger.usage_sums import CHARGED
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.payments.statements import ModelUsage, Statement, StatementLine

LINES_MAX = 10_000

_WALLET = """
SELECT wallet.id, organization.id, organization.name FROM wallet
JOIN organization ON organization.id = wallet.organization_id WHERE organization.id = ? AND mode = ?
"""
# What changes what the customer has (available and held together): what comes into one of the two from outside, or
# leaves. Holds and releases move between them. Settles are summed apart.
_MOVED = """
SELECT coalesce(sum(CASE WHEN to_account = 'available' THEN amount_nanos ELSE 0 END), 0)
    - coalesce(sum(CASE WHEN from_account = 'available' THEN amount_nanos ELSE 0 END), 0)
FROM (
    SELECT from_account, to_account, amount_nanos, created_at_us, wallet_id FROM credit
    UNION ALL SELECT from_account, to_account, amount_nanos, created_at_us, wallet_id FROM adjustment
) AS movement
WHERE wallet_id = ? AND created_at_us < ?
"""
_LINES = """
SELECT created_at_us, kind, id, note, from_account, to_account, amount_nanos, 1 AS place FROM credit
WHERE wallet_id = ? AND created_at_us >= ? AND created_at_us < ?
UNION ALL
SELECT created_at_us, kind, CASE WHEN kind = 'charge_refund' THEN subject ELSE id END, note, from_account, to_account,
    amount_nanos, 2
FROM adjustment WHERE wallet_id = ? AND created_at_us >= ? AND created_at_us < ?
    AND (from_account IN ('available', 'tax') OR to_account IN ('available', 'tax'))
ORDER BY 1, 8, 3 LIMIT ?
"""
_USAGE = """
SELECT model, sum(requests), sum(input_tokens), sum(output_tokens), sum(charge_nanos)
FROM usage_sum JOIN usage_series ON usage_series.id = series_id
WHERE usage_sum.wallet_id = ? AND width_s = 86400 AND start_at >= ? AND start_at < ?
GROUP BY model ORDER BY model
"""


def read_statement(connection: Any, organization_id: str, mode: Mode, month: str, start: int, end: int) -> Statement:
    """A month's statement; `start` and `end` are its bounds in seconds since 1970. Raises [not_found]."""
    wallet = connection.execute(_WALLET, (organization_id, mode.value)).fetchone()
    if wallet is None:
        raise TesseraError(ErrorCode.NOT_FOUND, "There is no such organization.")
    span = (wallet[0], start * 1_000_000, end * 1_000_000)
    lines = tuple(
        StatementLine(
            at=row[0] // 1_000_000,
            kind=row[1],
            reference=row[2],
            note=row[3],
            amount_nanos=_signed(row, "available"),
            tax_nanos=_signed(row, "tax"),
        )
        for row in connection.execute(_LINES, (*span, *span, LINES_MAX + 1)).fetchall()
    )
    if len(lines) > LINES_MAX:
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"A statement has at most {LINES_MAX} lines; use /v1/ledger.")
    usage = tuple(
        ModelUsage(
            model=row[0],
            calls=int(row[1]),
            input_tokens=int(row[2]),
            output_tokens=int(row[3]),
            charge_nanos=int(row[4]),
        )
        for row in connection.execute(_USAGE, (wallet[0], start, end)).fetchall()
    )
    return Statement(
        organization_id=wallet[1],
        organization=wallet[2],
        mode=mode,
        month=month,
        start=start,
        end=end,
        opening_nanos=_balance_at(connection, wallet[0], start),
        closing_nanos=_balance_at(connection, wallet[0], end),
        lines=lines,
        usage=usage,
    )


def _signed(row: tuple[Any, ...], account: str) -> int:
    """What a movement changed of an account."""
    source, target, amount = row[4:7]
    sign = int(target == account) - int(source == account)
    return sign * int(amount)


def _balance_at(connection: Any, wallet_id: int, at: int) -> int:
    moved = int(connection.execute(_MOVED, (wallet_id, at * 1_000_000)).fetchone()[0])
    # Months begin with days, whose sums are those of their calls (`tessera verify`): no statement reads single calls.
    return moved - int(connection.execute(CHARGED, (wallet_id, 0, at)).fetchone()[0])
