"""What flows of money in and out need of the world: a store in the ledger's own database, and a payment service.

Every verb of the store raises [storage_unavailable]; every verb of the service raises [payments_unavailable] when it
cannot be reached, and what it names.
"""

from collections.abc import AsyncIterator
from typing import Protocol

import msgspec

from tessera.domain.money import Mode
from tessera.domain.payments.news import FeeTaken, PaymentEvent, Verdict
from tessera.domain.payments.records import (
    AutomaticTopUp,
    ChargeRefund,
    PaymentRefund,
    Service,
    TopUp,
    TopUpOrder,
    Voucher,
)
from tessera.domain.payments.statements import Statement
from tessera.domain.people.records import Act
from tessera.ports import Lot, Page


class Checkout(msgspec.Struct, frozen=True, kw_only=True):
    """Where somebody pays: the service's id of the page, and its address."""

    session_id: str
    url: str


class SavedCardCharge(msgspec.Struct, frozen=True, kw_only=True):
    """What became of a charge to a saved card. `payment_id` is set once there is a payment; `failure` says why not.
    `tax_cents` were charged beside the top-up's amount."""

    payment_id: str | None
    settled: bool
    failure: str | None
    tax_cents: int = 0


class Payments(Protocol):
    """A company that takes money for us, in one mode. Closed exactly once."""

    service: Service
    mode: Mode

    async def open_checkout(
        self, topup: TopUp, *, success_url: str, cancel_url: str, customer_id: str | None
    ) -> Checkout:
        """A page to pay a top-up at; the same top-up again gives the same page. A customer whom the service does not
        know any more becomes a new one. Raises [idempotency_in_progress]."""
        ...

    async def close_checkout(self, topup: TopUp) -> None:
        """Sees to it that a top-up's page cannot be paid any more; one that was paid, or has expired, is left as it
        is."""
        ...

    async def charge_saved_card(self, topup: TopUp, customer_id: str) -> SavedCardCharge:
        """Charges the card a customer has saved, and tax beside it where the top-up is taxed; the same top-up again
        charges nothing more, within a day."""
        ...

    async def refund(self, refund: PaymentRefund) -> None:
        """Sends a refund to who paid; the same refund again sends nothing more. Raises [invalid_request] for one the
        service refuses for good."""
        ...

    async def find_fee(self, payment_id: str) -> FeeTaken | None:
        """What the service kept of a payment; None while it does not know."""
        ...

    def events_since(self, since: int) -> AsyncIterator[PaymentEvent]:
        """Payments of top-ups, their fees, refunds and disputes that the service knows of from a time on, as if it told
        us now."""
        ...

    async def close(self) -> None:
        """Closes every connection."""
        ...


class MoneyStore(Protocol):
    """Money in and out, in the ledger's own database. A change, what decides it, its movement and the
    audit event of its `act` are one commit."""

    async def create_topup(self, order: TopUpOrder, act: Act | None = None) -> tuple[TopUp, bool]:
        """A new top-up, or the one its idempotency key was used for, and whether it is that. Raises
        [idempotency_mismatch, not_found]."""
        ...

    async def open_topup(self, topup_id: str, session_id: str, url: str | None) -> TopUp:
        """Notes where a top-up can be paid."""
        ...

    async def find_topup(self, organization_id: str, mode: Mode, topup_id: str) -> TopUp | None: ...

    async def list_topups(self, organization_id: str, mode: Mode, page: Page) -> tuple[TopUp, ...]:
        """Newest first. Raises [invalid_request] for an unknown `after`."""
        ...

    async def list_all_topups(self, page: Page) -> tuple[TopUp, ...]:
        """Of all organizations, newest first."""
        ...

    async def list_paid(self, service: Service, mode: Mode, since: int) -> tuple[TopUp, ...]:
        """Top-ups paid at a service from a time on."""
        ...

    async def list_left_open(self, service: Service, mode: Mode) -> tuple[TopUp, ...]:
        """Some of the top-ups of deleted organizations whose page can still be paid."""
        ...

    async def list_paid_late(self, service: Service, mode: Mode, since: int, *, untouched: bool) -> tuple[TopUp, ...]:
        """Some of the top-ups of organizations that were deleted from a time on, paid after that, of which something is
        left; `untouched` leaves out what was ever refunded or disputed."""
        ...

    async def list_came_back(self, service: Service, mode: Mode, since: int) -> tuple[TopUp, ...]:
        """Some of the top-ups of organizations that were deleted from a time on, paid before that, of whose live money
        something came back since: a refund failed, or a call was refunded."""
        ...

    async def take_event(self, event: PaymentEvent) -> Verdict:
        """Keeps an event and does what follows from it, once."""
        ...

    async def take_news(self, event: PaymentEvent) -> Verdict:
        """Does what follows from news that no event brought: a payment that was looked up."""
        ...

    async def list_fee_due(self, service: Service, mode: Mode) -> tuple[TopUp, ...]:
        """Some of the top-ups whose fee the service is to be asked for now."""
        ...

    async def postpone_fee(self, topup: TopUp, at: int | None) -> None:
        """When to ask again for a fee that was not known; None for never. One that was told of since is asked for."""
        ...

    async def list_fees(self, service: Service, mode: Mode, since: int) -> tuple[tuple[str, str, int], ...]:
        """Balance transaction, payment and amount of the fees of top-ups that were paid from a time on."""
        ...

    async def refund_call(
        self, request_id: str, amount_nanos: int | None, note: str, act: Act | None = None
    ) -> ChargeRefund:
        """Gives a call's charge back, all of it or a part, once. Raises [not_found, invalid_request]."""
        ...

    async def begin_refund(
        self, topup_id: str, amount_nanos: int | None, note: str, act: Act | None = None
    ) -> PaymentRefund:
        """Takes a payment's refund out of the balance. Raises [not_found, invalid_request]."""
        ...

    async def fail_refund(self, refund: PaymentRefund, reason: str) -> None:
        """Puts a refund back that was not sent."""
        ...

    async def applied_refunds(self, service: Service, mode: Mode, since: int) -> tuple[tuple[str, str, int], ...]:
        """Id, payment and amount of refunds that count as sent."""
        ...

    async def create_voucher(self, voucher: Voucher, digest: str, act: Act | None = None) -> Voucher: ...

    async def list_vouchers(self, page: Page) -> tuple[Voucher, ...]: ...

    async def revoke_voucher(self, voucher_id: str, act: Act | None = None) -> Voucher:
        """Raises [not_found]."""
        ...

    async def redeem_voucher(self, organization_id: str, mode: Mode, digest: str, act: Act | None = None) -> Lot:
        """Raises [invalid_request]."""
        ...

    async def find_automatic(self, organization_id: str, mode: Mode) -> AutomaticTopUp | None: ...

    async def set_automatic(self, wanted: AutomaticTopUp, act: Act | None = None) -> AutomaticTopUp:
        """Raises [invalid_request] when it is switched on without a saved card."""
        ...

    async def list_due(self) -> tuple[tuple[str, Mode], ...]:
        """Some of those whose balance is below the threshold they set, and whose card may pay now."""
        ...

    async def list_started(self) -> tuple[TopUp, ...]:
        """Automatic top-ups whose payment was begun and whose outcome is not known."""
        ...

    async def start_automatic(self, organization_id: str, mode: Mode, *, taxed: bool) -> tuple[TopUp, str] | None:
        """Begins one, if it is due, none is under way and the month's ceiling, which is of credit, allows it; with the
        customer who pays."""
        ...

    async def organization_name(self, organization_id: str) -> str:
        """What an organization is called. Raises [not_found]."""
        ...

    async def read_statement(self, organization_id: str, mode: Mode, month: str) -> Statement:
        """Raises [invalid_request, not_found]."""
        ...

    async def compared_at(self, service: Service, mode: Mode) -> int:
        """When the ledger was last compared with a service's lists, in seconds since 1970; 0 for never."""
        ...

    async def note_comparison(self, service: Service, mode: Mode, found: str) -> None:
        """Notes that it was compared now, and what was found, as JSON."""
        ...
