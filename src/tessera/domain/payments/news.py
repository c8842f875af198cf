"""What a payment service can tell us, in our words, and what came of it."""

from enum import StrEnum

import msgspec

from tessera.domain.money import Mode
from tessera.domain.payments.records import ClaimKind, Service


class Paid(msgspec.Struct, frozen=True, kw_only=True):
    """A payment that is settled, for a top-up."""

    topup_id: str
    payment_id: str
    amount_cents: int
    currency: str
    customer_id: str | None = None


class Unpaid(msgspec.Struct, frozen=True, kw_only=True):
    """A top-up that will not be paid: its page expired, or its payment failed."""

    topup_id: str
    expired: bool
    reason: str


class Claimed(msgspec.Struct, frozen=True, kw_only=True):
    """A refund or a dispute of a payment. `reversed`: the refund failed, or the dispute was won."""

    claim_id: str
    kind: ClaimKind
    payment_id: str
    amount_cents: int
    currency: str
    reversed: bool
    note: str


class Nothing(msgspec.Struct, frozen=True, kw_only=True):
    """An event that moves nothing here."""

    reason: str


class Refused(msgspec.Struct, frozen=True, kw_only=True):
    """An event that is signed and cannot be true of a top-up of ours: another mode, account or currency."""

    reason: str


News = Paid | Unpaid | Claimed | Nothing | Refused


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
