"""The ports `Storage` and `Administration` on PostgreSQL, beside any number of other replicas."""

import asyncio
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from tessera.adapters.storage.ledger.audit import audit
from tessera.adapters.storage.ledger.committer import Committer
from tessera.adapters.storage.ledger.connected import system_clock
from tessera.adapters.storage.ledger.secrets import Secrets, make_private_folder
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.ledger.sweep import sweep
from tessera.adapters.storage.ledger.unavailable import unavailable
from tessera.adapters.storage.postgres.committer import PostgresCommitter
from tessera.adapters.storage.postgres.connection import PostgresConnection
from tessera.adapters.storage.postgres.damage import damage
from tessera.adapters.storage.postgres.machine import PostgresMachine
from tessera.adapters.storage.postgres.migrations import is_current, migrate
from tessera.adapters.storage.postgres.moving import copy_out
from tessera.adapters.storage.postgres.presence import LEASE_S, Presence
from tessera.adapters.storage.postgres.secret_mark import shared_secrets
from tessera.adapters.storage.sqlite.archive import archive
from tessera.adapters.storage.sqlite.connection import DATABASE_FILE
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ids import make_id
from tessera.domain.ledger.losses import LossLimits
from tessera.ports.administration import Check

_LIMITS = LossLimits()

T = TypeVar("T")


class PostgresStorage(LedgerStorage):
    """The ledger, accounts, keys and quotes of one database. Made by `open`, ended by `close`.

    `data_dir` is this replica's own folder: the outbox, the witness and, unless they are elsewhere, the secrets, which
    all replicas share.
    """

    _committer: PostgresCommitter
    _machine: PostgresMachine

    def __init__(
        self,
        url: str,
        data_dir: Path,
        secrets_dir: Path,
        owner: str,
        secrets: Secrets,
        machine: PostgresMachine,
        limits: LossLimits,
        presence: Presence,
    ) -> None:
        self._url = url
        self._secrets_dir = secrets_dir
        self._presence = presence
        super().__init__(data_dir, owner, secrets, machine, limits)

    @classmethod
    async def connect(
        cls,
        url: str,
        data_dir: Path,
        *,
        secrets_dir: Path | None = None,
        owner: str | None = None,
        clock: Callable[[], int] = system_clock,
        machine: PostgresMachine | None = None,
        limits: LossLimits = _LIMITS,
        monotonic: Callable[[], float] = time.monotonic,
        lease_s: float = LEASE_S,
    ) -> "PostgresStorage":
        """Opens a database, making its schema where it is missing, and sweeps what this folder's dead processes left.

        The secrets are in `secrets_dir`, or in `data_dir`; the first replica generates them. `monotonic` gives seconds
        that never jump; `lease_s` is how long a replica that shows no life keeps its holds. Raises
        [storage_unavailable], [invalid_request] for secrets that are not this ledger's and for a folder that has an
        embedded ledger, and ValueError if a living process has the name `owner` already.
        """
        chosen = machine or PostgresMachine(clock=clock)
        presence = Presence(monotonic, lease_s)
        folder = secrets_dir or data_dir
        return await asyncio.to_thread(cls._connect, url, data_dir, folder, owner, chosen, limits, presence)

    @classmethod
    def _connect(
        cls,
        url: str,
        data_dir: Path,
        secrets_dir: Path,
        owner: str | None,
        machine: PostgresMachine,
        limits: LossLimits,
        presence: Presence,
    ) -> "PostgresStorage":
        if (data_dir / DATABASE_FILE).exists():
            # Its outbox and its processes belong to that ledger, and whoever starts here may expect its accounts.
            raise TesseraError(
                ErrorCode.INVALID_REQUEST,
                f"{data_dir} has an embedded ledger. Move it with `tessera migrate --from {data_dir} --to` and the "
                "address of this PostgreSQL, or choose another data folder.",
                param="data_dir",
            )
        try:
            make_private_folder(data_dir)
            connection = PostgresConnection(url, writable=True, driver=machine.driver)
            try:
                if not is_current(connection.raw):
                    migrate(connection.raw)
                secrets = shared_secrets(connection, secrets_dir)
            finally:
                connection.close()
        except (psycopg.Error, OSError) as error:
            raise unavailable(error) from error
        name = owner or make_id("prc", machine.clock() // 1000, machine.random(10))
        storage = cls(url, data_dir, secrets_dir, name, secrets, machine, limits, presence)
        try:
            storage._start(named=owner is not None)
        except (psycopg.Error, OSError) as error:
            storage._committer.close()
            raise unavailable(error) from error
        except BaseException:
            storage._committer.close()
            raise
        return storage

    async def verify(self) -> tuple[Check, ...]:
        return await self._read(
            audit, self._data_dir, self.secrets.checkpoint_key, self._clock(), damage, (psycopg.ProgrammingError,)
        )

    async def backup(self, target: Path) -> None:
        """See the port. The copy is a file of the embedded database, which `restore` brings back to either engine."""
        await self._read(self._back_up, target)

    # ---- inside -------------------------------------------------------------------------------------------------

    def _back_up(self, connection: Any, target: Path) -> None:
        archive(lambda file: copy_out(connection, file), self._data_dir, self._secrets_dir, target)

    def _make_committer(self, limits: LossLimits) -> Committer:
        return PostgresCommitter(
            self._url, self._data_dir, self.owner, self.secrets.checkpoint_key, self._machine, self._make_id, limits
        )

    def _connect_reader(self) -> Any:
        return PostgresConnection(self._url, writable=False, driver=self._machine.driver)

    def _read_now(self, read: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        """A reader's connection may have been cut since it was used last; then a new one is tried once."""
        kept = getattr(self._reading, "connection", None) is not None
        try:
            return super()._read_now(read, arguments)
        except TesseraError as error:
            if not kept or not isinstance(error.__cause__, psycopg.OperationalError):
                raise
        return super()._read_now(read, arguments)

    def _sweep_orphans(self, *, starting: bool) -> None:
        connection = self._committer.connection()
        sweep(
            self._committer,
            self._clock(),
            self._make_id,
            starting=starting,
            is_gone=lambda owner: self._presence.is_gone(connection, owner),
        )
