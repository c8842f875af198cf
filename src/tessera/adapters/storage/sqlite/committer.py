"""Commits groups of orders to one SQLite file, which other processes may write too."""

import os
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
    """The one writer of this process on a file. BEGIN IMMEDIATE locks everything.

    Nothing is written to a file that is no longer found by its name: whoever removed it, or put another in its place
    (a backup, say), would never see what was acknowledged.
    """

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
        self._path = data_dir / DATABASE_FILE
        self._file: os.stat_result | None = None

    def connection(self) -> sqlite3.Connection:
        """See `Committer.connection`."""
        found = self._path.stat()
        self._file = self._file or found
        if not os.path.samestat(self._file, found):
            raise sqlite3.OperationalError(f"{self._path} was replaced while this process used it; start it again")
        if self._connection is None:
            self._connection = connect(self._path, writable=True, factory=self._factory)
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
