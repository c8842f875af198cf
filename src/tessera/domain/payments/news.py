"""What a payment service can tell us, in our words, and what came of it."""

from enum import StrEnum

import msgspec

from tessera.domain.money import Mode
from tessera.domain.payments.records import ClaimKind, Service


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that is settled, for a top-up. `tax_cents` of it are tax."""

    topup_id: str
    payment_id: str
    amount_cents: int
    currency: str
    tax_cents: int = 0
    customer_id: str | None = None


class Unpaid(msgspec.Struct, frozen=True, kw_only=True):
    """A top-up that will not be paid: its page expired, or its payment failed."""

    topup_id: str
    expired: bool
    reason: str


class Fee(msgspec.Struct, frozen=True, kw_only=True):
    """What the service kept, in its balance transaction of this id at `at`, seconds since 1970. Below zero it gave it
    back."""

    id: str
    amount_cents: int
    currency: str
    at: int


class Charged(msgspec.Struct, frozen=True, kw_only=True):
    """A payment's charge was booked: the service knows its fee now, and has not said it."""

    payment_id: str


class FeeTaken(msgspec.Struct, frozen=True, kw_only=True):
    """The fee of a payment."""

    payment_id: str
    fee: Fee


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A refund or a dispute of a payment, and what the service took for it. `reversed`: the refund failed, or the
    dispute was won."""

    claim_id: str
    kind: ClaimKind
    payment_id: str
    amount_cents: int
    currency: str
    reversed: bool
    note: str
    fees: tuple[Fee, ...] = ()


class Nothing(msgspec.Struct, frozen=True, kw_only=True):
    """An event that moves nothing here."""

    reason: str


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is signed and cannot be true of a top-up of ours: another mode, account or currency."""

    reason: str


News = Paid | Unpaid | Charged | FeeTaken | Claimed | Nothing | Refused


class PaymentEvent(msgspec.Struct, frozen=True, kw_only=True):
    """One event of a service: its id there, its raw bytes, the mode its signature proves, and what it says."""

    service: Service
    id: str
    type: str
    mode: Mode
    body: bytes
    news: News


class Outcome(StrEnum):
    """What came of an event."""

    APPLIED = "applied"
    REPEATED = "repeated"
    WAITING = "waiting"
    IGNORED = "ignored"
    REFUSED = "refused"


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """What came of an event, and why."""

    outcome: Outcome
    reason: str
