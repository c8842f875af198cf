"""What flows that an operator uses on customers need of storage: who they are, their balances, credit given by hand.

Every verb raises [storage_unavailable] when the database cannot answer, and what it names. A change and its audit event
(`Act`) are one commit.
"""

from enum import StrEnum
from typing import Protocol

import msgspec

from tessera.domain.money import Mode
from tessera.domain.people.records import Act
from tessera.ports import Page


class Customer(msgspec.Struct, frozen=True, kw_only=True):
    """An organization as the operator sees it. Amounts are those of its live wallet; `available_nanos` is below zero
    where a payment was disputed after it was spent, or a refund waits for what calls hold (`owed_nanos`).

    `owner` is the e-mail address of its first owner, None where it has none (made by command, or deleted).
    `last_used_at` is when its last call was held, live or test. Times are seconds since 1970.
    """

    id: str
    name: str
    created_at: int
    suspended_for: str | None
    owner: str | None
    members: int
    last_used_at: int | None
    available_nanos: int
    held_nanos: int
    disputed_nanos: int
    owed_nanos: int
    spent_nanos: int


class CustomersAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Which customers: those whose id is, or whose name or a member's address contains, `search`; with `suspended`,
    only those that are, or are not."""

    search: str | None = None
    suspended: bool | None = None


class CreditState(StrEnum):
    """Where a credit stands that an operator gives by hand."""

    PENDING = "pending"
    """It waits for another operator."""

    GIVEN = "given"
    """It is in the customer's balance."""

    WITHDRAWN = "withdrawn"
    """An operator took it back before it was given."""

    EXPIRED = "expired"
    """Nobody approved it in time."""


class NewCredit(msgspec.Struct, frozen=True, kw_only=True):
    """A credit as it is asked for. `credit_expires_at` is when what is left of it is lost; None: never."""

    organization_id: str
    mode: Mode
    kind: str
    amount_nanos: int
    note: str
    credit_expires_at: int | None
    idempotency_key: str


class ManualCredit(msgspec.Struct, frozen=True, kw_only=True):
    """A credit that an operator gave by hand or asks another one to give. `lot_id` is what it became.

    `approved_by` is the person who gave it where that took two. Times are seconds since 1970.
    """

    id: str
    organization_id: str
    mode: Mode
    kind: str
    amount_nanos: int
    note: str
    credit_expires_at: int | None
    state: CreditState
    made_by: str
    made_at: int
    approve_until: int
    approved_by: str | None
    lot_id: str | None


class CreditPolicy(msgspec.Struct, frozen=True, kw_only=True):
    """What one operator may give alone in live credit within 24 hours, over all customers, and how many seconds a
    larger credit waits for another operator."""

    alone_max_nanos: int
    waits_s: int = 7 * 24 * 3600


class Customers(Protocol):
    """Organizations as an operator sees and changes them."""

    async def list_customers(self, asked: CustomersAsked, page: Page) -> tuple[Customer, ...]:
        """Newest first; deleted organizations are left out."""
        ...

    async def find_customer(self, organization_id: str) -> Customer | None:
        """One of them, by id; deleted ones too: their books stay."""
        ...

    async def suspend_customer(self, act: Act) -> None:
        """Its new calls are refused as organization_suspended from the next hold on; running ones finish. Raises
        [not_found]."""
        ...

    async def resume_customer(self, act: Act) -> None:
        """Lifts a suspension, whatever its reason; losses so far no longer count towards a day's limit. Raises
        [not_found]."""
        ...

    async def give_credit(self, act: Act, new: NewCredit, policy: CreditPolicy) -> tuple[ManualCredit, bool]:
        """Gives a credit, or keeps it until another operator approves it, where the policy says so.

        True with it: the same was asked before under this idempotency key, and nothing was changed.

        Raises [idempotency_mismatch] for another credit under the key, [invalid_request] for an amount beyond the
        ledger or one that would have expired, [not_found], [permission_denied] for somebody who is no operator any
        more.
        """
        ...

    async def approve_credit(self, act: Act) -> ManualCredit:
        """Gives a credit that waits. Raises [not_found], [invalid_request] for one that does not wait any more,
        [permission_denied] for who asked for it, and for somebody who is no operator any more."""
        ...

    async def withdraw_credit(self, act: Act) -> ManualCredit:
        """Takes a credit back that waits. Raises [not_found], [invalid_request] for one that does not wait any more."""
        ...

    async def list_credits(self, state: CreditState | None, page: Page) -> tuple[ManualCredit, ...]:
        """Newest first, of all organizations."""
        ...
