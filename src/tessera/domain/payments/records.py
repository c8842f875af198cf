"""What is stored of money in and out. Times are seconds since 1970; amounts are nano-dollars."""

from enum import StrEnum

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import NANOS_PER_USD, Mode, format_usd, parse_usd

NANOS_PER_CENT = NANOS_PER_USD // 100
CURRENCY = "usd"


class Service(StrEnum):
    """Who moves the money: Stripe, or for test credit this process itself."""

    STRIPE = "stripe"
    SANDBOX = "sandbox"


class TopUpKind(StrEnum):
    """Paid by somebody on the service's page, or by a saved card when the balance is low."""

    CHECKOUT = "checkout"
    AUTOMATIC = "automatic"


class TopUpState(StrEnum):
    """`created` until the service knows of it, `open` until it is paid; what is paid stays paid."""

    CREATED = "created"
    OPEN = "open"
    PAID = "paid"
    FAILED = "failed"
    EXPIRED = "expired"


class TopUpOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A top-up as it was asked for. `fingerprint` tells a repeat of it from another under the same key."""

    id: str
    organization_id: str
    mode: Mode
    service: Service
    kind: TopUpKind
    amount_nanos: int
    idempotency_key: str
    fingerprint: str
    save_card: bool = False
    taxed: bool = False


class TopUp(msgspec.Struct, frozen=True, kw_only=True):
    """A top-up as it stands. `payment_id` is the service's payment, `lot_id` the credit it became.

    `amount_nanos` is credited; `tax_nanos` is paid beside it where it is `taxed`. What was refunded and disputed
    has its tax in it; `returned_tax_nanos` of them is tax. `fee_nanos` is what the service kept,
    `fee_due_at` when it is asked for that next.
    """

    id: str
    organization_id: str
    mode: Mode
    service: Service
    kind: TopUpKind
    amount_nanos: int
    fingerprint: str
    state: TopUpState
    save_card: bool
    session_id: str | None
    url: str | None
    payment_id: str | None
    lot_id: str | None
    failure: str | None
    created_at: int
    paid_at: int | None
    refunded_nanos: int = 0
    disputed_nanos: int = 0
    taxed: bool = False
    tax_nanos: int = 0
    returned_tax_nanos: int = 0
    fee_nanos: int = 0
    fee_due_at: int | None = None

    @property
    def total_nanos(self) -> int:
        """What was paid: credit and tax."""
        return self.amount_nanos + self.tax_nanos


class ClaimKind(StrEnum):
    """What can come back to a payment."""

    REFUND = "refund"
    DISPUTE = "dispute"


class ClaimState(StrEnum):
    """`waiting` for its payment, `applied`, or `reversed`: the refund failed, the dispute was won."""

    WAITING = "waiting"
    APPLIED = "applied"
    REVERSED = "reversed"


class PaymentRefund(msgspec.Struct, frozen=True, kw_only=True):
    """A refund of a payment that the ledger has taken out and the service is to send; `tax_nanos` of it are tax."""

    id: str
    topup: TopUp
    amount_nanos: int
    tax_nanos: int
    state: ClaimState


class ChargeRefund(msgspec.Struct, frozen=True, kw_only=True):
    """What of a call's charge was given back to the lots that paid it."""

    request_id: str
    organization_id: str
    mode: Mode
    charge_nanos: int
    amount_nanos: int
    note: str
    refunded_at: int


class Voucher(msgspec.Struct, frozen=True, kw_only=True):
    """A code for credit, as it can be shown again. `expires_at` ends its redeeming, `credit_seconds` the credit."""

    id: str
    display: str
    mode: Mode
    amount_nanos: int
    redemptions_max: int
    redemptions: int
    expires_at: int | None
    credit_seconds: int | None
    note: str
    created_at: int
    revoked_at: int | None


class AutomaticTopUp(msgspec.Struct, frozen=True, kw_only=True):
    """Below `threshold_nanos` available, `amount_nanos` is charged to the saved card, up to `month_max_nanos` a month.

    `customer_id` is the payment service's name for who saved the card; `failure` why it was switched off.
    """

    organization_id: str
    mode: Mode
    customer_id: str | None
    enabled: bool
    threshold_nanos: int
    amount_nanos: int
    month_max_nanos: int
    failure: str | None


def cents_of(amount_nanos: int) -> int:
    """Whole cents. Raises ValueError for an amount with a part of a cent."""
    cents, rest = divmod(amount_nanos, NANOS_PER_CENT)
    if rest:
        raise ValueError(f"{amount_nanos} nano-dollars are no whole cents")
    return cents


def parse_payment(text: str, *, param: str, least_nanos: int, most_nanos: int) -> int:
    """An amount a payment service can move, between two bounds. Raises [invalid_request]."""
    try:
        nanos = parse_usd(text)
        cents_of(nanos)
    except ValueError:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, f"{param} must be US dollars and whole cents, as in 25.00.", param=param
        ) from None
    if not least_nanos <= nanos <= most_nanos:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"{param} must be from ${format_usd(least_nanos)} to ${format_usd(most_nanos)}.",
            param=param,
        )
    return nanos
