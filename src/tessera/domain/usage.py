"""What a call used, and the one record it leaves behind."""

from enum import StrEnum

import msgspec

from tessera.domain.ledger.losses import DayLoss, LossLimits, leaves_free
from tessera.domain.ledger.orders import Outcome, StoredReply
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities

LEAVING = (Outcome.CLIENT_DISCONNECTED, Outcome.REVOKED)
"""Outcomes that end a call from the customer's side: the client hung up, or its key was revoked at once."""


class UsageSource(StrEnum):
    """Who counted: the provider's own usage object, our count of what was delivered, or nobody (nothing delivered).

    `quarantined` is our count in place of a provider's usage that cannot be true; an operator can list these calls.
    """

    PROVIDER = "provider"
    LOCAL = "local"
    NONE = "none"
    QUARANTINED = "quarantined"


class OnCancel(StrEnum):
    """What a provider bills for an answer that nobody reads to its end."""

    STOPS_BILLING = "stops_billing"
    BILLS_IN_FULL = "bills_in_full"
    UNKNOWN = "unknown"


class Policy(StrEnum):
    """The rows of docs/reference/who-pays.md. A receipt names the one that decided what was charged."""

    FINISHED = "finished"
    FINISHED_OWN_COUNT = "finished-own-count"
    FINISHED_EMPTY = "finished-empty"
    LEFT_MID_STREAM_STOPS_BILLING = "left-mid-stream-stops-billing"
    LEFT_MID_STREAM_BILLS_IN_FULL = "left-mid-stream-bills-in-full"
    LEFT_MID_STREAM_UNKNOWN = "left-mid-stream-unknown"
    REVOKED_MID_STREAM = "revoked-mid-stream"
    REVOKED_BEFORE_OUTPUT = "revoked-before-output"
    LEFT_BEFORE_OUTPUT = "left-before-output"
    LEFT_PAST_ALLOWANCE = "left-past-allowance"
    LEFT_WHILE_THINKING = "left-while-thinking"
    LEFT_UNSENT = "left-unsent"
    PROVIDER_FAILED = "provider-failed"
    PROVIDER_LATE = "provider-late"
    STOPPED = "stopped"
    REFUSED = "refused"
    DIED = "died"


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


def is_free_leave(charge: bytes, loss_nanos: int) -> bool:
    """Whether an event counts against the allowance: its client left before any output and so pays nothing."""
    return loss_nanos > 0 and _decode_ruled(charge).policy == Policy.LEFT_BEFORE_OUTPUT


class _Ruled(msgspec.Struct, frozen=True):
    policy: str = ""


_decode_ruled = msgspec.json.Decoder(_Ruled).decode


class Delivered(msgspec.Struct, frozen=True, kw_only=True):
    """What is known when a call ends: what the provider reported, and what we counted ourselves.

    `reported` is the provider's usage, None when it sent none or an absurd one. `input` is our own prediction of the
    input, `output_tokens` our own count of the output that was produced. `accepted` says that a provider took the call,
    `has_output` that anything was produced, `finished` that the provider said how it ended. `unheard` says that the
    client had left before anything was produced, `thinks` that the model works unseen before its first output, and
    `on_cancel` what its provider bills for an answer that is not read to its end.
    """

    reported: Quantities | None
    input: Quantities
    output_tokens: int
    accepted: bool
    has_output: bool
    finished: bool
    unheard: bool = False
    thinks: bool = False
    on_cancel: OnCancel = OnCancel.UNKNOWN


class Owed(msgspec.Struct, frozen=True, kw_only=True):
    """Which quantities the customer pays for, who counted them, which the operator carries alone, and by which rule."""

    usage: Quantities
    source: UsageSource
    lost: Quantities
    policy: Policy = Policy.FINISHED


NOTHING = Quantities()


_MID_STREAM = {
    OnCancel.STOPS_BILLING: Policy.LEFT_MID_STREAM_STOPS_BILLING,
    OnCancel.BILLS_IN_FULL: Policy.LEFT_MID_STREAM_BILLS_IN_FULL,
    OnCancel.UNKNOWN: Policy.LEFT_MID_STREAM_UNKNOWN,
}
_UNPAID = {
    Outcome.CLIENT_DISCONNECTED: Policy.LEFT_BEFORE_OUTPUT,
    Outcome.REVOKED: Policy.REVOKED_BEFORE_OUTPUT,
    Outcome.PROVIDER_ERROR: Policy.PROVIDER_FAILED,
    Outcome.PROVIDER_TIMEOUT: Policy.PROVIDER_LATE,
    Outcome.CANCELLED: Policy.STOPPED,
    Outcome.REFUSED: Policy.REFUSED,
    Outcome.EXPIRED: Policy.DIED,
}


def owed(outcome: Outcome, delivered: Delivered) -> Owed:
    """The published policy of who pays, by how a call ended (docs/reference/who-pays.md).

    A finished answer is paid by the provider's usage, or by our own count when that is missing, or names no output
    although something was delivered; a reply with neither output nor an end costs nothing. A client that leaves pays
    for the input and what was produced; if nothing was, nothing, unless the model was thinking. A provider's failure
    costs the customer nothing. What the provider may still bill for is the operator's loss.
    """
    reported = _reported(delivered)
    if outcome is Outcome.COMPLETED:
        if not (delivered.has_output or delivered.finished):
            return Owed(usage=NOTHING, source=UsageSource.NONE, lost=reported or NOTHING, policy=Policy.FINISHED_EMPTY)
        if reported is not None:
            return Owed(usage=reported, source=UsageSource.PROVIDER, lost=NOTHING)
        return Owed(usage=_own(delivered), source=UsageSource.LOCAL, lost=NOTHING, policy=Policy.FINISHED_OWN_COUNT)
    policy = _UNPAID[outcome]
    if outcome in LEAVING:
        if delivered.has_output and not delivered.unheard:
            revoked = outcome is Outcome.REVOKED
            return _paid(delivered, Policy.REVOKED_MID_STREAM if revoked else _MID_STREAM[delivered.on_cancel])
        if not delivered.accepted:
            policy = Policy.LEFT_UNSENT
        elif delivered.thinks and outcome is Outcome.CLIENT_DISCONNECTED:
            return _paid(delivered, Policy.LEFT_WHILE_THINKING)
    lost = (reported or _own(delivered)) if delivered.accepted else NOTHING
    return Owed(usage=NOTHING, source=UsageSource.NONE, lost=lost, policy=policy)


def owed_past_allowance(decided: Owed, delivered: Delivered) -> Owed | None:
    """What is owed instead once the day's free leaves are used up; None where that makes no difference."""
    if decided.policy is not Policy.LEFT_BEFORE_OUTPUT:
        return None
    return _paid(delivered, Policy.LEFT_PAST_ALLOWANCE)


def _paid(delivered: Delivered, policy: Policy) -> Owed:
    """Input and what was produced: the provider's usage where it is known, our own count otherwise."""
    reported = _reported(delivered)
    if reported is not None:
        return Owed(usage=reported, source=UsageSource.PROVIDER, lost=NOTHING, policy=policy)
    return Owed(usage=_own(delivered), source=UsageSource.LOCAL, lost=NOTHING, policy=policy)


def _reported(delivered: Delivered) -> Quantities | None:
    """The provider's usage, unless it names no output although something was delivered."""
    reported = delivered.reported
    if reported is not None and reported.output_tokens == 0 and delivered.has_output:
        return None
    return reported


def _own(delivered: Delivered) -> Quantities:
    return msgspec.structs.replace(delivered.input, output_tokens=delivered.output_tokens)
