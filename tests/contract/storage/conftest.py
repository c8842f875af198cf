"""The contract of `Storage` and `Administration`: the same tests for every database that implements them.

A database joins by a function in `OPENERS` that opens a data folder.
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path

import pytest

from tessera.adapters.storage.sqlite import SqliteStorage

Opener = Callable[[Path], Awaitable[SqliteStorage]]
OPENERS: dict[str, Opener] = {"sqlite": SqliteStorage.open}


@pytest.fixture(params=sorted(OPENERS))
def opener(request: pytest.FixtureRequest) -> Opener:
    """Opens the database under test."""
    return OPENERS[request.param]


@pytest.fixture
async def storage(opener: Opener, tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    """An open, empty storage; afterwards every audit must still be right."""
    opened = await opener(tmp_path)
    yield opened
    wrong = [check for check in await opened.verify() if not check.ok]
    await opened.close()
    assert wrong == []
