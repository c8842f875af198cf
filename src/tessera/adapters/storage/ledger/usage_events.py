"""Following a wallet: what moved after a place in its chain, found without an index of the chain.

The chain has no gaps, so the search knows how many movements there are to find and stops as soon as it has them: first
among calls that were open before, then among those that are open now, then among the newest.
"""

import sqlite3
from collections.abc import Iterable, Iterator
from typing import Any

import msgspec

from tessera.adapters.storage.ledger.rows import read_event
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.usage_report import AlertRaised, CallMoved, Movements

NEWEST_CALLS_MAX = 5_000
"""How many of a wallet's newest calls are looked through for what moved."""

_AT_ONCE = 200

_FIND_WALLET = """
SELECT id, chain_seq, available_nanos - disputed_nanos, held_nanos FROM wallet WHERE organization_id = ? AND mode = ?
"""

# By a plus, so that the index of open holds is read, not that of all the wallet ever had.
_OPEN_IDS = "SELECT id FROM hold WHERE state = 'open' AND +wallet_id = ? ORDER BY id"

_CALLS = """
SELECT id, project_id, key_id, model, endpoint, stream, amount_nanos, placed_at_us, hold.chain_seq, event.*
FROM hold LEFT JOIN usage_event AS event ON event.hold_number = hold.number WHERE wallet_id = ?
"""
_NEWEST = _CALLS + " AND id < ? ORDER BY id DESC LIMIT ?"

_OTHERS = """
SELECT (SELECT count(*) FROM credit WHERE wallet_id = ?1 AND chain_seq > ?2)
    + (SELECT count(*) FROM adjustment WHERE wallet_id = ?1 AND chain_seq > ?2)
"""

_LAST_ALERT = "SELECT coalesce(max(number), 0) FROM notice WHERE wallet_id = ? AND chain_seq = ?"
_ALERTS = """
SELECT chain_seq, number, id, created_at, data FROM notice
WHERE wallet_id = ?1 AND (chain_seq > ?2 OR (chain_seq = ?2 AND number > ?3))
ORDER BY chain_seq, number
"""

_AFTER_ALL = "~"
_HOLD_VALUES = 9
_EVENT_SEQ = _HOLD_VALUES + 25


def read_movements(
    connection: sqlite3.Connection,
    organization_id: str,
    mode: Mode,
    after: int | None,
    watched: tuple[str, ...],
    after_alert: int,
) -> Movements:
    """See the port."""
    row = connection.execute(_FIND_WALLET, (organization_id, mode.value)).fetchone()
    if row is None:
        raise TesseraError(ErrorCode.NOT_FOUND, "There is no such organization.")
    wallet, seq, available, held = row
    found: dict[int, CallMoved] = {}
    missed = 0
    open_ids: tuple[str, ...] = watched
    if after is None or seq != after:
        open_ids = tuple(row[0] for row in connection.execute(_OPEN_IDS, (wallet,)))
    if after is not None and seq > after:
        others: int = connection.execute(_OTHERS, {"1": wallet, "2": after}).fetchone()[0]
        wanted = seq - after - others
        for call in _candidates(connection, wallet, {*watched, *open_ids}):
            found.update((moved.seq, moved) for moved in _moved(call, organization_id, mode) if moved.seq > after)
            if len(found) == wanted:
                break
        missed = wanted - len(found)
    alerts = () if after is None else _alerts(connection, wallet, after, after_alert)
    number: int = connection.execute(_LAST_ALERT, (wallet, seq)).fetchone()[0]
    return Movements(
        seq=seq,
        alert_number=number,
        alerts=alerts,
        calls=tuple(found[place] for place in sorted(found)),
        missed=missed,
        open_ids=open_ids,
        available_nanos=available,
        held_nanos=held,
    )


def _alerts(connection: sqlite3.Connection, wallet: int, after: int, after_alert: int) -> tuple[AlertRaised, ...]:
    """There are few: an organization has a hundred alerts at most, and each is raised once a crossing."""
    return tuple(
        AlertRaised(seq=row[0], number=row[1], notice_id=row[2], created_at=row[3], data=msgspec.json.decode(row[4]))
        for row in connection.execute(_ALERTS, {"1": wallet, "2": after, "3": after_alert})
    )


def _candidates(connection: sqlite3.Connection, wallet: int, named: Iterable[str]) -> Iterator[tuple[Any, ...]]:
    ids = sorted(named)
    for first in range(0, len(ids), _AT_ONCE):
        some = ids[first : first + _AT_ONCE]
        yield from connection.execute(f"{_CALLS} AND id IN ({', '.join('?' * len(some))})", (wallet, *some)).fetchall()
    before = _AFTER_ALL
    for _ in range(0, NEWEST_CALLS_MAX, _AT_ONCE):
        rows = connection.execute(_NEWEST, (wallet, before, _AT_ONCE)).fetchall()
        yield from rows
        if len(rows) < _AT_ONCE:
            return
        before = rows[-1][0]


def _moved(row: tuple[Any, ...], organization_id: str, mode: Mode) -> Iterator[CallMoved]:
    """A call's one or two movements."""
    id_, project, key, model, endpoint, stream, amount, placed_at_us, seq = row[:_HOLD_VALUES]
    held = CallMoved(
        seq=seq,
        ended=False,
        at_us=placed_at_us,
        request_id=id_,
        project_id=project,
        key_id=key,
        model=model,
        endpoint=endpoint,
        stream=bool(stream),
        held_nanos=amount,
    )
    yield held
    if row[_HOLD_VALUES] is None:
        return
    event = read_event(row[_HOLD_VALUES:_EVENT_SEQ], id_, organization_id, mode)
    yield CallMoved(
        seq=row[_EVENT_SEQ],
        ended=True,
        at_us=event.settled_at_us,
        request_id=id_,
        project_id=project,
        key_id=key,
        model=model,
        endpoint=endpoint,
        stream=bool(stream),
        held_nanos=amount,
        outcome=event.outcome.value,
        status=event.status,
        deployment=event.deployment,
        tier=event.served_tier,
        usage=event.usage,
        charge_nanos=event.charge_nanos,
        latency_ms=event.latency_ms,
        first_byte_ms=event.first_byte_ms,
    )
