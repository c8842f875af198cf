"""Amounts are exact or refused."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.money import NANOS_MAX, format_price, format_usd, parse_usd, round_up_to_nano


@pytest.mark.parametrize(
    ("text", "nanos"),
    [("5", 5 * 10**9), ("5.00", 5 * 10**9), ("0.000000001", 1), ("0.02646", 26_460_000), ("0", 0)],
)
def test_an_amount_is_read_exactly(text: str, nanos: int) -> None:
    assert parse_usd(text) == nanos


@pytest.mark.parametrize(
    "text",
    ["", " 5", "5 ", "+5", "-5", "1e3", ".5", "5.", "0.0000000001", "5,00", "5.0.0", "NaN", "٥", "9223372037", "1_000"],
)
def test_anything_else_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"not an amount|more than the ledger"):
        parse_usd(text)


@given(st.integers(0, NANOS_MAX))
def test_formatting_and_reading_are_inverse(nanos: int) -> None:
    assert parse_usd(format_usd(nanos)) == nanos


@pytest.mark.parametrize(
    ("nanos", "text"), [(14_700_000_000, "14.7"), (21 * 10**9, "21"), (2_500_000, "0.0025"), (100 * 10**9, "100")]
)
def test_a_price_is_written_as_shortly_as_it_can_be(nanos: int, text: str) -> None:
    assert format_price(nanos) == text


@given(st.integers(0, 10**30))
def test_rounding_goes_up_and_by_less_than_a_nano(unit_price_sum: int) -> None:
    exact = Fraction(unit_price_sum, 1_000_000)
    assert exact <= round_up_to_nano(unit_price_sum) < exact + 1
