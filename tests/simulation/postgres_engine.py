"""A run on a real PostgreSQL: one database for all runs, emptied before each, two replicas on it."""

import functools
import secrets
import signal
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import psycopg

from memory_folder import memory_folder
from postgres_server import PostgresServer
from simulation.disk import Disk
from simulation.engine import Look
from simulation.faults import POSTGRES_FAULTS, POSTGRES_KINDS
from simulation.folder import PEPPER
from simulation.postgres_disk import PostgresDisk
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.postgres import PostgresStorage
from tessera.adapters.storage.postgres.connection import PostgresConnection
from tessera.adapters.storage.postgres.migrations import migrate
from tessera.adapters.storage.postgres.secret_mark import shared_secrets

if TYPE_CHECKING:
    from simulation.process import Process
    from simulation.world import Simulation

ROLE = "simulated"
"""Whom the product connects as: not the superuser, whom limits of connections do not bind."""

_CUT = "SELECT count(pg_terminate_backend(pid, 10000)) FROM unnest($1::int[]) AS pid"
_TABLES = "SELECT relname FROM pg_class WHERE relkind = 'r' AND relnamespace = 'public'::regnamespace ORDER BY relname"
_RESTART_SEQUENCES = """
SELECT setval(c.oid::regclass, seqstart, false) FROM pg_class AS c JOIN pg_sequence ON seqrelid = c.oid
WHERE relnamespace = 'public'::regnamespace
"""
_FIND_ROLE = "SELECT 1 FROM pg_roles WHERE rolname = $1"


class PostgresEngine:
    """Implements `Engine`. Made once for many runs, one at a time."""

    name = "postgres"
    replicas = 2
    kinds = POSTGRES_KINDS
    faults = POSTGRES_FAULTS

    def __init__(self, server: PostgresServer) -> None:
        self._server = server
        self._database = f"simulation_{secrets.token_hex(8)}"
        self._make_database()
        self._admin = self._connect(self._database)
        self._kept = set(self._tables_with_rows())
        self._look = _Look(self._server.url_of(self._database))
        self._rival: psycopg.Connection[tuple[Any, ...]] | None = None

    def begin(self, simulation: "Simulation") -> Look:
        """See `Engine`. The ledger of the run before is emptied; a new database would take longer than a run."""
        for place in range(self.replicas):
            self.data_dir(simulation, place).mkdir(parents=True)
        write_secrets(simulation.folder)
        used = [table for table in self._tables_with_rows() if table not in self._kept]
        if used:
            # Without triggers: the audit log lets nobody empty it.
            self._admin.execute(b"SET session_replication_role = replica")
            self._admin.execute(f"TRUNCATE {', '.join(used)} RESTART IDENTITY CASCADE".encode())
            self._admin.execute(b"RESET session_replication_role")
        self._admin.execute(_RESTART_SEQUENCES.encode())
        return self._look

    def end(self) -> None:
        """See `Engine`."""

    def data_dir(self, simulation: "Simulation", place: int) -> Path:
        """See `Engine`."""
        return simulation.folder / f"replica{place}"

    def disk(self, process: "Process") -> Disk:
        """See `Engine`."""
        return PostgresDisk(process, self)

    async def open(self, process: "Process") -> LedgerStorage:
        """See `Engine`."""
        simulation = process.simulation
        assert isinstance(process.disk, PostgresDisk)
        return await PostgresStorage.connect(
            self.url,
            self.data_dir(simulation, process.place),
            secrets_dir=simulation.folder,
            machine=process.disk.machine(simulation.random.randbytes),
            limits=simulation.limits,
            monotonic=process.loop.time,
        )

    def happenings(self, simulation: "Simulation") -> dict[str, Any]:
        """See `Engine`."""
        hows = {"server restarted": signal.SIGINT, "server crashed": signal.SIGQUIT}
        return {kind: functools.partial(self._restart, simulation, kind, how) for kind, how in hows.items()}

    # ---- what the disks ask -------------------------------------------------------------------------------------

    @property
    def url(self) -> str:
        """The address of this run's database, for the product."""
        return self._server.url_of(self._database).replace("//tessera@", f"//{ROLE}@")

    def cut(self, backends: list[int]) -> None:
        """Ends connections from the server's side, and waits until they have ended."""
        if backends:
            self._admin.execute(_CUT.encode(), (backends,))

    def admit(self, how: str) -> None:
        """Changes who may connect, as `ALTER ROLE` says it."""
        self._admin.execute(f"ALTER ROLE {ROLE} {how}".encode())

    def rival(self) -> "psycopg.Connection[tuple[Any, ...]]":
        """Somebody else's connection to this run's database."""
        if self._rival is None or self._rival.closed:
            self._rival = self._connect(self._database)
            # Who finds a deadlock is its victim: never this one.
            self._rival.execute("SET deadlock_timeout = '60s'")
        return self._rival

    def is_waiting(self, backend: int) -> bool:
        """Whether a connection waits for a lock."""
        row = self._admin.execute("SELECT wait_event_type FROM pg_stat_activity WHERE pid = $1", (backend,)).fetchone()
        return row is not None and row[0] == "Lock"

    # ---- inside -------------------------------------------------------------------------------------------------

    def _connect(self, database: str) -> "psycopg.Connection[tuple[Any, ...]]":
        return psycopg.connect(self._server.url_of(database), autocommit=True, cursor_factory=psycopg.RawCursor)

    def _tables_with_rows(self) -> list[str]:
        tables = [row[0] for row in self._admin.execute(_TABLES.encode())]
        looks = " UNION ALL ".join(f"SELECT '{table}' WHERE EXISTS (SELECT 1 FROM {table})" for table in tables)
        return [row[0] for row in self._admin.execute(looks.encode())]

    def _make_database(self) -> None:
        """A role and an empty ledger."""
        with self._connect("postgres") as admin:
            if admin.execute(_FIND_ROLE, (ROLE,)).fetchone() is None:
                admin.execute(f"CREATE ROLE {ROLE} LOGIN".encode())
                admin.execute(f"ALTER ROLE {ROLE} SET deadlock_timeout = '2ms'".encode())
            admin.execute(f"CREATE DATABASE {self._database} OWNER {ROLE}".encode())
        with tempfile.TemporaryDirectory(prefix="tessera-simulation-", dir=memory_folder()) as folder:
            write_secrets(Path(folder))
            connection = PostgresConnection(self.url, writable=True)
            migrate(connection.raw)
            shared_secrets(connection, Path(folder))
            connection.close()

    def _restart(self, simulation: "Simulation", kind: str, how: signal.Signals) -> None:
        """The database's server goes and comes back."""
        simulation.fired(kind)
        self._server.stop(how=how)
        self._server.start()
        self._admin = self._connect(self._database)
        self._look.connect()
        if self._rival is not None:
            self._rival.close()


class _Look:
    """The checker's connection, made again after the server went.

    What a transaction asked before is asked again in one message when the next begins: on a busy machine every message
    waits for its turn.
    """

    def __init__(self, url: str) -> None:
        self._url = url
        self._asked: dict[str, None] = {}
        self._found: dict[str, _Rows] = {}
        self._open = False
        self.connect()

    def connect(self) -> None:
        """Connects."""
        self._connection = PostgresConnection(self._url, writable=False)

    def execute(self, sql: str, parameters: Any = ()) -> Any:
        """See `Look`."""
        if sql == "BEGIN":
            return self._begin()
        if sql == "ROLLBACK":
            self._open = False
            self._found.clear()
        elif self._open and not parameters:
            self._asked[sql] = None
            if sql in self._found:
                return self._found[sql]
        return self._connection.execute(sql, parameters)

    def _begin(self) -> None:
        self._connection.execute("BEGIN")
        self._connection.catch_up()
        self._open = True
        if self._asked:
            cursor = self._connection.raw.execute("; ".join(self._asked).encode())
            for number, sql in enumerate(self._asked):
                if number:
                    cursor.nextset()
                self._found[sql] = _Rows(cursor.fetchall())

    def close(self) -> None:
        """Disconnects."""
        self._connection.close()


class _Rows(list[tuple[Any, ...]]):
    """All rows of a statement."""

    def fetchall(self) -> list[tuple[Any, ...]]:
        """See `Cursor.fetchall`."""
        return self


def write_secrets(folder: Path) -> None:
    """The secrets all runs share."""
    (folder / "pepper").write_bytes(PEPPER)
    (folder / "checkpoint-key").write_bytes(b"c" * 32)
