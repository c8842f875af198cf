"""Connections to the database file."""

import os
import sqlite3
from pathlib import Path

DATABASE_FILE = "tessera.db"
BUSY_TIMEOUT_S = 5.0
"""How long a writer waits for another process before it answers storage_unavailable (faults F19)."""

CACHE_KIB = 4_096
"""Pages the writer keeps: new rows go to the ends of tables, whose pages fit. Four times as much saved no measurable
time and took 12 MB."""
STATEMENTS_CACHED = 256
LOG_BYTES_KEPT = 64 * 1024 * 1024
"""What the write-ahead log is cut back to after a long read (an audit, a backup) made it grow."""


def create_file(path: Path) -> None:
    """Makes the database file, readable by its owner only, if it is not there. Raises OSError."""
    os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))


def connect(
    path: Path, *, writable: bool, factory: type[sqlite3.Connection] = sqlite3.Connection
) -> sqlite3.Connection:
    """A connection with transactions in the caller's hands; it may move between threads, one at a time.

    `factory` is the class it is made of. Commits are on disk when they return: write-ahead log, synchronous=FULL.
    """
    # mode=rw: a database that has gone is an error, never a new empty one.
    connection = sqlite3.connect(
        f"{path.resolve().as_uri()}?mode=rw",
        uri=True,
        timeout=BUSY_TIMEOUT_S,
        isolation_level=None,
        check_same_thread=False,
        cached_statements=STATEMENTS_CACHED,
        factory=factory,
    )
    try:
        connection.execute("PRAGMA synchronous = FULL")
        connection.execute("PRAGMA foreign_keys = ON")
        if writable:
            connection.execute(f"PRAGMA cache_size = -{CACHE_KIB:d}")
            connection.execute(f"PRAGMA journal_size_limit = {LOG_BYTES_KEPT:d}")
        else:
            connection.execute("PRAGMA query_only = ON")
    except BaseException:
        connection.close()
        raise
    return connection
