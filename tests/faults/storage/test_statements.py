"""T8: what is emitted really locks and is conditional; nothing from a caller is part of a statement (T16)."""

import sqlite3
from pathlib import Path

import pytest

from ledger_calls import database, funded, hold_order, usage_event
from tessera.adapters.storage.sqlite import SqliteMachine, SqliteStorage
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio

EMITTED: list[str] = []


class Tracing(sqlite3.Connection):
    """A real connection that also writes down its statements, as they were before values were bound."""

    def execute(self, sql: str, parameters=(), /):  # type: ignore[no-untyped-def, override]
        EMITTED.append(" ".join(sql.split()))
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters, /):  # type: ignore[no-untyped-def, override]
        EMITTED.append(" ".join(sql.split()))
        return super().executemany(sql, parameters)


async def test_t8_money_is_written_under_a_lock_and_only_to_rows_as_they_were_read(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path, machine=SqliteMachine(connection=Tracing))
    organization = await funded(storage, 100)
    EMITTED.clear()
    order = hold_order(organization, 10, mode=Mode.LIVE, owner=storage.owner, model="'; DROP TABLE hold; --")
    await storage.hold(order)
    await storage.settle(usage_event(order, 5))
    await storage.close()
    writes = [at for at, sql in enumerate(EMITTED) if sql.startswith(("INSERT", "UPDATE", "DELETE"))]
    for at in writes:
        boundaries = [sql for sql in EMITTED[:at] if sql.startswith(("BEGIN", "COMMIT", "ROLLBACK"))]
        assert boundaries[-1] == "BEGIN IMMEDIATE", EMITTED[at]
    wallets = {sql for sql in EMITTED if sql.startswith("UPDATE wallet")}
    assert len(wallets) == 1
    assert wallets.pop().endswith("WHERE id = ? AND chain_seq = ?")
    holds = {sql for sql in EMITTED if sql.startswith("UPDATE hold")}
    assert holds == {
        "UPDATE hold SET state = ?, charge_nanos = ? WHERE number = ? AND state = 'open' AND amount_nanos = ?"
    }
    assert not any(word in sql for sql in EMITTED for word in ("DROP", organization, order.id))


async def test_a_wallet_that_changed_under_the_writer_is_decided_again(tmp_path: Path) -> None:
    """The condition fires even if the cache were stale: the group is rolled back and decided from what is there."""
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100)
    order = hold_order(organization, 10, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    other = await SqliteStorage.open(tmp_path)
    await other.add_credit(organization, Mode.LIVE, 7, kind="manual", note="")
    storage._committer.books._data_version = (  # the injector: this process missed the other's commit
        storage._committer.connection().execute("PRAGMA data_version").fetchone()[0]
    )
    await storage.settle(usage_event(order, 5))
    assert (await storage.balance(organization, Mode.LIVE)).available_nanos == 102
    await other.close()
    await storage.close()


async def test_every_commit_is_flushed(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    writer = storage._committer.connection()
    assert writer.execute("PRAGMA synchronous").fetchone() == (2,)
    assert writer.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    assert writer.execute("PRAGMA foreign_keys").fetchone() == (1,)
    await storage.close()
    assert sqlite3.connect(database(tmp_path)).execute("PRAGMA journal_mode").fetchone() == ("wal",)


async def test_a_closed_storage_is_not_ready_and_says_so(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path)
    assert await storage.ready()
    await storage.close()
    await storage.close()
    assert not await storage.ready()
