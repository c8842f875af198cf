"""What a group writes, as one statement over arrays of rows: what SQLite writes row by row.

Always holds: every row is written as it was meant or nothing of the transaction is, because the statement itself counts
and raises `CONFLICT`; there is no moment in which a commit could follow a write that met another row than it expected.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any, NamedTuple

from tessera.adapters.storage.ledger import books, group, meters, rows, usage_sums
from tessera.adapters.storage.postgres.row_arrays import COLUMN_TYPES, RowType

CONFLICT = "TS001"
"""The SQLSTATE that function `conflict` of the schema raises."""

_RESOLVE_HOLDS = """
UPDATE hold SET state = new.state, charge_nanos = new.charge_nanos
FROM {rows} AS new (state, charge_nanos, number, amount_nanos)
WHERE hold.number = new.number AND hold.state = 'open' AND hold.amount_nanos = new.amount_nanos
"""

_WRITE_WALLETS = """
UPDATE wallet SET available_nanos = new.available_nanos, held_nanos = new.held_nanos, revenue_nanos = new.revenue_nanos,
    cash_nanos = new.cash_nanos, promotions_nanos = new.promotions_nanos,
    provider_cost_nanos = new.provider_cost_nanos, provider_payable_nanos = new.provider_payable_nanos,
    operator_loss_nanos = new.operator_loss_nanos, chain_seq = new.chain_seq, chain_link = new.chain_link,
    signature = new.signature
FROM {rows} AS new (
    available_nanos, held_nanos, revenue_nanos, cash_nanos, promotions_nanos, provider_cost_nanos,
    provider_payable_nanos, operator_loss_nanos, chain_seq, chain_link, signature, id, seq_before
)
WHERE wallet.id = new.id AND wallet.chain_seq = new.seq_before
"""

_WRITE_LOTS = """
UPDATE lot SET remaining_nanos = new.remaining_nanos, held_nanos = new.held_nanos, spent_nanos = new.spent_nanos,
    expired_nanos = new.expired_nanos
FROM {rows} AS new (remaining_nanos, held_nanos, spent_nanos, expired_nanos, id, wallet_id)
WHERE lot.id = new.id AND lot.wallet_id = new.wallet_id
"""

_UNCHANGED = """
SELECT count(*) FROM {rows} AS seen (wallet_id, chain_seq, organization_version)
JOIN wallet ON wallet.id = seen.wallet_id AND wallet.chain_seq = seen.chain_seq
JOIN organization ON organization.id = wallet.organization_id AND organization.xmin::text = seen.organization_version
"""
"""How many wallets are as they were seen: numbers, ends of chains, versions of their organizations' rows."""

_ADD_SUMS = f"{usage_sums.INSERT_SUMS} SELECT * FROM {{rows}} {usage_sums.ON_CONFLICT}"  # noqa: S608


class Part(NamedTuple):
    """One table's share: its row-by-row statement, its form over an array of rows, the kinds of its columns (see
    `COLUMN_TYPES`)."""

    sql: str
    bulk: str
    kinds: str


def _insert(sql: str, kinds: str) -> Part:
    """`INSERT … VALUES (?, …) …` over rows. Raises ValueError if there is not one kind for each value."""
    head, values, tail = sql.partition(f"VALUES ({', '.join('?' * len(kinds))})")
    if not values:
        raise ValueError(f"{len(kinds)} kinds do not fit {sql}")
    return Part(sql, f"{head}SELECT * FROM {{rows}}{tail}", kinds)  # noqa: S608


PARTS = (
    # Wallets first: who has not locked them before locks them here, before any other row.
    Part(books.WRITE_WALLET, _WRITE_WALLETS, "iiiiiiiiibbii"),
    _insert(rows.INSERT_HOLD, "itittiiittbttitiib"),
    _insert(rows.INSERT_QUOTE, "ib"),
    _insert(rows.INSERT_EVENT, "ititttiiiiiiitiiiiiibbiinib"),
    Part(group.RESOLVE_HOLD, _RESOLVE_HOLDS, "tiii"),
    Part(books.WRITE_LOT, _WRITE_LOTS, "iiiiti"),
    Part(usage_sums.ADD_SUMS, _ADD_SUMS, "i" * 16),
    _insert(meters.WRITE_METER, "itt" + "i" * 10),
)
BULK = frozenset(part.sql for part in PARTS)
"""The statements that can wait for one another and be written together."""

_SEEN = len(PARTS)
"""The place of wallets that are not locked, after those of all parts."""

_KINDS = (*(part.kinds for part in PARTS), "iit")


def _type_name(place: int) -> str:
    return f"pg_temp.tessera_rows_{place}"


def _make_types() -> str:
    """One composite type for each part, of this connection only: a replica of another version has its own. Gives the
    numbers of the types."""
    made, names = [], []
    for place, kinds in enumerate(_KINDS):
        columns = ", ".join(f"column_{number} {COLUMN_TYPES[kind]}" for number, kind in enumerate(kinds))
        made.append(f"CREATE TYPE {_type_name(place)} AS ({columns})")
        names.append(f"'{_type_name(place)}'::regtype::oid::bigint")
    return f"{'; '.join(made)}; SELECT {', '.join(names)}"


MAKE_TYPES = _make_types()


def row_types(numbers: Sequence[int]) -> list[RowType]:
    """What encodes the rows of each part, from the row that `MAKE_TYPES` gives."""
    return [RowType(kinds, number) for kinds, number in zip(_KINDS, numbers, strict=True)]


@lru_cache(maxsize=256)
def _statement(places: tuple[int, ...]) -> bytes:
    """The parts at these places as one statement; the last value is how many rows they must write and find unchanged
    in all. A group has few of the parts, and a part costs even where it has no rows."""
    steps, counts = [], []
    for number, place in enumerate(places, start=1):
        given = f"unnest(${number}::{_type_name(place)}[])"
        if place == _SEEN:
            counts.append(f"({_UNCHANGED.format(rows=given)})")
        else:
            steps.append(f"part{place} AS ({PARTS[place].bulk.format(rows=given)} RETURNING 1)")
            counts.append(f"(SELECT count(*) FROM part{place})")  # noqa: S608
    parts = f"WITH {', '.join(steps)} " if steps else ""
    return f"{parts}SELECT conflict(${len(places) + 1}::bigint, {' + '.join(counts)})".encode()


def together(
    types: Sequence[RowType], pending: Mapping[str, Sequence[Sequence[Any]]], seen: Sequence[Sequence[Any]]
) -> tuple[bytes, list[Any]]:
    """One statement that writes all rows that wait, and its values.

    `seen` are wallets that are not locked: a row of `_UNCHANGED` for each.
    """
    places, values, count = [], [], 0
    for place, part_rows in enumerate((*(pending.get(part.sql) for part in PARTS), seen)):
        if part_rows:
            places.append(place)
            values.append(types[place].array(part_rows))
            count += len(part_rows)
    return _statement(tuple(places)), [*values, count]
