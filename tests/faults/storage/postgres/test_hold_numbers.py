"""The numbers of holds, of which each replica takes a run at a time."""

import signal
from pathlib import Path
from typing import Any

import psycopg
import pytest

from ledger_calls import funded, hold_order
from postgres_server import PostgresServer, running_postgres
from tessera.adapters.storage.postgres import PostgresMachine, PostgresStorage
from tessera.domain.ledger.orders import HoldGrant
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio


class _CrashingAtCommit(psycopg.Connection[tuple[Any, ...]]):
    """A connection whose server crashes, and comes back, when it is asked to commit."""

    server: PostgresServer | None = None

    def execute(self, query: Any, *args: Any, **options: Any) -> Any:
        server = type(self).server
        if server is not None and query == b"COMMIT":
            type(self).server = None
            server.stop(how=signal.SIGQUIT)
            server.start()
        return super().execute(query, *args, **options)


async def test_a_run_that_a_crashed_server_forgot_is_not_used_by_two_replicas(tmp_path: Path) -> None:
    # Nothing of the transaction that takes the run is written before its commit.
    with running_postgres(wal_writer_delay="10s") as server:
        server.execute("CREATE DATABASE ledger")
        machine, secrets = PostgresMachine(driver=_CrashingAtCommit), tmp_path / "secrets"
        url = server.url_of("ledger")
        one = await PostgresStorage.connect(url, tmp_path / "one", secrets_dir=secrets, machine=machine)
        two = await PostgresStorage.connect(url, tmp_path / "two", secrets_dir=secrets)
        organization = await funded(one, 100)
        _CrashingAtCommit.server = server
        for storage in (one, two, one, two, one, two):
            order = hold_order(organization, 1, mode=Mode.LIVE, owner=storage.owner)
            assert await storage.hold(order) == HoldGrant(granted_nanos=1)
        assert _CrashingAtCommit.server is None, "the server never crashed"
        for storage in (one, two):
            await storage.close()
