"""Commits groups of orders on one PostgreSQL connection, beside any number of other replicas.

Always holds what every committer promises. A commit whose answer was lost is found again: a group by the ids of
its orders, which are all safe to repeat; an administrative change by the number of its transaction.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import psycopg

from tessera.adapters.storage.ledger.books import ConflictError
from tessera.adapters.storage.ledger.committer import Committer
from tessera.adapters.storage.ledger.group import Answer, Group, Order
from tessera.adapters.storage.ledger.unavailable import unavailable
from tessera.adapters.storage.postgres.books import PostgresBooks
from tessera.adapters.storage.postgres.connection import PostgresConnection
from tessera.adapters.storage.postgres.machine import PostgresMachine
from tessera.adapters.storage.sqlite.migrations import newest
from tessera.domain.ledger.losses import LossLimits
from tessera.log import get_logger

log = get_logger(__name__)

TRIES_MAX = 4
_PAUSE_S = 0.02
CHANNEL = "tessera_revision"
_REVISION = "SELECT revision.number, schema_version.number FROM revision, schema_version"
_TRANSACTION = "SELECT pg_current_xact_id_if_assigned()::text"
_OUTCOME = "SELECT pg_xact_status($1::xid8)"

T = TypeVar("T")


class PostgresCommitter(Committer):
    """The one writer of this process on a database that has others. `changed` is called when callers may be stale."""

    failures = (psycopg.Error, OSError)
    refusals = (psycopg.IntegrityError, psycopg.DataError)
    books: PostgresBooks

    def __init__(
        self,
        url: str,
        data_dir: Path,
        owner: str,
        checkpoint_key: bytes,
        machine: PostgresMachine,
        make_id: Callable[[str], str],
        limits: LossLimits,
    ) -> None:
        books = PostgresBooks(checkpoint_key, machine.undisturbed_min)
        super().__init__(data_dir, owner, books, machine.clock, make_id, limits)
        self._url = url
        self._machine = machine
        self._revision: int | None = None

    def connection(self) -> Any:
        """The writing connection, made again after a failure. Raises psycopg.Error."""
        if self._connection is None:
            connection = PostgresConnection(self._url, writable=True, driver=self._machine.driver)
            try:
                connection.raw.add_notify_handler(self._hear)
                connection.execute(f"LISTEN {CHANNEL}")
                connection.make_row_types()
            except BaseException:
                connection.close()
                raise
            self._connection = connection
        return self._connection

    def look(self) -> None:
        """Notices, even without a notification, that callers may be stale. Raises psycopg.Error."""
        try:
            revision, schema = self.connection().execute(_REVISION).fetchone()
        except psycopg.Error:
            self._roll_back(broken=True)
            raise
        self.note_schema(schema, newest())
        if revision != self._revision:
            self._revision = revision
            self.changed()

    def change(self, work: Callable[[Any, Any], T]) -> T:
        """See `Committer.change`. Tried again when other replicas were in its way."""
        for tries in range(1, TRIES_MAX + 1):
            transaction = None
            had_connection = self._connection is not None
            try:
                connection = self._begin()
                result = work(connection, self.books)
                self.books.write(connection)
                transaction = connection.execute(_TRANSACTION).fetchone()[0]
                connection.execute("COMMIT")
                return result
            except BaseException as error:
                self._roll_back(broken=self._is_broken(error))
                if not isinstance(error, (*self.failures, ConflictError)):
                    raise
                if transaction is not None and self._was_committed(transaction):
                    return result
                if tries == TRIES_MAX or not had_connection or isinstance(error, self.refusals):
                    raise unavailable(error) from error
                self._machine.pause(_PAUSE_S * tries)
        raise AssertionError("the last try answers or raises")

    def _was_committed(self, transaction: str) -> bool:
        """Whether a transaction whose answer was lost was committed. Raises [storage_unavailable] if nobody knows."""
        try:
            for _ in range(TRIES_MAX):
                outcome = self.connection().execute(_OUTCOME, (transaction,)).fetchone()[0]
                if outcome != "in progress":
                    return bool(outcome == "committed")
                self._machine.pause(_PAUSE_S)
        except psycopg.Error as error:
            raise unavailable(error) from error
        raise unavailable(psycopg.OperationalError("a commit is still going on"))

    def _round(self, orders: Sequence[Order]) -> tuple[dict[int, Answer], list[int]]:
        """See `Committer._round`. After a lost connection or a deadlock all of it is decided again: what had been
        committed after all is found by its ids."""
        tries = 1
        while True:
            had_connection = self._connection is not None
            try:
                return super()._round(orders)
            except psycopg.OperationalError as error:
                if tries == TRIES_MAX or not had_connection:
                    raise
                log.warning("ledger.again", error=repr(error), orders=len(orders))
                self._machine.pause(_PAUSE_S * tries)
                tries += 1

    def _together(self, orders: Sequence[Order]) -> Group:
        """See `Committer._together`. What was decided without a lock and is out of date is decided again with one."""
        try:
            return super()._together(orders)
        except ConflictError:
            if not self.books.alone:
                raise
            self.books.disturbed()
            return super()._together(orders)

    def _begin(self) -> Any:
        connection = self.connection()
        connection.execute("BEGIN")
        self.books.refresh(connection)
        return connection

    def _group(self, connection: Any, orders: Sequence[Order], *, careful: bool) -> Group:
        group = super()._group(connection, orders, careful=careful)
        if careful:
            connection.catch_up()
        return group

    def _lock(self, connection: Any, orders: Sequence[Order]) -> None:
        """Locks every wallet of the group, in the order all replicas keep."""
        self.books.lock(connection, {(order.organization_id, order.mode.value) for order in orders})

    def _roll_back(self, *, broken: bool) -> None:
        """See `Committer._roll_back`; a connection that still answers is kept."""
        connection: Any = self._connection
        super()._roll_back(broken=broken and connection is not None and connection.lost)

    def _hear(self, _: psycopg.Notify) -> None:
        self.changed()
