"""The contract of `Storage` and `Administration`: the same tests for every database that implements them.

A database joins by a branch in `opener`, which opens a data folder on it.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from made_ledgers import open_ledger
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.postgres import PostgresStorage

Opener = Callable[..., Awaitable[LedgerStorage]]
ENGINES = ("postgres", "sqlite")


class Clock:
    """The wall clock of a storage in microseconds, which a test sets."""

    def __init__(self, now_us: int) -> None:
        self.now_us = now_us

    def __call__(self) -> int:
        return self.now_us

    def wait(self, seconds: int) -> None:
        self.now_us += seconds * 1_000_000


@pytest.fixture(params=ENGINES)
def engine(request: pytest.FixtureRequest) -> str:
    """The database under test."""
    name: str = request.param
    return name


@pytest.fixture
def opener(engine: str, request: pytest.FixtureRequest) -> Opener:
    """Opens the database under test; options such as `clock` and `limits` go on to it."""
    if engine == "sqlite":
        return open_ledger
    url: str = request.getfixturevalue("database_url")

    async def opened(folder: Path, **options: object) -> LedgerStorage:
        return await PostgresStorage.connect(url, folder, **options)  # type: ignore[arg-type]

    return opened


@pytest.fixture
async def storage(opener: Opener, tmp_path: Path) -> AsyncIterator[LedgerStorage]:
    """An open, empty storage; afterwards every audit must still be right."""
    opened = await opener(tmp_path)
    yield opened
    wrong = [check for check in await opened.verify() if not check.ok]
    await opened.close()
    assert wrong == []
