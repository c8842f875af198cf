"""Providers' credentials at rest: sealed, bound to their row, replaced and removed for good, on both engines."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from tessera.adapters.storage.credentials import SqlCredentials
from tessera.adapters.storage.ledger.people import credentials_of, people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.postgres import PostgresStorage, move_in
from tessera.adapters.storage.sqlite import SqliteStorage, restore
from tessera.domain.errors import TesseraError
from tessera.domain.people.records import INSTANCE, Act, Actor, ActorKind
from tessera.domain.request import Surface
from tessera.ports import Page
from tessera.ports.credentials import NewCredential, StoredCredential, UnreadableError

pytestmark = pytest.mark.anyio

Opener = Callable[..., Awaitable[LedgerStorage]]
SECRET = "sk-canary-0123456789-WXYZ"
OPERATOR = Actor(kind=ActorKind.OPERATOR, id="operator", is_operator=True)


async def put(
    credentials: SqlCredentials, provider: str, secret: str = SECRET, base_url: str = "https://a.example/v1"
) -> StoredCredential:
    new = NewCredential(provider=provider, base_url=base_url, surfaces=(Surface.CHAT,), secret=secret)
    return await credentials.set_credential(Act(actor=OPERATOR, action="credential.set", object_id=provider), new)


async def execute(storage: LedgerStorage, sql: str, *values: Any) -> None:
    await storage._change(lambda connection, _: connection.execute(sql, values))


def everything_in(folder: Path) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file())


async def test_a_credential_is_kept_sealed_and_shown_by_its_last_four(storage: LedgerStorage) -> None:
    credentials = credentials_of(storage)
    made = await put(credentials, "lab")
    (found,) = await credentials.list_credentials()
    assert found == made
    assert (found.provider, found.last_four, found.surfaces) == ("lab", "WXYZ", (Surface.CHAT,))
    assert (found.created_at, found.set_by_kind, found.set_by) == (found.rotated_at, ActorKind.OPERATOR, "operator")
    assert await credentials.unseal(found) == SECRET
    rows = await storage._read(lambda connection: connection.execute("SELECT * FROM provider_credential").fetchall())
    for text in (repr(rows), repr(found), str(found), found.sealed):
        assert SECRET not in text
        assert SECRET[3:12] not in text


async def test_of_a_short_credential_nothing_is_shown(storage: LedgerStorage) -> None:
    assert (await put(credentials_of(storage), "lab", "short-secret-15")).last_four == ""


async def test_another_takes_its_place_and_the_first_is_gone(opener: Opener, tmp_path: Path) -> None:
    now_us = [1_000_000_000]
    storage = await opener(tmp_path, clock=lambda: now_us[0])
    credentials = credentials_of(storage)
    first = await put(credentials, "lab")
    await credentials.reject_credential(first, 401)
    assert (await credentials.list_credentials())[0].is_off
    now_us[0] += 60_000_000
    await put(credentials, "lab", "sk-the-second-one-5678")
    (second,) = await credentials.list_credentials()
    assert (second.created_at, second.rotated_at, second.last_four) == (1000, 1060, "5678")
    assert second.id != first.id
    assert (second.rejected_at, second.rejected_status, second.is_off) == (None, None, False)
    await credentials.reject_credential(first, 401)
    assert not (await credentials.list_credentials())[0].is_off, "what is said of the first says nothing of the second"
    now_us[0] -= 3_600_000_000
    assert (await put(credentials, "lab")).rotated_at >= 1000, "a clock that goes back breaks nothing"
    await storage.close()


async def test_a_refusal_is_noted_and_a_later_one_does_not_switch_it_on_again(storage: LedgerStorage) -> None:
    credentials = credentials_of(storage)
    made = await put(credentials, "lab")
    for status, kept in ((403, 403), (402, 402), (401, 401), (403, 401)):
        await credentials.reject_credential(made, status)
        (found,) = await credentials.list_credentials()
        assert (found.rejected_status, found.is_off) == (kept, kept == 401)
        assert found.rejected_at is not None


async def test_removing_is_for_good_and_once(storage: LedgerStorage) -> None:
    credentials = credentials_of(storage)
    await put(credentials, "lab")
    act = Act(actor=OPERATOR, action="credential.removed", object_id="lab")
    assert await credentials.remove_credential(act)
    assert await credentials.list_credentials() == ()
    assert not await credentials.remove_credential(act)
    events = await people_of(storage).list_audit_events(INSTANCE, Page(limit=10))
    assert [event.action for event in events] == ["credential.removed", "credential.set"]


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE provider_credential SET base_url = 'https://evil.example/v1' WHERE provider = 'lab'",
        "UPDATE provider_credential SET id = 'cred_other' WHERE provider = 'lab'",
        "UPDATE provider_credential SET sealed = 'AAAA' WHERE provider = 'lab'",
        "UPDATE provider_credential SET key_version = 2 WHERE provider = 'lab'",
        "UPDATE provider_credential SET sealed = (SELECT other.sealed FROM provider_credential AS other "
        "WHERE other.provider = 'other') WHERE provider = 'lab'",
    ],
)
async def test_a_row_that_was_changed_does_not_open_and_the_others_do(storage: LedgerStorage, change: str) -> None:
    credentials = credentials_of(storage)
    await put(credentials, "lab")
    await put(credentials, "other", "sk-of-the-other-1234567")
    await execute(storage, change)
    lab, other = await credentials.list_credentials()
    with pytest.raises(UnreadableError):
        await credentials.unseal(lab)
    assert await credentials.unseal(other) == "sk-of-the-other-1234567"
    await put(credentials, "lab")
    assert await credentials.unseal((await credentials.list_credentials())[0]) == SECRET


async def test_rows_that_changed_places_do_not_open(storage: LedgerStorage) -> None:
    credentials = credentials_of(storage)
    for name in ("lab", "other"):
        await put(credentials, name)
    for old, new in (("lab", "third"), ("other", "lab"), ("third", "other")):
        await execute(storage, "UPDATE provider_credential SET provider = ? WHERE provider = ?", new, old)
    for moved in await credentials.list_credentials():
        with pytest.raises(UnreadableError):
            await credentials.unseal(moved)


async def test_the_database_refuses_what_cannot_be(storage: LedgerStorage) -> None:
    await put(credentials_of(storage), "lab")
    for wrong in (
        "last_four = 'whole secret'",
        "rejected_status = 401",
        "key_version = 0",
        "rotated_at = 0",
        "surfaces = 'messages'",
        "set_by_kind = 'nobody'",
    ):
        with pytest.raises(TesseraError) as caught:
            await execute(storage, f"UPDATE provider_credential SET {wrong}")
        assert "check constraint" in str(caught.value.__cause__).lower(), wrong


async def test_a_backup_carries_it_and_holds_nothing_in_the_clear(opener: Opener, tmp_path: Path) -> None:
    storage = await opener(tmp_path / "data")
    await put(credentials_of(storage), "lab")
    await storage.backup(tmp_path / "backup")
    await storage.close()
    assert SECRET.encode() not in everything_in(tmp_path)
    restore(tmp_path / "backup", tmp_path / "restored")
    restored = await SqliteStorage.open(tmp_path / "restored")
    (found,) = await credentials_of(restored).list_credentials()
    assert await credentials_of(restored).unseal(found) == SECRET
    await restored.close()


async def test_it_moves_to_postgresql_with_the_ledger(tmp_path: Path, database_url: str) -> None:
    storage = await SqliteStorage.open(tmp_path / "data")
    made = await put(credentials_of(storage), "lab")
    await storage.close()
    move_in(tmp_path / "data", database_url, None, 0)
    moved = await PostgresStorage.connect(database_url, tmp_path / "data")
    (found,) = await credentials_of(moved).list_credentials()
    assert found == made
    assert await credentials_of(moved).unseal(found) == SECRET
    await moved.close()
