"""Commits groups of orders to one SQLite file, which other processes may write too."""

import sqlite3
from collections.abc import Callable, Sequence
from pathlib import Path

from tessera.adapters.storage.ledger.committer import Committer
from tessera.adapters.storage.ledger.group import Order
from tessera.adapters.storage.sqlite.books import SqliteBooks
from tessera.adapters.storage.sqlite.connection import DATABASE_FILE, connect
from tessera.adapters.storage.sqlite.migrations import newest
from tessera.domain.ledger.losses import LossLimits


class SqliteCommitter(Committer):
    """The one writer of this process on a file. BEGIN IMMEDIATE locks everything."""

    failures = (sqlite3.Error, OSError)
    refusals = (sqlite3.IntegrityError,)
    _connection: sqlite3.Connection | None

    def __init__(
        self,
        data_dir: Path,
        owner: str,
        checkpoint_key: bytes,
        clock: Callable[[], int],
        make_id: Callable[[str], str],
        factory: type[sqlite3.Connection],
        limits: LossLimits,
    ) -> None:
        super().__init__(data_dir, owner, SqliteBooks(checkpoint_key), clock, make_id, limits)
        self._factory = factory

    def connection(self) -> sqlite3.Connection:
        """See `Committer.connection`."""
        if self._connection is None:
            self._connection = connect(self.data_dir / DATABASE_FILE, writable=True, factory=self._factory)
        return self._connection

    def look(self) -> None:
        """See `Committer.look`."""
        self._refresh(self.connection())

    def _begin(self) -> sqlite3.Connection:
        connection = self.connection()
        connection.execute("BEGIN IMMEDIATE")
        self._refresh(connection)
        return connection

    def _refresh(self, connection: sqlite3.Connection) -> None:
        if self.books.refresh(connection):
            self.changed()
            self.note_schema(connection.execute("PRAGMA user_version").fetchone()[0], newest())

    def _lock(self, connection: sqlite3.Connection, orders: Sequence[Order]) -> None:
        """BEGIN IMMEDIATE has locked everything."""
