"""The schema, as numbered files applied in order and never changed afterwards; there is no way back but a restore."""

import re
import sqlite3
import time
from functools import cache
from importlib import resources

from tessera.adapters.storage.sqlite.connection import BUSY_TIMEOUT_S

_NAME = re.compile(r"([0-9]{4})_[a-z0-9_]+\.sql")
_LOCKED_PAUSE_S = 0.02


def migrations() -> list[tuple[int, str]]:
    """Number and SQL of every migration, in order. Raises ValueError if a number is missing or taken twice."""
    return [(number, script) for number, _, script in named_migrations()]


def named_migrations() -> list[tuple[int, str, str]]:
    """Number, file name and SQL of every migration, in order. Raises as `migrations`."""
    folder = resources.files("tessera.adapters.storage.sqlite") / "migrations"
    found = []
    for file in folder.iterdir():
        match = _NAME.fullmatch(file.name)
        if match:
            found.append((int(match[1]), file.name, file.read_text(encoding="utf-8")))
    found.sort()
    if [number for number, _, _ in found] != list(range(1, len(found) + 1)):
        raise ValueError("migrations must be numbered 0001, 0002, … without a gap")
    return found


@cache
def newest() -> int:
    """The number of the schema that this version makes and knows."""
    return len(migrations())


def migrate(connection: sqlite3.Connection) -> int:
    """Brings the schema up to date, each migration in one commit; gives the schema's number.

    Safe beside other processes. Raises sqlite3.DatabaseError, also for a file written by a newer Tessera.
    """
    known = migrations()
    _use_write_ahead_log(connection)
    while True:
        connection.execute("BEGIN IMMEDIATE")
        try:
            version = int(connection.execute("PRAGMA user_version").fetchone()[0])
            if version > len(known):
                raise sqlite3.DatabaseError(f"the database has schema {version}, this Tessera knows {len(known)}")
            if version == len(known):
                connection.execute("ROLLBACK")
                return version
            number, script = known[version]
            for statement in _statements(script):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {number:d}")
            connection.execute("COMMIT")
        except BaseException:
            if connection.in_transaction:
                connection.execute("ROLLBACK")
            raise


def is_current(connection: sqlite3.Connection) -> bool:
    """Whether the schema is up to date, found without locking anything."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0]) == newest()


def _use_write_ahead_log(connection: sqlite3.Connection) -> None:
    """Switches to WAL, which is remembered in the file. SQLite does not wait for this lock by itself."""
    deadline = time.monotonic() + BUSY_TIMEOUT_S
    while True:
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError:
            if time.monotonic() > deadline:
                raise
            time.sleep(_LOCKED_PAUSE_S)


def _statements(script: str) -> list[str]:
    """A script cut into statements, so that all run inside one transaction (executescript would commit)."""
    statements: list[str] = []
    pending = ""
    for line in script.splitlines(keepends=True):
        pending += line
        if sqlite3.complete_statement(pending):
            statements.append(pending)
            pending = ""
    if pending.strip():
        raise ValueError("a migration ends in the middle of a statement")
    return statements
