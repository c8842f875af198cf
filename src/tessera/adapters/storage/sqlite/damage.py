"""What is wrong with a SQLite file below its rows."""

import sqlite3
from collections.abc import Iterator


def damage(connection: sqlite3.Connection) -> Iterator[str]:
    """Pages that are damaged, and rows that point to none."""
    for (text,) in connection.execute("PRAGMA integrity_check"):
        if text != "ok":
            yield text
    for table, row, parent, _ in connection.execute("PRAGMA foreign_key_check"):
        yield f"{table} row {row} points to a {parent} that is not there"
