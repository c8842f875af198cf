"""No charge within a quote's maxima exceeds what is held, and the hold is no larger than it must be."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from price_strategies import quantities, row, rows
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import NANOS_MAX
from tessera.domain.pricing import PriceRow, Rates, affordable_output_tokens, charge, price_max
from tessera.domain.pricing.bounds import price_maxima
from tessera.domain.quantities import Quantities

PLAIN = row(Rates(input=21_000_000_000, output=168_000_000_000))


@pytest.mark.parametrize("bad", [-1, 2**53 + 1, 1.5, "3", None, True])
@pytest.mark.parametrize("position", [0, 1, 2])
def test_a_maximum_that_is_no_sane_count_is_refused(position: int, bad: object) -> None:
    maxima: list[object] = [100, 10, 100]
    maxima[position] = bad
    with pytest.raises(ValueError, match="maximum"):
        price_max(PLAIN, *maxima)  # type: ignore[arg-type]


@pytest.mark.parametrize("choices", [0, -1, 1.0, None])
def test_fewer_than_one_choice_is_refused(choices: object) -> None:
    with pytest.raises(ValueError, match="choices"):
        price_max(PLAIN, 1, 0, 1, choices)  # type: ignore[arg-type]


def test_a_maximum_no_balance_can_hold_is_the_caller_s_error() -> None:
    with pytest.raises(TesseraError) as refused:
        price_max(PLAIN, 0, 0, 2**53, 128)
    assert refused.value.code is ErrorCode.INVALID_REQUEST


def test_the_largest_maximum_the_ledger_can_hold_is_quoted_and_not_one_nano_more() -> None:
    # A dollar and a nano for each token: together they reach any amount.
    price = row(Rates(input=10**15, output=10**6))
    dollars, nanos = divmod(NANOS_MAX, 10**9)
    assert price_max(price, dollars, 0, nanos) == NANOS_MAX
    with pytest.raises(TesseraError):
        price_max(price, dollars, 0, nanos + 1)


def test_the_largest_count_is_taken_everywhere() -> None:
    free = row(Rates(input=0, output=0))
    assert price_maxima(free, 2**53, 2**53, 2**53, 2**53) == (0, 0)
    assert affordable_output_tokens(free, 2**53, 2**53, 0, 2**53) == 1
    with pytest.raises(ValueError, match="choices"):
        price_max(free, 1, 0, 1, 2**53 + 1)


def test_with_exactly_the_price_of_the_input_any_free_output_is_affordable() -> None:
    assert affordable_output_tokens(row(Rates(input=10**6, output=0)), 1_000, 0, 1_000) == 2**53


def test_what_a_sum_buys_is_asked_of_sane_maxima_only() -> None:
    for maxima in ((-1, 0), (0, -1), (2**53 + 1, 0)):
        with pytest.raises(ValueError, match="maximum"):
            affordable_output_tokens(PLAIN, *maxima, 10**9)
    with pytest.raises(ValueError, match="choices"):
        affordable_output_tokens(PLAIN, 1, 0, 10**9, 0)


def test_input_longer_than_the_tier_prices_is_refused_by_name() -> None:
    short = msgspec.structs.replace(PLAIN, input_tokens_max=272_000)
    assert price_max(short, 272_000, 0, 0) == 272_000 * 21_000
    with pytest.raises(TesseraError, match="272,000") as refused:
        price_max(short, 272_001, 0, 0)
    assert refused.value.code is ErrorCode.UNSUPPORTED_SERVICE_TIER
    with pytest.raises(TesseraError, match="272,000"):
        affordable_output_tokens(short, 272_001, 0, 10**12)


def test_all_input_is_held_as_cache_writes_where_they_are_dearer() -> None:
    writes = row(Rates(input=4_000_000_000, cache_write=5_000_000_000, output=20_000_000_000))
    assert price_max(writes, 1_000, 400, 0) == 1_000 * 5_000


def test_the_long_context_price_is_held_as_soon_as_the_input_can_reach_it() -> None:
    long = row(
        Rates(input=1_000_000_000, output=2_000_000_000),
        above_tokens=100,
        above_rates=Rates(input=2_000_000_000, output=3_000_000_000),
    )
    assert price_max(long, 100, 0, 10) == 100 * 1_000 + 10 * 2_000
    assert price_max(long, 101, 0, 10) == 101 * 2_000 + 10 * 3_000


def test_output_is_held_for_every_choice_and_input_once() -> None:
    assert price_max(PLAIN, 1_000, 0, 100, 4) == 1_000 * 21_000 + 400 * 168_000


@given(rows(), quantities(), quantities(), st.integers(1, 8))
def test_no_split_within_the_maxima_costs_more_than_the_maximum(
    price: PriceRow, used: Quantities, room: Quantities, choices: int
) -> None:
    held = price_max(
        price,
        used.input_tokens + room.input_tokens,
        used.input_image_tokens + room.input_image_tokens,
        -(-used.output_tokens // choices) + room.output_tokens,
        choices,
    )
    assert charge(price, used).nanos <= held


@given(rows(), st.integers(0, 500_000), st.integers(0, 500_000), st.integers(0, 10_000))
def test_the_maximum_is_reached_by_some_split(price: PriceRow, input_max: int, image_max: int, cap: int) -> None:
    if any(
        rates.cached_input_image is not None or (rates.input_image or 0) < (rates.input if rates.input_image else 0)
        for rates in (price.rates, price.above_rates)
        if rates is not None
    ):
        image_max = 0
    sides = {input_max} if price.above_tokens is None else {input_max, min(input_max, price.above_tokens)}
    candidates = [
        Quantities(
            input_tokens=total,
            input_image_tokens=image,
            cached_input_tokens=total if part == "cached" else 0,
            cache_write_tokens=total if part == "written" else 0,
            output_tokens=cap,
            output_image_tokens=output_image,
        )
        for total in sides
        for image in {0, min(image_max, total)}
        for part in ("plain", "cached", "written")
        for output_image in {0, cap}
    ] + [
        Quantities(
            input_tokens=total,
            input_image_tokens=min(image_max, total),
            cached_input_tokens=(total - min(image_max, total)) if part == "cached" else 0,
            cache_write_tokens=(total - min(image_max, total)) if part == "written" else 0,
            output_tokens=cap,
            output_image_tokens=output_image,
        )
        for total in sides
        for part in ("plain", "cached", "written")
        for output_image in {0, cap}
    ]
    assert price_max(price, input_max, image_max, cap) == max(charge(price, used).nanos for used in candidates)


@given(rows(), st.integers(0, 400_000), st.integers(0, 400_000), st.integers(0, 10**12), st.integers(1, 5))
def test_the_affordable_cap_is_the_largest_that_fits(
    price: PriceRow, input_max: int, image_max: int, nanos: int, choices: int
) -> None:
    cap = affordable_output_tokens(price, input_max, image_max, nanos, choices)
    if cap > 0:
        assert price_max(price, input_max, image_max, cap, choices) <= nanos
    if cap < 2**53 // choices:
        assert price_max(price, input_max, image_max, cap + 1, choices) > nanos


def test_not_even_the_input_is_affordable() -> None:
    assert affordable_output_tokens(PLAIN, 1_000, 0, 20_999_999) == 0
    assert affordable_output_tokens(PLAIN, 1_000, 0, 21_000_000) == 0
    assert affordable_output_tokens(PLAIN, 1_000, 0, 21_168_000) == 1


def test_what_costs_nothing_is_at_most_nothing() -> None:
    free = row(Rates(input=0, output=0))
    assert price_maxima(free, 1_000, 100, 1_000) == (0, 0)


def test_a_rate_that_is_not_there_counts_as_nothing_beside_the_others() -> None:
    # Fractions of a nano show whether a missing rate was taken for more than nothing.
    assert price_maxima(row(Rates(input=0, output=0, input_image=1)), 10**6, 0, 0) == (0, 0)
    assert price_maxima(row(Rates(input=1, output=0)), 10**6, 0, 10**6) == (1, 1)


@given(priced=rows(), tokens=st.integers(0, 10**6), image=st.integers(0, 10**5), cap=st.integers(0, 10**6))
def test_the_inputs_maximum_is_that_of_a_call_without_output(
    priced: PriceRow, tokens: int, image: int, cap: int
) -> None:
    whole, of_input = price_maxima(priced, tokens, image, cap)
    assert whole == price_max(priced, tokens, image, cap)
    assert of_input == price_max(priced, tokens, image, 0) <= whole
