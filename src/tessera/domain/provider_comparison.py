"""The operator's records against what a provider says it served and billed: each difference by name, nothing applied.

Usage is compared by minute and model, so that a difference leads to single calls; money by day and model.
"""

from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from itertools import combinations

import msgspec

SLID_MINUTES_MAX = 2
"""A call may stand in a neighbouring minute of the provider's books: differences this close are one, and may cancel."""

SLID_S_MAX = 60 * SLID_MINUTES_MAX

ROUNDED_NANOS_MAX = 1_000
"""Providers write amounts as floating-point numbers: a day's money this close to ours agrees."""

TRIED_MAX = 20_000
"""How many combinations of calls are tried to find the ones that explain a difference."""

_NAMED_MAX = 100
_MINUTE_S, _DAY_S = 60, 86_400

Counts = tuple[int, int, int, int]
"""Requests, input tokens, cached input tokens, output tokens."""

_ZERO: Counts = (0, 0, 0, 0)


class OwnCall(msgspec.Struct, frozen=True, kw_only=True):
    """A call that a provider served by our records; `model` is the provider's name for it, `at` seconds since 1970."""

    request_id: str
    at: int
    model: str
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    charge_nanos: int
    cost_nanos: int

    @property
    def counts(self) -> Counts:
        """What the provider should have counted for it."""
        return (1, self.input_tokens, self.cached_input_tokens, self.output_tokens)


class BilledUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider counted for a model in the minute from `start_at` on."""

    start_at: int
    model: str
    counts: Counts


class BilledCost(msgspec.Struct, frozen=True, kw_only=True):
    """What the provider billed for a model on the UTC day that starts at `start_at`."""

    start_at: int
    model: str
    nanos: int


class DifferenceKind(StrEnum):
    """`missing`: the provider has no such call. `doubled`: it counts one of ours again. `unknown`: a call that is not
    ours. `recounted`: other tokens. `repriced`: the same tokens for other money."""

    MISSING = "missing"
    DOUBLED = "doubled"
    UNKNOWN = "unknown"
    RECOUNTED = "recounted"
    REPRICED = "repriced"


class Difference(msgspec.Struct, frozen=True, kw_only=True):
    """Ours less the provider's, from `start_at` until `end_at`. `exact` says that just these calls explain it; else
    they are the calls of that time, a hundred at most. `cost_nanos` is None where the provider bills by the day."""

    kind: DifferenceKind
    model: str
    start_at: int
    end_at: int
    requests: int
    input_tokens: int
    cached_input_tokens: int
    output_tokens: int
    cost_nanos: int | None
    request_ids: tuple[str, ...]
    exact: bool


def compare_usage(calls: Iterable[OwnCall], billed: Iterable[BilledUsage]) -> tuple[Difference, ...]:
    """Calls the provider does not have, has twice, or counted otherwise, by model and time."""
    gap: dict[str, dict[int, Counts]] = defaultdict(lambda: defaultdict(lambda: _ZERO))
    by_model: dict[str, list[OwnCall]] = defaultdict(list)
    for call in calls:
        minutes = gap[call.model]
        minute = call.at - call.at % _MINUTE_S
        minutes[minute] = _plus(minutes[minute], call.counts)
        by_model[call.model].append(call)
    for row in billed:
        minutes = gap[row.model]
        minutes[row.start_at] = _plus(minutes[row.start_at], row.counts, -1)
    found: list[Difference] = []
    for model in sorted(gap):
        for start_at, end_at, counts in _windows(gap[model]):
            near = [call for call in by_model[model] if start_at <= call.at < end_at]
            found.append(_difference(model, start_at, end_at, counts, near))
    return tuple(found)


def compare_costs(
    calls: Iterable[OwnCall], usage: Iterable[BilledUsage], costs: Iterable[BilledCost]
) -> tuple[Difference, ...]:
    """Days on which a model's tokens agree and its money does not."""
    own: dict[tuple[str, int], list[OwnCall]] = defaultdict(list)
    for call in calls:
        own[call.model, call.at - call.at % _DAY_S].append(call)
    counted: dict[tuple[str, int], Counts] = defaultdict(lambda: _ZERO)
    for row in usage:
        place = (row.model, row.start_at - row.start_at % _DAY_S)
        counted[place] = _plus(counted[place], row.counts)
    money: Counter[tuple[str, int]] = Counter()
    for cost in costs:
        money[cost.model, cost.start_at] += cost.nanos
    found = []
    for place in sorted(own):
        model, day = place
        ours = _ZERO
        for call in own[place]:
            ours = _plus(ours, call.counts)
        nanos = sum(call.cost_nanos for call in own[place]) - money[place]
        if ours == counted[place] and abs(nanos) > ROUNDED_NANOS_MAX:
            named = tuple(call.request_id for call in own[place])
            found.append(
                _made(DifferenceKind.REPRICED, model, (day, day + _DAY_S), _ZERO, named, len(named) == 1, nanos)
            )
    return tuple(found)


def _windows(minutes: Mapping[int, Counts]) -> Iterable[tuple[int, int, Counts]]:
    """Differing minutes that are close together, as one; those that cancel each other are no difference."""
    groups: list[list[int]] = []
    for minute in sorted(minute for minute, counts in minutes.items() if counts != _ZERO):
        if groups and minute - groups[-1][-1] <= SLID_S_MAX:
            groups[-1].append(minute)
        else:
            groups.append([minute])
    for group in groups:
        counts = _ZERO
        for minute in group:
            counts = _plus(counts, minutes[minute])
        if counts != _ZERO:
            yield group[0], group[-1] + _MINUTE_S, counts


def _difference(model: str, start_at: int, end_at: int, counts: Counts, near: Sequence[OwnCall]) -> Difference:
    requests = counts[0]
    if requests == 0:
        exact, named = len(near) == 1, near
        kind = DifferenceKind.RECOUNTED
    else:
        wanted = counts if requests > 0 else _plus(_ZERO, counts, -1)
        explained = _explain(wanted, near)
        exact, named = explained is not None, near if explained is None else explained
        extra = DifferenceKind.DOUBLED if exact else DifferenceKind.UNKNOWN
        kind = DifferenceKind.MISSING if requests > 0 else extra
    return _made(kind, model, (start_at, end_at), counts, tuple(call.request_id for call in named), exact, None)


def _explain(wanted: Counts, near: Sequence[OwnCall]) -> Sequence[OwnCall] | None:
    """The only calls whose counts add up to this; None when there are none, several ways, or too many to try."""
    found: Sequence[OwnCall] | None = None
    for tried, chosen in enumerate(combinations(near, wanted[0])):
        if tried >= TRIED_MAX:
            return None
        added = _ZERO
        for call in chosen:
            added = _plus(added, call.counts)
        if added == wanted:
            if found is not None:
                return None
            found = chosen
    return found


def _made(
    kind: DifferenceKind,
    model: str,
    span: tuple[int, int],
    counts: Counts,
    named: tuple[str, ...],
    exact: bool,
    nanos: int | None,
) -> Difference:
    return Difference(
        kind=kind,
        model=model,
        start_at=span[0],
        end_at=span[1],
        requests=counts[0],
        input_tokens=counts[1],
        cached_input_tokens=counts[2],
        output_tokens=counts[3],
        cost_nanos=nanos,
        request_ids=named[:_NAMED_MAX],
        exact=exact,
    )


def _plus(one: Counts, other: Counts, sign: int = 1) -> Counts:
    return (
        one[0] + sign * other[0],
        one[1] + sign * other[1],
        one[2] + sign * other[2],
        one[3] + sign * other[3],
    )
