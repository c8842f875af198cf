"""The one formula."""

from fractions import Fraction

import msgspec
import pytest
from hypothesis import given

from price_strategies import quantities, row, rows
from tessera.domain.money import NANOS_MAX, parse_usd
from tessera.domain.pricing import Rates, charge, charge_object
from tessera.domain.pricing.charge import charge_nanos
from tessera.domain.quantities import Quantities

PRO = row(Rates(input=21_000_000_000, output=168_000_000_000))
SOL = row(
    Rates(input=4_000_000_000, cached_input=400_000_000, cache_write=5_000_000_000, output=20_000_000_000),
    above_tokens=272_000,
    above_rates=Rates(input=8_000_000_000, cached_input=800_000_000, cache_write=10_000_000_000, output=30_000_000_000),
)
IMAGE = row(
    Rates(
        input=5_000_000_000,
        cached_input=1_250_000_000,
        output=10_000_000_000,
        input_image=8_000_000_000,
        cached_input_image=2_000_000_000,
        output_image=32_000_000_000,
    )
)


@pytest.mark.parametrize("field", Quantities.__struct_fields__)
@pytest.mark.parametrize("bad", [-1, -(2**31), -(2**63), 2**53 + 1, 2**63, 1e300, float("nan"), "7", True, None])
def test_a_quantity_that_is_no_sane_count_is_refused(field: str, bad: object) -> None:
    whole = Quantities(input_tokens=2**53, output_tokens=2**53)
    with pytest.raises(ValueError, match=field):
        charge(PRO, msgspec.structs.replace(whole, **{field: bad}))


@pytest.mark.parametrize(
    "parts",
    [
        Quantities(input_tokens=10, cached_input_tokens=11),
        Quantities(input_tokens=10, cached_input_tokens=6, cache_write_tokens=5),
        Quantities(input_tokens=10, input_image_tokens=11),
        Quantities(output_tokens=10, reasoning_tokens=11),
        Quantities(output_tokens=10, output_image_tokens=11),
    ],
)
def test_a_part_larger_than_its_total_is_refused(parts: Quantities) -> None:
    with pytest.raises(ValueError, match="cannot exceed"):
        charge(PRO, parts)


def test_a_charge_beyond_63_bits_is_refused() -> None:
    for work in (charge, charge_nanos):
        with pytest.raises(ValueError, match="ledger"):
            work(PRO, Quantities(output_tokens=2**53))


def test_the_largest_charge_the_ledger_can_hold_is_taken_and_not_one_nano_more() -> None:
    # A dollar and a nano for each token: together they reach any amount.
    price = row(Rates(input=10**15, output=10**6))
    dollars, nanos = divmod(NANOS_MAX, 10**9)
    assert charge(price, Quantities(input_tokens=dollars, output_tokens=nanos)).nanos == NANOS_MAX
    with pytest.raises(ValueError, match="ledger"):
        charge(price, Quantities(input_tokens=dollars, output_tokens=nanos + 1))


def test_the_founding_figures_to_the_nano_dollar() -> None:
    assert charge(PRO, Quantities(input_tokens=1_000, output_tokens=100)).nanos == parse_usd("0.0378")
    discounted = row(Rates(input=14_700_000_000, output=117_600_000_000))
    assert charge(discounted, Quantities(input_tokens=1_000, output_tokens=100)).nanos == parse_usd("0.02646")


def test_nothing_used_costs_nothing_and_has_no_lines() -> None:
    assert charge_object(charge(PRO, Quantities())) == {"amount": "0.00", "nanos": 0, "lines": []}


def test_cached_tokens_are_counted_once() -> None:
    used = Quantities(input_tokens=272_000, cached_input_tokens=100_000, cache_write_tokens=72_000)
    assert charge(SOL, used).nanos == 100_000 * 4_000 + 100_000 * 400 + 72_000 * 5_000


def test_without_a_cached_price_cached_tokens_cost_the_full_input_price() -> None:
    cold = charge(PRO, Quantities(input_tokens=1_000))
    warm = charge(PRO, Quantities(input_tokens=1_000, cached_input_tokens=1_000))
    assert warm.nanos == cold.nanos > 0


def test_the_threshold_reprices_the_whole_request_one_token_above_it() -> None:
    assert charge(SOL, Quantities(input_tokens=272_000)).nanos == 272_000 * 4_000
    assert charge(SOL, Quantities(input_tokens=272_001, output_tokens=10)).nanos == 272_001 * 8_000 + 10 * 30_000


def test_images_are_priced_as_images_where_the_row_says_so() -> None:
    used = Quantities(input_tokens=300, input_image_tokens=200, output_tokens=1_100, output_image_tokens=1_000)
    assert charge(IMAGE, used).nanos == 100 * 5_000 + 200 * 8_000 + 100 * 10_000 + 1_000 * 32_000
    assert charge(PRO, used).nanos == 300 * 21_000 + 1_100 * 168_000


def test_cached_tokens_beside_images_are_text_as_far_as_there_is_text() -> None:
    used = Quantities(input_tokens=300, input_image_tokens=200, cached_input_tokens=150)
    charged = charge(IMAGE, used)
    units = {line.unit: line.quantity for line in charged.lines}
    assert units == {"cached_input": 100, "cached_input_image": 50, "input_image": 150}
    assert charged.nanos == 100 * 1_250 + 50 * 2_000 + 150 * 8_000


def test_written_tokens_that_find_no_text_left_beside_the_cached_ones_are_image() -> None:
    writes = row(Rates(input=1_000_000_000, cache_write=2_000_000_000, output=0, input_image=8_000_000_000))
    used = Quantities(input_tokens=300, input_image_tokens=200, cached_input_tokens=60, cache_write_tokens=60)
    units = {line.unit: line.quantity for line in charge(writes, used).lines}
    assert units == {"cached_input": 60, "cache_write": 40, "input_image": 200}


def test_cached_images_without_a_price_of_their_own_cost_what_images_cost() -> None:
    used = Quantities(input_tokens=10, input_image_tokens=10, cached_input_tokens=10)
    images = row(Rates(input=1_000_000_000, cached_input=0, output=0, input_image=8_000_000_000))
    assert charge(images, used).nanos == 10 * 8_000


def test_the_sum_is_rounded_up_once() -> None:
    dust = row(Rates(input=1, cached_input=1, output=1))
    charged = charge(dust, Quantities(input_tokens=2, cached_input_tokens=1, output_tokens=1))
    assert charged.nanos == 1
    assert [line.nanos for line in charged.lines] == [1, 0, 0]


def test_the_object_is_the_contract_s_shape() -> None:
    assert charge_object(charge(PRO, Quantities(input_tokens=1_000, output_tokens=100))) == {
        "amount": "0.0378",
        "nanos": 37_800_000,
        "lines": [
            {"unit": "input", "quantity": 1_000, "price_per_million": "21", "nanos": 21_000_000},
            {"unit": "output", "quantity": 100, "price_per_million": "168", "nanos": 16_800_000},
        ],
    }


@given(rows(), quantities())
def test_lines_add_up_and_recompute_with_integers_only(price: object, used: Quantities) -> None:
    charged = charge(price, used)  # type: ignore[arg-type]
    unit_price_sum = sum(line.quantity * line.price_per_million_nanos for line in charged.lines)
    assert charged.nanos == -(-unit_price_sum // 1_000_000) == sum(line.nanos for line in charged.lines)
    assert all(line.nanos >= 0 and line.quantity > 0 for line in charged.lines)
    assert 0 <= charged.nanos - Fraction(unit_price_sum, 1_000_000) < 1


@given(rows(), quantities())
def test_what_a_charge_comes_to_is_the_same_without_its_lines(price: object, used: Quantities) -> None:
    assert charge_nanos(price, used) == charge(price, used).nanos  # type: ignore[arg-type]


@given(rows(), quantities())
def test_every_token_is_priced_exactly_once(price: object, used: Quantities) -> None:
    lines = charge(price, used).lines  # type: ignore[arg-type]
    counted = {line.unit: line.quantity for line in lines}
    assert len(counted) == len(lines)
    output = counted.pop("output", 0) + counted.pop("output_image", 0)
    assert output == used.output_tokens
    assert sum(counted.values()) == used.input_tokens
