"""What a key, a project or an organization may use, and what it has used; decided in the commit that places a hold.

Pure, so that every database decides the same. Always holds: a call is granted only if it fits every limit of its key,
its project and its organization at its maximum, so that no budget is ever passed, however many calls run at once.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime
from enum import StrEnum
from functools import lru_cache

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.losses import DAY_US, day_of
from tessera.domain.ledger.orders import HoldOrder, RateLeft
from tessera.domain.money import format_usd

MINUTE_US = 60_000_000
BEHIND_MAX_US = 2 * MINUTE_US
"""No call uses up more than the minute to come. What is used up further ahead, by more than clocks of replicas differ,
was noted before the clock was set back."""

PER_MINUTE_MAX = 1_000_000_000
CONCURRENCY_RETRY_AFTER_S = 1
RESERVED_RETRY_AFTER_S = 2
"""When a client may try again if the money is there but held: about the time a short call runs."""


class SubjectKind(StrEnum):
    """What limits can be set on."""

    KEY = "key"
    PROJECT = "project"
    ORGANIZATION = "organization"


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """The most a subject may use; None is no limit. Budgets are nano-dollars, days and months are UTC's.

    Requests and tokens per minute are replenished evenly: a minute's worth can be used at once, and comes back over a
    minute. A call's tokens are its predicted input and all the output it may write.
    """

    budget_total_nanos: int | None = None
    budget_month_nanos: int | None = None
    budget_day_nanos: int | None = None
    requests_per_minute: int | None = None
    tokens_per_minute: int | None = None
    concurrent_max: int | None = None

    def __post_init__(self) -> None:
        for name in ("budget_total_nanos", "budget_month_nanos", "budget_day_nanos", "concurrent_max"):
            value = getattr(self, name)
            if value is not None and value < 0:
                raise ValueError(f"{name} cannot be negative")
        for name in ("requests_per_minute", "tokens_per_minute"):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= PER_MINUTE_MAX:
                raise ValueError(f"{name} must be between 1 and {PER_MINUTE_MAX}")


NO_LIMITS = Limits()


class RateLimitError(TesseraError):
    """A call that is over a limit per minute; `rate` is what all limits of its meters still allow."""

    rate: RateLeft | None = None


class Meter(msgspec.Struct, kw_only=True):
    """What one subject has used in one mode; changed in place while a group is decided.

    `held_nanos` and `open_calls` are of its open holds. `month` counts months and `day` days from a fixed start: those
    it was last used in; their nanos are the charges settled within. `requests_at_us` and `tokens_at_us` are when a
    minute's worth is whole again.
    """

    kind: SubjectKind
    subject_id: str
    spent_nanos: int = 0
    held_nanos: int = 0
    open_calls: int = 0
    month: int = 0
    month_nanos: int = 0
    day: int = 0
    day_nanos: int = 0
    requests_at_us: int = 0
    tokens_at_us: int = 0
    used_at_us: int = 0
    limits: Limits = NO_LIMITS


def month_of(time_us: int) -> int:
    """The UTC month of a time in microseconds since 1970, counted from the year 0."""
    return _month_of_day(time_us // DAY_US)


@lru_cache(maxsize=64)
def _month_of_day(day: int) -> int:
    return month_number(datetime.fromtimestamp(day * (DAY_US // 1_000_000), UTC))


def month_number(day: date) -> int:
    """The month of a day, counted from the year 0."""
    return day.year * 12 + day.month - 1


def first_day_of(month: int) -> int:
    """The first day of a month that is counted from the year 0, as days since 1970-01-01."""
    return (date(month // 12, month % 12 + 1, 1) - date(1970, 1, 1)).days


def room(meters: Sequence[Meter], order: HoldOrder, now_us: int) -> int | TesseraError:
    """The most these meters let a call hold, or why they do not let it run.

    Refusals are values: `concurrency_exceeded`, `rate_limit_exceeded` (both pass with time), `budget_exceeded` when not
    even `amount_min_nanos` fits, `balance_reserved` when it would fit if running calls held less.
    """
    most = order.amount_nanos
    for meter in meters:
        limits = meter.limits
        if limits is NO_LIMITS:
            continue
        if limits.concurrent_max is not None and meter.open_calls >= limits.concurrent_max:
            return _too_many_at_once(meter, limits.concurrent_max)
        refusal = _too_fast(meter, order, now_us)
        if refusal is not None:
            refusal.rate = rate_left(meters, now_us)
            return refusal
        for name, budget, spent in _budgets(meter, now_us):
            left = budget - spent - meter.held_nanos
            if left < order.amount_min_nanos:
                return _over_budget(meter, name, budget, spent, order)
            most = min(most, left)
    return most


def take(meters: Sequence[Meter], order: HoldOrder, granted_nanos: int, now_us: int) -> None:
    """Counts a granted hold."""
    for meter in meters:
        meter.held_nanos += granted_nanos
        meter.open_calls += 1
        if now_us > meter.used_at_us:
            meter.used_at_us = now_us
        limits = meter.limits
        if limits is NO_LIMITS:
            continue
        if limits.requests_per_minute is not None:
            meter.requests_at_us = now_us + _behind_us(meter.requests_at_us, now_us)
            meter.requests_at_us += _cost_us(1, limits.requests_per_minute)
        if limits.tokens_per_minute is not None:
            meter.tokens_at_us = now_us + _behind_us(meter.tokens_at_us, now_us)
            meter.tokens_at_us += _cost_us(order.tokens, limits.tokens_per_minute)


def resolve(meters: Sequence[Meter], amount_nanos: int, charge_nanos: int, settled_at_us: int) -> list[Meter]:
    """Counts a resolved hold: what it held is free again, what it charged is spent on the day it was settled.

    A settlement of a day or month before the last one that was counted belongs to a period that is over. Gives the
    meters that begin a day or a month with it: where a clock was ahead before, there may be charges in it already.
    """
    day, month = day_of(settled_at_us), month_of(settled_at_us)
    begun = []
    for meter in meters:
        meter.held_nanos -= amount_nanos
        meter.open_calls -= 1
        if not charge_nanos:
            continue
        if meter.spent_nanos and (day > meter.day or month > meter.month):
            begun.append(meter)
        meter.spent_nanos += charge_nanos
        if day == meter.day:
            meter.day_nanos += charge_nanos
        elif day > meter.day:
            meter.day, meter.day_nanos = day, charge_nanos
        if month == meter.month:
            meter.month_nanos += charge_nanos
        elif month > meter.month:
            meter.month, meter.month_nanos = month, charge_nanos
    return begun


def rate_left(meters: Sequence[Meter], now_us: int) -> RateLeft | None:
    """What the tightest of these limits still allow; None where there are none."""
    for meter in meters:
        if meter.limits is not NO_LIMITS:
            break
    else:
        return None
    requests = [_left(m.limits.requests_per_minute, m.requests_at_us, now_us) for m in meters]
    tokens = [_left(m.limits.tokens_per_minute, m.tokens_at_us, now_us) for m in meters]
    tightest = [min((found for found in left if found is not None), default=None) for left in (requests, tokens)]
    return None if tightest == [None, None] else RateLeft(requests=tightest[0], tokens=tightest[1])


def _left(per_minute: int | None, at_us: int, now_us: int) -> tuple[int, int, int] | None:
    """(how many are left, of how many, microseconds until all are)."""
    if per_minute is None:
        return None
    behind_us = _behind_us(at_us, now_us)
    return max(0, (MINUTE_US - behind_us) * per_minute // MINUTE_US), per_minute, behind_us


def _behind_us(at_us: int, now_us: int) -> int:
    """How long until a minute's worth is whole again."""
    return at_us - now_us if now_us < at_us <= now_us + BEHIND_MAX_US else 0


def _cost_us(units: int, per_minute: int) -> int:
    return -(-units * MINUTE_US // per_minute)


def _budgets(meter: Meter, now_us: int) -> list[tuple[str, int, int]]:
    """(which, how much, what is spent of it) of each budget."""
    limits = meter.limits
    found = []
    if limits.budget_total_nanos is not None:
        found.append(("total", limits.budget_total_nanos, meter.spent_nanos))
    if limits.budget_month_nanos is not None:
        spent = meter.month_nanos if meter.month >= month_of(now_us) else 0
        found.append(("month", limits.budget_month_nanos, spent))
    if limits.budget_day_nanos is not None:
        spent = meter.day_nanos if meter.day >= now_us // DAY_US else 0
        found.append(("day", limits.budget_day_nanos, spent))
    return found


def _too_many_at_once(meter: Meter, concurrent_max: int) -> TesseraError:
    if concurrent_max == 0:
        return TesseraError(
            ErrorCode.CONCURRENCY_EXCEEDED,
            f"This {meter.kind} may run no calls: its limit of calls at once is 0. Whoever set it can change it.",
            should_retry=False,
            details={"scope": meter.kind.value, "concurrent_max": 0},
        )
    return TesseraError(
        ErrorCode.CONCURRENCY_EXCEEDED,
        f"This {meter.kind} may run {concurrent_max} calls at once, and runs {meter.open_calls}. Try again when one "
        "has finished.",
        retry_after_s=CONCURRENCY_RETRY_AFTER_S,
        details={"scope": meter.kind.value, "concurrent_max": concurrent_max},
    )


def _too_fast(meter: Meter, order: HoldOrder, now_us: int) -> RateLimitError | None:
    limits = meter.limits
    for unit, units, per_minute, at_us in (
        ("requests", 1, limits.requests_per_minute, meter.requests_at_us),
        ("tokens", order.tokens, limits.tokens_per_minute, meter.tokens_at_us),
    ):
        if per_minute is None:
            continue
        details: dict[str, str | int | None] = {"scope": meter.kind.value, "unit": unit, "per_minute": per_minute}
        if units > per_minute:
            return RateLimitError(
                ErrorCode.RATE_LIMIT_EXCEEDED,
                f"This call can use {units} {unit}, more than this {meter.kind} may use in a minute ({per_minute}). "
                "Lower its output limit or its input.",
                should_retry=False,
                details=details,
            )
        over_us = _behind_us(at_us, now_us) + _cost_us(units, per_minute) - MINUTE_US
        if over_us > 0:
            return RateLimitError(
                ErrorCode.RATE_LIMIT_EXCEEDED,
                f"This {meter.kind} may use {per_minute} {unit} a minute and has used them. Try again in a moment.",
                retry_after_s=-(-over_us // 1_000_000),
                details=details,
            )
    return None


def _over_budget(meter: Meter, name: str, budget: int, spent: int, order: HoldOrder) -> TesseraError:
    left = max(0, budget - spent - meter.held_nanos)
    details: dict[str, str | int | None] = {
        "scope": meter.kind.value,
        "period": name,
        "budget": format_usd(budget),
        "budget_nanos": budget,
        "required": format_usd(order.amount_min_nanos),
        "required_nanos": order.amount_min_nanos,
        "available": format_usd(left),
        "available_nanos": left,
        "held": format_usd(meter.held_nanos),
        "held_nanos": meter.held_nanos,
    }
    of = f"the {name} budget of this {meter.kind} (${format_usd(budget)})"
    if budget - spent >= order.amount_min_nanos:
        return TesseraError(
            ErrorCode.BALANCE_RESERVED,
            f"This call can cost up to ${format_usd(order.amount_min_nanos)}; ${format_usd(left)} of {of} is free now "
            f"and ${format_usd(meter.held_nanos)} is held by running calls. Try again when they have finished.",
            retry_after_s=RESERVED_RETRY_AFTER_S,
            details=details,
        )
    return TesseraError(
        ErrorCode.BUDGET_EXCEEDED,
        f"This call can cost up to ${format_usd(order.amount_min_nanos)}, and of {of} ${format_usd(spent)} is spent. "
        "Lower the output limit, or ask for a larger budget.",
        details=details,
    )
