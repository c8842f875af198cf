"""Orphans of dead processes, expiring credit, and rows that are kept only for a while."""

import sqlite3
from pathlib import Path
from typing import Any

import pytest

from ledger_calls import database, faults, funded, hold_order, new_id, stored_reply, usage_event
from tessera.adapters.storage.sqlite import SqliteMachine, SqliteStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities
from tessera.ports import Page, SavedQuote

pytestmark = pytest.mark.anyio

DAY_US = 24 * 3600 * 1_000_000


class Clock:
    def __init__(self) -> None:
        self.now_us = hold_order("", 0).placed_at_us

    def __call__(self) -> int:
        return self.now_us


async def test_a_living_process_keeps_its_holds_however_long_they_take(tmp_path: Path) -> None:
    clock = Clock()
    server = await SqliteStorage.open(tmp_path, clock=clock)
    organization = await funded(server, 100)
    order = hold_order(organization, 60, mode=Mode.LIVE, owner=server.owner)
    await server.hold(order)
    clock.now_us += 30 * DAY_US
    other = await SqliteStorage.open(tmp_path, clock=clock)
    await other.sweep()
    assert (await other.balance(organization, Mode.LIVE)).held_nanos == 60
    assert faults(await other.verify()) == {}
    await server.settle(usage_event(order, 10))
    await other.close()
    await server.close()


async def test_a_dead_process_loses_its_holds_at_once_and_its_late_settlement_is_kept_aside(tmp_path: Path) -> None:
    dead = await SqliteStorage.open(tmp_path)
    organization = await funded(dead, 100)
    order = hold_order(organization, 60, mode=Mode.LIVE, owner=dead.owner, idempotency_key="key-1")
    await dead.hold(order)
    await dead.close()
    alive = await SqliteStorage.open(tmp_path)
    record = await alive.find_request(organization, Mode.LIVE, order.id)
    assert record is not None
    assert record.state == "expired"
    assert record.event is not None
    event = record.event
    assert (event.status, event.latency_ms, event.predicted_input_tokens, event.predicted_image_tokens) == (0, 0, 0, 0)
    assert (event.charge_nanos, event.cost_nanos, event.loss_nanos, event.usage) == (0, 0, 0, Quantities())
    assert (await alive.balance(organization, Mode.LIVE)).available_nanos == 100
    for _ in range(2):
        with pytest.raises(TesseraError) as caught:
            await alive.settle(usage_event(order, 25))
        assert caught.value.code is ErrorCode.INTERNAL_ERROR
    assert (await alive.balance(organization, Mode.LIVE)).available_nanos == 100, "an expired hold is not opened again"
    again = hold_order(organization, 60, mode=Mode.LIVE, owner=alive.owner, idempotency_key="key-1")
    assert (await alive.hold(again)).granted_nanos == 60, "nothing was charged, so the key is free"
    await alive.settle(usage_event(again, 1))
    assert faults(await alive.verify()) == {}
    await alive.close()
    rows = sqlite3.connect(database(tmp_path)).execute("SELECT hold_id, reason FROM refused_settlement").fetchall()
    assert rows == [(order.id, "its hold is already expired")]


async def test_two_sweepers_resolve_an_orphan_once(tmp_path: Path) -> None:
    dead = await SqliteStorage.open(tmp_path)
    organization = await funded(dead, 1000)
    for _ in range(50):
        await dead.hold(hold_order(organization, 20, mode=Mode.LIVE, owner=dead.owner))
    await dead.close()
    storages = [await SqliteStorage.open(tmp_path) for _ in range(3)]
    for storage in storages:
        await storage.sweep()
    assert (await storages[0].balance(organization, Mode.LIVE)).available_nanos == 1000
    records = await storages[0].list_requests(organization, Mode.LIVE, Page(limit=100))
    assert [record.state for record in records] == ["expired"] * 50
    assert faults(await storages[0].verify()) == {}
    for storage in storages:
        await storage.close()


async def test_a_process_that_left_no_lock_is_believed_for_its_lease_and_no_longer(tmp_path: Path) -> None:
    """As after a restore: the holds are there, the processes never were on this machine."""
    clock = Clock()
    storage = await SqliteStorage.open(tmp_path, clock=clock)
    organization = await funded(storage, 100)
    placed = {"mode": Mode.LIVE, "owner": "prc_elsewhere", "placed_at_us": clock.now_us}
    await storage.hold(hold_order(organization, 60, **placed))
    clock.now_us += 59_000_000
    await storage.sweep()
    assert (await storage.balance(organization, Mode.LIVE)).held_nanos == 60
    clock.now_us += 50_000_000
    assert "no-orphaned-holds" not in faults(await storage.verify())
    await storage.sweep()
    assert (await storage.balance(organization, Mode.LIVE)).held_nanos == 0
    await storage.close()


async def test_i8_an_orphan_that_nobody_swept_is_found(tmp_path: Path) -> None:
    clock = Clock()
    storage = await SqliteStorage.open(tmp_path, clock=clock)
    organization = await funded(storage, 100)
    await storage.hold(hold_order(organization, 60, mode=Mode.LIVE, owner="prc_gone", placed_at_us=clock.now_us))
    clock.now_us += 200_000_000
    assert list(faults(await storage.verify())) == ["no-orphaned-holds"]
    await storage.close()


async def test_a_named_process_that_starts_again_finds_its_own_orphans(tmp_path: Path) -> None:
    first = await SqliteStorage.open(tmp_path, owner="server")
    organization = await funded(first, 100)
    await first.hold(hold_order(organization, 60, mode=Mode.LIVE, owner="server"))
    with pytest.raises(ValueError, match="server"):
        await SqliteStorage.open(tmp_path, owner="server")
    await first.close()
    second = await SqliteStorage.open(tmp_path, owner="server")
    assert (await second.balance(organization, Mode.LIVE)).held_nanos == 0
    await second.close()


async def test_expired_credit_leaves_by_a_transfer_and_is_not_spent(tmp_path: Path) -> None:
    clock = Clock()
    storage = await SqliteStorage.open(tmp_path, clock=clock)
    organization = await funded(storage, 0)
    for kind, amount in (("promotion", 100), ("purchase", 50)):
        await storage.add_credit(
            organization, Mode.LIVE, amount, kind=kind, note="", expires_at=clock.now_us // 1_000_000 + 60
        )
    order = hold_order(organization, 30, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    clock.now_us += 61_000_000
    with pytest.raises(TesseraError) as caught:
        await storage.hold(hold_order(organization, 1, mode=Mode.LIVE, owner=storage.owner))
    assert caught.value.code is ErrorCode.BALANCE_RESERVED, "expired before it was swept, spent by nobody"
    await storage.settle(usage_event(order, 10))
    await storage.sweep()
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos, balance.spent_nanos) == (0, 0, 10)
    entries = await storage.list_entries(organization, Mode.LIVE, Page(limit=100))
    expired = [(e.account, e.amount_nanos) for e in entries if e.kind == "expiry" and e.account != "available"]
    assert sum(amount for _, amount in expired) == 140
    assert {account for account, _ in expired} == {"promotions", "revenue"}
    assert faults(await storage.verify()) == {}
    await storage.close()


async def test_keys_and_quotes_are_kept_for_their_time_and_then_go(tmp_path: Path) -> None:
    clock = Clock()
    storage = await SqliteStorage.open(tmp_path, clock=clock)
    organization = await funded(storage, 1000)

    def keyed(key: str) -> dict[str, object]:
        return {"mode": Mode.LIVE, "owner": storage.owner, "idempotency_key": key, "placed_at_us": clock.now_us}

    done, running = hold_order(organization, 10, **keyed("done")), hold_order(organization, 10, **keyed("running"))
    await storage.hold(done)
    await storage.hold(running)
    await storage.settle(usage_event(done, 1, reply=stored_reply(done, 1)))
    quote = SavedQuote(
        id=new_id("quote"),
        organization_id=organization,
        mode=Mode.LIVE,
        model="m",
        max_nanos=1,
        price_version="v",
        created_at_us=clock.now_us,
        expires_at_us=clock.now_us + 900_000_000,
        body=b"{}",
    )
    await storage.save_quote(quote)
    clock.now_us += DAY_US + 1
    await storage.sweep()
    assert (await storage.hold(hold_order(organization, 10, **keyed("done")))).replay is not None
    assert await storage.find_quote(organization, Mode.LIVE, quote.id) == quote
    clock.now_us += 10 * DAY_US
    await storage.sweep()
    assert await storage.find_quote(organization, Mode.LIVE, quote.id) is None
    assert (await storage.hold(hold_order(organization, 10, **keyed("done")))).replay is None
    with pytest.raises(TesseraError) as caught:
        await storage.hold(hold_order(organization, 10, **keyed("running")))
    assert caught.value.code is ErrorCode.IDEMPOTENCY_IN_PROGRESS
    await storage.close()


async def test_an_edited_wallet_stops_the_sweep_of_nobody_else(tmp_path: Path) -> None:
    """T10: an edited wallet moves nothing more; orphans and expired credit of others are resolved all the same."""
    clock = Clock()
    dead = await SqliteStorage.open(tmp_path, clock=clock)
    edited, sound = [await funded(dead, 100) for _ in range(2)]
    for organization in (edited, sound):
        await dead.hold(hold_order(organization, 60, mode=Mode.LIVE, owner=dead.owner))
        soon = clock.now_us // 1_000_000 + 60
        await dead.add_credit(organization, Mode.LIVE, 7, kind="promotion", note="", expires_at=soon)
    await dead.close()
    with sqlite3.connect(database(tmp_path)) as connection:
        connection.execute("UPDATE wallet SET signature = zeroblob(32) WHERE organization_id = ?", (edited,))
    connection.close()
    clock.now_us += 120_000_000
    storage = await SqliteStorage.open(tmp_path, clock=clock)
    await storage.sweep()
    balance = await storage.balance(sound, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos) == (100, 0)
    untouched = await storage.balance(edited, Mode.LIVE)
    assert (untouched.available_nanos, untouched.held_nanos) == (47, 60)
    await storage.close()


class Counting(sqlite3.Connection):
    """A real connection that counts its commits."""

    commits = 0

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        Counting.commits += sql == "COMMIT"
        return super().execute(sql, parameters)


@pytest.mark.parametrize("wallets", [1, 20])
async def test_whatever_expires_at_once_expires_in_one_commit(tmp_path: Path, wallets: int) -> None:
    """Calls wait for each commit: a voucher's credit may expire in thousands of wallets at midnight."""
    clock = Clock()
    storage = await SqliteStorage.open(tmp_path, machine=SqliteMachine(clock=clock, connection=Counting))
    soon = clock.now_us // 1_000_000 + 60
    organizations = [await funded(storage, 0) for _ in range(wallets)]
    for organization in organizations:
        await storage.add_credit(organization, Mode.LIVE, 7, kind="promotion", note="", expires_at=soon)
    clock.now_us += 120_000_000
    Counting.commits = 0
    await storage.sweep()
    assert Counting.commits == 1
    assert {(await storage.balance(organization, Mode.LIVE)).available_nanos for organization in organizations} == {0}
    await storage.close()
