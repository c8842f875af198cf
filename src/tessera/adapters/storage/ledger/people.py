"""Runs the steps of `storage.people`: a generator is one commit of the writer or one snapshot of a reader."""

import sqlite3
from collections.abc import Callable
from typing import Any, TypeVar

from tessera.adapters.storage.credentials import SqlCredentials
from tessera.adapters.storage.customers import SqlCustomers
from tessera.adapters.storage.ledger import accounts, meters
from tessera.adapters.storage.ledger.books import Books
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.people import SqlPeople
from tessera.adapters.storage.people.steps import (
    AddCredit,
    NewKey,
    NewOrganization,
    ReadMeter,
    RenameKey,
    RevokeKey,
    SetRules,
    SetSuspension,
    Sql,
    Step,
    Steps,
    play,
    run_sql,
)
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.ports import Lot
from tessera.ports.administration import ApiKey, Organization

T = TypeVar("T")

_SET_KEY = "UPDATE api_key SET name = ?, digest = ?, revoked_at = ?, rules = ?, signature = ? WHERE id = ?"


class LedgerSteps:
    """How the ledger runs steps."""

    def __init__(self, storage: LedgerStorage) -> None:
        self._storage = storage

    async def change(self, steps: Callable[[], Steps[T]], *, of_keys: bool) -> T:
        """In one commit of its own."""
        return await self._storage._change(
            lambda connection, books: self._run(connection, books, steps()), of_keys=of_keys
        )

    async def read(self, steps: Callable[[], Steps[T]]) -> T:
        """On one snapshot."""
        return await self._storage._read(lambda connection: self._run(connection, None, steps()))

    def _run(self, connection: sqlite3.Connection, books: Books | None, steps: Steps[T]) -> T:
        return play(steps, lambda step: self._do(connection, books, step))

    def _do(self, connection: sqlite3.Connection, books: Books | None, step: Step) -> Any:
        if isinstance(step, Sql):
            return run_sql(connection, step)
        if isinstance(step, ReadMeter):
            return meters.find_meter(connection, step.organization_id, step.mode, step.kind, step.subject_id)
        assert books is not None
        if isinstance(step, NewOrganization):
            return self._new_organization(connection, books, step.name)
        if isinstance(step, NewKey):
            return self._new_key(connection, step)
        if isinstance(step, RevokeKey):
            return self._set_key(connection, step.key_id, lambda row: (row[4], step.at, row[9]))
        if isinstance(step, RenameKey):
            return self._set_key(connection, step.key_id, lambda row: (step.name, *row[8:10]))
        if isinstance(step, SetRules):
            rules = accounts.rules_text(step.rules)
            return self._set_key(connection, step.key_id, lambda row: (row[4], row[8], rules))
        if isinstance(step, SetSuspension):
            return accounts.suspend(connection, books, step.organization_id, step.reason)
        if isinstance(step, AddCredit):
            return self._add_credit(connection, books, step)
        books.drop(step.organization_id)
        subject = (step.organization_id, step.mode, step.kind, step.subject_id)
        return meters.set_limits(connection, *subject, step.limits)

    def _new_organization(self, connection: sqlite3.Connection, books: Books, name: str) -> Organization:
        storage = self._storage
        key, now_us = storage.secrets.checkpoint_key, storage._clock()
        return accounts.create_organization(connection, books, key, name, now_us, storage._make_id)

    def _new_key(self, connection: sqlite3.Connection, step: NewKey) -> ApiKey:
        storage = self._storage
        return accounts.create_key(connection, storage.secrets.checkpoint_key, step.key, step.digest, storage._make_id)

    def _add_credit(self, connection: sqlite3.Connection, books: Books, step: AddCredit) -> Lot:
        storage = self._storage
        terms = (step.mode, step.amount_nanos, step.kind, step.note, step.expires_at)
        made = (storage._clock(), storage._make_id)
        return accounts.add_credit(connection, books, step.organization_id, *terms, *made)

    def _set_key(
        self,
        connection: sqlite3.Connection,
        key_id: str,
        change: Callable[[tuple[Any, ...]], tuple[str, int | None, str | None]],
    ) -> ApiKey:
        """Changes a key's name, end or rules, and signs the row anew."""
        row = connection.execute(accounts.KEY_ROW, (key_id,)).fetchone()
        if row is None:
            raise TesseraError(ErrorCode.NOT_FOUND, f"There is no key {key_id!r}.")
        name, ends_at, rules = change(row)
        has_ended = ends_at is not None and ends_at * 1_000_000 <= self._storage._clock()
        digest = accounts.ended_digest(key_id) if has_ended else row[5]
        changed = (*row[:4], name, digest, *row[6:8], ends_at, rules)
        signed = accounts.sign_key(self._storage.secrets.checkpoint_key, changed)
        connection.execute(_SET_KEY, (name, digest, ends_at, rules, signed, key_id))
        return accounts.key_of(connection.execute(accounts.FIND_KEY, (key_id,)).fetchone())


def people_of(storage: LedgerStorage) -> SqlPeople:
    """The storage of people in the same database as the ledger, through the same writer."""
    return SqlPeople(
        LedgerSteps(storage),
        lambda: storage._clock() // 1_000_000,
        storage._make_id,
        storage.secrets.checkpoint_key,
    )


def credentials_of(storage: LedgerStorage) -> SqlCredentials:
    """The storage of providers' credentials in the same database."""
    people = people_of(storage)
    return SqlCredentials(people.database, people.now, people.make_id, people.signing_key)


def customers_of(storage: LedgerStorage) -> SqlCustomers:
    """Customers as an operator sees them, in the same database."""
    people = people_of(storage)
    return SqlCustomers(people.database, people.now, people.make_id, people.signing_key)
