"""The port `Administration`, on either database."""

import sqlite3
from abc import abstractmethod
from pathlib import Path

import msgspec

from tessera.adapters.storage.ledger import accounts, losses, meters, reads
from tessera.adapters.storage.ledger.books import Books
from tessera.adapters.storage.ledger.connected import Connected
from tessera.adapters.storage.ledger.reconciliation import reconciliation
from tessera.adapters.storage.people.audit_log import record
from tessera.adapters.storage.people.steps import Recorder, play, run_sql
from tessera.domain.key_rules import KeyRules
from tessera.domain.ledger.limits import Limits, Meter, SubjectKind
from tessera.domain.ledger.losses import SuspensionReason
from tessera.domain.ledger.reconciliation import Reconciliation
from tessera.domain.money import Mode
from tessera.domain.people.records import Act, Actor, ActorKind
from tessera.ports import Lot, Page
from tessera.ports.administration import ApiKey, Check, LossDay, Organization, UsageRow

_OPERATOR = Actor(kind=ActorKind.OPERATOR, id="operator", is_operator=True)
"""Who acts at the command line."""


class Administering(Connected):
    """What an operator does to accounts, each act in the audit log; works beside a running server."""

    async def create_organization(self, name: str) -> Organization:
        def work(connection: sqlite3.Connection, books: Books) -> Organization:
            key = self.secrets.checkpoint_key
            made = accounts.create_organization(connection, books, key, name, self._clock(), self._make_id)
            self._record(connection, "organization.created", made.id, made.id, name=made.name)
            return made

        return await self._change(work)

    async def list_organizations(self) -> tuple[Organization, ...]:
        return await self._read(accounts.list_organizations)

    async def find_organization(self, name_or_id: str) -> Organization:
        return await self._read(accounts.find_organization, name_or_id)

    async def suspend_organization(self, organization_id: str) -> Organization:
        return await self._set_suspension(organization_id, SuspensionReason.OPERATOR, "organization.suspended")

    async def resume_organization(self, organization_id: str) -> Organization:
        return await self._set_suspension(organization_id, None, "organization.resumed")

    async def set_limits(
        self, organization_id: str, mode: Mode, kind: SubjectKind, subject: str, limits: Limits
    ) -> Meter:
        def work(connection: sqlite3.Connection, books: Books) -> Meter:
            books.drop(organization_id)
            meter = meters.set_limits(connection, organization_id, mode, kind, subject, limits)
            bounds = {name: value for name, value in msgspec.structs.asdict(limits).items() if value is not None}
            details = {"kind": kind.value, "mode": mode.value, **bounds}
            self._record(connection, "limits.changed", organization_id, meter.subject_id, **details)
            return meter

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

        def work(connection: sqlite3.Connection, _: Books) -> ApiKey:
            accounts.check_open(connection, organization_id)
            made = accounts.create_key(connection, self.secrets.checkpoint_key, key, digest, self._make_id)
            details = {"name": made.name, "mode": made.mode.value, "project": made.project_id, "ends_at": None}
            details["rules"] = accounts.rules_text(made.rules)
            self._record(connection, "api_key.created", made.organization_id, made.id, **details)
            return made

        return await self._change(work, of_keys=True)

    async def list_keys(self, organization_id: str) -> tuple[ApiKey, ...]:
        return await self._read(accounts.list_keys, organization_id)

    async def revoke_key(self, key_id: str, *, cut: bool = False) -> ApiKey:
        def work(connection: sqlite3.Connection, _: Books) -> ApiKey:
            ended = accounts.revoke_key(connection, self.secrets.checkpoint_key, key_id, self._clock(), cut=cut)
            self._record(connection, "api_key.revoked", ended.organization_id, ended.id, cut=cut)
            return ended

        return await self._change(work, of_keys=True)

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
        def work(connection: sqlite3.Connection, books: Books) -> Lot:
            accounts.check_open(connection, organization_id)
            terms = (amount_nanos, kind, note, expires_at)
            lot = accounts.add_credit(connection, books, organization_id, mode, *terms, self._clock(), self._make_id)
            details = {"mode": mode.value, "kind": kind, "amount_nanos": amount_nanos, "expires_at": expires_at}
            self._record(connection, "credit.added", organization_id, lot.id, **details)
            return lot

        return await self._change(work)

    async def usage(self, organization_id: str) -> tuple[UsageRow, ...]:
        return await self._read(reads.usage, organization_id)

    async def reconciliation(self) -> Reconciliation:
        return await self._read(reconciliation)

    @abstractmethod
    async def verify(self) -> tuple[Check, ...]:
        """See the port."""

    @abstractmethod
    async def backup(self, target: Path) -> None:
        """See the port."""

    # ---- inside -------------------------------------------------------------------------------------------------

    async def _set_suspension(self, organization_id: str, reason: SuspensionReason | None, action: str) -> Organization:
        def work(connection: sqlite3.Connection, books: Books) -> Organization:
            found = accounts.suspend(connection, books, organization_id, reason)
            self._record(connection, action, found.id, found.id)
            return found

        return await self._change(work)

    def _record(
        self, connection: sqlite3.Connection, action: str, scope: str, object_id: str, **details: str | int | None
    ) -> None:
        """Writes what the operator did by command to the organization's audit log, in the commit of what was done."""
        recorder = Recorder(lambda: self._clock() // 1_000_000, self._make_id, self.secrets.checkpoint_key)
        act = Act(actor=_OPERATOR, action=action, object_id=object_id, scope=scope, details=details)
        play(record(recorder, act), lambda step: run_sql(connection, step))
