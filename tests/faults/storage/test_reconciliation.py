"""R10: a settlement that arrives after its hold expired is refused, kept, charges nothing, and is listed."""

import json
import time
from pathlib import Path

import pytest

from ledger_calls import faults, funded, hold_order, usage_event
from servers import tessera
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio

HOUR_US = 3_600_000_000


async def test_a_settlement_after_expiry_is_listed_and_charges_nothing(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100)
    order = hold_order(organization, 60, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    # The folder has been copied, say: the sign of life is gone, and the heartbeat is an hour old.
    for lock in (tmp_path / "processes").glob("*.lock"):
        lock.unlink()
    sweeper = await SqliteStorage.open(tmp_path, clock=lambda: time.time_ns() // 1000 + HOUR_US)
    event = usage_event(order, 25)
    with pytest.raises(TesseraError) as caught:
        await storage.settle(event)
    assert caught.value.code is ErrorCode.INTERNAL_ERROR
    with pytest.raises(TesseraError):
        await storage.settle(event)
    found = await sweeper.reconciliation()
    assert [(row.request_id, row.state, row.charge_nanos, row.cost_nanos) for row in found.refused_settlements] == [
        (order.id, "expired", 25, 3)
    ], "once, however often it arrives"
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos, balance.spent_nanos) == (100, 0, 0)
    assert faults(await storage.verify()) == {}
    await sweeper.close()
    await storage.close()
    shown = json.loads(tessera("reconcile", "--json", "--data", str(tmp_path)).stdout)
    assert shown["refused_settlements"][0]["reason"] == "its hold is already expired"
    assert order.id in tessera("reconcile", "--data", str(tmp_path)).stdout


async def test_a_settlement_that_does_not_fit_gives_its_hold_back_and_is_listed(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100)
    order = hold_order(organization, 60, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    with pytest.raises(TesseraError):
        await storage.settle(usage_event(order, 61))
    await storage._writer_call(storage._committer.retry)
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos) == (100, 0), "not held for as long as the process lives"
    found = (await storage.reconciliation()).refused_settlements
    assert [(row.request_id, row.state, row.reason) for row in found] == [
        (order.id, "expired", "it does not fit its hold")
    ]
    assert faults(await storage.verify()) == {}
    await storage.close()


async def test_a_whole_ledger_has_nothing_to_reconcile(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100)
    order = hold_order(organization, 60, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    await storage.settle(usage_event(order, 25))
    found = await storage.reconciliation()
    assert (found.refused_settlements, found.quarantined_usage) == ((), ())
    await storage.close()
