"""Reading the ledger: balances, calls, entries, keys. Every function takes a connection and reads one snapshot."""

import sqlite3
from collections.abc import Iterator
from typing import Any

from tessera.adapters.storage.ledger.accounts import read_rules
from tessera.adapters.storage.ledger.rows import EVENT_VALUES, HOLD_VALUES, read_event, read_order
from tessera.domain.auth import Caller
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.resolutions import HoldState
from tessera.domain.ledger.transfers import Account, Transfer, hold_transfers, resolution_transfers
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities
from tessera.ports import Balance, LedgerEntry, Lot, Page, RequestRecord, SavedQuote
from tessera.ports.administration import UsageRow

_NEWEST = "~"
"""Sorts after every id."""

_PAGE_MAX = 1000

_FIND_CALLER = """
SELECT organization_id, project_id, api_key.id, mode, organization.name, revoked_at, rules
FROM api_key JOIN organization ON organization.id = organization_id
WHERE digest = ? AND (revoked_at IS NULL OR revoked_at > ?)
"""

_FIND_BALANCE = """
SELECT id, available_nanos - disputed_nanos, held_nanos, disputed_nanos - coalesce(owed.nanos, 0),
    coalesce(owed.nanos, 0)
FROM wallet LEFT JOIN owed ON owed.wallet_id = wallet.id WHERE organization_id = ? AND mode = ?
"""

_FIND_SPENT = "SELECT coalesce(sum(spent_nanos), 0) FROM lot WHERE wallet_id = ?"

_FIND_LOTS = """
SELECT id, kind, amount_nanos, remaining_nanos, created_at, expires_at FROM lot WHERE wallet_id = ?
ORDER BY created_at, id
"""

_CALL = """
SELECT number, hold.id, wallet_id, project_id, key_id, amount_nanos, asked_nanos, asked_min_nanos, draws,
    idempotency_key, fingerprint, endpoint, model, stream, owner, placed_at_us, quote, hold.state, event.*,
    coalesce((SELECT amount_nanos FROM charge_refund WHERE hold_number = hold.number), 0)
FROM hold JOIN wallet ON wallet.id = hold.wallet_id JOIN hold_quote ON hold_quote.hold_number = hold.number
LEFT JOIN usage_event AS event ON event.hold_number = hold.number
WHERE wallet.organization_id = ? AND wallet.mode = ?
"""
_FIND_CALL = _CALL + " AND hold.id = ?"
_LIST_CALLS = _CALL + " AND hold.id < ? ORDER BY hold.id DESC LIMIT ?"
_LIST_CALLS_FROM = _CALL + " AND hold.id <= ? ORDER BY hold.id DESC LIMIT ?"

_LIST_CREDITS_FROM = """
SELECT movement.id, kind, from_account, to_account, amount_nanos, created_at_us, note, request_id FROM (
    SELECT id, wallet_id, kind, from_account, to_account, amount_nanos, created_at_us, note, NULL AS request_id
    FROM credit
    UNION ALL
    SELECT id, wallet_id, kind, from_account, to_account, amount_nanos, created_at_us, note,
        CASE WHEN kind = 'charge_refund' THEN subject END
    FROM adjustment
) AS movement JOIN wallet ON wallet.id = movement.wallet_id
WHERE wallet.organization_id = ? AND wallet.mode = ? AND movement.id <= ? ORDER BY movement.id DESC LIMIT ?
"""

_HAS_CALL = """
SELECT 1 FROM hold JOIN wallet ON wallet.id = hold.wallet_id
WHERE organization_id = ? AND mode = ? AND hold.id = ?
"""

_NEWEST_HOLD_ID = """
SELECT max(hold.id) FROM hold JOIN wallet ON wallet.id = hold.wallet_id WHERE organization_id = ? AND mode = ?
"""

_FIND_QUOTE = """
SELECT id, organization_id, mode, model, max_nanos, price_version, created_at_us, expires_at_us, body
FROM quote WHERE id = ? AND organization_id = ? AND mode = ?
"""

_USAGE = """
SELECT wallet.mode, model, sum(requests), sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens),
    sum(input_image_tokens), sum(output_tokens), sum(reasoning_tokens), sum(output_image_tokens), sum(charge_nanos),
    sum(cost_nanos)
FROM wallet JOIN usage_sum ON usage_sum.wallet_id = wallet.id AND width_s = 86400
JOIN usage_series ON usage_series.id = series_id
WHERE wallet.organization_id = ? GROUP BY wallet.mode, model ORDER BY wallet.mode, model
"""

CREDIT_PREFIX = "crd_"


def find_caller(connection: sqlite3.Connection, digest: bytes, now: int) -> Caller | None:
    """The caller of a key that has not ended at `now`, in seconds since 1970."""
    row = connection.execute(_FIND_CALLER, (digest, now)).fetchone()
    if row is None:
        return None
    return Caller(
        organization_id=row[0],
        project_id=row[1],
        key_id=row[2],
        mode=Mode(row[3]),
        organization=row[4],
        ends_at=row[5],
        rules=read_rules(row[6]),
    )


def balance(connection: sqlite3.Connection, organization_id: str, mode: Mode) -> Balance:
    """What there is, what is held, what was spent. Raises [not_found]."""
    row = connection.execute(_FIND_BALANCE, (organization_id, mode.value)).fetchone()
    if row is None:
        raise TesseraError(ErrorCode.NOT_FOUND, "There is no such organization.")
    lots = tuple(
        Lot(id=r[0], kind=r[1], amount_nanos=r[2], remaining_nanos=r[3], created_at=r[4], expires_at=r[5])
        for r in connection.execute(_FIND_LOTS, (row[0],))
    )
    spent: int = connection.execute(_FIND_SPENT, (row[0],)).fetchone()[0]
    return Balance(
        mode=mode,
        available_nanos=row[1],
        held_nanos=row[2],
        spent_nanos=spent,
        lots=lots,
        disputed_nanos=row[3],
        owed_nanos=row[4],
    )


def find_request(
    connection: sqlite3.Connection, organization_id: str, mode: Mode, request_id: str, settling: set[str]
) -> RequestRecord | None:
    """One call with its entries."""
    row = connection.execute(_FIND_CALL, (organization_id, mode.value, request_id)).fetchone()
    return None if row is None else _record(row, organization_id, mode, settling)


def list_requests(
    connection: sqlite3.Connection, organization_id: str, mode: Mode, page: Page, settling: set[str]
) -> tuple[RequestRecord, ...]:
    """Calls, newest first. Raises [invalid_request] when `after` is none of them."""
    wallet = (organization_id, mode.value)
    if page.after is not None and connection.execute(_HAS_CALL, (*wallet, page.after)).fetchone() is None:
        raise _unknown_cursor()
    rows = connection.execute(_LIST_CALLS, (*wallet, page.after or _NEWEST, min(page.limit, _PAGE_MAX)))
    return tuple(_record(row, organization_id, mode, settling) for row in rows)


def list_entries(
    connection: sqlite3.Connection, organization_id: str, mode: Mode, page: Page
) -> tuple[LedgerEntry, ...]:
    """Entries, newest source first: a source is a call or a credit, and its entries stand together, last one first.

    Raises [invalid_request] when `after` is none of them.
    """
    limit = min(page.limit, _PAGE_MAX)
    source = (page.after or _NEWEST).partition(".")[0]
    found: list[LedgerEntry] = []
    passed = page.after is None
    for source_id, entry in _entries_from(connection, organization_id, mode, source, limit):
        if len(found) == limit:
            break
        if passed:
            found.append(entry)
        elif source_id != source:
            break
        else:
            passed = entry.id == page.after
    if not passed:
        raise _unknown_cursor()
    return tuple(found)


def _unknown_cursor() -> TesseraError:
    return TesseraError(ErrorCode.INVALID_REQUEST, "after must be an id from this list.", param="after")


def find_quote(connection: sqlite3.Connection, organization_id: str, mode: Mode, quote_id: str) -> SavedQuote | None:
    """A saved quote of this organization and mode, expired ones too for a while."""
    row = connection.execute(_FIND_QUOTE, (quote_id, organization_id, mode.value)).fetchone()
    if row is None:
        return None
    return SavedQuote(
        id=row[0],
        organization_id=row[1],
        mode=Mode(row[2]),
        model=row[3],
        max_nanos=row[4],
        price_version=row[5],
        created_at_us=row[6],
        expires_at_us=row[7],
        body=row[8],
    )


def usage(connection: sqlite3.Connection, organization_id: str) -> tuple[UsageRow, ...]:
    """What was used, by mode and model."""
    return tuple(
        UsageRow(
            mode=Mode(row[0]),
            model=row[1],
            calls=row[2],
            usage=Quantities(
                input_tokens=row[3],
                cached_input_tokens=row[4],
                cache_write_tokens=row[5],
                input_image_tokens=row[6],
                output_tokens=row[7],
                reasoning_tokens=row[8],
                output_image_tokens=row[9],
            ),
            charge_nanos=row[10],
            cost_nanos=row[11],
        )
        for row in connection.execute(_USAGE, (organization_id,))
    )


def _record(row: tuple[Any, ...], organization_id: str, mode: Mode, settling: set[str]) -> RequestRecord:
    order = read_order(row, organization_id, mode)
    amount, state = row[5], row[HOLD_VALUES]
    resolved = row[HOLD_VALUES + 1 :]
    event = None
    moved = [(transfer, order.placed_at_us) for transfer in hold_transfers(order.id, amount)]
    if resolved[0] is not None:
        event = read_event(resolved[:EVENT_VALUES], order.id, organization_id, mode)
        ended = resolution_transfers(order.id, amount, event.charge_nanos, event.cost_nanos, event.loss_nanos)
        moved += [(transfer, event.settled_at_us) for transfer in ended]
    elif order.id in settling:
        state = HoldState.SETTLING.value
    entries = tuple(entry for transfer, at_us in moved for entry in _entries(transfer, at_us, order.id, None))
    return RequestRecord(
        hold=order, held_nanos=amount, state=state, event=event, entries=entries, refunded_nanos=row[-1]
    )


def _entries(transfer: Transfer, at_us: int, request_id: str | None, note: str | None) -> tuple[LedgerEntry, ...]:
    """The two sides of a transfer, giver first."""
    sides = ((transfer.from_account, -transfer.amount_nanos), (transfer.to_account, transfer.amount_nanos))
    return tuple(
        LedgerEntry(
            id=f"{transfer.id}.{account}",
            transfer_id=transfer.id,
            kind=transfer.kind,
            account=account.value,
            amount_nanos=amount,
            request_id=request_id,
            created_at=at_us // 1_000_000,
            note=note,
        )
        for account, amount in sides
    )


def _entries_from(
    connection: sqlite3.Connection, organization_id: str, mode: Mode, source: str, chunk: int
) -> Iterator[tuple[str, LedgerEntry]]:
    """Source id and entry, newest first, from a source on."""
    last = ""
    while True:
        sources = _sources(connection, organization_id, mode, source, chunk + 1)
        for source_id, entries in sources:
            if source_id != last:
                for entry in reversed(entries):
                    yield source_id, entry
        if len(sources) <= chunk:
            return
        source = last = sources[-1][0]


def _sources(
    connection: sqlite3.Connection, organization_id: str, mode: Mode, source: str, limit: int
) -> list[tuple[str, tuple[LedgerEntry, ...]]]:
    """Calls and credits from `source` on, with their entries, newest first by the time in their ids."""
    wallet = (organization_id, mode.value)
    newest = connection.execute(_NEWEST_HOLD_ID, wallet).fetchone()[0] or ""
    hold_prefix = newest.removesuffix(_by_time(newest))
    hold_bound = _NEWEST if source == _NEWEST else hold_prefix + _by_time(source)
    credit_bound = _NEWEST if source == _NEWEST else CREDIT_PREFIX + _by_time(source)
    sources: list[tuple[str, tuple[LedgerEntry, ...]]] = []
    for row in connection.execute(_LIST_CALLS_FROM, (*wallet, hold_bound, limit)):
        record = _record(row, organization_id, mode, set())
        sources.append((record.hold.id, record.entries))
    for id_, kind, from_account, to_account, amount, at_us, note, request_id in connection.execute(
        _LIST_CREDITS_FROM, (*wallet, credit_bound, limit)
    ):
        transfer = Transfer(
            id=id_,
            kind=kind,
            from_account=Account(from_account),
            to_account=Account(to_account),
            amount_nanos=amount,
        )
        sources.append((id_, _entries(transfer, at_us, request_id, note)))
    sources.sort(key=lambda pair: _by_time(pair[0]), reverse=True)
    return sources[:limit]


def _by_time(id_: str) -> str:
    """The part of an id that sorts by time, whatever it names: what stands behind the prefix (domain/ids.py)."""
    return id_.rpartition("_")[2]
