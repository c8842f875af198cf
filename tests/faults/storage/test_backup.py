"""Backup beside a running server, and back."""

import asyncio
import tarfile
from pathlib import Path

import pytest

from ledger_calls import database, faults, funded, hold_order, usage_event
from tessera.adapters.storage.sqlite import SqliteStorage, load_secrets, restore
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.ports import Page

pytestmark = pytest.mark.anyio


def refused(source: Path, data_dir: Path) -> TesseraError:
    with pytest.raises(TesseraError) as caught:
        restore(source, data_dir)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    return caught.value


async def test_a_backup_under_load_is_consistent_and_can_be_restored(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "data")
    organization = await funded(storage, 10**6)
    key = await storage.create_key(
        organization, project="default", mode=Mode.LIVE, name="", digest=b"d" * 32, display="sk"
    )
    running = True

    async def caller() -> None:
        while running:
            order = hold_order(organization, 10, mode=Mode.LIVE, owner=storage.owner)
            await storage.hold(order)
            await storage.settle(usage_event(order, 1))

    callers = [asyncio.ensure_future(caller()) for _ in range(4)]
    archives = [tmp_path / f"backup-{number}.tar" for number in range(3)]
    for archive in archives:
        await asyncio.sleep(0.05)
        await storage.backup(archive)
        assert archive.stat().st_mode & 0o777 == 0o600
    running = False
    await asyncio.gather(*callers)
    await storage.close()
    counts = []
    for archive in archives:
        folder = tmp_path / f"restored-{archive.stem}"
        assert faults(restore(archive, folder)) == {}
        again = await SqliteStorage.open(folder)
        assert faults(await again.verify()) == {}
        assert await again.list_keys(organization) == (key,)
        assert await again.find_caller(b"d" * 32) is not None
        counts.append(len(await again.list_requests(organization, Mode.LIVE, Page(limit=1000))))
        assert load_secrets(folder) == load_secrets(tmp_path / "data")
        await again.close()
    assert counts == sorted(counts)
    assert counts[0] > 0


async def test_a_restored_ledger_gives_back_what_ran_at_the_backup(tmp_path: Path) -> None:
    clock_us = [hold_order("", 0).placed_at_us]
    storage = await SqliteStorage.open(tmp_path / "data", clock=lambda: clock_us[0])
    organization = await funded(storage, 100)
    await storage.hold(hold_order(organization, 60, mode=Mode.LIVE, owner=storage.owner, placed_at_us=clock_us[0]))
    await storage.backup(tmp_path / "backup.tar")
    await storage.close()
    restore(tmp_path / "backup.tar", tmp_path / "restored")
    clock_us[0] += 3600 * 1_000_000
    again = await SqliteStorage.open(tmp_path / "restored", clock=lambda: clock_us[0])
    balance = await again.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos) == (100, 0)
    assert faults(await again.verify()) == {}
    await again.close()


async def test_nothing_is_overwritten(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "data")
    taken = tmp_path / "taken.tar"
    taken.write_text("mine")
    with pytest.raises(TesseraError) as caught:
        await storage.backup(taken)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    with pytest.raises(TesseraError):
        await storage.backup(tmp_path / "nowhere" / "backup.tar")
    assert taken.read_text() == "mine"
    await storage.backup(tmp_path / "backup.tar")
    await storage.close()
    before = database(tmp_path / "data").read_bytes()
    assert "not empty" in refused(tmp_path / "backup.tar", tmp_path / "data").message
    assert database(tmp_path / "data").read_bytes() == before


async def test_an_edited_backup_is_not_restored(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "data")
    await funded(storage, 100)
    await storage.backup(tmp_path / "backup.tar")
    await storage.close()
    content = (tmp_path / "backup.tar").read_bytes()
    at = content.index(b"for a test")
    (tmp_path / "edited.tar").write_bytes(content[:at] + b"for a TEST" + content[at + 10 :])
    assert "hash-chain" in refused(tmp_path / "edited.tar", tmp_path / "restored").message
    assert not (tmp_path / "restored").exists()


@pytest.mark.parametrize("content", [b"", b"no archive", b"\x00" * 10240])
def test_what_is_no_backup_is_refused(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    refused(tmp_path / "file", tmp_path / "data")
    refused(tmp_path / "missing", tmp_path / "data")
    assert not (tmp_path / "data").exists()


@pytest.mark.parametrize("name", ["../evil", "/tmp/evil", "outbox/../../evil", "tessera.db-wal", "other/file"])
def test_an_archive_cannot_write_elsewhere(tmp_path: Path, name: str) -> None:
    (tmp_path / "evil").write_text("x")
    with tarfile.open(tmp_path / "evil.tar", "w") as tar:
        tar.add(tmp_path / "evil", arcname=name)
    (tmp_path / "evil").unlink()
    refused(tmp_path / "evil.tar", tmp_path / "data")
    assert [path.name for path in tmp_path.iterdir()] == ["evil.tar"]


async def test_a_backup_without_its_secrets_is_not_restored(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path / "data")
    await storage.backup(tmp_path / "backup.tar")
    await storage.close()
    with tarfile.open(tmp_path / "backup.tar") as old, tarfile.open(tmp_path / "cut.tar", "w") as new:
        for member in old:
            if member.name != "pepper":
                new.addfile(member, old.extractfile(member))
    assert "pepper" in refused(tmp_path / "cut.tar", tmp_path / "restored").message
