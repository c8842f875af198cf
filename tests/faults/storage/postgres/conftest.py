"""Replicas on one PostgreSQL."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine, Iterator
from pathlib import Path
from typing import Any, TypeVar
from urllib.parse import urlsplit

import psycopg
import pytest

from postgres_server import PostgresServer
from tcp_proxy import TcpProxy, tcp_proxy
from tessera.adapters.storage.postgres import PostgresStorage

Replica = Callable[..., Awaitable[PostgresStorage]]
WAITS = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
T = TypeVar("T")


@pytest.fixture
async def replica(database_url: str, tmp_path: Path) -> AsyncIterator[Replica]:
    """Opens replicas, each with a folder of its own and the secrets of all; at the end the ledger must be whole."""
    opened: list[PostgresStorage] = []

    async def open_one(*, url: str = database_url, **options: object) -> PostgresStorage:
        folder = tmp_path / f"replica-{len(opened)}"
        storage = await PostgresStorage.connect(url, folder, secrets_dir=tmp_path / "secrets", **options)  # type: ignore[arg-type]
        opened.append(storage)
        return storage

    yield open_one
    judge = await open_one()
    wrong = [check for check in await judge.verify() if not check.ok]
    for storage in opened:
        await storage.close()
    assert wrong == []


@pytest.fixture
def proxy(postgres: PostgresServer) -> Iterator[TcpProxy]:
    with tcp_proxy(("127.0.0.1", postgres.port)) as started:
        yield started


@pytest.fixture
def proxied(proxy: TcpProxy, database_url: str) -> str:
    """The database's address through the proxy; without encryption, so that the proxy sees what is asked."""
    return (
        f"postgresql://tessera@127.0.0.1:{proxy.port}{urlsplit(database_url).path}?sslmode=disable&gssencmode=disable"
    )


def deadlocks(url: str) -> int:
    """How many deadlocks the server has found in a database."""
    with psycopg.connect(url, autocommit=True) as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        row = connection.execute("SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()").fetchone()
    assert row is not None
    return int(row[0])


async def begun(url: str, work: Coroutine[Any, Any, T], *, waiting: int = 1) -> "asyncio.Task[T]":
    """A change that has come to its end, or to a lock that another transaction holds: then `waiting` of them wait."""
    task = asyncio.ensure_future(work)
    with psycopg.connect(url, autocommit=True) as watching:
        for _ in range(3_000):
            row = watching.execute(WAITS).fetchone()
            if task.done() or (row is not None and row[0] >= waiting):
                return task
            await asyncio.sleep(0.01)
    raise AssertionError("the change neither ends nor waits for a lock")
