"""Any number of replicas on one PostgreSQL: money stays exact, nobody waits for ever, everybody hears of changes."""

import asyncio
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import psycopg
import pytest

from faults.storage.postgres.conftest import Replica, deadlocks
from ledger_calls import eventually, funded, hold_order, release, usage_event
from tessera.adapters.storage.postgres import PostgresMachine, PostgresStorage
from tessera.adapters.storage.postgres.books import PostgresBooks
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.orders import HoldGrant
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio
MACHINES = [PostgresMachine(), PostgresMachine(undisturbed_min=0)]
"""As in production; and one that always believes that it is alone."""


@pytest.mark.parametrize("machine", MACHINES)
async def test_f26_two_replicas_with_a_thousand_holds_each_grant_the_five_hundred_there_is_money_for(
    replica: Replica, database_url: str, machine: PostgresMachine
) -> None:
    one, two = await replica(machine=machine), await replica(machine=machine)
    organization = await funded(one, 500 * 1_000 + 999)
    orders = [(storage, hold_order(organization, 1_000, mode=Mode.LIVE)) for storage in (one, two) * 1000]
    answers = await asyncio.gather(*(storage.hold(order) for storage, order in orders), return_exceptions=True)
    assert sum(isinstance(answer, HoldGrant) for answer in answers) == 500
    codes = {answer.code for answer in answers if isinstance(answer, TesseraError)}
    assert codes == {ErrorCode.BALANCE_RESERVED}
    balance = await two.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos) == (999, 500_000)
    assert deadlocks(database_url) == 0


@pytest.mark.parametrize("machine", MACHINES)
async def test_replicas_that_touch_many_wallets_in_any_order_never_deadlock(
    replica: Replica, database_url: str, machine: PostgresMachine
) -> None:
    replicas = [await replica(machine=machine), await replica(machine=machine), await replica()]
    organizations = [await funded(replicas[0], 10_000) for _ in range(12)]

    async def caller(storage: PostgresStorage, number: int) -> None:
        for step in range(15):
            order = hold_order(organizations[(number * 7 + step * 5) % 12], 10, mode=Mode.LIVE, owner=storage.owner)
            await storage.hold(order)
            await storage.settle(usage_event(order, step % 10))

    await asyncio.gather(*(caller(storage, number) for storage in replicas for number in range(12)))
    held = [(await replicas[1].balance(organization, Mode.LIVE)).held_nanos for organization in organizations]
    assert held == [0] * 12
    assert deadlocks(database_url) == 0


async def test_a_call_may_be_settled_by_another_replica_and_only_once(replica: Replica) -> None:
    one, two = await replica(), await replica()
    organization = await funded(one, 1000)
    orders = [hold_order(organization, 10, mode=Mode.LIVE, owner=one.owner) for _ in range(30)]
    await asyncio.gather(*(one.hold(order) for order in orders))
    answers = await asyncio.gather(
        *(storage.settle(usage_event(order, charge)) for order in orders for charge, storage in ((3, one), (4, two))),
        return_exceptions=True,
    )
    assert sum(answer is None for answer in answers) == 30
    refusals = {answer.code for answer in answers if isinstance(answer, TesseraError)}
    assert refusals == {ErrorCode.INTERNAL_ERROR}
    balance = await two.balance(organization, Mode.LIVE)
    assert balance.held_nanos == 0
    assert 30 * 3 <= balance.spent_nanos <= 30 * 4
    assert balance.available_nanos == 1000 - balance.spent_nanos


async def test_an_idempotency_key_runs_once_over_all_replicas(replica: Replica) -> None:
    replicas = [await replica() for _ in range(3)]
    organization = await funded(replicas[0], 10_000)
    answers = await asyncio.gather(
        *(
            storage.hold(hold_order(organization, 40, mode=Mode.LIVE, idempotency_key="once"))
            for storage in replicas * 20
        ),
        return_exceptions=True,
    )
    assert [answer for answer in answers if isinstance(answer, HoldGrant)] == [HoldGrant(granted_nanos=40)]
    codes = {answer.code for answer in answers if isinstance(answer, TesseraError)}
    assert codes == {ErrorCode.IDEMPOTENCY_IN_PROGRESS}


@pytest.mark.parametrize("deaf", [False, True])
async def test_f28_a_revoked_key_is_refused_by_every_replica_within_five_seconds(
    replica: Replica, monkeypatch: pytest.MonkeyPatch, deaf: bool
) -> None:
    """Also by one behind a pooler that swallows notifications, which then reads the revision."""
    if deaf:
        monkeypatch.setattr("tessera.adapters.storage.postgres.committer.CHANNEL", "somewhere_else")
    one, two = await replica(), await replica()
    organization = await funded(one, 0)
    key = await one.create_key(
        organization, project="default", mode=Mode.LIVE, name="k", digest=b"d" * 32, display="sk"
    )
    assert await two.find_caller(b"d" * 32) is not None
    await one.revoke_key(key.id)
    started = time.monotonic()

    async def refused() -> bool:
        return await two.find_caller(b"d" * 32) is None

    await eventually(refused)
    assert time.monotonic() - started < 5


async def test_a_suspension_and_credit_by_another_replica_count_at_once(replica: Replica) -> None:
    one, two = await replica(), await replica()
    organization = await funded(one, 10)
    await two.hold(hold_order(organization, 10, mode=Mode.LIVE, owner=two.owner))
    await one.add_credit(organization, Mode.LIVE, 5, kind="manual", note="")
    await two.hold(hold_order(organization, 5, mode=Mode.LIVE, owner=two.owner))
    await one.suspend_organization(organization)
    with pytest.raises(TesseraError) as caught:
        await two.hold(hold_order(organization, 0, mode=Mode.LIVE, owner=two.owner))
    assert caught.value.code is ErrorCode.ORGANIZATION_SUSPENDED
    await one.resume_organization(organization)
    await two.hold(hold_order(organization, 0, mode=Mode.LIVE, owner=two.owner))


async def test_a_wallet_is_decided_on_under_its_lock(replica: Replica, database_url: str) -> None:
    """T8: what is emitted really locks: somebody else's lock makes the hold wait, and what they wrote is seen."""
    storage = await replica()
    organization = await funded(storage, 100)
    await storage.hold(hold_order(organization, 10, mode=Mode.LIVE, owner=storage.owner))
    with psycopg.connect(database_url) as other:
        other.execute("SELECT 1 FROM wallet WHERE organization_id = %s FOR UPDATE", (organization,))
        other.execute("UPDATE organization SET suspended = 1 WHERE id = %s", (organization,))
        waiting = asyncio.ensure_future(storage.hold(hold_order(organization, 10, mode=Mode.LIVE)))
        await asyncio.sleep(0.3)
        assert not waiting.done()
        other.commit()
    with pytest.raises(TesseraError) as caught:
        await waiting
    assert caught.value.code is ErrorCode.ORGANIZATION_SUSPENDED


async def test_two_replicas_share_secrets_or_do_not_start(replica: Replica, database_url: str, tmp_path: Path) -> None:
    one, two = await replica(), await replica()
    assert one.secrets == two.secrets
    for folder in (tmp_path / "none", tmp_path / "others"):
        if folder.name == "others":
            folder.mkdir()
            for name in ("pepper", "checkpoint-key"):
                (folder / name).write_bytes(bytes(32))
        with pytest.raises(TesseraError) as caught:
            await PostgresStorage.connect(database_url, tmp_path / "stranger", secrets_dir=folder)
        assert caught.value.code is ErrorCode.INVALID_REQUEST
        assert "checkpoint-key" in caught.value.message
    assert not (tmp_path / "none").exists()


async def test_f21_holds_of_a_replica_that_shows_no_life_are_given_back_after_its_lease(replica: Replica) -> None:
    now = [1000.0]
    dead = await replica()
    organization = await funded(dead, 100)
    order = hold_order(organization, 60, mode=Mode.LIVE, owner=dead.owner)
    await dead.hold(order)
    watcher = await replica(monotonic=lambda: now[0])
    other = await replica(monotonic=lambda: now[0])
    for _ in range(6):
        await watcher.sweep()
        now[0] += 9
    assert (await watcher.balance(organization, Mode.LIVE)).held_nanos == 60, "its lease is not over"
    await dead.sweep()
    for _ in range(5):
        await watcher.sweep()
        await other.sweep()
        now[0] += 9
    assert (await watcher.balance(organization, Mode.LIVE)).held_nanos == 60, "it had shown life"
    now[0] += 40
    await watcher.sweep()
    assert (await watcher.balance(organization, Mode.LIVE)).held_nanos == 60, "the watcher itself was away"
    for _ in range(8):
        await asyncio.gather(watcher.sweep(), other.sweep())
        now[0] += 9
    record = await watcher.find_request(organization, Mode.LIVE, order.id)
    assert record is not None
    assert record.state == "expired"
    assert (await watcher.balance(organization, Mode.LIVE)).available_nanos == 100
    with pytest.raises(TesseraError):
        await dead.settle(release(order))


async def test_f21_a_replica_that_slept_longer_than_its_lease_charges_nothing_twice_and_loses_nothing(
    replica: Replica,
) -> None:
    """Stopped between hold and settle, its call was repeated elsewhere meanwhile; what it has to say is kept."""
    now = [1000.0]
    sleeper, watcher = await replica(), await replica(monotonic=lambda: now[0])
    organization = await funded(sleeper, 100)
    keyed = {"mode": Mode.LIVE, "idempotency_key": "key-1"}
    asleep, beside = [
        hold_order(organization, 30, owner=sleeper.owner, **more) for more in (keyed, {"mode": Mode.LIVE})
    ]
    for order in (asleep, beside):
        await sleeper.hold(order)
    for _ in range(8):
        await watcher.sweep()
        now[0] += 9
    await watcher.sweep()
    assert (await watcher.balance(organization, Mode.LIVE)).available_nanos == 100
    again = hold_order(organization, 30, owner=watcher.owner, **keyed)
    await watcher.hold(again)
    await watcher.settle(usage_event(again, 20))
    # It goes on: both settlements in one group, with a new hold behind them.
    new = hold_order(organization, 80, owner=sleeper.owner, mode=Mode.LIVE)
    late = [usage_event(asleep, 25), usage_event(beside, 11)]
    answers = await asyncio.gather(*map(sleeper.settle, late), sleeper.hold(new), return_exceptions=True)
    assert [answer.code for answer in answers[:2] if isinstance(answer, TesseraError)] == [ErrorCode.INTERNAL_ERROR] * 2
    assert isinstance(answers[2], HoldGrant)
    with pytest.raises(TesseraError):
        await sleeper.settle(late[0])
    await sleeper.sweep()
    await sleeper.settle(usage_event(new, 5))
    balance = await watcher.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos, balance.spent_nanos) == (75, 0, 25)
    kept = (await watcher.reconciliation()).refused_settlements
    assert sorted((one.request_id, one.charge_nanos) for one in kept) == sorted([(asleep.id, 25), (beside.id, 11)])


async def test_a_sweep_locks_wallets_in_the_order_in_which_groups_of_calls_do(
    replica: Replica, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise both wait for each other, until the server ends one after a second."""
    now_us = [time.time_ns() // 1000]
    storage = await replica(clock=lambda: now_us[0])
    until = now_us[0] // 1_000_000 + 60
    for _ in range(30):
        organization = await funded(storage, 0)
        await storage.add_credit(organization, Mode.LIVE, 10, kind="promotion", note="", expires_at=until)
    now_us[0] += 61_000_000
    locked: list[int] = []
    lock = PostgresBooks.lock

    def noted(books: PostgresBooks, connection: Any, wallets: Iterable[tuple[str, str]]) -> None:
        wallets = list(wallets)
        locked.extend(books._ids[wallet] for wallet in wallets)
        lock(books, connection, wallets)

    monkeypatch.setattr(PostgresBooks, "lock", noted)
    await storage.sweep()
    assert len(locked) == 30
    assert locked == sorted(locked)
