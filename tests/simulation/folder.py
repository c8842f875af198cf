"""Data folders in memory: secrets and schema are made once and copied for every run."""

import functools
import tempfile
from pathlib import Path

from memory_folder import memory_folder
from tessera.adapters.storage.sqlite import load_secrets
from tessera.adapters.storage.sqlite.connection import DATABASE_FILE, connect, create_file
from tessera.adapters.storage.sqlite.migrations import migrate

PEPPER = b"p" * 32


@functools.cache
def template() -> tempfile.TemporaryDirectory[str]:
    """A data folder with secrets and schema, copied for every run."""
    folder = tempfile.TemporaryDirectory(prefix="tessera-simulation-", dir=memory_folder())
    path = Path(folder.name)
    (path / "pepper").write_bytes(PEPPER)
    (path / "checkpoint-key").write_bytes(b"c" * 32)
    load_secrets(path)
    create_file(path / DATABASE_FILE)
    connection = connect(path / DATABASE_FILE, writable=True)
    migrate(connection)
    connection.close()
    return folder
