"""The rows in force: who pays what, what is left of it, and which row decided."""

from datetime import date

from hypothesis import given

from price_strategies import rates
from tessera.domain.pricing import OperatorRow, PriceBook, PriceRow, Rates
from tessera.domain.pricing.in_force import InForce, in_force, margins, validity
from tessera.domain.request import Tier

DAY = date(2026, 11, 22)
LISTED = PriceRow(
    id="list",
    model="pro",
    tier=Tier.DEFAULT,
    rates=Rates(input=100, output=200, cached_input=10),
    valid_from=date(2026, 1, 1),
    valid_until=date(2027, 1, 1),
)


def shown(
    book: PriceBook, providers: tuple[str, ...] = ("openai",), organizations: tuple[tuple[str, ...], ...] = ((),)
) -> dict[tuple[str, str | None], InForce]:
    found = list(in_force(book, "pro", DAY, providers=providers, organizations=organizations))
    assert len({(one.provider, one.organization) for one in found}) == len(found)
    return {(one.provider, one.organization): one for one in found}


def test_a_model_without_any_price_has_no_line() -> None:
    assert list(in_force(PriceBook([LISTED]), "unheard-of", DAY, providers=["openai"])) == []


def test_a_line_stands_only_where_another_row_decides() -> None:
    rows = [OperatorRow(organization="acme", discount_basis_points=10), OperatorRow(discount_basis_points=5)]
    costs = [OperatorRow(provider="cheap", discount_basis_points=1)]
    found = shown(PriceBook([LISTED], rows, costs), ("openai", "cheap", "other"), ((), ("acme",), ("bolt",)))
    assert set(found) == {("openai", None), ("openai", "acme"), ("cheap", None), ("cheap", "acme")}
    line = found["cheap", "acme"]
    assert line.cost is not None
    assert (line.price.place, line.cost.place, line.listed) == (
        0,
        0,
        PriceBook([LISTED]).list_price("pro", Tier.DEFAULT, as_of=DAY),
    )


def test_a_model_that_only_the_operator_knows_has_neither_list_price_nor_margin() -> None:
    found = shown(PriceBook([], [OperatorRow(model="pro", rates=Rates(input=1, output=2))]))
    assert (found["openai", None].listed, found["openai", None].cost) == (None, None)


def test_margins_name_every_unit_that_either_side_has_and_can_be_below_zero() -> None:
    cost = PriceRow(
        id="cost",
        model="pro",
        tier=Tier.DEFAULT,
        rates=Rates(input=150, output=0),
        above_tokens=7,
        above_rates=Rates(input=1, output=1, cache_write=9),
        valid_from=DAY,
    )
    below, above = margins(LISTED, cost)
    assert (below.above_tokens, below.rates) == (0, {"input": -50, "output": 200, "cached_input": -140})
    assert (above.above_tokens, above.rates["cache_write"], above.rates["cached_input"]) == (7, 91, 9)


@given(rates())
def test_a_price_that_is_its_cost_leaves_nothing_of_any_unit(same: Rates) -> None:
    row = PriceRow(id="row", model="pro", tier=Tier.DEFAULT, rates=same, valid_from=DAY)
    [margin] = margins(row, row)
    assert set(margin.rates.values()) == {0}
    assert {"input", "output"} <= set(margin.rates)


def test_a_discount_holds_no_longer_than_its_own_row_and_the_list_row() -> None:
    rows = (OperatorRow(discount_basis_points=1, valid_from=date(2026, 11, 1), valid_until=date(2028, 1, 1)),)
    price = shown(PriceBook([LISTED], rows))["openai", None].price
    assert validity(price, rows) == (date(2026, 11, 1), date(2027, 1, 1))
    own = (OperatorRow(model="pro", rates=Rates(input=1, output=1)),)
    assert validity(shown(PriceBook([LISTED], own))["openai", None].price, own) == (None, None)


def test_margins_change_one_token_above_each_threshold_and_not_before() -> None:
    def priced(threshold: int, below: int, above: int) -> PriceRow:
        rates = Rates(input=below, output=0), Rates(input=above, output=0)
        return PriceRow(
            id="row",
            model="pro",
            tier=Tier.DEFAULT,
            rates=rates[0],
            above_tokens=threshold,
            above_rates=rates[1],
            valid_from=DAY,
        )

    for thresholds, between in (((100, 101), 19), ((101, 100), 8)):
        found = margins(priced(thresholds[0], 10, 20), priced(thresholds[1], 1, 2))
        assert [(margin.above_tokens, margin.rates["input"]) for margin in found] == [(0, 9), (100, between), (101, 18)]


def test_the_list_price_holds_as_long_as_its_own_row() -> None:
    price = shown(PriceBook([LISTED]))["openai", None].price
    assert validity(price, ()) == (LISTED.valid_from, LISTED.valid_until)
