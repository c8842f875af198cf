"""The schema, as numbered files applied in order and never changed afterwards: those of SQLite, translated.

A file of the same name in `migrations/` here stands in place of the translation.
"""

from importlib import resources

import psycopg

from tessera.adapters.storage.postgres.connection import LOCK_TIMEOUT_S
from tessera.adapters.storage.postgres.translation import to_postgres
from tessera.adapters.storage.sqlite import migrations as sqlite_migrations
from tessera.domain.errors import ErrorCode, TesseraError

_LOCK = 0x7E55E7A1
"""The advisory lock under which one replica migrates and the others wait."""

_PRELUDE = """
CREATE TABLE IF NOT EXISTS schema_version (
    one BOOLEAN PRIMARY KEY DEFAULT true CHECK (one),
    number INTEGER NOT NULL
);
INSERT INTO schema_version (number) VALUES (0) ON CONFLICT DO NOTHING;
"""

_AS_LONG_AS_IT_TAKES = b"""
SET LOCAL statement_timeout = 0; SET LOCAL enable_seqscan = on; SET LOCAL enable_hashjoin = on;
SET LOCAL enable_mergejoin = on
"""
"""A migration may read every row of a large ledger, which a writer otherwise never does."""

_TAKE_TURNS = f"""
SET LOCAL lock_timeout = 0; SELECT pg_advisory_xact_lock({_LOCK}); SET LOCAL lock_timeout = '{LOCK_TIMEOUT_S}s'
""".encode()
"""Who waits for another's migration waits as long as that takes; who migrates waits no longer than usual for a table,
because calls queue up behind it."""

_ENCODING = "SELECT current_setting('server_encoding')"
_ENCODINGS = ("UTF8", "SQL_ASCII")
"""Those that take every text; SQL_ASCII takes bytes as they come."""

_EXISTS = "SELECT to_regclass('schema_version') IS NOT NULL"
_VERSION = "SELECT number FROM schema_version"


def migrations() -> list[tuple[int, str]]:
    """Number and SQL of every migration, in order. Raises ValueError if one is missing."""
    own = resources.files("tessera.adapters.storage.postgres") / "migrations"
    found = []
    for number, name, script in sqlite_migrations.named_migrations():
        file = own / name
        found.append((number, file.read_text(encoding="utf-8") if file.is_file() else to_postgres(script)))
    return found


def migrate(connection: "psycopg.Connection[tuple[object, ...]]", *, until: int | None = None) -> int:
    """Brings the schema up to date (or up to `until`), each migration in one commit; gives the schema's number.

    Safe beside other replicas. Raises psycopg.Error, also for a database written by a newer Tessera, and
    [invalid_request] for an empty one that cannot keep every text.
    """
    known = migrations()
    last = len(known) if until is None else until
    while True:
        with connection.transaction():
            connection.execute(_AS_LONG_AS_IT_TAKES)
            connection.execute(_TAKE_TURNS)
            connection.execute(_PRELUDE.encode())
            version = _number(connection)
            if version > len(known):
                raise psycopg.DatabaseError(f"the database has schema {version}, this Tessera knows {len(known)}")
            if version >= last:
                return version
            if version == 0:
                _check_encoding(connection)
            number, script = known[version]
            connection.execute(script.encode())
            connection.execute("UPDATE schema_version SET number = $1", (number,))


def is_current(connection: "psycopg.Connection[tuple[object, ...]]") -> bool:
    """Whether the schema is up to date, found without locking anything."""
    row = connection.execute(_EXISTS).fetchone()
    return row is not None and row[0] is True and _number(connection) == sqlite_migrations.newest()


def _check_encoding(connection: "psycopg.Connection[tuple[object, ...]]") -> None:
    """Otherwise a name, or a settlement, would be refused some day that cannot be written there."""
    row = connection.execute(_ENCODING).fetchone()
    if row is None or row[0] not in _ENCODINGS:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"This PostgreSQL database has the encoding {row and row[0]}, which cannot keep every text. Make one with "
            "CREATE DATABASE … TEMPLATE template0 ENCODING 'UTF8'.",
            param="database",
        )


def _number(connection: "psycopg.Connection[tuple[object, ...]]") -> int:
    row = connection.execute(_VERSION).fetchone()
    number = None if row is None else row[0]
    if not isinstance(number, int):
        raise psycopg.DatabaseError("the database's schema has no number")
    return number
