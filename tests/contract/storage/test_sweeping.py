"""A sweep does a bounded part of what there is to do, because calls wait for it; the next one goes on."""

import time
from pathlib import Path

import pytest

from contract.storage.conftest import Clock, Opener
from ledger_calls import funded, hold_order, stored_reply, usage_event
from tessera.adapters.storage.ledger import sweep
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.ledger.idempotency import KEY_RETENTION_US
from tessera.domain.ledger.orders import HoldGrant
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio
HOUR_US = 3_600_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock(time.time_ns() // 1000)


@pytest.fixture
async def ledger(opener: Opener, tmp_path: Path, clock: Clock) -> LedgerStorage:
    return await opener(tmp_path, clock=clock)


async def whole(ledger: LedgerStorage) -> bool:
    checks = await ledger.verify()
    await ledger.close()
    return all(check.ok for check in checks)


async def test_credit_of_many_wallets_expires_in_as_many_sweeps_as_it_takes(
    ledger: LedgerStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_WALLETS_A_SWEEP", 2)
    organizations = [await funded(ledger, 0) for _ in range(5)]
    until = (clock.now_us + HOUR_US) // 1_000_000
    for one in organizations:
        await ledger.add_credit(one, Mode.LIVE, 100, kind="promotion", note="", expires_at=until)
    clock.now_us += 2 * HOUR_US
    left = []
    for _ in range(4):
        await ledger.sweep()
        left.append(sum([(await ledger.balance(one, Mode.LIVE)).available_nanos for one in organizations]))
    assert left == [300, 100, 0, 0]
    assert await whole(ledger)


async def test_old_idempotency_keys_are_forgotten_in_as_many_sweeps_as_it_takes(
    ledger: LedgerStorage, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sweep, "_ROWS_A_SWEEP", 2)
    organization = await funded(ledger, 1000)
    said: dict[str, object] = {"mode": Mode.LIVE, "owner": ledger.owner}
    for number in range(5):
        order = hold_order(organization, 10, **said, idempotency_key=f"key {number}", placed_at_us=clock.now_us)
        await ledger.hold(order)
        await ledger.settle(usage_event(order, 1, reply=stored_reply(order, 1)))
    running = hold_order(organization, 10, **said, idempotency_key="runs on", placed_at_us=clock.now_us - HOUR_US)
    await ledger.hold(running)
    clock.now_us += KEY_RETENTION_US + HOUR_US
    left = []
    for _ in range(4):
        await ledger.sweep()
        left.append(await ledger._read(lambda read: read.execute("SELECT count(*) FROM idempotency").fetchone()[0]))
    assert left == [4, 2, 1, 1], "the key of a call that runs is kept, and keeps no other"
    again = hold_order(organization, 10, **said, idempotency_key="key 0", placed_at_us=clock.now_us)
    assert await ledger.hold(again) == HoldGrant(granted_nanos=10)
    assert await whole(ledger)
