"""Which of an operator's rows is in force: the narrowest, then the one valid last, then the one written last."""

from datetime import date, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.pricing import OperatorRow, PriceBook, PriceRow, Rates, book
from tessera.domain.request import Tier

DAY = date(2026, 11, 22)
ONE = timedelta(days=1)
LISTED = PriceRow(
    id="list", model="pro", tier=Tier.DEFAULT, rates=Rates(input=10_000, output=10_000), valid_from=date(2026, 1, 1)
)
CANONICAL = {"pro-2025": "pro"}


def price(rows: list[OperatorRow], model: str = "pro", **narrowing: object) -> int:
    found = PriceBook([LISTED], rows, canonical=CANONICAL)
    return found.price(model, Tier.DEFAULT, **({"as_of": DAY} | narrowing)).rates.input  # type: ignore[arg-type]


def own(input: int, **narrowing: object) -> OperatorRow:
    return OperatorRow(**{"model": "pro", "rates": Rates(input=input, output=input), **narrowing})  # type: ignore[arg-type]


@st.composite
def rows(draw: st.DrawFn) -> OperatorRow:
    return own(
        0,
        model=draw(st.sampled_from(["pro", "pro-2025", "other"])),
        provider=draw(st.sampled_from([None, "here", "there"])),
        organization=draw(st.sampled_from([None, "org_1", "org_2"])),
        tier=draw(st.sampled_from([Tier.DEFAULT, Tier.BATCH])),
        valid_from=DAY + ONE * draw(st.integers(-2, 1)),
        valid_until=draw(st.none() | st.integers(0, 2).map(lambda days: DAY + ONE * days)),
    )


@given(st.lists(rows(), max_size=8))
def test_the_row_in_force_is_the_last_of_the_narrowest_that_speak_of_the_call(written: list[OperatorRow]) -> None:
    numbered = [own(at + 1, **fields(row)) for at, row in enumerate(written)]
    speaking = [
        (row.organization is not None, row.model == "pro-2025", row.provider is not None, row.valid_from, at)
        for at, row in enumerate(numbered)
        if row.tier is Tier.DEFAULT
        and row.model != "other"
        and row.provider in (None, "here")
        and row.organization in (None, "org_1")
        and row.valid_from <= DAY
        and (row.valid_until is None or row.valid_until > DAY)
    ]
    found = price(numbered, "pro-2025", provider="here", organization=("org_1",))
    assert found == (max(speaking)[-1] + 1 if speaking else 10_000)


def fields(row: OperatorRow) -> dict[str, object]:
    names = ("model", "provider", "organization", "tier", "valid_from", "valid_until")
    return {name: getattr(row, name) for name in names}


def test_a_row_that_names_no_model_is_wider_than_one_that_names_the_models_undated_id() -> None:
    everything = OperatorRow(discount_basis_points=5_000, valid_from=DAY)
    assert price([own(7), everything], "pro-2025") == 7
    assert price([everything]) == 5_000


def test_a_row_of_no_discount_is_the_list_price_whatever_discount_holds_elsewhere() -> None:
    book_of_all = PriceBook([LISTED], [OperatorRow(organization="org_1", discount_basis_points=0)])
    listed = PriceBook([LISTED]).price("pro", Tier.DEFAULT, as_of=DAY)
    assert book_of_all.price("pro", Tier.DEFAULT, organization=("org_1",), as_of=DAY) == listed


def test_list_rows_may_be_given_in_any_order_and_the_day_decides_between_them() -> None:
    later = PriceRow(id="later", model="pro", tier=Tier.DEFAULT, rates=Rates(input=1, output=1), valid_from=DAY)
    earlier = PriceRow(**{name: getattr(LISTED, name) for name in LISTED.__struct_fields__} | {"valid_until": DAY})
    found = PriceBook([later, earlier])
    assert [found.list_price("pro", Tier.DEFAULT, as_of=day).id for day in (DAY - ONE, DAY)] == ["list", "later"]


def test_an_operator_s_row_with_a_threshold_needs_the_rates_above_it_and_hands_both_on() -> None:
    above = Rates(input=9, output=9)
    with pytest.raises(ValueError, match="above"):
        own(1, above_rates=above)
    row = PriceBook([LISTED], [own(1, above_tokens=100, above_rates=above)]).price("pro", Tier.DEFAULT, as_of=DAY)
    assert (row.rates_for(100).input, row.rates_for(101).input) == (1, 9)


def test_a_row_out_of_an_operators_row_says_where_it_comes_from_and_how_long_it_holds() -> None:
    row = PriceBook([LISTED], [own(1, valid_from=DAY, valid_until=DAY + ONE)]).price("pro", Tier.DEFAULT, as_of=DAY)
    assert (row.id, row.source) == ("operator.0.pro.default.2026-11-22", "operator's configuration")
    assert (row.valid_from, row.valid_until) == (DAY, DAY + ONE)


def test_a_book_and_each_row_are_named_by_twelve_hexadecimal_digits() -> None:
    found = PriceBook([LISTED])
    prefix, _, digits = found.version.partition("-")
    assert (prefix, len(digits), len(found.price("pro", Tier.DEFAULT, as_of=DAY).version)) == ("book", 12, 12)


def test_a_book_remembers_no_more_answers_than_it_may(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(book, "ANSWERS_KEPT_MAX", 2)
    found = PriceBook([LISTED])
    kept = []
    for days in range(4):
        found.price("pro", Tier.DEFAULT, as_of=DAY + ONE * days)
        kept.append(len(found._priced))
    assert kept == [1, 2, 1, 2]


def test_who_says_nothing_of_volume_has_none() -> None:
    found = PriceBook([LISTED], [own(7, volume_from_nanos=1), own(7, tier=Tier.BATCH, volume_from_nanos=1)])
    won = found.price_won("pro", Tier.DEFAULT, as_of=DAY)
    assert won is not None
    assert (won.place, found.price("pro", Tier.DEFAULT, as_of=DAY).id) == (None, "list")
    assert found.tiers("pro", DAY) == (Tier.DEFAULT,)
