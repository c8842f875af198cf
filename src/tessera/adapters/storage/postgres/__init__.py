"""The shared system of record: one PostgreSQL, any number of replicas, each a writer with group commit.

Owns the connection, the schema, the locks and the signs of life; what is decided and in which order is the ledger's,
the same as on SQLite. Always holds: a wallet is written only under its lock; a hold and its checks are one commit; a
settlement is durable, in the database or in this replica's outbox, before it is reported.
"""

from tessera.adapters.storage.postgres.machine import PostgresMachine
from tessera.adapters.storage.postgres.moving import may_have_moved, move_in
from tessera.adapters.storage.postgres.storage import PostgresStorage

__all__ = ["PostgresMachine", "PostgresStorage", "may_have_moved", "move_in"]
