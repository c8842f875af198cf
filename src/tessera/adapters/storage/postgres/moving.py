"""Moves a whole ledger between the engines, row by row as it is: numbers, chain, signatures and all.

Always holds: a ledger arrives whole or not at all. What was copied is audited, and compared with where it came from,
inside the transaction that copied it. There is never a moment at which both ledgers take writes: the old one takes none
from before that transaction is committed on.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import psycopg
from psycopg import sql

from tessera.adapters.storage.ledger.audit import audit
from tessera.adapters.storage.ledger.lease import is_alive, leases
from tessera.adapters.storage.ledger.outbox import outboxes
from tessera.adapters.storage.ledger.secrets import Secrets, copy_secrets, has_secrets, load_secrets
from tessera.adapters.storage.ledger.unavailable import unavailable
from tessera.adapters.storage.postgres.connection import PostgresConnection
from tessera.adapters.storage.postgres.damage import damage
from tessera.adapters.storage.postgres.escaping import escape
from tessera.adapters.storage.postgres.migrations import migrate
from tessera.adapters.storage.postgres.secret_mark import is_marked, set_mark
from tessera.adapters.storage.sqlite.connection import DATABASE_FILE, connect, create_file
from tessera.adapters.storage.sqlite.migrations import migrate as migrate_sqlite
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.ports.administration import Check

MOVED_SUFFIX = ".moved-to-postgresql"
_ROWS_AT_ONCE = 2000

_REFUSE_WRITES = """
CREATE TRIGGER IF NOT EXISTS moved BEFORE UPDATE ON wallet
BEGIN SELECT raise(ABORT, 'this ledger was moved to PostgreSQL'); END
"""

_REFUSES_WRITES = "SELECT count(*) FROM sqlite_schema WHERE type = 'trigger' AND name = 'moved'"

_TABLES = "SELECT name FROM sqlite_schema WHERE type = 'table' AND name NOT LIKE 'sqlite_%' ORDER BY rowid"
_COLUMNS = "SELECT name FROM pragma_table_info(?) ORDER BY cid"
_SEQUENCES = """
SELECT table_name, column_name, pg_get_serial_sequence(quote_ident(table_name), column_name)
FROM information_schema.columns WHERE table_schema = current_schema() AND is_identity = 'YES'
"""


def move_in(data_dir: Path, url: str, secrets_dir: Path | None, now_us: int) -> tuple[Check, ...]:
    """Moves the embedded ledger of a data folder that no process uses into an empty PostgreSQL; gives the audit there.

    Afterwards the file has another name, so that no server goes on with it by mistake. One that was cut off between its
    commits is ended by the next. Raises [invalid_request] when the folder is in use or has settlements waiting, the
    database is not empty or the ledger does not pass its audit; [storage_unavailable].
    """
    _check_unused(data_dir)
    file = data_dir / DATABASE_FILE
    secrets = load_secrets(data_dir)
    try:
        source = connect(file, writable=True)
        try:
            migrate_sqlite(source)
            # Whoever still writes waits until the move is over, and then is refused.
            source.execute("BEGIN IMMEDIATE")
            target = PostgresConnection(url, writable=True)
            try:
                checks = _move(source, target, data_dir, secrets, now_us)
                if secrets_dir is not None and not has_secrets(secrets_dir):
                    copy_secrets(data_dir, secrets_dir)
                source.execute(_REFUSE_WRITES)
                source.execute("COMMIT")
                _commit(source, target)
                file.rename(file.with_name(DATABASE_FILE + MOVED_SUFFIX))
            finally:
                target.close()
        finally:
            source.close()
    except (psycopg.Error, sqlite3.Error, OSError) as error:
        raise unavailable(error) from error
    for leftover in (f"{DATABASE_FILE}-wal", f"{DATABASE_FILE}-shm"):
        (data_dir / leftover).unlink(missing_ok=True)
    return checks


def may_have_moved(data_dir: Path) -> bool:
    """Of a move that failed: whether the ledger may be in PostgreSQL all the same, because the answer to its commit was
    lost or only what follows it went wrong. `move_in` ends it. Raises [storage_unavailable]."""
    file = data_dir / DATABASE_FILE
    if not file.exists():
        return True
    try:
        source = connect(file, writable=False)
        try:
            return _refuses_writes(source)
        finally:
            source.close()
    except sqlite3.Error as error:
        raise unavailable(error) from error


def copy_out(source: PostgresConnection, file: Path) -> None:
    """Writes what one snapshot of PostgreSQL shows into a new file of the embedded database. Raises sqlite3.Error,
    psycopg.Error, OSError."""
    source.catch_up()
    create_file(file)
    target = connect(file, writable=True)
    try:
        migrate_sqlite(target)
        target.execute("BEGIN IMMEDIATE")
        for table, columns in _shape(target):
            places = ", ".join("?" * len(columns))
            statement = f"INSERT INTO {table} ({', '.join(columns)}) VALUES ({places})"  # noqa: S608
            for rows in _rows_of(source, table, columns):
                target.executemany(statement, rows)
        target.execute("COMMIT")
        target.execute("PRAGMA journal_mode = DELETE")
    finally:
        target.close()


def _move(
    source: sqlite3.Connection, target: PostgresConnection, data_dir: Path, secrets: Secrets, now_us: int
) -> tuple[Check, ...]:
    """Everything but the commit."""
    migrate(target.raw)
    target.execute("BEGIN")
    target.execute("SELECT set_config('statement_timeout', '0', true)")
    shape = _shape(source)
    is_empty = target.execute("SELECT count(*) FROM organization").fetchall() == [(0,)]
    if is_empty:
        for table, columns in shape:
            _copy_in(source, target, table, columns)
        number_on(target)
        set_mark(target, secrets)
    elif not _has_arrived(source, target, secrets):
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, "That PostgreSQL database has a ledger already; name an empty one.", param="to"
        )
    checks = audit(target, data_dir, secrets.checkpoint_key, now_us, damage, (psycopg.ProgrammingError,))
    wrong = [f"{check.name}: {check.detail}" for check in checks if not check.ok]
    wallets = f"SELECT {', '.join(dict(shape)['wallet'])} FROM wallet ORDER BY id"  # noqa: S608
    if not wrong and is_empty and source.execute(wallets).fetchall() != target.execute(wallets).fetchall():
        wrong = ["the wallets are not the same as before"]
    if wrong:
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"The ledger was not moved: {'; '.join(wrong)}", param="from")
    return checks


def _has_arrived(source: sqlite3.Connection, target: PostgresConnection, secrets: Secrets) -> bool:
    """Whether the ledger there is this one, whose move was cut off after it was committed there. It may have gone on
    since; the audit finds one that is behind."""
    return _refuses_writes(source) and is_marked(target, secrets)


def _refuses_writes(source: sqlite3.Connection) -> bool:
    count: int = source.execute(_REFUSES_WRITES).fetchone()[0]
    return count > 0


def _commit(source: sqlite3.Connection, target: PostgresConnection) -> None:
    """Makes the move final. Where it is certain that it is not, the old ledger takes writes again."""
    try:
        target.execute("COMMIT")
    except psycopg.Error:
        if not target.lost:
            source.execute("DROP TRIGGER moved")
        raise


def number_on(target: PostgresConnection) -> None:
    """Lets every numbering go on behind the rows that were copied with their numbers."""
    for table, column, sequence in target.execute(_SEQUENCES).fetchall():
        target.execute(f"SELECT setval('{sequence}', (SELECT coalesce(max({column}), 0) + 1 FROM {table}), false)")  # noqa: S608


def _check_unused(data_dir: Path) -> None:
    if not (data_dir / DATABASE_FILE).exists():
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no ledger in {data_dir}.")
    if any(is_alive(data_dir, owner) for owner in leases(data_dir)):
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"A server is running on {data_dir}. Stop it, then move its ledger.",
            param="from",
        )
    if outboxes(data_dir):
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"Settlements wait in the outbox of {data_dir}. Run `tessera verify --data {data_dir}` once, which brings "
            "them into the ledger, then move it.",
            param="from",
        )


def _shape(database: sqlite3.Connection) -> list[tuple[str, list[str]]]:
    """Every table and its columns; a table comes after those it points to."""
    tables = [row[0] for row in database.execute(_TABLES)]
    return [(table, [row[0] for row in database.execute(_COLUMNS, (table,))]) for table in tables]


def _copy_in(source: sqlite3.Connection, target: PostgresConnection, table: str, columns: Sequence[str]) -> None:
    names = sql.SQL(", ").join(map(sql.Identifier, columns))
    command = sql.SQL("COPY {} ({}) FROM STDIN").format(sql.Identifier(table), names)
    count = 0
    with target.raw.cursor().copy(command) as copy:
        for row in source.execute(f"SELECT {', '.join(columns)} FROM {table}"):  # noqa: S608
            copy.write_row([escape(value) if isinstance(value, str) else value for value in row])
            count += 1
    if target.execute(f"SELECT count(*) FROM {table}").fetchall() != [(count,)]:  # noqa: S608
        raise sqlite3.DatabaseError(f"of {table}, not every row arrived")


def _rows_of(source: PostgresConnection, table: str, columns: Sequence[str]) -> Iterator[list[tuple[Any, ...]]]:
    with psycopg.RawServerCursor(source.raw, "tessera_copy") as cursor:
        names = sql.SQL(", ").join(map(sql.Identifier, columns))
        cursor.execute(sql.SQL("SELECT {} FROM {}").format(names, sql.Identifier(table)))
        while rows := cursor.fetchmany(_ROWS_AT_ONCE):
            yield rows
