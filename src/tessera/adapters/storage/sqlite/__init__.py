"""The embedded system of record: one SQLite file, one writer with group commit, nothing to install.

Owns the database file, its migrations and its backup; what is decided and in which order is the ledger's. Always holds:
a hold and its checks are one commit; a settlement is durable, in the database or the outbox, before it is reported;
other processes may write the same file at any time.
"""

from tessera.adapters.storage.ledger.secrets import Secrets, load_secrets
from tessera.adapters.storage.sqlite.archive import restore
from tessera.adapters.storage.sqlite.connection import DATABASE_FILE
from tessera.adapters.storage.sqlite.storage import SqliteMachine, SqliteStorage

__all__ = ["DATABASE_FILE", "Secrets", "SqliteMachine", "SqliteStorage", "load_secrets", "restore"]
