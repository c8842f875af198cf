"""What a group writes, as one statement over arrays: what SQLite writes row by row.

Always holds: every row is written as it was meant or nothing of the transaction is, because the statement itself counts
and raises `CONFLICT`; there is no moment in which a commit could follow a write that met another row than it expected.
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tessera.adapters.storage.sqlite import books, group, meters, rows, usage_sums

CONFLICT = "TS001"
"""The SQLSTATE that function `conflict` of the schema raises."""

_TYPES = {"i": "bigint", "t": "text", "b": "bytea"}

_RESOLVE_HOLDS = """
UPDATE hold SET state = new.state, charge_nanos = new.charge_nanos
FROM unnest({arrays}) AS new (state, charge_nanos, number, amount_nanos)
WHERE hold.number = new.number AND hold.state = 'open' AND hold.amount_nanos = new.amount_nanos
"""

_WRITE_WALLETS = """
UPDATE wallet SET available_nanos = new.available_nanos, held_nanos = new.held_nanos, revenue_nanos = new.revenue_nanos,
    cash_nanos = new.cash_nanos, promotions_nanos = new.promotions_nanos,
    provider_cost_nanos = new.provider_cost_nanos, provider_payable_nanos = new.provider_payable_nanos,
    operator_loss_nanos = new.operator_loss_nanos, chain_seq = new.chain_seq, chain_link = new.chain_link,
    signature = new.signature
FROM unnest({arrays}) AS new (
    available_nanos, held_nanos, revenue_nanos, cash_nanos, promotions_nanos, provider_cost_nanos,
    provider_payable_nanos, operator_loss_nanos, chain_seq, chain_link, signature, id, seq_before
)
WHERE wallet.id = new.id AND wallet.chain_seq = new.seq_before
"""

_WRITE_LOTS = """
UPDATE lot SET remaining_nanos = new.remaining_nanos, held_nanos = new.held_nanos, spent_nanos = new.spent_nanos,
    expired_nanos = new.expired_nanos
FROM unnest({arrays}) AS new (remaining_nanos, held_nanos, spent_nanos, expired_nanos, id, wallet_id)
WHERE lot.id = new.id AND lot.wallet_id = new.wallet_id
"""

_SEEN = "iit"
_UNCHANGED = """
SELECT count(*) FROM unnest({arrays}) AS seen (wallet_id, chain_seq, organization_version)
JOIN wallet ON wallet.id = seen.wallet_id AND wallet.chain_seq = seen.chain_seq
JOIN organization ON organization.id = wallet.organization_id AND organization.xmin::text = seen.organization_version
"""
"""How many wallets are as they were seen: numbers, ends of chains, versions of their organizations' rows."""

_ADD_SUMS = f"{usage_sums.INSERT_SUMS} SELECT * FROM unnest({{arrays}}) {usage_sums.ON_CONFLICT}"  # noqa: S608


class Part(NamedTuple):
    """One table's share: its row-by-row statement, its form over arrays, the kinds of its columns (i whole numbers, t
    text, b bytes)."""

    sql: str
    bulk: str
    kinds: str


def _insert(sql: str, kinds: str) -> Part:
    """`INSERT … VALUES (?, …) …` over arrays. Raises ValueError if there is not one kind for each value."""
    head, values, tail = sql.partition(f"VALUES ({', '.join('?' * len(kinds))})")
    if not values:
        raise ValueError(f"{len(kinds)} kinds do not fit {sql}")
    return Part(sql, f"{head}SELECT * FROM unnest({{arrays}}){tail}", kinds)  # noqa: S608


PARTS = (
    # Wallets first: who has not locked them before locks them here, before any other row.
    Part(books.WRITE_WALLET, _WRITE_WALLETS, "iiiiiiiiibbii"),
    _insert(rows.INSERT_HOLD, "itittiiittbttitiib"),
    _insert(rows.INSERT_QUOTE, "ib"),
    _insert(rows.INSERT_EVENT, "ititttiiiiiiitiiiiiibbiiiib"),
    Part(group.RESOLVE_HOLD, _RESOLVE_HOLDS, "tiii"),
    Part(books.WRITE_LOT, _WRITE_LOTS, "iiiiti"),
    Part(usage_sums.ADD_SUMS, _ADD_SUMS, "i" * 16),
    _insert(meters.WRITE_METER, "itt" + "i" * 10),
)
BULK = frozenset(part.sql for part in PARTS)
"""The statements that can wait for one another and be written together."""


def _together() -> str:
    """All parts as one statement; the last value is how many rows they must write and find unchanged in all."""
    numbers = itertools.count(1)

    def arrays(kinds: str) -> str:
        return ", ".join(f"${next(numbers)}::{_TYPES[kind]}[]" for kind in kinds)

    steps, counts = [], []
    for step, part in enumerate(PARTS):
        steps.append(f"part{step} AS ({part.bulk.format(arrays=arrays(part.kinds))} RETURNING 1)")
        counts.append(f"(SELECT count(*) FROM part{step})")  # noqa: S608
    counts.append(f"({_UNCHANGED.format(arrays=arrays(_SEEN))})")
    return f"WITH {', '.join(steps)} SELECT conflict(${next(numbers)}::bigint, {' + '.join(counts)})"


TOGETHER = _together()


def columns(
    pending: Mapping[str, Sequence[Sequence[Any]]], seen: Sequence[Sequence[Any]]
) -> tuple[list[tuple[str, Sequence[Any]]], int]:
    """The values of `TOGETHER` but the last, each with its kind, and the last: the number of rows.

    `seen` are wallets that are not locked: a row of `_UNCHANGED` for each.
    """
    found: list[tuple[str, Sequence[Any]]] = []
    count = 0
    for kinds, part_rows in [*((part.kinds, pending.get(part.sql)) for part in PARTS), (_SEEN, seen)]:
        if part_rows:
            count += len(part_rows)
            found.extend(zip(kinds, zip(*part_rows, strict=True), strict=True))
        else:
            found.extend((kind, ()) for kind in kinds)
    return found, count
