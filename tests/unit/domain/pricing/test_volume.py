"""Prices by volume: the row of the highest volume reached wins among equally narrow rows, and nothing else changes."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.pricing import OperatorRow, PriceBook, PriceRow, Rates
from tessera.domain.pricing.in_force import in_force
from tessera.domain.request import Tier

DAY = date(2026, 11, 22)
LISTED = PriceRow(
    id="list", model="pro", tier=Tier.DEFAULT, rates=Rates(input=1, output=1), valid_from=date(2026, 1, 1)
)
USD = 10**9

VOLUMES = st.integers(0, 5) | st.sampled_from((USD - 1, USD, USD + 1, 2**63 - 1))


@st.composite
def books(draw: st.DrawFn) -> list[OperatorRow]:
    rows = []
    for price in range(2, draw(st.integers(2, 9))):
        model = draw(st.sampled_from((None, "pro", "other")))
        rates = None if model is None else Rates(input=price, output=price)
        rows.append(
            OperatorRow(
                model=model,
                organization=draw(st.sampled_from((None, "acme", "bolt"))),
                provider=draw(st.sampled_from((None, "first", "second"))),
                rates=rates,
                discount_basis_points=-10_000 * price if rates is None else None,
                valid_from=DAY + timedelta(days=draw(st.integers(-2, 1))),
                volume_from_nanos=draw(VOLUMES),
            )
        )
    return rows


def expected(rows: list[OperatorRow], volume: int) -> int | None:
    """The place of the row of acme at `first`, chosen by the rule as the documentation has it."""
    fitting = [
        (row.organization is not None, row.model is not None, row.provider is not None, row.volume_from_nanos,
         row.valid_from, place)
        for place, row in enumerate(rows)
        if row.model in (None, "pro") and row.organization in (None, "acme") and row.provider in (None, "first")
        and row.volume_from_nanos <= volume and row.valid_from <= DAY
    ]  # fmt: skip
    return max(fitting)[-1] if fitting else None


@given(books(), VOLUMES)
def test_the_narrowest_row_wins_and_among_equals_the_highest_volume_reached(
    rows: list[OperatorRow], volume: int
) -> None:
    book = PriceBook([LISTED], rows)
    asked = {"provider": "first", "organization": ("org_1", "acme"), "as_of": DAY, "volume_nanos": volume}
    won = book.price_won("pro", Tier.DEFAULT, **asked)  # type: ignore[arg-type]
    assert won is not None
    assert won.place == expected(rows, volume)
    assert book.price("pro", Tier.DEFAULT, **asked) == won.row  # type: ignore[arg-type]


@given(books(), VOLUMES, VOLUMES)
def test_a_price_changes_at_the_volumes_that_rows_name_and_nowhere_between(
    rows: list[OperatorRow], volume: int, other: int
) -> None:
    book = PriceBook([LISTED], rows)
    low, high = sorted((volume, other))

    def price(nanos: int) -> PriceRow:
        return book.price("pro", Tier.DEFAULT, organization=("acme",), as_of=DAY, volume_nanos=nanos)

    if not any(low < row.volume_from_nanos <= high for row in rows) or not book.is_by_volume(("acme",)):
        assert price(low) == price(high)


def test_it_is_reached_with_the_very_nano_dollar() -> None:
    book = PriceBook([LISTED], [OperatorRow(discount_basis_points=-10_000, volume_from_nanos=USD)])
    prices = [book.price("pro", Tier.DEFAULT, as_of=DAY, volume_nanos=USD + off).rates.input for off in (-1, 0, 1)]
    assert prices == [1, 2, 2]


def test_whose_prices_depend_on_volume_is_known_by_name() -> None:
    assert not PriceBook([LISTED], [OperatorRow(discount_basis_points=1)]).is_by_volume(("acme",))
    book = PriceBook([LISTED], [OperatorRow(organization="acme", discount_basis_points=1, volume_from_nanos=1)])
    assert [book.is_by_volume(names) for names in ((), ("bolt",), ("org_1", "acme"))] == [False, False, True]


def test_a_volume_row_alone_gives_a_tier_its_price_only_once_reached() -> None:
    row = OperatorRow(model="own", tier=Tier.FLEX, rates=Rates(input=1, output=1), volume_from_nanos=5)
    book = PriceBook([LISTED], [row])
    assert (book.tiers("own", DAY), book.tiers("own", DAY, volume_nanos=5)) == ((), (Tier.FLEX,))


def test_costs_have_no_volume_and_no_volume_is_below_zero() -> None:
    with pytest.raises(ValueError, match="does not depend"):
        PriceBook([LISTED], (), [OperatorRow(discount_basis_points=1, volume_from_nanos=1)])
    with pytest.raises(ValueError, match="0 or more"):
        OperatorRow(discount_basis_points=1, volume_from_nanos=-1)


def test_the_book_remembers_a_price_for_each_step_and_not_for_each_volume() -> None:
    book = PriceBook([LISTED], [OperatorRow(discount_basis_points=1, volume_from_nanos=USD)])
    for volume in range(0, 3 * USD, USD // 100):
        book.price("pro", Tier.DEFAULT, as_of=DAY, volume_nanos=volume)
    assert len(book._priced) == 2


def test_a_list_of_prices_has_a_line_for_each_volume_that_decides() -> None:
    rows = [
        OperatorRow(discount_basis_points=0, volume_from_nanos=USD),
        OperatorRow(organization="acme", discount_basis_points=0),
        OperatorRow(organization="bolt", discount_basis_points=0, volume_from_nanos=2 * USD),
    ]
    lines = in_force(
        PriceBook([LISTED], rows), "pro", DAY, providers=("first",), organizations=((), ("acme",), ("bolt",))
    )
    assert [(line.organization, line.volume_from_nanos, line.price.place) for line in lines] == [
        (None, 0, None),
        (None, USD, 0),
        ("acme", 0, 1),
        ("bolt", 2 * USD, 2),
    ]
