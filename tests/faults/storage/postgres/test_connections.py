"""F16–F18 on PostgreSQL: lost connections, lost answers, a server that is away."""

import asyncio
import os
import signal
from pathlib import Path

import psycopg
import pytest

from faults.storage.postgres.conftest import Replica, deadlocks
from ledger_calls import eventually, faults, funded, hold_order, usage_event
from postgres_server import fresh_database, running_postgres
from tcp_proxy import TcpProxy
from tessera.adapters.storage.postgres import PostgresStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.orders import HoldGrant
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio


def loses_answer(proxy: TcpProxy, *words: bytes) -> None:
    """From now on, the first message with one of the words is carried out and its answer is lost."""
    done = []

    def watch(piece: bytes) -> bool:
        if not done and any(word in piece for word in words):
            done.append(True)
            return False
        return True

    proxy.watch = watch


async def test_f18_a_hold_whose_commit_was_not_answered_is_found_by_its_id(
    replica: Replica, proxy: TcpProxy, proxied: str
) -> None:
    storage = await replica(url=proxied)
    organization = await funded(storage, 100)
    orders = [hold_order(organization, 10, mode=Mode.LIVE, owner=storage.owner) for _ in range(5)]
    loses_answer(proxy, b"COMMIT\0")
    answers = await asyncio.gather(*(storage.hold(order) for order in orders))
    assert proxy.cuts == 1, "the injector fired"
    assert answers == [HoldGrant(granted_nanos=10)] * 5
    assert (await storage.balance(organization, Mode.LIVE)).held_nanos == 50
    loses_answer(proxy, b"COMMIT\0")
    await asyncio.gather(*(storage.settle(usage_event(order, 3)) for order in orders))
    assert proxy.cuts == 2
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos, balance.spent_nanos) == (85, 0, 15)


async def test_f18_credit_whose_commit_was_not_answered_is_there_once(
    replica: Replica, proxy: TcpProxy, proxied: str
) -> None:
    storage = await replica(url=proxied)
    organization = await funded(storage, 0)
    loses_answer(proxy, b"COMMIT\0")
    lot = await storage.add_credit(organization, Mode.LIVE, 7, kind="manual", note="")
    assert proxy.cuts == 1
    assert (await storage.balance(organization, Mode.LIVE)).lots == (lot,)


@pytest.mark.parametrize("word", [b"lock_wallets", b"WITH part0", b"BEGIN"])
async def test_a_connection_lost_anywhere_before_the_commit_is_made_again(
    replica: Replica, proxy: TcpProxy, proxied: str, word: bytes
) -> None:
    storage = await replica(url=proxied)
    organization = await funded(storage, 100)
    loses_answer(proxy, word)
    order = hold_order(organization, 10, mode=Mode.LIVE, owner=storage.owner)
    assert await storage.hold(order) == HoldGrant(granted_nanos=10)
    assert proxy.cuts == 1
    await storage.settle(usage_event(order, 10))


async def test_the_nth_message_fails_for_every_n_until_all_goes_well(
    replica: Replica, proxy: TcpProxy, proxied: str
) -> None:
    """Hold and settle with the connection cut at message 1, 2, 3, … to the server, before or after it was done."""
    storage = await replica(url=proxied)
    organization = await funded(storage, 10**6)
    for n in range(1, 40):
        count = [0]

        def watch(_: bytes, n: int = n, count: list[int] = count) -> bool:
            count[0] += 1
            return count[0] != n

        proxy.watch = watch
        before = proxy.cuts
        order = hold_order(organization, 10, mode=Mode.LIVE, owner=storage.owner)
        assert (await storage.hold(order)).granted_nanos == 10
        await storage.settle(usage_event(order, 1))
        balance = await storage.balance(organization, Mode.LIVE)
        assert (balance.held_nanos, balance.spent_nanos) == (0, n), n
        if proxy.cuts == before:
            break
    else:
        raise AssertionError("it never went well")
    assert proxy.cuts >= 4, "the injector fired"


async def test_a_deadlock_with_somebody_else_is_decided_again(replica: Replica, database_url: str) -> None:
    storage = await replica()
    first, second = [await funded(storage, 100) for _ in range(2)]
    find = "SELECT 1 FROM wallet WHERE organization_id = %s AND mode = 'live' FOR UPDATE"
    with psycopg.connect(database_url) as other:
        other.execute("SET deadlock_timeout = '10s'")
        other.execute(find, (second,))
        waiting = asyncio.gather(
            *(storage.hold(hold_order(owner, 10, mode=Mode.LIVE)) for owner in (first, second)), return_exceptions=True
        )
        await asyncio.sleep(0.3)
        await asyncio.to_thread(other.execute, find, (first,))
        other.commit()
    assert await waiting == [HoldGrant(granted_nanos=10)] * 2
    assert deadlocks(database_url) == 1, "the injector fired"


async def test_f16_a_server_that_is_frozen_keeps_no_call_waiting_and_no_hold(
    replica: Replica, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a disk that stalls: connections stay, and nobody answers."""
    monkeypatch.setattr("tessera.adapters.storage.ledger.connected.ANSWER_SECONDS_MAX", 0.3)
    storage = await replica()
    organization = await funded(storage, 100)
    with psycopg.connect(database_url, autocommit=True) as watching:
        others = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
        frozen = [int(row[0]) for row in watching.execute(others)]
    for pid in frozen:
        os.kill(pid, signal.SIGSTOP)
    try:
        order = hold_order(organization, 60, mode=Mode.LIVE, owner=storage.owner)
        waiting = (storage.hold(order), storage.find_caller(b"d" * 32))
        answers = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 5)
    finally:
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)
    codes = [answer.code if isinstance(answer, TesseraError) else answer for answer in answers]
    assert codes[0] is ErrorCode.STORAGE_UNAVAILABLE
    assert codes[1] in (ErrorCode.STORAGE_UNAVAILABLE, None), "a reader may have had no connection yet"

    async def given_back() -> bool:
        record = await storage.find_request(organization, Mode.LIVE, order.id)
        return record is not None and record.state == "released"

    await eventually(given_back)
    assert (await storage.balance(organization, Mode.LIVE)).available_nanos == 100


async def test_f16_f17_a_server_that_is_away_refuses_holds_and_loses_no_settlement(tmp_path: Path) -> None:
    with running_postgres() as server, fresh_database(server) as url:
        storage = await PostgresStorage.connect(url, tmp_path)
        organization = await funded(storage, 100)
        order = hold_order(organization, 60, mode=Mode.LIVE, owner=storage.owner)
        await storage.hold(order)
        server.stop()
        with pytest.raises(TesseraError) as caught:
            await storage.hold(hold_order(organization, 10, mode=Mode.LIVE, owner=storage.owner))
        assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
        assert caught.value.retry_after_s is not None
        assert not await storage.ready()
        await storage.settle(usage_event(order, 25))
        assert list((tmp_path / "outbox").glob("*.jsonl")) != []
        server.start()

        async def settled() -> bool:
            try:
                return (await storage.balance(organization, Mode.LIVE)).spent_nanos == 25
            except TesseraError:
                return False

        await eventually(settled)
        assert await storage.ready()
        balance = await storage.balance(organization, Mode.LIVE)
        assert (balance.available_nanos, balance.held_nanos) == (75, 0)
        assert list((tmp_path / "outbox").glob("*.jsonl")) == []
        assert faults(await storage.verify()) == {}
        await storage.close()


async def test_f17_an_outbox_left_by_a_process_that_ended_is_settled_by_the_next_in_its_folder(tmp_path: Path) -> None:
    with running_postgres() as server, fresh_database(server) as url:
        storage = await PostgresStorage.connect(url, tmp_path)
        organization = await funded(storage, 100)
        orders = [hold_order(organization, 20, mode=Mode.LIVE, owner=storage.owner) for _ in range(3)]
        for order in orders:
            await storage.hold(order)
        server.stop()
        await storage.settle(usage_event(orders[0], 5))
        await storage.close()
        server.start()
        again = await PostgresStorage.connect(url, tmp_path)
        balance = await again.balance(organization, Mode.LIVE)
        assert (balance.available_nanos, balance.held_nanos, balance.spent_nanos) == (95, 0, 5)
        assert faults(await again.verify()) == {}
        await again.close()
