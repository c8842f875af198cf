"""The writer's view of a SQLite file inside one transaction.

Always holds: a commit by another process changes `PRAGMA data_version`, which empties the cache.
"""

import sqlite3

from tessera.adapters.storage.ledger.books import Books

_FIND_NUMBER = "SELECT coalesce(max(number), 0) FROM hold"


class SqliteBooks(Books):
    """Books of wallets in a file; BEGIN IMMEDIATE locks all of them."""

    def __init__(self, checkpoint_key: bytes) -> None:
        super().__init__(checkpoint_key)
        self._number: int | None = None
        self._data_version: int | None = None

    def refresh(self, connection: sqlite3.Connection) -> bool:
        """See `Books.refresh`."""
        version: int = connection.execute("PRAGMA data_version").fetchone()[0]
        if version == self._data_version:
            return False
        self.clear()
        self._data_version = version
        return True

    def clear(self) -> None:
        """See `Books.clear`."""
        super().clear()
        self._number = None
        self._data_version = None

    def next_number(self, connection: sqlite3.Connection) -> int:
        """See `Books.next_number`."""
        if self._number is None:
            self._number = int(connection.execute(_FIND_NUMBER).fetchone()[0])
        self._number += 1
        return self._number
