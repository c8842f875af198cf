"""A ledger, opened: its writer, its readers, and what runs beside calls as long as it is open."""

import asyncio
import os
import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from tessera.adapters.storage.ledger.committer import Committer
from tessera.adapters.storage.ledger.secrets import Secrets
from tessera.adapters.storage.ledger.sweep import heartbeat, sweep
from tessera.adapters.storage.ledger.turns import Turns
from tessera.adapters.storage.ledger.unavailable import taken_over, unavailable
from tessera.adapters.storage.ledger.witness import write_witness
from tessera.adapters.storage.ledger.writer import Duties, Writer
from tessera.domain.auth import Caller
from tessera.domain.errors import TesseraError
from tessera.domain.ids import make_id
from tessera.domain.ledger.losses import LossLimits
from tessera.log import get_logger

log = get_logger(__name__)

READERS = 2
REPORTERS = 2
"""Threads that add up and list what was used: a report may take seconds, and no call waits for one."""

ANSWER_SECONDS_MAX = 10.0
"""How long a call waits for a database that neither answers nor fails, as one that is frozen: then it is refused."""

RETRY_EVERY_S = 1.0
SWEEP_EVERY_S = 10.0

T = TypeVar("T")


def system_clock() -> int:
    """Microseconds since 1970."""
    return time.time_ns() // 1000


@dataclass(frozen=True)
class Machine:
    """What the storage takes from the machine it runs on; the money simulation brings a machine of its own.

    `clock` gives microseconds since 1970, `random` that many random bytes, `writer` makes what takes the
    writer's turns.
    """

    clock: Callable[[], int] = system_clock
    random: Callable[[int], bytes] = os.urandom
    writer: Callable[[Committer, Duties], Writer] = Writer


class Connected(ABC):
    """One writer thread and a few readers on one ledger. Made by each database in its own way, ended by `close`.

    Any number of processes may open the same ledger; each has one writer thread. `data_dir` is this process's folder,
    or one that it shares with others; `owner` names this process on its holds.
    """

    def __init__(self, data_dir: Path, owner: str, secrets: Secrets, machine: Machine, limits: LossLimits) -> None:
        self.owner = owner
        self.secrets = secrets
        self._data_dir = data_dir
        self._machine = machine
        self._clock = machine.clock
        self._callers: dict[bytes, Caller] = {}
        self._generation = 0
        self._committer = self._make_committer(limits)
        self._committer.changed = self._forget_callers
        self._readers = ThreadPoolExecutor(READERS, thread_name_prefix="tessera-reads")
        self._reporters = ThreadPoolExecutor(REPORTERS, thread_name_prefix="tessera-reports")
        self._turns = Turns()
        self._reading = threading.local()
        self._connections: list[Any] = []
        self._writer: Writer | None = None

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
            (SWEEP_EVERY_S, committer.keep_reserve),
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
        self._reporters.shutdown(wait=True)
        for connection in self._connections:
            connection.close()
        try:
            self._committer.retry()
            write_witness(self._committer.connection(), self._data_dir, self.secrets.checkpoint_key)
        except self._committer.failures as error:
            log.error("ledger.close_failed", error=repr(error))
        self._committer.close()

    async def sweep(self) -> None:
        """Resolves orphans of dead processes, expires credit and drops old working rows now, not at the next turn."""
        await self._writer_call(self._sweep)

    # ---- inside -------------------------------------------------------------------------------------------------

    def _sweep(self) -> None:
        now_us = self._clock()
        heartbeat(self._committer, now_us)
        self._sweep_orphans(starting=False)
        write_witness(self._committer.connection(), self._data_dir, self.secrets.checkpoint_key)

    def _sweep_orphans(self, *, starting: bool) -> None:
        sweep(self._committer, self._clock(), self._make_id, starting=starting)

    @abstractmethod
    def _make_committer(self, limits: LossLimits) -> Committer:
        """The writer of this database."""

    @abstractmethod
    def _connect_reader(self) -> Any:
        """A connection that only reads, each transaction on one snapshot."""

    def _running(self) -> Writer:
        if self._writer is None:
            raise unavailable(RuntimeError("the storage is closed"))
        return self._writer

    async def _change(self, work: Callable[..., T], *, of_keys: bool = False) -> T:
        """Runs a change in a commit of its own. One of keys forgets the callers before anybody hears of it.

        Raises [storage_unavailable], also when a newer Tessera has taken over, and what `work` raises.
        """

        def change() -> T:
            if self._committer.outdated:
                raise taken_over()
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

    async def _read_for_call(self, read: Callable[..., T], *arguments: Any) -> T:
        """As `_read`, in time: a call is refused rather than kept waiting."""
        try:
            async with asyncio.timeout(ANSWER_SECONDS_MAX):
                return await self._read(read, *arguments)
        except TimeoutError as error:
            raise unavailable(error) from error

    async def _report(self, organization_id: str, read: Callable[..., T], *arguments: Any) -> T:
        """As `_read`, in threads of their own, and one at a time of each organization: no other waits for its reports.

        Who leaves does not end a read that has begun; the organization's next one waits for it.
        """
        self._running()
        await self._turns.take(organization_id)
        loop = asyncio.get_running_loop()
        try:
            reading = self._reporters.submit(self._read_now, read, arguments)
        except BaseException:
            self._turns.end(organization_id)
            raise
        reading.add_done_callback(lambda _: loop.call_soon_threadsafe(self._turns.end, organization_id))
        return await asyncio.wrap_future(reading)

    def _read_now(self, read: Callable[..., T], arguments: tuple[Any, ...]) -> T:
        connection: Any = getattr(self._reading, "connection", None)
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
