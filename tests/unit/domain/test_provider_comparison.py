"""Planted missing, doubled, recounted and repriced calls are each named; what agrees is not."""

from collections import defaultdict
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.provider_comparison import (
    BilledCost,
    BilledUsage,
    Counts,
    DifferenceKind,
    OwnCall,
    compare_costs,
    compare_usage,
)

DAY = 1_795_305_600
CALLS = st.lists(
    st.tuples(st.integers(0, 86_399), st.sampled_from(("gpt-4o", "gpt-5.2-pro")), st.integers(0, 10**6)), min_size=1
)


def own_call(number: int, after_s: int, model: str = "gpt-4o", **changes: Any) -> OwnCall:
    """A call whose tokens no other call or sum of calls has."""
    fields: dict[str, Any] = {
        "request_id": f"req_{number}",
        "at": DAY + after_s,
        "model": model,
        "input_tokens": 1000 + 2**number,
        "cached_input_tokens": number,
        "output_tokens": 7,
        "charge_nanos": 100,
        "cost_nanos": 70,
    }
    return OwnCall(**(fields | changes))


def books_of(calls: list[OwnCall]) -> tuple[list[BilledUsage], list[BilledCost]]:
    """What a provider that agrees with us has in its books."""
    counts: dict[tuple[int, str], Counts] = defaultdict(lambda: (0, 0, 0, 0))
    money: dict[tuple[int, str], int] = defaultdict(int)
    for call in calls:
        place = (call.at - call.at % 60, call.model)
        added = [one + other for one, other in zip(counts[place], call.counts, strict=True)]
        counts[place] = (added[0], added[1], added[2], added[3])
        money[call.at - call.at % 86_400, call.model] += call.cost_nanos
    usage = [BilledUsage(start_at=at, model=model, counts=found) for (at, model), found in counts.items()]
    return usage, [BilledCost(start_at=at, model=model, nanos=nanos) for (at, model), nanos in money.items()]


TEN = [own_call(number, number * 7) for number in range(10)]


@given(CALLS)
def test_books_that_agree_have_no_difference(rows: list[tuple[int, str, int]]) -> None:
    calls = [own_call(0, at, model, input_tokens=tokens) for at, model, tokens in rows]
    usage, costs = books_of(calls)
    assert compare_usage(calls, usage) == ()
    assert compare_costs(calls, usage, costs) == ()


@given(st.sets(st.integers(0, 9), min_size=1, max_size=3))
def test_calls_the_provider_does_not_have_are_named(gone: set[int]) -> None:
    usage, _ = books_of([call for number, call in enumerate(TEN) if number not in gone])
    differences = compare_usage(TEN, usage)
    assert {found.kind for found in differences} == {DifferenceKind.MISSING}
    assert all(found.exact for found in differences)
    assert {name for found in differences for name in found.request_ids} == {f"req_{number}" for number in gone}


@given(st.integers(0, 9))
def test_a_call_the_provider_has_twice_is_named(number: int) -> None:
    usage, _ = books_of([*TEN, TEN[number]])
    (found,) = compare_usage(TEN, usage)
    assert (found.kind, found.requests, found.request_ids) == (DifferenceKind.DOUBLED, -1, (f"req_{number}",))


def test_a_call_that_is_not_ours_is_not_blamed_on_one_of_ours() -> None:
    usage, _ = books_of([*TEN, own_call(30, 5)])
    (found,) = compare_usage(TEN, usage)
    assert (found.kind, found.exact, found.requests) == (DifferenceKind.UNKNOWN, False, -1)


def test_other_tokens_for_a_call_are_a_recount() -> None:
    usage, _ = books_of([msgspec.structs.replace(TEN[0], output_tokens=9)])
    (found,) = compare_usage(TEN[:1], usage)
    assert (found.kind, found.output_tokens, found.request_ids) == (DifferenceKind.RECOUNTED, -2, ("req_0",))


def test_a_call_in_the_next_minute_of_the_providers_books_is_no_difference() -> None:
    usage, costs = books_of([msgspec.structs.replace(TEN[3], at=TEN[3].at + 60)])
    assert compare_usage([TEN[3]], usage) == ()
    assert compare_costs([TEN[3]], usage, costs) == ()


def test_the_same_tokens_for_other_money_are_a_repricing() -> None:
    call = own_call(4, 50_000, "gpt-5.2-pro")
    usage, costs = books_of([*TEN, call])
    raised = [
        msgspec.structs.replace(cost, nanos=cost.nanos + 5000) if cost.model == call.model else cost for cost in costs
    ]
    (found,) = compare_costs([*TEN, call], usage, raised)
    assert (found.kind, found.cost_nanos) == (DifferenceKind.REPRICED, -5000)
    assert (found.request_ids, found.exact) == (("req_4",), True)


def test_twins_are_not_told_apart_by_guessing() -> None:
    twins = [own_call(0, 0), msgspec.structs.replace(own_call(0, 1), request_id="req_twin")]
    usage, _ = books_of(twins[:1])
    (found,) = compare_usage(twins, usage)
    assert (found.kind, found.exact) == (DifferenceKind.MISSING, False)
    assert set(found.request_ids) == {"req_0", "req_twin"}
