"""F16–F20: the database cannot be reached: holds are refused, settlements wait in the outbox and are settled once."""

import asyncio
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import structlog

from ledger_calls import database, eventually, faults, funded, hold_order, usage_event
from tessera.adapters.storage.ledger.outbox import Outbox, read_outbox
from tessera.adapters.storage.sqlite import SqliteMachine, SqliteStorage, connection
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(connection, "BUSY_TIMEOUT_S", 0.05)


class Unanswering(sqlite3.Connection):
    """A real connection that commits and says that it failed, as often as it is told to."""

    commits = 0

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        found = super().execute(sql, parameters)
        if sql == "COMMIT" and Unanswering.commits:
            Unanswering.commits -= 1
            raise sqlite3.OperationalError("disk I/O error")
        return found


@contextmanager
def locked(data_dir: Path) -> Iterator[None]:
    """Another program holds the write lock of the file, longer than the ledger waits."""
    other = sqlite3.connect(database(data_dir), isolation_level=None, check_same_thread=False)
    for _ in range(1000):
        try:
            other.execute("BEGIN IMMEDIATE")
            break
        except sqlite3.OperationalError:
            continue
    assert other.in_transaction, "the injector fired"
    try:
        yield
    finally:
        other.execute("ROLLBACK")
        other.close()


async def test_f19_a_locked_database_refuses_holds_and_comes_back(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100)
    with locked(tmp_path):
        with pytest.raises(TesseraError) as caught:
            await storage.hold(hold_order(organization, 60, mode=Mode.LIVE, owner=storage.owner))
        assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
        assert caught.value.retry_after_s is not None
        assert not await storage.ready()
        assert (await storage.balance(organization, Mode.LIVE)).available_nanos == 100, "reads go on"
    assert await storage.ready()
    order = hold_order(organization, 100, mode=Mode.LIVE, owner=storage.owner)
    assert (await storage.hold(order)).granted_nanos == 100
    await storage.settle(usage_event(order, 1))
    assert faults(await storage.verify()) == {}
    await storage.close()


async def test_f17_a_settlement_waits_in_the_outbox_and_is_settled_once(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100)
    order = hold_order(organization, 60, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    with locked(tmp_path):
        await storage.settle(usage_event(order, 25))
        record = await storage.find_request(organization, Mode.LIVE, order.id)
        assert record is not None
        assert record.state == "settling"
        assert (await storage.balance(organization, Mode.LIVE)).held_nanos == 60

    async def settled() -> bool:
        return (await storage.balance(organization, Mode.LIVE)).spent_nanos == 25

    await eventually(settled)
    await storage.settle(usage_event(order, 25))
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos, balance.spent_nanos) == (75, 0, 25)
    assert list((tmp_path / "outbox").glob("*.jsonl")) == []
    assert faults(await storage.verify()) == {}
    await storage.close()


async def test_f17_an_outbox_left_by_a_process_that_ended_is_settled_at_the_next_start(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100)
    orders = [hold_order(organization, 20, mode=Mode.LIVE, owner=storage.owner) for _ in range(4)]
    for order in orders:
        await storage.hold(order)
    with locked(tmp_path):
        await asyncio.gather(*(storage.settle(usage_event(order, 5)) for order in orders[:3]))
        await storage.close()
    box = next((tmp_path / "outbox").glob("*.jsonl"))
    with box.open("ab") as file:
        file.write(b'{"hold_id":"torn')
    again = await SqliteStorage.open(tmp_path)
    balance = await again.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos, balance.spent_nanos) == (85, 0, 15)
    record = await again.find_request(organization, Mode.LIVE, orders[3].id)
    assert record is not None
    assert record.state == "expired", "usage known: settled; unknown: released and recorded"
    assert not box.exists()
    assert faults(await again.verify()) == {}
    await again.close()


async def test_f18_a_hold_refused_while_the_database_failed_is_not_left_behind(tmp_path: Path) -> None:
    """The commit's answer is unknown to the caller; if it happened after all, the hold is voided."""
    storage = await SqliteStorage.open(tmp_path, machine=SqliteMachine(connection=Unanswering))
    organization = await funded(storage, 100)
    order = hold_order(organization, 60, mode=Mode.LIVE, owner=storage.owner)
    Unanswering.commits = 1
    with pytest.raises(TesseraError):
        await storage.hold(order)
    assert Unanswering.commits == 0, "the injector fired"

    async def voided() -> bool:
        record = await storage.find_request(organization, Mode.LIVE, order.id)
        return record is not None and record.state == "released"

    await eventually(voided)
    assert faults(await storage.verify()) == {}
    await storage.close()


async def test_f16_holds_that_an_outage_refuses_are_not_remembered(tmp_path: Path) -> None:
    """Nothing of them was written: to remember each would fill memory for as long as the outage lasts."""
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100_000)
    orders = [hold_order(organization, 1, mode=Mode.LIVE, owner=storage.owner) for _ in range(200)]
    with locked(tmp_path):
        answers = await asyncio.gather(*map(storage.hold, orders), return_exceptions=True)
        assert {error.code for error in answers if isinstance(error, TesseraError)} == {ErrorCode.STORAGE_UNAVAILABLE}
        assert storage._committer._doubtful == []
    assert (await storage.hold(orders[0])).granted_nanos == 1
    assert faults(await storage.verify()) == {}
    await storage.close()


async def test_f16_an_outage_is_logged_once_and_not_for_every_refusal(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100)
    with locked(tmp_path), structlog.testing.capture_logs() as logged:
        for _ in range(3):
            with pytest.raises(TesseraError):
                await storage.hold(hold_order(organization, 10, mode=Mode.LIVE, owner=storage.owner))
    said = [(line["event"], line["orders"]) for line in logged if line["event"] == "ledger.unavailable"]
    assert said == [("ledger.unavailable", 1)]
    await storage.close()


async def test_a_half_written_line_spoils_no_other(tmp_path: Path) -> None:
    box = Outbox(tmp_path, "prc_1")
    box.prepare()
    first, second = (usage_event(hold_order("org_1", 10), charge) for charge in (1, 2))
    box.add([first])
    with box.path.open("ab") as file:
        file.write(b'{"half":')
    box.add([second])
    assert read_outbox(box.path) == ([first, second], [b'{"half":'])
    assert (box.path.stat().st_mode & 0o777, (tmp_path / "outbox").stat().st_mode & 0o777) == (0o600, 0o700)


async def test_a_line_that_cannot_be_read_is_kept_for_the_operator_when_the_rest_is_settled(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100)
    order = hold_order(organization, 10, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    box = Outbox(tmp_path, storage.owner)
    box.add([usage_event(order, 7)])
    with box.path.open("ab") as file:
        file.write(b'{"hold_id":"h\xff"}\n')
    await storage.close()
    storage = await SqliteStorage.open(tmp_path)
    assert (await storage.balance(organization, Mode.LIVE)).available_nanos == 93
    assert not box.path.exists()
    unread = tmp_path / "outbox" / "unread.txt"
    assert (unread.read_bytes(), unread.stat().st_mode & 0o777) == (b'{"hold_id":"h\xff"}\n', 0o600)
    await storage.close()


FULL_DISK = """
import asyncio, resource, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from ledger_calls import faults, hold_order, usage_event
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.errors import TesseraError
from tessera.domain.money import Mode

async def main():
    folder = Path(sys.argv[1])
    storage = await SqliteStorage.open(folder)
    orders = [hold_order(sys.argv[2], 10, mode=Mode.LIVE, owner=storage.owner) for _ in range(20)]
    for order in orders:
        await storage.hold(order)
    size = (folder / "tessera.db-wal").stat().st_size
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))
    refused = 0
    for _ in range(50):
        try:
            quote = b'{"note":"' + b"q" * 9000 + b'"}'
            await storage.hold(hold_order(sys.argv[2], 10, mode=Mode.LIVE, owner=storage.owner, quote=quote))
        except TesseraError as error:
            assert error.code == "storage_unavailable", error
            refused += 1
    assert refused > 0, "the injector fired"
    for order in orders:
        await storage.settle(usage_event(order, 3))
    await storage.balance(sys.argv[2], Mode.LIVE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    for _ in range(2000):
        if (await storage.balance(sys.argv[2], Mode.LIVE)).spent_nanos == 60:
            break
        await asyncio.sleep(0.005)
    assert (await storage.balance(sys.argv[2], Mode.LIVE)).spent_nanos == 60
    await storage.close()
    print("refused", refused)

asyncio.run(main())
"""


async def test_f20_a_disk_that_takes_no_more_refuses_holds_and_loses_no_settlement(tmp_path: Path) -> None:
    """The limit on file size stands in for a full disk: the database cannot grow, small files still can be written."""
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100_000)
    await storage.close()
    done = subprocess.run(  # noqa: ASYNC221
        [sys.executable, "-c", FULL_DISK, str(tmp_path), organization, str(Path(__file__).parents[2])],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    storage = await SqliteStorage.open(tmp_path)
    assert faults(await storage.verify()) == {}
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.held_nanos, balance.spent_nanos) == (0, 60)
    await storage.close()
