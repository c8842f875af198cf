"""F14: a caller that goes away in the very moment its hold is granted (found by the money simulation)."""

import asyncio
from pathlib import Path
from typing import Any

import pytest

from ledger_calls import eventually, faults, funded, hold_order
from tessera.adapters.storage.ledger.writer import Writer
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.ledger.orders import HoldGrant
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio


async def test_a_caller_cancelled_between_the_grant_and_its_news_leaves_no_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100)
    order = hold_order(organization, 60, mode=Mode.LIVE, owner=storage.owner)
    task: asyncio.Task[HoldGrant] = asyncio.create_task(storage.hold(order))
    wake = Writer._wake

    def wake_and_cancel(self: Writer, items: list[Any]) -> None:
        wake(self, items)
        if any(item.order is order for item in items):
            assert items[0].future.done(), "the grant is there"
            task.cancel()

    monkeypatch.setattr(Writer, "_wake", wake_and_cancel)
    with pytest.raises(asyncio.CancelledError):
        await task

    async def given_back() -> bool:
        balance = await storage.balance(organization, Mode.LIVE)
        return (balance.available_nanos, balance.held_nanos) == (100, 0)

    await eventually(given_back)
    assert faults(await storage.verify()) == {}
    await storage.close()
