"""Ledgers with today's schema and nothing in them, copied rather than migrated: for tests that are not about migrating.

A copy takes a tenth of the work of all migrations. Secrets are never in a database: whoever opens a copy first makes
them, as in a ledger that was just migrated.
"""

import functools
import tempfile
from contextlib import closing
from pathlib import Path

import psycopg

from tessera.adapters.storage.ledger.secrets import make_private_folder
from tessera.adapters.storage.postgres.migrations import migrate as migrate_postgres
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.adapters.storage.sqlite.connection import DATABASE_FILE, connect, create_file
from tessera.adapters.storage.sqlite.migrations import migrate


async def open_ledger(folder: Path, **options: object) -> SqliteStorage:
    """As `SqliteStorage.open`, which makes and migrates the file itself where there is none."""
    lay_ledger(folder)
    return await SqliteStorage.open(folder, **options)  # type: ignore[arg-type]


def lay_ledger(folder: Path) -> None:
    """Puts the file of an empty ledger into a data folder that has none."""
    file = folder / DATABASE_FILE
    if not file.exists():
        make_private_folder(folder)
        create_file(file)
        file.write_bytes(_embedded())


def make_schema(database_url: str) -> None:
    """Brings a PostgreSQL database to today's schema."""
    with psycopg.connect(database_url, autocommit=True, cursor_factory=psycopg.RawCursor) as connection:
        migrate_postgres(connection)


@functools.cache
def _embedded() -> bytes:
    with tempfile.TemporaryDirectory(prefix="tessera-schema-") as folder:
        file = Path(folder, DATABASE_FILE)
        create_file(file)
        with closing(connect(file, writable=True)) as connection:
            migrate(connection)
        # Who closes last moves the write-ahead log into the file.
        assert [left.name for left in Path(folder).iterdir()] == [DATABASE_FILE]
        return file.read_bytes()
