"""The port `Administration`, on either database."""

import sqlite3
from abc import abstractmethod
from pathlib import Path

from tessera.adapters.storage.ledger import accounts, losses, meters, reads
from tessera.adapters.storage.ledger.books import Books
from tessera.adapters.storage.ledger.connected import Connected
from tessera.adapters.storage.ledger.reconciliation import reconciliation
from tessera.administration_ports import ApiKey, Check, LossDay, Organization, UsageRow
from tessera.domain.key_rules import KeyRules
from tessera.domain.ledger.limits import Limits, Meter, SubjectKind
from tessera.domain.ledger.losses import SuspensionReason
from tessera.domain.ledger.reconciliation import Reconciliation
from tessera.domain.money import Mode
from tessera.ports import Lot, Page


class Administering(Connected):
    """What an operator does to accounts; works beside a running server."""

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

    @abstractmethod
    async def verify(self) -> tuple[Check, ...]:
        """See the port."""

    @abstractmethod
    async def backup(self, target: Path) -> None:
        """See the port."""
