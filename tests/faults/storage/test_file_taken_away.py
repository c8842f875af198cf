"""F20: the database file is removed, moved or replaced in use; nothing is written where nobody looks for it."""

import asyncio
from pathlib import Path

import pytest

from ledger_calls import database, eventually, faults, funded, hold_order, usage_event
from tessera.adapters.storage.ledger.connected import system_clock
from tessera.adapters.storage.sqlite import SqliteStorage, restore
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.orders import HoldOrder
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio


def order(storage: SqliteStorage, organization: str) -> HoldOrder:
    return hold_order(organization, 10, mode=Mode.LIVE, owner=storage.owner)


async def refused(storage: SqliteStorage, organization: str) -> None:
    with pytest.raises(TesseraError) as caught:
        await storage.hold(order(storage, organization))
    assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
    with pytest.raises(TesseraError):
        await storage.add_credit(organization, Mode.LIVE, 5, kind="manual", note="")
    assert not await storage.ready()


async def test_a_file_that_is_gone_takes_no_hold_and_one_that_is_back_goes_on(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100)
    running = order(storage, organization)
    await storage.hold(running)
    away = tmp_path / "away"
    database(tmp_path).rename(away)
    await refused(storage, organization)
    await storage.settle(usage_event(running, 7))
    away.rename(database(tmp_path))

    async def settled() -> bool:
        return (await storage.balance(organization, Mode.LIVE)).spent_nanos == 7

    await eventually(settled)
    await storage.hold(order(storage, organization))
    assert faults(await storage.verify()) == {}
    await storage.close()


async def test_a_ledger_that_was_put_in_the_place_of_one_in_use_is_left_alone(tmp_path: Path) -> None:
    data = tmp_path / "data"
    storage = await SqliteStorage.open(data)
    organization = await funded(storage, 100)
    running = order(storage, organization)
    await storage.hold(running)
    await storage.backup(tmp_path / "backup.tar")
    data.rename(tmp_path / "old")
    restore(tmp_path / "backup.tar", data)
    before = database(data).read_bytes()
    await refused(storage, organization)
    settling = asyncio.ensure_future(storage.settle(usage_event(running, 7)))
    await asyncio.sleep(0)
    await storage.close()
    with pytest.raises(TesseraError):
        await settling
    assert database(data).read_bytes() == before
    again = await SqliteStorage.open(data, clock=lambda: system_clock() + 3600 * 1_000_000)
    balance = await again.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos, balance.spent_nanos) == (100, 0, 0)
    assert faults(await again.verify()) == {}
    await again.close()
