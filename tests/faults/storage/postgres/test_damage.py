"""`verify` finds what is wrong with the database itself, below its rows; what cannot be checked spoils nothing else."""

from collections.abc import AsyncIterator
from pathlib import Path

import psycopg
import pytest

from ledger_calls import faults, funded
from tessera.adapters.storage.postgres import PostgresStorage

pytestmark = pytest.mark.anyio

DAMAGES = {
    "wallet point to a organization that is not there": (
        "SET session_replication_role = replica; DELETE FROM organization"
    ),
    "constraint late of voucher is not checked": (
        "ALTER TABLE voucher ADD CONSTRAINT late CHECK (amount_nanos > 1) NOT VALID"
    ),
    "trigger api_key_revised of api_key is switched off": "ALTER TABLE api_key DISABLE TRIGGER api_key_revised",
}


@pytest.fixture
async def storage(database_url: str, tmp_path: Path) -> AsyncIterator[PostgresStorage]:
    """A storage with one funded organization, whose audit is right."""
    opened = await PostgresStorage.connect(database_url, tmp_path)
    await funded(opened, 100)
    assert faults(await opened.verify()) == {}
    yield opened
    await opened.close()


def damage(url: str, sql: str) -> None:
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute(sql.encode())


@pytest.mark.parametrize("said", DAMAGES)
async def test_damage_is_named(said: str, storage: PostgresStorage, database_url: str) -> None:
    damage(database_url, DAMAGES[said])
    assert said in faults(await storage.verify())["database-intact"]


async def test_checks_that_cannot_be_done_spoil_none_after_them(storage: PostgresStorage, database_url: str) -> None:
    damage(database_url, "ALTER TABLE hold_quote RENAME TO gone; ALTER TABLE voucher RENAME TO gone_too")
    damage(database_url, "INSERT INTO audit_head (scope, seq, link) VALUES ('instance', 1, 'x')")
    found = faults(await storage.verify())
    cannot = {name for name, detail in found.items() if "cannot be checked" in detail}
    assert cannot == {"charges-within-quotes", "vouchers-redeemed-within-bounds", "hash-chain"}
    assert set(found) - cannot == {"audit-log-whole"}
