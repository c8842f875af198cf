"""The embedded system of record: one SQLite file, one writer with group commit, nothing to install.

Owns the database file, its migrations, the outbox, the generated secrets and their backup. Always holds: a hold and
its checks are one commit; a settlement is durable, in the database or the outbox, before it is reported; other
processes may write the same file at any time.
"""

from tessera.adapters.storage.sqlite.archive import restore
from tessera.adapters.storage.sqlite.connected import Machine
from tessera.adapters.storage.sqlite.connection import DATABASE_FILE
from tessera.adapters.storage.sqlite.secrets import Secrets, load_secrets
from tessera.adapters.storage.sqlite.storage import SqliteStorage

__all__ = ["DATABASE_FILE", "Machine", "Secrets", "SqliteStorage", "load_secrets", "restore"]
