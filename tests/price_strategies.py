"""Rows and quantities for property tests: every optional rate present or not, and quantities whose parts fit."""

from datetime import date

from hypothesis import strategies as st

from tessera.domain.pricing import PriceRow, Rates
from tessera.domain.quantities import Quantities
from tessera.domain.request import Tier

RATE = st.integers(0, 200_000_000_000) | st.integers(0, 5)
TOKENS = st.integers(0, 2_000_000) | st.integers(0, 5)


@st.composite
def rates(draw: st.DrawFn) -> Rates:
    optional = st.none() | RATE
    return Rates(
        input=draw(RATE),
        output=draw(RATE),
        cached_input=draw(optional),
        cache_write=draw(optional),
        input_image=draw(optional),
        cached_input_image=draw(optional),
        output_image=draw(optional),
    )


@st.composite
def rows(draw: st.DrawFn) -> PriceRow:
    threshold = draw(st.none() | st.integers(0, 400_000))
    return PriceRow(
        id="row",
        model="model",
        tier=Tier.DEFAULT,
        rates=draw(rates()),
        above_tokens=threshold,
        above_rates=None if threshold is None else draw(rates()),
        valid_from=date(2026, 1, 1),
    )


@st.composite
def quantities(draw: st.DrawFn, tokens: st.SearchStrategy[int] = TOKENS) -> Quantities:
    input_tokens = draw(tokens)
    cached = draw(st.integers(0, input_tokens))
    output_tokens = draw(tokens)
    return Quantities(
        input_tokens=input_tokens,
        cached_input_tokens=cached,
        cache_write_tokens=draw(st.integers(0, input_tokens - cached)),
        input_image_tokens=draw(st.integers(0, input_tokens)),
        output_tokens=output_tokens,
        reasoning_tokens=draw(st.integers(0, output_tokens)),
        output_image_tokens=draw(st.integers(0, output_tokens)),
    )


def row(rates: Rates, *, above_tokens: int | None = None, above_rates: Rates | None = None) -> PriceRow:
    return PriceRow(
        id="row",
        model="model",
        tier=Tier.DEFAULT,
        rates=rates,
        above_tokens=above_tokens,
        above_rates=above_rates,
        valid_from=date(2026, 1, 1),
    )
