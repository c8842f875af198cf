"""Audits that no movement was edited, removed or cut off: links, signatures, and the witness outside the database."""

import heapq
import sqlite3
from collections.abc import Iterator
from typing import Any

from tessera.adapters.storage.ledger.accounts import sign_key
from tessera.adapters.storage.ledger.books import sign_wallet
from tessera.adapters.storage.ledger.witness import Head, cut_off
from tessera.domain.ledger.chain import CHAIN_START, next_link

_WALLETS = """
SELECT id, organization_id, mode, available_nanos, held_nanos, revenue_nanos, cash_nanos, promotions_nanos,
    provider_cost_nanos, provider_payable_nanos, operator_loss_nanos, chain_seq, chain_link, signature,
    disputed_nanos, fees_nanos, tax_nanos
FROM wallet ORDER BY id
"""

_HOLDS = """
SELECT chain_seq, chain_link, number, id, wallet_id, project_id, key_id, amount_nanos, asked_nanos, asked_min_nanos,
    draws, idempotency_key, fingerprint, endpoint, model, stream, owner, placed_at_us, quote
FROM hold LEFT JOIN hold_quote ON hold_number = number WHERE wallet_id = ? ORDER BY chain_seq
"""

_EVENTS = """
SELECT event.chain_seq, event.chain_link, hold_number, outcome, status, deployment, served_tier, price_version,
    input_tokens, cached_input_tokens, cache_write_tokens, input_image_tokens, output_tokens, reasoning_tokens,
    output_image_tokens, usage_source, predicted_input_tokens, predicted_image_tokens, event.charge_nanos,
    waived_nanos, cost_nanos, loss_nanos, charge, attempts, settled_at_us, latency_ms, first_byte_ms
FROM usage_event AS event JOIN hold ON hold.number = hold_number WHERE hold.wallet_id = ? ORDER BY event.chain_seq
"""

_CREDITS = """
SELECT chain_seq, chain_link, id, wallet_id, lot_id, kind, from_account, to_account, amount_nanos, expires_at, note,
    created_at_us
FROM credit WHERE wallet_id = ? ORDER BY chain_seq
"""

_ADJUSTMENTS = """
SELECT chain_seq, chain_link, id, wallet_id, lot_id, kind, from_account, to_account, amount_nanos, subject, note,
    created_at_us
FROM adjustment WHERE wallet_id = ? ORDER BY chain_seq
"""

_KEYS = """
SELECT id, organization_id, project_id, mode, name, digest, display, created_at, revoked_at, rules, signature
FROM api_key
"""

_MOVEMENTS = (("hold", _HOLDS), ("event", _EVENTS), ("credit", _CREDITS), ("adjustment", _ADJUSTMENTS))


def chain_faults(connection: sqlite3.Connection) -> Iterator[str]:
    """Movements whose link does not follow from the one before, gaps between them, and heads that are not the end."""
    for wallet in connection.execute(_WALLETS).fetchall():
        seq, link = 0, CHAIN_START
        for kind, row in _movements(connection, wallet[0]):
            if row[0] != seq + 1:
                yield f"wallet {wallet[0]}: movement {seq + 1} is missing, the next is {row[0]}"
            elif row[1] != next_link(link, (kind, row[0], *row[2:])):
                yield f"wallet {wallet[0]}: movement {row[0]}, a {kind} ({row[2]}), was changed"
            seq, link = row[0], row[1]
        if (seq, link) != (wallet[11], wallet[12]):
            yield f"wallet {wallet[0]}: its chain ends at movement {seq}, the checkpoint at {wallet[11]}"


def checkpoint_faults(connection: sqlite3.Connection, witnessed: tuple[Head, ...] | str, key: bytes) -> Iterator[str]:
    """Wallets whose balances or chain's end are not as signed, or fall short of what was witnessed."""
    for row in connection.execute(_WALLETS).fetchall():
        if row[13] != sign_wallet(key, row[0], row[1], row[2], row[3:11], row[11], row[12], row[14:17]):
            yield f"wallet {row[0]}: the checkpoint at movement {row[11]} is not signed by this ledger"
    if isinstance(witnessed, str):
        yield witnessed
    else:
        yield from cut_off(connection, witnessed)


def key_faults(connection: sqlite3.Connection, key: bytes) -> Iterator[str]:
    """API keys that were changed past the ledger: a key decides whose money is spent."""
    for row in connection.execute(_KEYS):
        if row[10] != sign_key(key, row[:10]):
            yield f"API key {row[0]} was changed"


def _movements(connection: sqlite3.Connection, wallet_id: int) -> Iterator[tuple[str, tuple[Any, ...]]]:
    """All movements of a wallet in the order of its chain."""
    streams = [_stream(connection, kind, sql, wallet_id) for kind, sql in _MOVEMENTS]
    return heapq.merge(*streams, key=lambda movement: movement[1][0])


def _stream(
    connection: sqlite3.Connection, kind: str, sql: str, wallet_id: int
) -> Iterator[tuple[str, tuple[Any, ...]]]:
    for row in connection.execute(sql, (wallet_id,)):
        yield kind, row
