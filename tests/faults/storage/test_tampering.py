"""`verify` finds every edit of the file: each check and each table of money is tampered with."""

import asyncio
import shutil
import sqlite3
from collections.abc import Sequence
from pathlib import Path

import pytest

from ledger_calls import database, faults, funded, hold_order, release, stored_reply, usage_event
from tessera.adapters.storage.money.audit import MONEY_CHECKS
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode

NOW = hold_order("", 0).placed_at_us // 1_000_000


async def fill(data_dir: Path) -> None:
    """A ledger with everything in it: lots of each kind, one expired, calls in every state, a kept reply, a key."""
    clock_us = [NOW * 1_000_000]
    storage = await SqliteStorage.open(data_dir, clock=lambda: clock_us[0])
    organization = await funded(storage, 10_000)
    for kind, expires in (("promotion", NOW + 100), ("purchase", None), ("promotion", NOW + 10**6)):
        await storage.add_credit(organization, Mode.LIVE, 1_000, kind=kind, note=kind, expires_at=expires)
    await storage.create_key(
        organization, project="default", mode=Mode.LIVE, name="k", digest=b"d" * 32, display="sk-tess-live-…"
    )
    for number in range(6):
        order = hold_order(
            organization,
            200 if number == 5 else 700,
            mode=Mode.LIVE,
            idempotency_key=f"key-{number}",
            owner=storage.owner,
        )
        await storage.hold(order)
        if number == 4:
            await storage.settle(release(order))
        elif number < 4:
            reply = stored_reply(order, 100 + number)
            await storage.settle(usage_event(order, 100 + number, loss_nanos=1, reply=reply))
    clock_us[0] += 200 * 1_000_000
    await storage.sweep()
    assert faults(await storage.verify()) == {}
    await storage.close()


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("ledger")
    asyncio.run(fill(folder))
    return folder


@pytest.fixture
def data_dir(filled: Path, tmp_path: Path) -> Path:
    return shutil.copytree(filled, tmp_path / "data")


def tamper(data_dir: Path, *statements: str) -> None:
    """Edits the file as somebody would who knows the schema and no key; the edit must have changed something."""
    connection = sqlite3.connect(database(data_dir), isolation_level=None)
    connection.execute("PRAGMA ignore_check_constraints = ON")
    before = connection.total_changes
    for statement in statements:
        connection.execute(statement)
    assert connection.total_changes > before or "writable_schema" in statements[0]
    connection.close()


async def verified(data_dir: Path) -> dict[str, str]:
    storage = await SqliteStorage.open(data_dir)
    try:
        return faults(await storage.verify())
    finally:
        await storage.close()


LAST_EVENT = "(SELECT hold_number FROM usage_event ORDER BY chain_seq DESC LIMIT 1)"
A_SETTLED_HOLD = "(SELECT min(number) FROM hold WHERE state = 'settled')"
LIVE = "mode = 'live'"

TAMPERINGS: Sequence[tuple[str, Sequence[str]]] = [
    # balances
    ("balances-equal-entries", [f"UPDATE wallet SET available_nanos = available_nanos + 1 WHERE {LIVE}"]),
    ("entries-sum-to-zero", [f"UPDATE wallet SET revenue_nanos = revenue_nanos + 1 WHERE {LIVE}"]),
    (
        "balances-not-negative",
        [f"UPDATE wallet SET available_nanos = -1, cash_nanos = cash_nanos + available_nanos + 1 WHERE {LIVE}"],
    ),
    (
        "held-equals-open-holds",
        [f"UPDATE wallet SET held_nanos = held_nanos + 5, available_nanos = available_nanos - 5 WHERE {LIVE}"],
    ),
    ("checkpoints-signed", ["UPDATE wallet SET cash_nanos = cash_nanos - 5, promotions_nanos = promotions_nanos + 5"]),
    ("checkpoints-signed", [f"UPDATE wallet SET signature = zeroblob(32) WHERE {LIVE}"]),
    ("hash-chain", [f"UPDATE wallet SET chain_seq = chain_seq - 1 WHERE {LIVE}"]),
    (
        "amounts-are-integers",
        [
            "PRAGMA writable_schema = ON",
            "UPDATE sqlite_schema SET sql = replace(sql, ') STRICT', ')') WHERE name = 'wallet'",
            "PRAGMA writable_schema = RESET",
            f"UPDATE wallet SET held_nanos = 'many' WHERE {LIVE}",
        ],
    ),
    # holds
    ("hash-chain", [f"UPDATE hold SET amount_nanos = amount_nanos + 1 WHERE number = {A_SETTLED_HOLD}"]),
    ("hash-chain", [f"UPDATE hold SET key_id = 'key_other' WHERE number = {A_SETTLED_HOLD}"]),
    ("hash-chain", [f"UPDATE hold_quote SET quote = CAST(quote || ' ' AS BLOB) WHERE hold_number = {A_SETTLED_HOLD}"]),
    ("hash-chain", [f"DELETE FROM hold_quote WHERE hold_number = {A_SETTLED_HOLD}"]),
    ("hash-chain", ["DELETE FROM hold WHERE state = 'open'"]),
    ("one-resolution-per-hold", [f"UPDATE hold SET state = 'open' WHERE number = {A_SETTLED_HOLD}"]),
    ("one-resolution-per-hold", ["UPDATE hold SET state = 'settled' WHERE state = 'released'"]),
    ("one-resolution-per-hold", ["UPDATE hold SET state = 'released' WHERE state = 'open'"]),
    ("charges-within-holds", [f"UPDATE hold SET charge_nanos = charge_nanos - 1 WHERE number = {A_SETTLED_HOLD}"]),
    (
        "charges-within-quotes",
        [
            """UPDATE hold_quote SET quote = CAST('{"max_nanos":1}' AS BLOB)"""
            f" WHERE hold_number = {A_SETTLED_HOLD}"
        ],
    ),
    ("lots-equal-draws", [f"UPDATE hold SET draws = '[]' WHERE number = {A_SETTLED_HOLD}"]),
    # usage events
    (
        "charges-recompute",
        [f"UPDATE usage_event SET charge_nanos = charge_nanos - 1 WHERE hold_number = {A_SETTLED_HOLD}"],
    ),
    (
        "charges-recompute",
        [f"UPDATE usage_event SET charge = CAST('{{}}' AS BLOB) WHERE hold_number = {A_SETTLED_HOLD}"],
    ),
    ("charges-equal-settles", [f"UPDATE usage_event SET charge_nanos = 1 WHERE hold_number = {A_SETTLED_HOLD}"]),
    ("hash-chain", [f"UPDATE usage_event SET input_tokens = 0 WHERE hold_number = {A_SETTLED_HOLD}"]),
    ("hash-chain", [f"DELETE FROM usage_event WHERE hold_number = {A_SETTLED_HOLD}"]),
    ("one-resolution-per-hold", [f"DELETE FROM usage_event WHERE hold_number = {LAST_EVENT}"]),
    ("one-resolution-per-hold", ["UPDATE usage_event SET hold_number = 999 WHERE hold_number = 1"]),
    # credit and lots
    ("credits-counted-once", ["UPDATE credit SET amount_nanos = amount_nanos * 2 WHERE kind = 'purchase'"]),
    ("hash-chain", ["UPDATE credit SET note = 'a gift' WHERE kind = 'purchase'"]),
    ("hash-chain", ["DELETE FROM credit WHERE kind = 'expiry'"]),
    ("credits-counted-once", ["UPDATE lot SET expires_at = NULL WHERE expires_at IS NOT NULL"]),
    ("credits-counted-once", ["DELETE FROM lot WHERE kind = 'purchase'"]),
    ("lots-equal-balances", ["UPDATE lot SET remaining_nanos = remaining_nanos + 1 WHERE kind = 'purchase'"]),
    (
        "lots-equal-draws",
        ["UPDATE lot SET spent_nanos = spent_nanos + 1, remaining_nanos = remaining_nanos - 1 WHERE kind = 'manual'"],
    ),
    # what is used and what is lost
    ("meters-equal-calls", ["UPDATE meter SET spent_nanos = spent_nanos + 1"]),
    ("meters-equal-calls", ["UPDATE meter SET open_calls = open_calls + 1 WHERE kind = 'key'"]),
    ("meters-equal-calls", ["UPDATE meter SET month_nanos = month_nanos - 1 WHERE month_nanos > 0"]),
    ("meters-equal-calls", ["DELETE FROM meter WHERE kind = 'project'"]),
    (
        "meters-equal-calls",
        ["INSERT INTO meter (wallet_id, kind, subject_id, held_nanos, open_calls) VALUES (1, 'key', 'key_none', 5, 1)"],
    ),
    ("losses-equal-events", ["UPDATE loss_day SET loss_nanos = loss_nanos + 1"]),
    ("losses-equal-events", ["UPDATE loss_day SET left_calls = left_calls + 1"]),
    ("losses-equal-events", ["UPDATE loss_day SET forgiven_nanos = loss_nanos + 1"]),
    ("losses-equal-events", ["DELETE FROM loss_day"]),
    ("losses-equal-events", ["INSERT INTO loss_day (wallet_id, day, loss_nanos) VALUES (1, 3, 5)"]),
    ("usage-equals-events", ["UPDATE usage_sum SET requests = requests + 1 WHERE width_s = 3600"]),
    # what is beside the money
    ("idempotency-matches-holds", ["UPDATE idempotency SET fingerprint = zeroblob(32) WHERE key = 'key-1'"]),
    ("idempotency-matches-holds", ["UPDATE idempotency SET hold_number = 77 WHERE key = 'key-1'"]),
    ("wallets-complete", [f"DELETE FROM wallet WHERE {LIVE}"]),
    ("database-intact", ["DELETE FROM organization"]),
    ("api-keys-signed", ["UPDATE api_key SET mode = 'test'"]),
    ("api-keys-signed", ["UPDATE api_key SET revoked_at = 5"]),
    ("audit-log-whole", ["INSERT INTO audit_head (scope, seq, link) VALUES ('instance', 1, 'x')"]),
]


@pytest.mark.anyio
@pytest.mark.parametrize(("check", "statements"), TAMPERINGS, ids=lambda value: value if isinstance(value, str) else "")
async def test_an_edit_is_found(data_dir: Path, check: str, statements: Sequence[str]) -> None:
    tamper(data_dir, *statements)
    assert check in await verified(data_dir)


@pytest.mark.anyio
async def test_the_ledger_that_nobody_edited_is_right(data_dir: Path) -> None:
    assert await verified(data_dir) == {}


def test_every_check_has_an_edit_that_it_finds(data_dir: Path) -> None:
    names = {check.name for check in asyncio.run(all_checks(data_dir))}
    elsewhere = {"no-orphaned-holds", *(name for name, _ in MONEY_CHECKS)}  # test_tampering_with_payments.py
    assert names == {check for check, _ in TAMPERINGS} | elsewhere


async def all_checks(data_dir: Path):  # type: ignore[no-untyped-def]
    storage = await SqliteStorage.open(data_dir)
    try:
        return await storage.verify()
    finally:
        await storage.close()


@pytest.mark.anyio
async def test_a_tail_cut_off_with_its_balances_put_back_is_found(data_dir: Path) -> None:
    """The last call is removed as if it had never been, everything that adds up is made to add up again."""
    tamper(
        data_dir,
        "UPDATE lot SET remaining_nanos = remaining_nanos + held_nanos, held_nanos = 0",
        "DELETE FROM idempotency WHERE hold_number IN (SELECT number FROM hold WHERE state = 'open')",
        f"UPDATE wallet SET available_nanos = available_nanos + held_nanos, held_nanos = 0 WHERE {LIVE}",
        "DELETE FROM hold WHERE state = 'open'",
        "DELETE FROM credit WHERE kind = 'nothing'",
    )
    found = await verified(data_dir)
    assert {"hash-chain", "checkpoints-signed"} <= found.keys()


@pytest.mark.anyio
async def test_a_database_put_back_to_an_older_state_is_found(data_dir: Path, tmp_path: Path) -> None:
    """Every link and signature in the old copy is genuine; only the witness beside it knows of more."""
    older = shutil.copy(database(data_dir), tmp_path / "older.db")
    storage = await SqliteStorage.open(data_dir)
    organization = (await storage.list_organizations())[0]
    await storage.add_credit(organization.id, Mode.LIVE, 5, kind="manual", note="")
    await storage.close()
    shutil.copy(older, database(data_dir))
    found = await verified(data_dir)
    assert list(found) == ["checkpoints-signed"]
    assert "cut off" in found["checkpoints-signed"]


@pytest.mark.anyio
async def test_an_organization_that_vanished_with_everything_is_found(data_dir: Path) -> None:
    tables = [
        "loss_day",
        "usage_sum",
        "usage_series",
        "meter",
        "idempotency",
        "usage_event",
        "hold_quote",
        "hold",
        "credit",
        "lot",
        "api_key",
        "project",
        "wallet",
        "organization",
    ]
    tamper(data_dir, *(f"DELETE FROM {table}" for table in tables))
    assert list(await verified(data_dir)) == ["checkpoints-signed"]


@pytest.mark.anyio
async def test_an_edited_witness_is_found(data_dir: Path) -> None:
    witness = data_dir / "checkpoints.json"
    content = witness.read_text()
    witness.write_text(content.replace('"heads":[[1,', '"heads":[[3,'))
    storage = await SqliteStorage.open(data_dir)
    found = faults(await storage.verify())
    await storage.close()
    assert list(found) == ["checkpoints-signed"]


@pytest.mark.anyio
async def test_bytes_overwritten_in_the_file_are_found_or_refused(data_dir: Path) -> None:
    path = database(data_dir)
    content = bytearray(path.read_bytes())
    page = 4096 * (len(content) // 4096 // 2)
    content[page : page + 512] = bytes(range(256)) * 2
    path.write_bytes(content)
    try:
        found = await verified(data_dir)
    except TesseraError as error:
        found = {"database-intact": error.code}
    assert "database-intact" in found


@pytest.mark.anyio
async def test_an_edited_wallet_is_stopped_so_that_no_commit_signs_the_edit(data_dir: Path) -> None:
    storage = await SqliteStorage.open(data_dir)
    organization = (await storage.list_organizations())[0].id
    running = hold_order(organization, 1, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(running)
    tamper(
        data_dir, f"UPDATE wallet SET available_nanos = available_nanos + 5, cash_nanos = cash_nanos - 5 WHERE {LIVE}"
    )
    with pytest.raises(TesseraError) as caught:
        await storage.hold(hold_order(organization, 1, mode=Mode.LIVE))
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
    with pytest.raises(TesseraError):
        await storage.settle(usage_event(running, 1))
    with pytest.raises(TesseraError):
        await storage.add_credit(organization, Mode.LIVE, 1, kind="manual", note="")
    await storage.hold(hold_order(organization, 1, mode=Mode.TEST))
    assert "checkpoints-signed" in faults(await storage.verify())
    await storage.close()
    kept = sqlite3.connect(database(data_dir)).execute("SELECT hold_id FROM refused_settlement").fetchall()
    assert kept == [(running.id,)]


@pytest.mark.anyio
async def test_writing_on_after_a_roll_back_does_not_end_the_alarm(data_dir: Path, tmp_path: Path) -> None:
    older = shutil.copy(database(data_dir), tmp_path / "older.db")
    storage = await SqliteStorage.open(data_dir)
    organization = (await storage.list_organizations())[0].id
    await storage.add_credit(organization, Mode.LIVE, 5, kind="manual", note="")
    await storage.close()
    newer = shutil.copy(database(data_dir), tmp_path / "newer.db")
    shutil.copy(older, database(data_dir))
    for _ in range(3):
        storage = await SqliteStorage.open(data_dir)
        await storage.add_credit(organization, Mode.LIVE, 6, kind="manual", note="")
        await storage.close()
        assert list(await verified(data_dir)) == ["checkpoints-signed"]
    shutil.copy(newer, database(data_dir))
    assert await verified(data_dir) == {}
