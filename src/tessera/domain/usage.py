"""What a call used, and the one record it leaves behind."""

from enum import StrEnum

import msgspec

from tessera.domain.ledger.losses import DayLoss, LossLimits, leaves_free
from tessera.domain.ledger.orders import Outcome, StoredReply
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities

LEAVING = (Outcome.CLIENT_DISCONNECTED,)
"""Outcomes that a client brings about itself, at a moment of its choice."""


class UsageSource(StrEnum):
    """Who counted: the provider's own usage object, our count of what was delivered, or nobody (nothing delivered)."""

    PROVIDER = "provider"
    LOCAL = "local"
    NONE = "none"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at one deployment. `status` is the provider's HTTP status, None if none came; `error` our own code."""

    deployment: str
    status: int | None
    error: str | None
    started_at: int
    duration_ms: int


class UsageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The settlement of one hold and everything its receipt needs; written once, in the settle's commit.

    `charge_nanos` ≤ the hold; what measured usage would have cost beyond it is `waived_nanos` and is never charged.
    `charge` is the charge with its lines as JSON. `cost_nanos` is what the provider bills the operator, `loss_nanos`
    the provider's cost that no customer pays. `reply` is kept only when the caller sent an idempotency key.

    `past_allowance` is set for a call whose client left before any output and who pays nothing as long as the day's
    allowance for that lasts: the event that is settled instead once it is used up, decided in the settle's commit.
    """

    hold_id: str
    organization_id: str
    mode: Mode
    outcome: Outcome
    status: int
    deployment: str
    served_tier: str
    price_version: str
    usage: Quantities
    usage_source: UsageSource
    predicted_input_tokens: int
    predicted_image_tokens: int
    charge_nanos: int
    waived_nanos: int
    cost_nanos: int
    loss_nanos: int
    charge: bytes
    attempts: tuple[Attempt, ...]
    settled_at_us: int
    latency_ms: int
    first_byte_ms: int | None
    reply: StoredReply | None = None
    past_allowance: "UsageEvent | None" = None


def settled_as(event: UsageEvent, day: DayLoss, limits: LossLimits) -> UsageEvent:
    """The event that resolves a hold on a day with these losses so far: itself, or the one past the allowance."""
    if event.past_allowance is None or leaves_free(day, event.loss_nanos, limits):
        return event
    return event.past_allowance


def left_free(event: UsageEvent) -> bool:
    """Whether an event counts against the allowance: its client left, paid nothing, and cost the operator something."""
    return event.outcome in LEAVING and event.charge_nanos == 0 and event.loss_nanos > 0


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when a call ends: what the provider reported, and what we counted ourselves.

    `reported` is the provider's usage, None when it sent none or an absurd one. `input` is our own prediction of the
    input, `output_tokens` our own count of the output that was produced. `accepted` says that a provider took the call,
    `has_output` that anything was produced, `finished` that the provider said how it ended.
    """

    reported: Quantities | None
    input: Quantities
    output_tokens: int
    accepted: bool
    has_output: bool
    finished: bool


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """Which quantities the customer pays for, who counted them, and which the operator carries alone."""

    usage: Quantities
    source: UsageSource
    lost: Quantities


NOTHING = Quantities()


def owed(outcome: Outcome, delivered: Delivered) -> Owed:
    """The published policy of who pays, by how a call ended (docs/reference/who-pays.md).

    A finished answer is paid by the provider's usage, or by our own count when that is missing, or names no output
    although something was delivered. A client that leaves pays for the input and what was produced; if nothing was,
    nothing. A provider's failure costs the customer nothing. What the provider may still bill for is the operator's
    loss.
    """
    own = msgspec.structs.replace(delivered.input, output_tokens=delivered.output_tokens)
    reported = delivered.reported
    if reported is not None and reported.output_tokens == 0 and delivered.has_output:
        reported = None
    if outcome is Outcome.COMPLETED:
        if reported is not None:
            return Owed(usage=reported, source=UsageSource.PROVIDER, lost=NOTHING)
        if delivered.has_output or delivered.finished:
            return Owed(usage=own, source=UsageSource.LOCAL, lost=NOTHING)
        return Owed(usage=NOTHING, source=UsageSource.NONE, lost=NOTHING)
    if outcome is Outcome.CLIENT_DISCONNECTED and delivered.has_output:
        if reported is not None:
            return Owed(usage=reported, source=UsageSource.PROVIDER, lost=NOTHING)
        return Owed(usage=own, source=UsageSource.LOCAL, lost=NOTHING)
    lost = (reported or own) if delivered.accepted else NOTHING
    return Owed(usage=NOTHING, source=UsageSource.NONE, lost=lost)
