"""What an operator does to accounts and the ledger, whatever database keeps them."""

from datetime import date
from pathlib import Path
from typing import Protocol

import msgspec

from tessera.domain.key_rules import KeyRules
from tessera.domain.ledger.limits import Limits, Meter, SubjectKind
from tessera.domain.ledger.reconciliation import Reconciliation
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities
from tessera.ports import Lot, Page


class Organization(msgspec.Struct, frozen=True, kw_only=True):
    """Who owns money, projects and keys. `created_at` is seconds since 1970; `suspended_for` is loss, operator or
    None."""

    id: str
    name: str
    created_at: int
    suspended: bool = False
    suspended_for: str | None = None


class LossDay(msgspec.Struct, frozen=True, kw_only=True):
    """What the operator lost on one organization on one UTC day: the provider's cost of calls no customer paid for.

    Of `loss_nanos`, `left_loss_nanos` went on the `left_calls` whose client left before any output. `forgiven_nanos` is
    what had been lost when a suspension was last lifted.
    """

    day: date
    loss_nanos: int
    forgiven_nanos: int
    left_calls: int
    left_loss_nanos: int


class ApiKey(msgspec.Struct, frozen=True, kw_only=True):
    """An API key as it can be shown again: never the secret, only `display` (`sk-tess-live-Ab3d…wxyz`).

    `revoked_at` is when it ends, or ended: one in the future is its expiry, and until then it works. `rules` is what it
    may be used for, None for anything; `last_used_at` is when its last call was held, in seconds since 1970. `maker_id`
    is the person who made it, None for the operator at the command line.
    """

    id: str
    name: str
    mode: Mode
    organization_id: str
    project_id: str
    project: str
    display: str
    created_at: int
    revoked_at: int | None = None
    rules: KeyRules | None = None
    last_used_at: int | None = None
    maker_id: str | None = None


class UsageRow(msgspec.Struct, frozen=True, kw_only=True):
    """What one organization used of one model in one mode."""

    mode: Mode
    model: str
    calls: int
    usage: Quantities
    charge_nanos: int
    cost_nanos: int


class Check(msgspec.Struct, frozen=True, kw_only=True):
    """One audited invariant of the ledger. `detail` says what was counted, or which row is wrong."""

    name: str
    ok: bool
    detail: str


class Administration(Protocol):
    """What an operator does to accounts; what changes something is in the organization's audit log, in the same commit.
    Works beside a running server. Raises [invalid_request, not_found, storage_unavailable]."""

    async def create_organization(self, name: str) -> Organization:
        """With its default project, both wallets and $100 of test credit. A name that is taken is refused."""
        ...

    async def list_organizations(self) -> tuple[Organization, ...]: ...

    async def find_organization(self, name_or_id: str) -> Organization: ...

    async def suspend_organization(self, organization_id: str) -> Organization:
        """Its new calls are refused as organization_suspended from the next hold on; running ones finish."""
        ...

    async def resume_organization(self, organization_id: str) -> Organization:
        """Lifts a suspension, whatever its reason; losses so far no longer count towards a day's limit."""
        ...

    async def set_limits(
        self, organization_id: str, mode: Mode, kind: SubjectKind, subject: str, limits: Limits
    ) -> Meter:
        """Replaces the limits of a key, a project or the organization itself in one mode; holds that stand stay.

        `subject` is an id, or a project's name. Raises [not_found] for one that is not the organization's, and for
        a key of the other mode.
        """
        ...

    async def list_meters(self, organization_id: str, mode: Mode) -> tuple[Meter, ...]:
        """What keys, projects and the organization have used in one mode, and their limits; those never used or limited
        are left out."""
        ...

    async def list_losses(self, organization_id: str, mode: Mode, page: Page) -> tuple[LossDay, ...]:
        """Days with losses, newest first; `after` is a day such as 2026-11-22."""
        ...

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
        """Stores a key by its digest; the project is created when it does not exist. `rules` are as `made_rules` makes
        them."""
        ...

    async def list_keys(self, organization_id: str) -> tuple[ApiKey, ...]: ...

    async def revoke_key(self, key_id: str, *, cut: bool = False) -> ApiKey:
        """Calls with it are refused from now on, by every process within seconds; with `cut` those that run are cut."""
        ...

    async def add_credit(
        self,
        organization_id: str,
        mode: Mode,
        amount_nanos: int,
        *,
        kind: str,
        note: str,
        expires_at: int | None = None,
    ) -> Lot: ...

    async def usage(self, organization_id: str) -> tuple[UsageRow, ...]: ...

    async def reconciliation(self) -> Reconciliation:
        """Settlements that were refused and usage that could not be true, of all organizations."""
        ...

    async def verify(self) -> tuple[Check, ...]:
        """Audits every invariant over the whole ledger."""
        ...

    async def backup(self, target: Path) -> None:
        """A consistent copy of everything, taken beside a running server, into a new file."""
        ...
