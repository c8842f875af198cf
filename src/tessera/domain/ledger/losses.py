"""What the operator loses on one organization on one UTC day, and what follows from too much of it.

A loss is the provider's cost of a call that no customer pays for. Pure, so that every database decides the same.
"""

from enum import StrEnum

import msgspec

from tessera.domain.money import NANOS_PER_USD, Mode

DAY_US = 86_400_000_000


class SuspensionReason(StrEnum):
    """Why an organization is suspended: its losses went past a day's limit, an operator said so, or a payment dispute
    took its balance below zero."""

    LOSS = "loss"
    OPERATOR = "operator"
    DISPUTE = "dispute"


class LossLimits(msgspec.Struct, frozen=True, kw_only=True):
    """What one organization may cost the operator on one UTC day.

    Past `loss_max_nanos` it is suspended. Of that, calls whose client left before any output are free for the customer
    up to `left_calls_max` of them and `left_loss_max_nanos` in all.
    """

    loss_max_nanos: int = 20 * NANOS_PER_USD
    left_calls_max: int = 100
    left_loss_max_nanos: int = 1 * NANOS_PER_USD


class DayLoss(msgspec.Struct, frozen=True, kw_only=True):
    """The losses of one organization in one mode on one day; `left_…` are those of calls their client left, free.

    `forgiven_nanos` is what had been lost when an operator last lifted a suspension: the limit counts from there.
    """

    loss_nanos: int = 0
    forgiven_nanos: int = 0
    left_calls: int = 0
    left_loss_nanos: int = 0


NO_LOSS = DayLoss()


class OrphanedQuote(msgspec.Struct, frozen=True):
    """What is read of the quote of a call nothing is known of: the price of the input that was predicted."""

    input_predicted_nanos: int = 0


_decode_orphaned = msgspec.json.Decoder(OrphanedQuote).decode


def day_of(time_us: int) -> int:
    """The UTC day of a time in microseconds since 1970, as days since 1970-01-01."""
    return time_us // DAY_US


def add_loss(day: DayLoss, loss_nanos: int, *, left: bool) -> DayLoss:
    """The day with one more loss; `left` says that its client left before any output and pays nothing."""
    return DayLoss(
        loss_nanos=day.loss_nanos + loss_nanos,
        forgiven_nanos=day.forgiven_nanos,
        left_calls=day.left_calls + left,
        left_loss_nanos=day.left_loss_nanos + (loss_nanos if left else 0),
    )


def leaves_free(day: DayLoss, loss_nanos: int, limits: LossLimits) -> bool:
    """Whether one more call that its client left before any output, at this loss, is free on this day."""
    return day.left_calls < limits.left_calls_max and day.left_loss_nanos + loss_nanos <= limits.left_loss_max_nanos


def is_too_much(day: DayLoss, limits: LossLimits) -> bool:
    """Whether a day's losses suspend the organization."""
    return day.loss_nanos - day.forgiven_nanos > limits.loss_max_nanos


def orphan_loss(quote: bytes, mode: Mode) -> int:
    """What a provider may bill for a live call nothing is known of, at most likely: its input, at the quoted price."""
    if mode is Mode.TEST:
        return 0
    try:
        return max(0, _decode_orphaned(quote).input_predicted_nanos)
    except msgspec.DecodeError:
        return 0
