"""When a newer Tessera migrates the database, the processes of the older one settle what runs and begin nothing."""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from contract.storage.conftest import Opener
from ledger_calls import eventually, funded, hold_order, usage_event
from tessera.adapters.storage.sqlite.migrations import newest
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio


@pytest.fixture
def set_schema(engine: str, tmp_path: Path, request: pytest.FixtureRequest) -> Callable[[int], None]:
    """Gives the database's schema another number, as a migration does."""
    url = request.getfixturevalue("database_url") if engine == "postgres" else ""

    def changed(number: int) -> None:
        if engine == "postgres":
            with psycopg.connect(url, autocommit=True) as connection:
                connection.execute("UPDATE schema_version SET number = %s", (number,))
        else:
            with closing(sqlite3.connect(tmp_path / "tessera.db")) as file:
                file.execute(f"PRAGMA user_version = {number:d}")

    return changed


async def test_a_process_that_was_taken_over_settles_what_runs_and_begins_nothing(
    opener: Opener, tmp_path: Path, set_schema: Callable[[int], None]
) -> None:
    storage = await opener(tmp_path)
    organization = await funded(storage, 100)
    running, late = (hold_order(organization, 40, mode=Mode.LIVE, owner=storage.owner) for _ in range(2))
    await storage.hold(running)

    async def taken_over() -> bool:
        return not await storage.ready()

    async def back() -> bool:
        return await storage.ready()

    set_schema(newest() + 1)
    await eventually(taken_over)
    for begun in (storage.hold(late), storage.create_organization("late")):
        with pytest.raises(TesseraError, match="newer version") as caught:
            await begun
        assert caught.value.code is ErrorCode.STORAGE_UNAVAILABLE
        assert caught.value.retry_after_s == 1
    await storage.settle(usage_event(running, 30))
    await storage.sweep()
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos, balance.spent_nanos) == (70, 0, 30)

    set_schema(newest())
    await eventually(back)
    await storage.hold(late)
    assert all(check.ok for check in await storage.verify())
    await storage.close()
