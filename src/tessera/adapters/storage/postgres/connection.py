"""Connections to PostgreSQL that are used as those to SQLite are, so that one set of SQL serves both.

Statements are written with `?`; what PostgreSQL says otherwise is translated here and nowhere else.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from typing import Any

import psycopg
from psycopg.abc import Buffer
from psycopg.adapt import Loader
from psycopg.pq import TransactionStatus
from psycopg.types.numeric import Int8Dumper
from psycopg.types.string import BytesBinaryDumper

from tessera.adapters.storage.ledger.books import ConflictError
from tessera.adapters.storage.postgres import bulk
from tessera.adapters.storage.postgres.escaping import escape, unescape
from tessera.adapters.storage.postgres.machine import Driver
from tessera.adapters.storage.postgres.row_arrays import RowArray, RowArrayDumper, RowType

CONNECT_TIMEOUT_S = 5
LOCK_TIMEOUT_S = 5
"""How long a writer waits for a wallet that another replica has locked before it answers storage_unavailable."""

STATEMENT_TIMEOUT_S = 30
AUDIT_TIMEOUT_S = 3600
IDLE_TIMEOUT_S = 60
"""How long the server keeps locks for a replica that stopped in the middle of a transaction."""

_UNKNOWN = (TransactionStatus.IDLE, TransactionStatus.UNKNOWN)
_PLACEHOLDER = re.compile(r"'[^']*'|\?([0-9]*)|\bIS NOT (?!NULL\b|DISTINCT\b)")


class Cursor:
    """The rows of one statement; none for a statement that gives none."""

    __slots__ = ("_cursor", "rowcount")

    def __init__(self, cursor: "psycopg.Cursor[tuple[Any, ...]] | None", rowcount: int = 0) -> None:
        self._cursor = cursor if cursor is not None and cursor.description else None
        self.rowcount = rowcount if cursor is None else cursor.rowcount

    def fetchone(self) -> tuple[Any, ...] | None:
        """The next row."""
        return None if self._cursor is None else self._cursor.fetchone()

    def fetchall(self) -> list[tuple[Any, ...]]:
        """The rows that are left."""
        return [] if self._cursor is None else self._cursor.fetchall()

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        return iter(()) if self._cursor is None else iter(self._cursor)


_NOTHING = Cursor(None)


class PostgresConnection:
    """One connection, transactions in the caller's hands; it may move between threads, one at a time.

    Raises psycopg.Error.
    """

    def __init__(self, url: str, *, writable: bool, driver: Driver = psycopg.Connection) -> None:
        self._opening = False
        self._pending: dict[str, list[Sequence[Any]]] = {}
        self._seen: dict[int, Sequence[Any]] = {}
        self._row_types: list[RowType] = []
        self._connection = driver.connect(
            url,
            autocommit=True,
            connect_timeout=CONNECT_TIMEOUT_S,
            cursor_factory=psycopg.RawCursor,
            application_name="tessera",
            keepalives_idle=30,
            keepalives_interval=5,
            keepalives_count=3,
            tcp_user_timeout=15_000,
        )
        try:
            self._prepare(writable=writable)
        except BaseException:
            self._connection.close()
            raise

    def _prepare(self, *, writable: bool) -> None:
        adapters = self._connection.adapters
        adapters.register_dumper(int, Int8Dumper)
        adapters.register_dumper(bytes, BytesBinaryDumper)
        adapters.register_dumper(RowArray, RowArrayDumper)
        adapters.register_loader("text", _TextLoader)
        adapters.register_loader("numeric", _WholeLoader)
        settings = {
            "client_encoding": "UTF8",
            "lock_timeout": f"{LOCK_TIMEOUT_S}s",
            "statement_timeout": f"{STATEMENT_TIMEOUT_S if writable else AUDIT_TIMEOUT_S}s",
            "idle_in_transaction_session_timeout": f"{IDLE_TIMEOUT_S}s",
            "default_transaction_isolation": "read committed" if writable else "repeatable read",
            "default_transaction_read_only": "off" if writable else "on",
        }
        if writable:
            # A writer finds every row by an index. Plans are made once, when tables may still be small: a scan that was
            # right then would grow with them.
            settings |= {"enable_seqscan": "off", "enable_hashjoin": "off", "enable_mergejoin": "off"}
            settings |= {"plan_cache_mode": "force_generic_plan", "jit": "off"}
        # A commit is on disk when it returns; whoever asks for more (replicas) keeps it.
        chosen = [f"set_config('{name}', '{value}', false)" for name, value in settings.items()]
        durable = "set_config('synchronous_commit', 'on', false)"
        chosen.append(f"CASE WHEN current_setting('synchronous_commit') = 'off' THEN {durable} END")
        # From version 17 on. An audit or a copy may take longer than the transactions of a database usually may.
        chosen.append("(SELECT set_config(name, '0', false) FROM pg_settings WHERE name = 'transaction_timeout')")
        self._connection.execute(f"SELECT {', '.join(chosen)}".encode())

    def make_row_types(self) -> None:
        """Makes what `executemany` needs for the statements of `bulk`; outside a transaction."""
        cursor = self._connection.execute(bulk.MAKE_TYPES.encode())
        while cursor.nextset():
            pass
        (numbers,) = cursor.fetchall()
        self._row_types = bulk.row_types(numbers)

    @property
    def raw(self) -> "psycopg.Connection[tuple[Any, ...]]":
        """The driver's own connection."""
        return self._connection

    @property
    def in_transaction(self) -> bool:
        """Whether a transaction has begun and not ended."""
        return self._opening or self._connection.info.transaction_status not in _UNKNOWN

    @property
    def lost(self) -> bool:
        """Whether the connection cannot be used any more."""
        return self._connection.closed

    def execute(self, sql: str, parameters: "Sequence[Any] | Mapping[str, Any]" = ()) -> "Cursor":
        """Runs one statement; named values are numbers of places, as `{"1": …}`."""
        if sql == "BEGIN":
            self._opening = True
            return _NOTHING
        if sql == "COMMIT":
            return self._commit()
        if sql == "ROLLBACK":
            return self._roll_back()
        if sql.startswith("ROLLBACK TO"):
            self._pending.clear()
        self.catch_up()
        values = parameters.values() if isinstance(parameters, Mapping) else parameters
        statement = translated(sql).encode()
        if not values:
            return Cursor(self._connection.execute(statement))
        return Cursor(self._connection.execute(statement, [_plain(value) for value in values]))

    def lock(self, wallet_ids: Sequence[int]) -> list[tuple[Any, ...]]:
        """Locks wallets in the order of their ids, then reads what they are at, each in a statement of its own.

        With the transaction's BEGIN, it is one message to the server: numbers need no quotes.
        """
        if self._seen or self._pending:
            self.catch_up()
        return self._lock(wallet_ids)

    def see(self, states: Mapping[int, Sequence[Any]]) -> bool:
        """Instead of locking wallets: they must be at these states when all is written and committed in one message.

        False where that is too late, because the transaction has begun. Whatever else is asked in this transaction
        locks them first. Then and at the commit, ConflictError says that they have changed.
        """
        if self._opening:
            self._seen.update(states)
        return self._opening

    def _lock(self, wallet_ids: Sequence[int]) -> list[tuple[Any, ...]]:
        ids = f"'{{{','.join(map(str, wallet_ids))}}}'"
        begin, self._opening = ("BEGIN; " if self._opening else ""), False
        cursor = self._connection.execute(f"{begin}SELECT * FROM lock_wallets({ids})".encode())  # noqa: S608
        while cursor.nextset():
            pass
        return cursor.fetchall()

    def _lock_seen(self) -> None:
        """Locks what was only seen, before anything else is done with it."""
        if self._seen:
            seen, self._seen = self._seen, {}
            locked = {number: state for number, *state in self._lock(sorted(seen))}
            if locked != {number: list(state) for number, state in seen.items()}:
                raise ConflictError("a wallet has changed since it was seen")

    def executemany(self, sql: str, rows: Sequence[Sequence[Any]]) -> "Cursor":
        """Runs a statement for every row; those of `bulk` wait until something else is asked for or committed.

        The cursor's `rowcount` is that of all rows together; of rows that wait it is what they will be, or else
        nothing is committed.
        """
        if not rows:
            return _NOTHING
        if sql in bulk.BULK:
            self._pending.setdefault(sql, []).extend(rows)
            return Cursor(None, len(rows))
        self.catch_up()
        cursor = self._connection.cursor()
        cursor.executemany(translated(sql).encode(), [[_plain(value) for value in row] for row in rows])
        return Cursor(cursor)

    def catch_up(self) -> None:
        """Begins and writes what was put off. Raises psycopg.Error, ConflictError."""
        self._lock_seen()
        if self._opening:
            self._opening = False
            self._connection.execute(b"BEGIN")
        self._write()

    def _write(self) -> None:
        """Writes what was put off; what was only seen is compared by the same statement."""
        if not self._pending and not self._seen:
            return
        pending, self._pending = self._pending, {}
        seen, self._seen = self._seen, {}
        states = [(number, *state) for number, state in seen.items()]
        statement, values = bulk.together(self._row_types, pending, states)
        try:
            self._connection.execute(statement, values, prepare=True)
        except psycopg.Error as error:
            if error.sqlstate == bulk.CONFLICT:
                raise ConflictError(str(error)) from error
            raise

    def _commit(self) -> "Cursor":
        """Writes and commits; where nothing has been sent yet, both are one statement, which is its own transaction."""
        if self._opening:
            self._opening = False
            self._write()
        else:
            self._write()
            self._connection.execute(b"COMMIT")
        return _NOTHING

    def _roll_back(self) -> "Cursor":
        self._pending.clear()
        self._seen.clear()
        if self._opening:
            self._opening = False
        else:
            self._connection.execute(b"ROLLBACK")
        return _NOTHING

    def close(self) -> None:
        """Closes the connection, whatever state it is in."""
        self._connection.close()


@lru_cache(maxsize=1024)
def translated(sql: str) -> str:
    """A statement as PostgreSQL has it: `?` and `?1` are `$1`, `IS NOT` a value is IS DISTINCT FROM."""
    number = 0

    def replace(match: "re.Match[str]") -> str:
        nonlocal number
        found = match[0]
        if found.startswith("'"):
            return found
        if found.startswith("?"):
            number += 1
            return f"${match[1] or number}"
        return "IS DISTINCT FROM "

    return _PLACEHOLDER.sub(replace, sql)


def _plain(value: Any) -> Any:
    """Enumerations as their text, truth as 0 or 1, as SQLite takes them."""
    if isinstance(value, str):
        return escape(str(value))
    if isinstance(value, bool):
        return int(value)
    return value


class _TextLoader(Loader):
    def load(self, data: Buffer) -> str:
        return unescape(bytes(data).decode())


class _WholeLoader(Loader):
    """Sums of whole numbers come as `numeric`."""

    def load(self, data: Buffer) -> int:
        return int(bytes(data))
