"""The statements of the hot path, each over arrays: what SQLite runs row by row is one statement here.

Always holds: a bulk statement does to its rows what its row-by-row form does, and counts them the same way.
"""

from tessera.adapters.storage.sqlite import books, group, rows

_TYPES = {"i": "bigint", "t": "text", "b": "bytea"}


def _arrays(kinds: str) -> str:
    return ", ".join(f"${number}::{_TYPES[kind]}[]" for number, kind in enumerate(kinds, 1))


def _insert(sql: str, kinds: str) -> tuple[str, str]:
    """`INSERT … VALUES (?, …) …` over arrays. Raises ValueError if there is not one kind for each value."""
    head, values, tail = sql.partition(f"VALUES ({', '.join('?' * len(kinds))})")
    if not values:
        raise ValueError(f"{len(kinds)} kinds do not fit {sql}")
    return f"{head}SELECT * FROM unnest({_arrays(kinds)}){tail}", kinds  # noqa: S608


_RESOLVE_HOLDS = f"""
UPDATE hold SET state = new.state, charge_nanos = new.charge_nanos
FROM unnest({_arrays("tiii")}) AS new (state, charge_nanos, number, amount_nanos)
WHERE hold.number = new.number AND hold.state = 'open' AND hold.amount_nanos = new.amount_nanos
"""  # noqa: S608

_WRITE_WALLETS = f"""
UPDATE wallet SET available_nanos = new.available_nanos, held_nanos = new.held_nanos, revenue_nanos = new.revenue_nanos,
    cash_nanos = new.cash_nanos, promotions_nanos = new.promotions_nanos,
    provider_cost_nanos = new.provider_cost_nanos, provider_payable_nanos = new.provider_payable_nanos,
    operator_loss_nanos = new.operator_loss_nanos, chain_seq = new.chain_seq, chain_link = new.chain_link,
    signature = new.signature
FROM unnest({_arrays("iiiiiiiiibbii")}) AS new (
    available_nanos, held_nanos, revenue_nanos, cash_nanos, promotions_nanos, provider_cost_nanos,
    provider_payable_nanos, operator_loss_nanos, chain_seq, chain_link, signature, id, seq_before
)
WHERE wallet.id = new.id AND wallet.chain_seq = new.seq_before
"""  # noqa: S608

_WRITE_LOTS = f"""
UPDATE lot SET remaining_nanos = new.remaining_nanos, held_nanos = new.held_nanos, spent_nanos = new.spent_nanos,
    expired_nanos = new.expired_nanos
FROM unnest({_arrays("iiiiti")}) AS new (remaining_nanos, held_nanos, spent_nanos, expired_nanos, id, wallet_id)
WHERE lot.id = new.id AND lot.wallet_id = new.wallet_id
"""  # noqa: S608

BULK: dict[str, tuple[str, str]] = {
    rows.INSERT_HOLD: _insert(rows.INSERT_HOLD, "itittiiittbttitiib"),
    rows.INSERT_QUOTE: _insert(rows.INSERT_QUOTE, "ib"),
    rows.INSERT_EVENT: _insert(rows.INSERT_EVENT, "ititttiiiiiiitiiiiiibbiiiib"),
    group._RESOLVE_HOLD: (_RESOLVE_HOLDS, "tiii"),
    books._WRITE_WALLET: (_WRITE_WALLETS, "iiiiiiiiibbii"),
    books._WRITE_LOT: (_WRITE_LOTS, "iiiiti"),
}
"""By the row-by-row statement: the bulk statement and the kinds of its columns (i whole numbers, t text, b bytes)."""
