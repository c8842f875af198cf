"""The ports `Storage` and `Administration` on one SQLite file."""

import asyncio
import sqlite3
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from tessera.adapters.storage.ledger.audit import audit
from tessera.adapters.storage.ledger.committer import Committer
from tessera.adapters.storage.ledger.connected import Machine, system_clock
from tessera.adapters.storage.ledger.secrets import load_secrets
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.ledger.unavailable import unavailable
from tessera.adapters.storage.sqlite.archive import back_up
from tessera.adapters.storage.sqlite.committer import SqliteCommitter
from tessera.adapters.storage.sqlite.connection import DATABASE_FILE, connect, create_file
from tessera.adapters.storage.sqlite.damage import damage
from tessera.adapters.storage.sqlite.migrations import is_current, migrate
from tessera.domain.ids import make_id
from tessera.domain.ledger.losses import LossLimits
from tessera.ports.administration import Check

_LIMITS = LossLimits()


@dataclass(frozen=True)
class SqliteMachine(Machine):
    """`connection` is the class of database connections."""

    connection: type[sqlite3.Connection] = sqlite3.Connection


class SqliteStorage(LedgerStorage):
    """The ledger, accounts, keys and quotes of one data folder. Made by `open`, ended by `close`."""

    _machine: SqliteMachine

    @classmethod
    async def open(
        cls,
        data_dir: Path,
        *,
        owner: str | None = None,
        clock: Callable[[], int] = system_clock,
        machine: SqliteMachine | None = None,
        limits: LossLimits = _LIMITS,
    ) -> Self:
        """Opens a data folder, making it, its secrets and its schema where they are missing, and sweeps it once.

        `clock` gives microseconds since 1970; `machine` is for whoever brings more than a clock. `limits` bound what an
        organization may cost the operator on a day. Raises [storage_unavailable], and ValueError if a living process
        has the name `owner` already.
        """
        return await asyncio.to_thread(cls._open, data_dir, owner, machine or SqliteMachine(clock=clock), limits)

    @classmethod
    def _open(cls, data_dir: Path, owner: str | None, machine: SqliteMachine, limits: LossLimits) -> Self:
        try:
            secrets = load_secrets(data_dir)
            path = data_dir / DATABASE_FILE
            create_file(path)
            connection = connect(path, writable=True, factory=machine.connection)
            try:
                if not is_current(connection):
                    migrate(connection)
            finally:
                connection.close()
        except (sqlite3.Error, OSError) as error:
            raise unavailable(error) from error
        name = owner or make_id("prc", machine.clock() // 1000, machine.random(10))
        storage = cls(data_dir, name, secrets, machine, limits)
        try:
            storage._start(named=owner is not None)
        except (sqlite3.Error, OSError) as error:
            storage._committer.close()
            raise unavailable(error) from error
        except BaseException:
            storage._committer.close()
            raise
        return storage

    async def verify(self) -> tuple[Check, ...]:
        key = self.secrets.checkpoint_key
        return await self._read(audit, self._data_dir, key, self._clock(), damage, (sqlite3.DatabaseError,))

    async def backup(self, target: Path) -> None:
        await self._read(back_up, self._data_dir, target)

    # ---- inside -------------------------------------------------------------------------------------------------

    def _make_committer(self, limits: LossLimits) -> Committer:
        key, machine = self.secrets.checkpoint_key, self._machine
        return SqliteCommitter(self._data_dir, self.owner, key, self._clock, self._make_id, machine.connection, limits)

    def _connect_reader(self) -> sqlite3.Connection:
        return connect(self._data_dir / DATABASE_FILE, writable=False, factory=self._machine.connection)
