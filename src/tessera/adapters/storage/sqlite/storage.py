"""The ports `Storage` and `Administration` on one SQLite file."""

import asyncio
import os
import sqlite3
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import structlog

from tessera.adapters.storage.sqlite import accounts, losses, margins, meters, reads, repeats, usage_events, usage_reads
from tessera.adapters.storage.sqlite.archive import back_up
from tessera.adapters.storage.sqlite.audit import audit
from tessera.adapters.storage.sqlite.books import Books
from tessera.adapters.storage.sqlite.committer import Committer
from tessera.adapters.storage.sqlite.connection import DATABASE_FILE, connect, create_file, unavailable
from tessera.adapters.storage.sqlite.migrations import is_current, migrate
from tessera.adapters.storage.sqlite.provider_calls import list_served
from tessera.adapters.storage.sqlite.reconciliation import reconciliation
from tessera.adapters.storage.sqlite.secrets import Secrets, load_secrets
from tessera.adapters.storage.sqlite.sweep import heartbeat, sweep
from tessera.adapters.storage.sqlite.witness import write_witness
from tessera.adapters.storage.sqlite.writer import Duties, Writer
from tessera.domain.auth import Caller
from tessera.domain.errors import TesseraError
from tessera.domain.ids import make_id
from tessera.domain.key_rules import KeyRules
from tessera.domain.ledger.idempotency import KeyOrder
from tessera.domain.ledger.limits import Limits, Meter, SubjectKind
from tessera.domain.ledger.losses import LossLimits, SuspensionReason
from tessera.domain.ledger.orders import HoldGrant, HoldOrder
from tessera.domain.ledger.reconciliation import Reconciliation
from tessera.domain.margins import SettledSums
from tessera.domain.money import Mode
from tessera.domain.provider_comparison import OwnCall
from tessera.domain.usage import UsageEvent
from tessera.domain.usage_report import Movements, UsageQuery, UsageSums, UsedCall
from tessera.ports import (
    ApiKey,
    Balance,
    Check,
    LedgerEntry,
    LossDay,
    Lot,
    Organization,
    Page,
    RequestRecord,
    SavedQuote,
    UsageRow,
)

log = structlog.get_logger(__name__)

READERS = 2
CALLERS_CACHED_MAX = 50_000
RETRY_EVERY_S = 1.0
SWEEP_EVERY_S = 10.0

_INSERT_QUOTE = """
INSERT INTO quote (
    id, organization_id, mode, model, max_nanos, price_version, created_at_us, expires_at_us, body
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
"""

_LIMITS = LossLimits()

_NOTHING_WAITS = "SELECT count(*) FROM wallet WHERE id = 0"

T = TypeVar("T")


def system_clock() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True)
class Machine:
    """What the storage takes from the machine it runs on; the money simulation brings a machine of its own.

    `clock` gives microseconds since 1970, `random` that many random bytes, `connection` is the class of database
    connections, `writer` makes what takes the writer's turns.
    """

    clock: Callable[[], int] = system_clock
    random: Callable[[int], bytes] = os.urandom
    connection: type[sqlite3.Connection] = sqlite3.Connection
    writer: Callable[[Committer, Duties], Writer] = Writer


class SqliteStorage:
    """The ledger, accounts, keys and quotes of one data folder. Made by `open`, ended by `close`.

    Any number of processes may open the same folder; each has one writer thread. `owner` names this process on its
    holds.
    """

    def __init__(self, data_dir: Path, owner: str, secrets: Secrets, machine: Machine, limits: LossLimits) -> None:
        self.owner = owner
        self.secrets = secrets
        self._path = data_dir / DATABASE_FILE
        self._machine = machine
        self._clock = machine.clock
        self._callers: dict[bytes, Caller] = {}
        self._generation = 0
        self._committer = self._make_committer(limits)
        self._committer.changed = self._forget_callers
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="tessera-reads")
        self._reading = threading.local()
        self._connections: list[sqlite3.Connection] = []
        self._writer: Writer | None = None

    @classmethod
    async def open(
        cls,
        data_dir: Path,
        *,
        owner: str | None = None,
        clock: Callable[[], int] = system_clock,
        machine: Machine | None = None,
        limits: LossLimits = _LIMITS,
    ) -> "SqliteStorage":
        """Opens a data folder, making it, its secrets and its schema where they are missing, and sweeps it once.

        `clock` gives microseconds since 1970; `machine` is for whoever brings more than a clock. `limits` bound what an
        organization may cost the operator on a day. Raises [storage_unavailable], and ValueError if a living process
        has the name `owner` already.
        """
        return await asyncio.to_thread(cls._open, data_dir, owner, machine or Machine(clock=clock), limits)

    @classmethod
    def _open(cls, data_dir: Path, owner: str | None, machine: Machine, limits: LossLimits) -> "SqliteStorage":
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

    def _start(self, *, named: bool) -> None:
        committer = self._committer
        if named:
            try:
                committer.lease.take()
            except BlockingIOError:
                raise ValueError(f"another running process is named {self.owner!r}") from None
        failures: tuple[type[Exception], ...] = (*committer.failures, TesseraError)
        try:
            committer.outbox.prepare()
            self._sweep_orphans(starting=True)
        except failures as error:
            # A disk that takes no writes still answers reads; whoever wants to write hears of it then.
            log.error("ledger.sweep_failed", error=repr(error))
        duties: Duties = [
            (0.5, committer.look),
            (RETRY_EVERY_S, committer.retry),
            (SWEEP_EVERY_S, self._sweep),
        ]
        self._writer = self._machine.writer(committer, duties)

    async def close(self) -> None:
        """Commits everything handed in, then closes. A second time does nothing."""
        writer, self._writer = self._writer, None
        if writer is None:
            return
        await writer.close()
        await asyncio.to_thread(self._close)

    def _close(self) -> None:
        self._readers.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
        try:
            self._committer.retry()
            write_witness(self._committer.connection(), self._path.parent, self.secrets.checkpoint_key)
        except self._committer.failures as error:
            log.error("ledger.close_failed", error=repr(error))
        self._committer.close()

    # ---- Storage ------------------------------------------------------------------------------------------------

    async def find_caller(self, digest: bytes) -> Caller | None:
        """Cached; a key revoked by another process is refused within a second."""
        caller = self._callers.get(digest)
        if caller is not None and (caller.ends_at is None or caller.ends_at * 1_000_000 > self._clock()):
            return caller
        generation = self._generation
        caller = await self._read(reads.find_caller, digest, self._clock() // 1_000_000)
        # A revocation that was committed meanwhile has changed the generation: what was read may be stale.
        if caller is not None and generation == self._generation:
            if len(self._callers) >= CALLERS_CACHED_MAX:
                self._callers.clear()
            self._callers[digest] = caller
        return caller

    async def find_cut_keys(self, key_ids: tuple[str, ...]) -> frozenset[str]:
        return await self._read(accounts.find_cut_keys, key_ids)

    async def hold(self, order: HoldOrder) -> HoldGrant:
        """See the port. A caller that is cancelled while it waits leaves no hold behind."""
        writer = self._running()
        granting = writer.order(order)
        try:
            grant: HoldGrant = await granting
        except asyncio.CancelledError:
            if not granting.cancelled() and granting.exception() is None:
                writer.give_back(order, granting.result())
            raise
        return grant

    async def settle(self, event: UsageEvent) -> None:
        """See the port. Raises [internal_error] for a settlement its hold refuses (expired, settled differently,
        charge above hold); that settlement is kept for reconciliation."""
        await self._running().order(event)

    async def find_repeat(self, order: KeyOrder) -> HoldGrant | None:
        return await self._read(repeats.find_repeat, order)

    async def find_request(self, organization_id: str, mode: Mode, request_id: str) -> RequestRecord | None:
        return await self._read(reads.find_request, organization_id, mode, request_id, self._committer.outbox.waiting)

    async def list_requests(self, organization_id: str, mode: Mode, page: Page) -> tuple[RequestRecord, ...]:
        return await self._read(reads.list_requests, organization_id, mode, page, self._committer.outbox.waiting)

    async def balance(self, organization_id: str, mode: Mode) -> Balance:
        return await self._read(reads.balance, organization_id, mode)

    async def list_entries(self, organization_id: str, mode: Mode, page: Page) -> tuple[LedgerEntry, ...]:
        return await self._read(reads.list_entries, organization_id, mode, page)

    async def save_quote(self, quote: SavedQuote) -> None:
        whose = (quote.id, quote.organization_id, quote.mode.value, quote.model)
        terms = (quote.max_nanos, quote.price_version, quote.created_at_us, quote.expires_at_us, quote.body)
        await self._change(lambda connection, _: connection.execute(_INSERT_QUOTE, whose + terms))

    async def find_quote(self, organization_id: str, mode: Mode, quote_id: str) -> SavedQuote | None:
        return await self._read(reads.find_quote, organization_id, mode, quote_id)

    async def sum_usage(self, query: UsageQuery, *, rows_max: int | None = None) -> tuple[UsageSums, ...]:
        return await self._read(usage_reads.sum_usage, query, rows_max)

    async def sum_settled(self, mode: Mode, start_at: int, end_at: int) -> tuple[SettledSums, ...]:
        return await self._read(margins.sum_settled, mode, start_at, end_at)

    async def list_served(self, provider: str, start_at: int, end_at: int) -> tuple[OwnCall, ...]:
        return await self._read(list_served, provider, start_at, end_at)

    async def list_used(
        self, organization_id: str, mode: Mode, start_at: int, end_at: int, *, after: int, limit: int
    ) -> tuple[UsedCall, ...]:
        return await self._read(usage_reads.list_used, organization_id, mode, start_at, end_at, after, limit)

    async def read_movements(
        self, organization_id: str, mode: Mode, *, after: int | None, watched: tuple[str, ...]
    ) -> Movements:
        return await self._read(usage_events.read_movements, organization_id, mode, after, watched)

    async def ready(self) -> bool:
        """Whether a write transaction can begin: the disk, the lock and the schema are there."""
        if self._writer is None:
            return False
        try:
            await self._change(lambda connection, _: connection.execute(_NOTHING_WAITS).fetchone())
        except Exception:
            return False
        return True

    # ---- Administration -----------------------------------------------------------------------------------------

    async def create_organization(self, name: str) -> Organization:
        key = self.secrets.checkpoint_key
        return await self._change(
            lambda connection, books: accounts.create_organization(
                connection, books, key, name, self._clock(), self._make_id
            )
        )

    async def list_organizations(self) -> tuple[Organization, ...]:
        return await self._read(accounts.list_organizations)

    async def find_organization(self, name_or_id: str) -> Organization:
        return await self._read(accounts.find_organization, name_or_id)

    async def suspend_organization(self, organization_id: str) -> Organization:
        return await self._change(
            lambda connection, books: accounts.suspend(connection, books, organization_id, SuspensionReason.OPERATOR)
        )

    async def resume_organization(self, organization_id: str) -> Organization:
        return await self._change(lambda connection, books: accounts.suspend(connection, books, organization_id, None))

    async def set_limits(
        self, organization_id: str, mode: Mode, kind: SubjectKind, subject: str, limits: Limits
    ) -> Meter:
        def work(connection: sqlite3.Connection, books: Books) -> Meter:
            books.drop(organization_id)
            return meters.set_limits(connection, organization_id, mode, kind, subject, limits)

        return await self._change(work)

    async def list_meters(self, organization_id: str, mode: Mode) -> tuple[Meter, ...]:
        return await self._read(meters.list_meters, organization_id, mode)

    async def list_losses(self, organization_id: str, mode: Mode, page: Page) -> tuple[LossDay, ...]:
        return await self._read(losses.list_losses, organization_id, mode, page)

    async def create_key(
        self,
        organization_id: str,
        *,
        project: str,
        mode: Mode,
        name: str,
        digest: bytes,
        display: str,
        rules: KeyRules | None = None,
    ) -> ApiKey:
        key = ApiKey(
            id=self._make_id("key"),
            name=name,
            mode=mode,
            organization_id=organization_id,
            project_id="",
            project=project,
            display=display,
            created_at=self._clock() // 1_000_000,
            rules=rules,
        )
        signing = self.secrets.checkpoint_key
        return await self._change(
            lambda connection, _: accounts.create_key(connection, signing, key, digest, self._make_id), of_keys=True
        )

    async def list_keys(self, organization_id: str) -> tuple[ApiKey, ...]:
        return await self._read(accounts.list_keys, organization_id)

    async def revoke_key(self, key_id: str, *, cut: bool = False) -> ApiKey:
        signing = self.secrets.checkpoint_key
        return await self._change(
            lambda connection, _: accounts.revoke_key(connection, signing, key_id, self._clock(), cut=cut),
            of_keys=True,
        )

    async def add_credit(
        self,
        organization_id: str,
        mode: Mode,
        amount_nanos: int,
        *,
        kind: str,
        note: str,
        expires_at: int | None = None,
    ) -> Lot:
        return await self._change(
            lambda connection, books: accounts.add_credit(
                connection,
                books,
                organization_id,
                mode,
                amount_nanos,
                kind,
                note,
                expires_at,
                self._clock(),
                self._make_id,
            )
        )

    async def usage(self, organization_id: str) -> tuple[UsageRow, ...]:
        return await self._read(reads.usage, organization_id)

    async def reconciliation(self) -> Reconciliation:
        return await self._read(reconciliation)

    async def verify(self) -> tuple[Check, ...]:
        return await self._read(audit, self._path.parent, self.secrets.checkpoint_key, self._clock())

    async def backup(self, target: Path) -> None:
        await self._read(back_up, self._path.parent, target)

    async def sweep(self) -> None:
        """Resolves orphans of dead processes, expires credit and drops old working rows now, not at the next turn."""
        await self._writer_call(self._sweep)

    # ---- inside -------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        now_us = self._clock()
        heartbeat(self._committer, now_us)
        self._sweep_orphans(starting=False)
        write_witness(self._committer.connection(), self._path.parent, self.secrets.checkpoint_key)

    def _sweep_orphans(self, *, starting: bool) -> None:
        sweep(self._committer, self._clock(), self._make_id, starting=starting)

    def _make_committer(self, limits: LossLimits) -> Committer:
        return Committer(
            self._path,
            self.owner,
            self.secrets.checkpoint_key,
            self._clock,
            self._make_id,
            self._machine.connection,
            limits,
        )

    def _connect_reader(self) -> sqlite3.Connection:
        return connect(self._path, writable=False, factory=self._machine.connection)

    def _running(self) -> Writer:
        if self._writer is None:
            raise unavailable(RuntimeError("the storage is closed"))
        return self._writer

    async def _change(self, work: Callable[..., T], *, of_keys: bool = False) -> T:
        """Runs a change in a commit of its own. One of keys forgets the callers before anybody hears of it."""

        def change() -> T:
            result = self._committer.change(work)
            if of_keys:
                self._forget_callers()
            return result

        result: T = await self._writer_call(change)
        return result

    async def _writer_call(self, work: Callable[[], Any]) -> Any:
        # Shielded by the writer itself: once handed in, a change is done whether or not its caller still waits.
        return await self._running().change(work)

    async def _read(self, read: Callable[..., T], *arguments: Any) -> T:
        """Runs a read on one snapshot in a reader thread. Raises [storage_unavailable] and what `read` raises."""
        self._running()
        return await asyncio.get_running_loop().run_in_executor(self._readers, self._read_now, read, arguments)

    def _read_now(self, read: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        connection: sqlite3.Connection | None = getattr(self._reading, "connection", None)
        try:
            if connection is None:
                connection = self._reading.connection = self._connect_reader()
                self._connections.append(connection)
            connection.execute("BEGIN")
            try:
                return read(connection, *arguments)
            finally:
                connection.execute("ROLLBACK")
        except self._committer.failures as error:
            self._reading.connection = None
            if connection is not None:
                self._connections.remove(connection)
                connection.close()
            raise unavailable(error) from error

    def _forget_callers(self) -> None:
        self._generation += 1
        self._callers.clear()

    def _make_id(self, prefix: str) -> str:
        return make_id(prefix, self._clock() // 1000, self._machine.random(10))
