"""The audit: every invariant of the ledger over every row, each a named check. Reads one snapshot, changes nothing.

What is stored is compared with what follows from the movements: balances with entries, lots with draws, states with
events, charges with their own arithmetic, and all movements with the hash chain and its signed end.
"""

import sqlite3
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

from tessera.adapters.storage.ledger.audit_chain import chain_faults, checkpoint_faults, key_faults
from tessera.adapters.storage.ledger.audit_events import event_faults, quote_faults
from tessera.adapters.storage.ledger.lease import is_alive
from tessera.adapters.storage.ledger.losses import loss_faults
from tessera.adapters.storage.ledger.meters import meter_faults
from tessera.adapters.storage.ledger.sweep import LEASE_US
from tessera.adapters.storage.ledger.usage_sums import usage_faults
from tessera.adapters.storage.ledger.witness import read_witness
from tessera.adapters.storage.money.audit import MONEY_CHECKS
from tessera.adapters.storage.people.audit_log import audit_log_faults
from tessera.domain.money import NANOS_MAX
from tessera.ports.administration import Check

ORPHAN_MARGIN_US = 60_000_000
"""How long after its lease the sweeper may take to resolve a dead process's hold (invariant I8)."""

_FAULTS_SHOWN = 5

# Sums are taken in two halves, because a sum of many 63-bit integers may not fit 63 bits.

_ENTRY_SUMS = """
SELECT wallet_id, account, sum(amount_nanos >> 32), sum(amount_nanos & 4294967295) FROM entry
GROUP BY wallet_id, account
"""

_BALANCES = "SELECT wallet_id, account, balance_nanos FROM account"

_NEGATIVE = """
SELECT 'wallet ' || id || ': available ' || available_nanos || ', held ' || held_nanos FROM wallet
WHERE available_nanos < 0 OR held_nanos < 0
"""

_HELD = """
SELECT wallet.id, held_nanos, sum(amount_nanos >> 32), sum(amount_nanos & 4294967295)
FROM wallet LEFT JOIN hold ON hold.wallet_id = wallet.id AND hold.state = 'open' GROUP BY wallet.id
"""

_RESOLUTIONS = """
SELECT 'hold ' || hold.id || ' is ' || state || ' and has ' ||
    CASE WHEN event.hold_number IS NULL THEN 'no usage event' ELSE 'a usage event' END
FROM hold LEFT JOIN usage_event AS event ON event.hold_number = hold.number
WHERE (state = 'open') <> (event.hold_number IS NULL)
UNION ALL
SELECT 'hold ' || hold.id || ' is ' || state || ' but its call ' || outcome || ' for ' || event.charge_nanos
FROM hold JOIN usage_event AS event ON event.hold_number = hold.number
WHERE state <> CASE
    WHEN outcome = 'expired' THEN 'expired'
    WHEN outcome = 'completed' OR event.charge_nanos > 0 THEN 'settled' ELSE 'released' END
UNION ALL
SELECT 'usage event ' || hold_number || ' has no hold' FROM usage_event
WHERE hold_number NOT IN (SELECT number FROM hold)
"""

_CHARGES = """
SELECT 'hold ' || hold.id || ' of ' || hold.amount_nanos || ' was charged ' || event.charge_nanos
    || ' by its event and ' || hold.charge_nanos || ' by itself'
FROM hold JOIN usage_event AS event ON event.hold_number = hold.number
WHERE event.charge_nanos > hold.amount_nanos OR hold.charge_nanos <> event.charge_nanos
UNION ALL
SELECT 'open hold ' || id || ' was charged ' || charge_nanos FROM hold WHERE state = 'open' AND charge_nanos <> 0
"""

_CREDITS = """
SELECT 'lot ' || lot.id || ' is not as it was credited' FROM lot
LEFT JOIN credit ON credit.lot_id = lot.id AND credit.kind <> 'expiry'
WHERE credit.id IS NULL OR credit.wallet_id <> lot.wallet_id OR credit.amount_nanos <> lot.amount_nanos
    OR credit.kind <> lot.kind OR credit.expires_at IS NOT lot.expires_at
    OR credit.created_at_us / 1000000 <> lot.created_at
UNION ALL
SELECT 'credit ' || id || ' has no lot' FROM credit WHERE lot_id NOT IN (SELECT id FROM lot)
UNION ALL
SELECT 'lot ' || lot_id || ' was credited ' || count(*) || ' times' FROM credit WHERE kind <> 'expiry'
GROUP BY lot_id HAVING count(*) > 1
"""

_TYPES = """
SELECT 'wallet ' || id FROM wallet WHERE typeof(available_nanos) <> 'integer' OR typeof(held_nanos) <> 'integer'
    OR typeof(revenue_nanos) <> 'integer' OR typeof(cash_nanos) <> 'integer' OR typeof(promotions_nanos) <> 'integer'
    OR typeof(provider_cost_nanos) <> 'integer' OR typeof(provider_payable_nanos) <> 'integer'
    OR typeof(operator_loss_nanos) <> 'integer' OR typeof(fees_nanos) <> 'integer' OR typeof(tax_nanos) <> 'integer'
UNION ALL
SELECT 'lot ' || id FROM lot WHERE typeof(amount_nanos) <> 'integer' OR typeof(remaining_nanos) <> 'integer'
    OR min(amount_nanos, remaining_nanos, held_nanos, spent_nanos, expired_nanos) < 0
UNION ALL
SELECT 'credit ' || id FROM credit WHERE typeof(amount_nanos) <> 'integer' OR amount_nanos <= 0
UNION ALL
SELECT 'hold ' || id FROM hold WHERE typeof(amount_nanos) <> 'integer' OR typeof(charge_nanos) <> 'integer'
    OR min(amount_nanos, charge_nanos, asked_nanos) < 0
UNION ALL
SELECT 'usage event ' || hold_number FROM usage_event WHERE typeof(charge_nanos) <> 'integer'
    OR typeof(waived_nanos) <> 'integer' OR typeof(cost_nanos) <> 'integer' OR typeof(loss_nanos) <> 'integer'
    OR min(charge_nanos, waived_nanos, cost_nanos, loss_nanos) < 0
"""

_OPEN = """
SELECT owner, min(placed_at_us), count(*), coalesce((SELECT heartbeat_at_us FROM process WHERE owner = hold.owner), 0)
FROM hold WHERE state = 'open' GROUP BY owner
"""

_CHARGED = """
SELECT wallet.id, sum(event.charge_nanos >> 32), sum(event.charge_nanos & 4294967295)
FROM wallet JOIN hold ON hold.wallet_id = wallet.id JOIN usage_event AS event ON event.hold_number = hold.number
GROUP BY wallet.id
"""

_SETTLED = """
SELECT wallet_id, sum(amount_nanos >> 32), sum(amount_nanos & 4294967295) FROM transfer
WHERE kind = 'settle' GROUP BY wallet_id
"""

_HOLD_CHARGES = """
SELECT wallet_id, sum(charge_nanos >> 32), sum(charge_nanos & 4294967295) FROM hold GROUP BY wallet_id
"""

_LOTS_AVAILABLE = """
SELECT wallet.id, available_nanos, wallet.held_nanos, coalesce(sum(lot.remaining_nanos), 0),
    coalesce(sum(lot.held_nanos), 0)
FROM wallet LEFT JOIN lot ON lot.wallet_id = wallet.id GROUP BY wallet.id
"""

_LOT_DRAWS = """
SELECT lot.id, lot.amount_nanos, remaining_nanos, held_nanos, spent_nanos, expired_nanos,
    drawn.open_high, drawn.open_low, drawn.spent, gone.expired, gone.unspent
FROM lot
LEFT JOIN (
    SELECT lot_id, sum(iif(state = 'open', amount_nanos, 0) >> 32) AS open_high,
        sum(iif(state = 'open', amount_nanos, 0) & 4294967295) AS open_low, sum(charge_nanos) AS spent
    FROM lot_draw GROUP BY lot_id
) AS drawn ON drawn.lot_id = lot.id
LEFT JOIN (
    SELECT lot_id, sum(expired) AS expired, sum(unspent) AS unspent FROM (
        SELECT lot_id, amount_nanos AS expired, 0 AS unspent FROM credit WHERE kind = 'expiry'
        UNION ALL
        SELECT lot_id, CASE WHEN kind IN ('payment_refund', 'refund_collected') THEN amount_nanos
            WHEN kind = 'payment_refund_failed' THEN -amount_nanos ELSE 0 END,
            CASE kind WHEN 'charge_refund' THEN amount_nanos ELSE 0 END
        FROM adjustment WHERE lot_id IS NOT NULL
    ) AS movement GROUP BY lot_id
) AS gone ON gone.lot_id = lot.id
"""

_DRAWS = """
SELECT 'hold ' || hold.id || ' of ' || hold.amount_nanos || ' draws ' || coalesce(sum(lot_draw.amount_nanos), 0)
FROM hold LEFT JOIN lot_draw ON lot_draw.hold_number = hold.number
GROUP BY hold.number HAVING hold.amount_nanos <> coalesce(sum(lot_draw.amount_nanos), 0)
"""

_KEYS = """
SELECT 'idempotency key of hold ' || coalesce(hold.id, CAST(hold_number AS TEXT)) FROM idempotency
LEFT JOIN hold ON hold.number = hold_number
WHERE hold.number IS NULL OR hold.wallet_id <> idempotency.wallet_id OR hold.idempotency_key IS NOT idempotency.key
    OR hold.fingerprint <> idempotency.fingerprint OR hold.placed_at_us <> idempotency.placed_at_us
    OR (hold.state = 'open' AND status IS NOT NULL)
"""

_WALLETS = """
SELECT 'organization ' || organization.id || ' has ' || count(wallet.id) || ' wallets' FROM organization
LEFT JOIN wallet ON wallet.organization_id = organization.id GROUP BY organization.id HAVING count(wallet.id) <> 2
"""


def audit(
    connection: Any,
    data_dir: Path,
    key: bytes,
    now_us: int,
    damage: Callable[[Any], Iterator[str]],
    unreadable: tuple[type[Exception], ...],
) -> tuple[Check, ...]:
    """Every check over the whole ledger; `key` is the one that signed it. The snapshot begins in here.

    `damage` finds what is wrong with the database itself, below its rows; `unreadable` are its errors where tables
    cannot be read.
    """
    witnessed = read_witness(data_dir, key)

    def rows(sql: str) -> Callable[[], Iterator[str]]:
        return lambda: (row[0] for row in connection.execute(sql))

    @cache
    def sums() -> tuple[list[Any], list[Any]]:
        return connection.execute(_ENTRY_SUMS).fetchall(), connection.execute(_BALANCES).fetchall()

    checks: list[tuple[str, Callable[[], Iterator[str]]]] = [
        ("database-intact", lambda: damage(connection)),
        ("entries-sum-to-zero", lambda: _unbalanced(*sums())),
        ("balances-equal-entries", lambda: _balances(*sums())),
        ("balances-not-negative", rows(_NEGATIVE)),
        ("held-equals-open-holds", lambda: _held(connection)),
        ("one-resolution-per-hold", rows(_RESOLUTIONS)),
        ("charges-within-holds", rows(_CHARGES)),
        ("charges-within-quotes", lambda: quote_faults(connection)),
        ("credits-counted-once", rows(_CREDITS)),
        ("charges-recompute", lambda: event_faults(connection)),
        ("amounts-are-integers", rows(_TYPES)),
        ("no-orphaned-holds", lambda: _orphans(connection, data_dir, now_us)),
        ("charges-equal-settles", lambda: _settles(connection)),
        ("meters-equal-calls", lambda: meter_faults(connection)),
        ("losses-equal-events", lambda: loss_faults(connection)),
        ("usage-equals-events", lambda: usage_faults(connection)),
        ("lots-equal-balances", lambda: _lots(connection)),
        ("lots-equal-draws", lambda: _draws(connection)),
        ("idempotency-matches-holds", rows(_KEYS)),
        ("wallets-complete", rows(_WALLETS)),
        *((name, rows(sql)) for name, sql in MONEY_CHECKS),
        ("hash-chain", lambda: chain_faults(connection)),
        ("checkpoints-signed", lambda: checkpoint_faults(connection, witnessed, key)),
        ("api-keys-signed", lambda: key_faults(connection, key)),
        ("audit-log-whole", lambda: audit_log_faults(key, connection.execute)),
    ]
    try:
        counted = _counted(connection)
    except unreadable as error:
        return (Check(name="database-intact", ok=False, detail=f"the ledger cannot be read: {error}"),)
    # Nothing is written: whichever check fails, going back to here loses nothing, and the snapshot stays.
    connection.execute("SAVEPOINT checked")
    return tuple(_check(connection, name, find, counted) for name, find in checks)


def _check(connection: sqlite3.Connection, name: str, find: Callable[[], Iterator[str]], counted: str) -> Check:
    """One check. One that cannot be done says so, and spoils no other."""
    faults: list[str] = []
    try:
        for fault in find():
            faults.append(fault)
            if len(faults) > _FAULTS_SHOWN:
                break
    except Exception as error:
        faults.append(f"cannot be checked: {error}")
        connection.execute("ROLLBACK TO checked")
    if not faults:
        return Check(name=name, ok=True, detail=counted)
    more = "; and more" if len(faults) > _FAULTS_SHOWN else ""
    return Check(name=name, ok=False, detail="; ".join(faults[:_FAULTS_SHOWN]) + more)


def _counted(connection: sqlite3.Connection) -> str:
    holds, events, credits, wallets = connection.execute(
        "SELECT (SELECT count(*) FROM hold), (SELECT count(*) FROM usage_event), (SELECT count(*) FROM credit),"
        " (SELECT count(*) FROM wallet)"
    ).fetchone()
    return f"{wallets} wallets, {credits} credits, {holds} holds, {events} usage events"


def _unbalanced(entries: list[Any], balances: list[Any]) -> Iterator[str]:
    sums: dict[int, int] = {}
    for wallet, _, high, low in entries:
        sums[wallet] = sums.get(wallet, 0) + (high << 32) + low
    for wallet, _, balance in balances:
        sums.setdefault(-wallet, 0)
        sums[-wallet] += balance
    for wallet, total in sums.items():
        if total:
            yield f"{'entries' if wallet > 0 else 'balances'} of wallet {abs(wallet)} sum to {total}"


def _balances(entries: list[Any], balances: list[Any]) -> Iterator[str]:
    sums = {(row[0], row[1]): (row[2] << 32) + row[3] for row in entries}
    for wallet, account, balance in balances:
        total = sums.pop((wallet, account), 0)
        if total != balance:
            yield f"{account} of wallet {wallet} is {balance}, its entries sum to {total}"
        if abs(balance) > NANOS_MAX:
            yield f"{account} of wallet {wallet} does not fit 63 bits"
    for (wallet, account), total in sums.items():
        yield f"there are entries of {total} for {account} of wallet {wallet}, which has no such account"


def _held(connection: sqlite3.Connection) -> Iterator[str]:
    for wallet, held, high, low in connection.execute(_HELD):
        total = ((high or 0) << 32) + (low or 0)
        if total != held:
            yield f"wallet {wallet} holds {held}, its open holds sum to {total}"


def _orphans(connection: sqlite3.Connection, data_dir: Path, now_us: int) -> Iterator[str]:
    for owner, placed_at_us, count, heartbeat_at_us in connection.execute(_OPEN):
        last_seen = max(placed_at_us, heartbeat_at_us)
        if not is_alive(data_dir, owner) and last_seen + LEASE_US + ORPHAN_MARGIN_US < now_us:
            yield f"{count} open holds of {owner}, which is not alive"


def _settles(connection: sqlite3.Connection) -> Iterator[str]:
    found = [
        {row[0]: (row[1] << 32) + row[2] for row in connection.execute(sql) if row[1] or row[2]}
        for sql in (_CHARGED, _SETTLED, _HOLD_CHARGES)
    ]
    for wallet in sorted(set().union(*found)):
        charged, settled, held = (sums.get(wallet, 0) for sums in found)
        if not charged == settled == held:
            yield f"wallet {wallet}: events charge {charged}, settles move {settled}, holds say {held}"


def _lots(connection: sqlite3.Connection) -> Iterator[str]:
    for wallet, available, held, lots_remaining, lots_held in connection.execute(_LOTS_AVAILABLE):
        if (available, held) != (lots_remaining, lots_held):
            yield (
                f"wallet {wallet} has {available} available and {held} held, its lots {lots_remaining} and {lots_held}"
            )


def _draws(connection: sqlite3.Connection) -> Iterator[str]:
    for row in connection.execute(_DRAWS):
        yield row[0]
    for lot, amount, remaining, held, spent, expired, high, low, drawn, gone, unspent in connection.execute(_LOT_DRAWS):
        drawn_spent = (drawn or 0) - (unspent or 0)
        drawn_held = ((high or 0) << 32) + (low or 0)
        if (held, spent, expired) != (drawn_held, drawn_spent, gone or 0):
            yield (
                f"lot {lot} has {held} held, {spent} spent, {expired} expired; its movements say {drawn_held}, "
                f"{drawn_spent}, {gone or 0}"
            )
        if remaining + held + spent + expired != amount:
            yield f"lot {lot} of {amount} adds up to {remaining + held + spent + expired}"
