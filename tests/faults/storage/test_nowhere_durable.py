"""F17 and F20 together: neither the database nor the outbox takes a settlement (found by the money simulation)."""

import asyncio
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from ledger_calls import database, eventually, faults, funded, hold_order, usage_event
from tessera.adapters.storage.ledger import writer
from tessera.adapters.storage.ledger.outbox import Outbox
from tessera.adapters.storage.sqlite import SqliteStorage, connection
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 0.05)
    monkeypatch.setattr(writer, "AGAIN_EVERY_S", 0.05)


@contextmanager
def nothing_takes_writes(data_dir: Path, owner: str) -> Iterator[None]:
    """The database is locked, and there is a folder in the place of this process's outbox."""
    in_the_way = Outbox(data_dir, owner).path
    in_the_way.mkdir(parents=True)
    other = sqlite3.connect(database(data_dir), isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()
        in_the_way.rmdir()


async def test_a_settlement_that_is_nowhere_is_answered_only_once_it_is_durable(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100)
    order = hold_order(organization, 60, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    with nothing_takes_writes(tmp_path, storage.owner):
        settling = asyncio.create_task(storage.settle(usage_event(order, 25)))
        await asyncio.wait({settling}, timeout=1)
        assert not settling.done(), "a reply must not be finished before its settlement is durable"
    await asyncio.wait_for(settling, 10)
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos, balance.spent_nanos) == (75, 0, 25)
    assert faults(await storage.verify()) == {}
    await storage.close()


async def test_a_settlement_given_up_charges_nothing_and_holds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(writer, "DURABLE_WITHIN_S", 0.3)
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100)
    order = hold_order(organization, 60, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    with nothing_takes_writes(tmp_path, storage.owner), pytest.raises(TesseraError) as caught:
        await asyncio.wait_for(storage.settle(usage_event(order, 25)), 10)
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE

    async def given_back() -> bool:
        return (await storage.balance(organization, Mode.LIVE)).available_nanos == 100

    await eventually(given_back)
    assert faults(await storage.verify()) == {}
    await storage.close()


async def test_a_storage_that_closes_gives_up_what_it_cannot_make_durable(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100)
    order = hold_order(organization, 60, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    with nothing_takes_writes(tmp_path, storage.owner):
        settling = asyncio.create_task(storage.settle(usage_event(order, 25)))
        await asyncio.sleep(0.2)
        await asyncio.wait_for(storage.close(), 10)
        with pytest.raises(TesseraError):
            await settling
    again = await SqliteStorage.open(tmp_path)
    assert (await again.balance(organization, Mode.LIVE)).available_nanos == 100
    assert faults(await again.verify()) == {}
    await again.close()
