"""Price rows and discounts."""

from datetime import date

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from price_strategies import rates, row, rows
from tessera.domain.pricing import PriceRow, Rates, charge, discounted, row_version
from tessera.domain.quantities import Quantities

PRO = row(Rates(input=21_000_000_000, output=168_000_000_000))


@pytest.mark.parametrize("rate", [-1, 10**15 + 1])
@pytest.mark.parametrize("field", Rates.__struct_fields__)
def test_a_rate_outside_all_reason_is_refused(field: str, rate: int) -> None:
    with pytest.raises(ValueError, match=field):
        Rates(**{"input": 1, "output": 1, field: rate})


def test_the_dearest_rate_there_can_be_is_taken() -> None:
    assert Rates(input=10**15, output=0).input == 10**15


def test_a_threshold_without_rates_is_refused() -> None:
    with pytest.raises(ValueError, match="belong together"):
        msgspec.structs.replace(PRO, above_tokens=10)


@pytest.mark.parametrize("basis_points", [10_001, -1_000_001])
def test_a_discount_beyond_all_reason_is_refused(basis_points: int) -> None:
    with pytest.raises(ValueError, match="percent"):
        discounted(PRO, basis_points)


def test_discounts_reach_from_everything_off_to_a_hundredfold_markup() -> None:
    plain = row(Rates(input=7, output=9))
    assert discounted(plain, 10_000).rates == Rates(input=0, output=0)
    assert discounted(plain, -1_000_000).rates == Rates(input=707, output=909)
    assert discounted(plain, 0) is plain


def test_30_percent_off_gpt_5_2_pro_is_exactly_14_70_and_117_60() -> None:
    price = discounted(PRO, 3_000)
    assert (price.rates.input, price.rates.output) == (14_700_000_000, 117_600_000_000)
    assert price.rounding == "exact"


def test_a_discount_that_does_not_come_out_is_rounded_down_and_says_so() -> None:
    price = discounted(row(Rates(input=7, output=10_000)), 3_333)
    assert (price.rates.input, price.rates.output, price.rounding) == (4, 6_667, "down")


def test_what_was_rounded_down_once_stays_so() -> None:
    once = discounted(row(Rates(input=7, output=10_000)), 5_000)
    assert discounted(once, -10_000).rounding == "down"
    assert discounted(row(Rates(input=10_000, output=7)), 5_000).rounding == "down"


def test_a_discount_reaches_every_rate_on_both_sides_and_invents_none() -> None:
    rates = Rates(input=10_000, output=20_000, cached_input=1_000, cache_write=12_500, output_image=40_000)
    price = discounted(row(rates, above_tokens=5, above_rates=rates), 5_000)
    expected = Rates(input=5_000, output=10_000, cached_input=500, cache_write=6_250, output_image=20_000)
    assert price.rates == price.above_rates == expected


def test_a_row_holds_from_its_first_day_until_the_day_before_the_next() -> None:
    closed = msgspec.structs.replace(PRO, valid_until=date(2026, 7, 1))
    days = [date(2025, 12, 31), date(2026, 1, 1), date(2026, 6, 30), date(2026, 7, 1)]
    assert [closed.valid_on(day) for day in days] == [False, True, True, False]


def test_the_version_names_what_can_change_a_charge_and_nothing_else() -> None:
    assert row_version(PRO) == row_version(msgspec.structs.replace(PRO, source="elsewhere", version="x"))
    dearer = msgspec.structs.replace(PRO, rates=Rates(input=21_000_000_001, output=168_000_000_000))
    assert row_version(PRO) != row_version(dearer)


@given(rows(), st.integers(0, 10_000))
def test_a_discount_never_makes_a_rate_dearer_nor_negative(price: PriceRow, basis_points: int) -> None:
    cheaper = discounted(price, basis_points)
    for before, after in ((price.rates, cheaper.rates), (price.above_rates, cheaper.above_rates)):
        if before is None or after is None:
            assert before is after
            continue
        for name in Rates.__struct_fields__:
            old, new = getattr(before, name), getattr(after, name)
            assert (old is None and new is None) or 0 <= new <= old


MILLION = 1_000_000
A_MILLION_OF = {
    "input": Quantities(input_tokens=MILLION),
    "cached_input": Quantities(input_tokens=MILLION, cached_input_tokens=MILLION),
    "cache_write": Quantities(input_tokens=MILLION, cache_write_tokens=MILLION),
    "input_image": Quantities(input_tokens=MILLION, input_image_tokens=MILLION),
    "output": Quantities(output_tokens=MILLION),
    "output_image": Quantities(output_tokens=MILLION, output_image_tokens=MILLION),
}
CACHED_IMAGES = Quantities(input_tokens=MILLION, cached_input_tokens=MILLION, input_image_tokens=MILLION)


@given(rates())
def test_the_rate_of_a_unit_is_what_a_million_of_it_is_charged(price: Rates) -> None:
    for unit, used in A_MILLION_OF.items():
        assert price.rate_of(unit) == charge(row(price), used).nanos
        assert price.has(unit) is (getattr(price, unit) is not None)
    if price.input_image is not None or price.cached_input_image is None:
        assert price.rate_of("cached_input_image") == charge(row(price), CACHED_IMAGES).nanos
