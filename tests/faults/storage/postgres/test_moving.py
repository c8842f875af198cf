"""A ledger moves between the engines whole: to the nano, with its chain, keys and secrets, or not at all."""

import asyncio
import json
import sqlite3
import subprocess
import sys
from pathlib import Path

import psycopg
import pytest

from faults.storage.postgres.conftest import Replica
from ledger_calls import database, faults, funded, hold_order, usage_event
from lived_in_ledger import lived_in, picture
from postgres_server import PostgresServer, fresh_database
from servers import tessera
from tcp_proxy import TcpProxy
from tessera.adapters.storage.postgres import PostgresStorage
from tessera.adapters.storage.sqlite import SqliteStorage, restore
from tessera.bootstrap.ledgers import move_ledger
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio


@pytest.fixture
def database_url(empty_database_url: str) -> str:
    """Here a database begins with nothing in it."""
    return empty_database_url


async def test_a_ledger_moves_to_postgresql_and_goes_on(tmp_path: Path, database_url: str) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organizations = await lived_in(storage)
    before = await picture(storage, organizations)
    await storage.close()
    done = tessera("migrate", "--from", str(tmp_path), "--to", database_url, "--json")
    assert json.loads(done.stdout)["moved"] is True
    assert not database(tmp_path).exists()
    moved = await PostgresStorage.connect(database_url, tmp_path)
    assert await picture(moved, organizations) == before
    order = hold_order(organizations[0], 1000, mode=Mode.LIVE, owner=moved.owner)
    await moved.hold(order)
    await moved.settle(usage_event(order, 1))
    assert (await moved.create_organization("after the move")).name == "after the move"
    assert faults(await moved.verify()) == {}
    await moved.close()


async def test_a_backup_of_postgresql_is_restored_to_either_engine(
    replica: Replica, postgres: PostgresServer, tmp_path: Path
) -> None:
    storage = await replica()
    organizations = await lived_in(storage)
    before = await picture(storage, organizations)
    archive = tmp_path / "backup.tar"
    await storage.backup(archive)
    with pytest.raises(TesseraError):
        await storage.backup(archive)
    assert archive.stat().st_mode & 0o777 == 0o600
    assert faults(restore(archive, tmp_path / "embedded")) == {}
    embedded = await SqliteStorage.open(tmp_path / "embedded")
    assert await picture(embedded, organizations) == before
    assert faults(await embedded.verify()) == {}
    await embedded.close()
    with fresh_database(postgres) as url:
        tessera("restore", str(archive), "--data", str(tmp_path / "again"), env={"TESSERA_DATABASE_URL": url})
        again = await PostgresStorage.connect(url, tmp_path / "again")
        assert await picture(again, organizations) == before
        assert faults(await again.verify()) == {}
        await again.close()


async def refused(folder: Path, url: str) -> TesseraError:
    with pytest.raises(TesseraError) as caught:
        await move_ledger(folder, url, None)
    return caught.value


async def test_a_ledger_in_use_or_a_database_that_has_one_is_refused_and_nothing_is_changed(
    tmp_path: Path, database_url: str
) -> None:
    assert (await refused(tmp_path, database_url)).code is ErrorCode.NOT_FOUND
    server = await SqliteStorage.open(tmp_path / "a")
    organization = await funded(server, 1000)
    await server.hold(hold_order(organization, 10, mode=Mode.LIVE, owner=server.owner))
    assert "running" in (await refused(tmp_path / "a", database_url)).message
    await server.close()
    other = await PostgresStorage.connect(database_url, tmp_path / "b")
    await other.create_organization("somebody")
    await other.close()
    assert "already" in (await refused(tmp_path / "a", database_url)).message
    again = await SqliteStorage.open(tmp_path / "a")
    assert (await again.balance(organization, Mode.LIVE)).available_nanos == 1000
    await again.close()


_CUT_OFF = """
import os, sys, time
from pathlib import Path
from tessera.adapters.storage.postgres import moving
execute = moving.PostgresConnection.execute

def cut_off(self, sql, parameters=()):
    if (sql, sys.argv[1]) == ("COMMIT", "before"):
        os._exit(9)
    done = execute(self, sql, parameters)
    if sql == "COMMIT":
        os._exit(9)
    return done

moving.PostgresConnection.execute = cut_off
moving.move_in(Path(sys.argv[2]), sys.argv[3], None, time.time_ns() // 1000)
"""


@pytest.mark.parametrize("when", ["before", "after"])
async def test_a_move_that_is_cut_off_at_its_commit_leaves_one_ledger_and_is_ended_by_the_next(
    tmp_path: Path, database_url: str, when: str
) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 1000)
    await storage.close()
    command = [sys.executable, "-c", _CUT_OFF, when, str(tmp_path), database_url]
    killed = await asyncio.to_thread(subprocess.run, command, check=False)
    assert killed.returncode == 9, "the injector fired"
    old = await SqliteStorage.open(tmp_path)
    with pytest.raises(TesseraError):
        await old.hold(hold_order(organization, 10, mode=Mode.LIVE, owner=old.owner))
    await old.close()
    tessera("migrate", "--from", str(tmp_path), "--to", database_url)
    assert not database(tmp_path).exists()
    moved = await PostgresStorage.connect(database_url, tmp_path)
    assert (await moved.balance(organization, Mode.LIVE)).available_nanos == 1000
    assert faults(await moved.verify()) == {}
    await moved.close()


async def test_a_restore_that_does_not_reach_postgresql_can_be_tried_again(tmp_path: Path, database_url: str) -> None:
    storage = await SqliteStorage.open(tmp_path / "data")
    organization = await funded(storage, 1000)
    await storage.backup(tmp_path / "backup.tar")
    await storage.close()
    command = ("restore", str(tmp_path / "backup.tar"), "--data", str(tmp_path / "restored"))
    away = {"TESSERA_DATABASE_URL": "postgresql://nobody@127.0.0.1:1/none"}
    assert tessera(*command, check=False, env=away).returncode == 1
    assert not (tmp_path / "restored").exists()
    tessera(*command, env={"TESSERA_DATABASE_URL": database_url})
    restored = await PostgresStorage.connect(database_url, tmp_path / "restored")
    assert (await restored.balance(organization, Mode.LIVE)).available_nanos == 1000
    await restored.close()


async def test_a_restore_whose_commit_in_postgresql_was_not_answered_keeps_its_folder_and_is_ended_by_a_move(
    tmp_path: Path, proxy: TcpProxy, proxied: str
) -> None:
    storage = await SqliteStorage.open(tmp_path / "data")
    organization = await funded(storage, 1000)
    await storage.backup(tmp_path / "backup.tar")
    await storage.close()
    folder = tmp_path / "restored"
    copied = []

    def watch(piece: bytes) -> bool:
        # The schema has commits of its own before the copy begins.
        copied.extend([piece] * (b"COPY " in piece))
        return not (copied and b"COMMIT" in piece)

    proxy.watch = watch
    done = tessera(
        "restore",
        str(tmp_path / "backup.tar"),
        "--data",
        str(folder),
        check=False,
        env={"TESSERA_DATABASE_URL": proxied},
    )
    assert proxy.cuts == 1, "the injector fired"
    assert done.returncode == 1
    assert f"tessera migrate --from {folder} --to" in done.stderr
    proxy.watch = lambda _: True
    tessera("migrate", "--from", str(folder), "--to", proxied)
    restored = await PostgresStorage.connect(proxied, folder)
    assert (await restored.balance(organization, Mode.LIVE)).available_nanos == 1000
    assert faults(await restored.verify()) == {}
    await restored.close()


async def test_a_folder_with_an_embedded_ledger_is_no_replicas_folder(tmp_path: Path, database_url: str) -> None:
    await (await SqliteStorage.open(tmp_path)).close()
    with pytest.raises(TesseraError) as caught:
        await PostgresStorage.connect(database_url, tmp_path)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert "tessera migrate --from" in caught.value.message


async def test_a_ledger_that_fails_its_audit_is_not_moved(tmp_path: Path, database_url: str) -> None:
    storage = await SqliteStorage.open(tmp_path)
    await lived_in(storage)
    await storage.close()
    with sqlite3.connect(database(tmp_path)) as connection:
        connection.execute("UPDATE usage_event SET latency_ms = latency_ms + 1")
    connection.close()
    assert "hash-chain" in (await refused(tmp_path, database_url)).message
    assert database(tmp_path).exists()
    with psycopg.connect(database_url) as check:
        assert check.execute("SELECT count(*) FROM organization").fetchone() == (0,)


async def test_a_server_that_still_has_the_old_file_open_writes_no_more(tmp_path: Path, database_url: str) -> None:
    server = await SqliteStorage.open(tmp_path)
    organization = await funded(server, 100)
    await move_ledger(tmp_path, database_url, None)
    with pytest.raises(TesseraError):
        await server.hold(hold_order(organization, 10, mode=Mode.LIVE, owner=server.owner))
    await server.close()
    moved = await PostgresStorage.connect(database_url, tmp_path)
    assert (await moved.balance(organization, Mode.LIVE)).available_nanos == 100
    await moved.close()
