"""The price book: what is refused, and which row wins."""

from datetime import date
from typing import Any

import msgspec
import pytest

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.pricing import OperatorRow, PriceBook, PriceRow, Rates
from tessera.domain.request import Tier

DAY = date(2026, 11, 22)


def listed(
    model: str,
    tier: Tier = Tier.DEFAULT,
    *,
    input: int = 1_000_000_000,
    since: date = date(2026, 1, 1),
    until: date | None = None,
) -> PriceRow:
    return PriceRow(
        id=f"list.{model}.{tier}.{since}",
        model=model,
        tier=tier,
        rates=Rates(input=input, output=2 * input),
        valid_from=since,
        valid_until=until,
    )


LIST = (listed("pro", input=21_000_000_000), listed("pro", Tier.BATCH, input=10_500_000_000), listed("mini"))


def own(input: int, **narrowing: object) -> OperatorRow:
    return OperatorRow(**{"model": "pro", "rates": Rates(input=input, output=input), **narrowing})  # type: ignore[arg-type]


def test_a_tier_without_a_row_is_refused_naming_the_tiers_there_are() -> None:
    with pytest.raises(TesseraError, match=r"flex.*Tiers with a price: default, batch\.") as refused:
        PriceBook(LIST).price("pro", Tier.FLEX, as_of=DAY)
    assert refused.value.code is ErrorCode.UNSUPPORTED_SERVICE_TIER
    assert refused.value.param == "service_tier"


@pytest.mark.parametrize("model", ["unheard-of", "", "PRO", "pro "])
def test_a_model_without_a_row_is_disabled_with_a_reason(model: str) -> None:
    with pytest.raises(TesseraError, match="disabled until the operator enters one") as refused:
        PriceBook(LIST, discount_basis_points=3_000).price(model, Tier.DEFAULT, as_of=DAY)
    assert refused.value.code is ErrorCode.MODEL_NOT_FOUND


def test_a_day_before_the_first_row_has_no_price() -> None:
    with pytest.raises(TesseraError, match="2025-12-31"):
        PriceBook(LIST).price("pro", Tier.DEFAULT, as_of=date(2025, 12, 31))


def test_overlapping_list_rows_are_refused() -> None:
    with pytest.raises(ValueError, match="overlap"):
        PriceBook([listed("pro"), listed("pro", since=date(2026, 5, 1))])


@pytest.mark.parametrize(
    "bad",
    [
        {"model": "pro"},
        {"model": "pro", "rates": Rates(input=1, output=1), "discount_basis_points": 1},
        {"rates": Rates(input=1, output=1)},
        {"model": "pro", "rates": Rates(input=1, output=1), "above_tokens": 5},
    ],
)
def test_an_operator_row_that_prices_nothing_or_everything_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"rates|above"):
        OperatorRow(**bad)  # type: ignore[arg-type]


def test_a_dated_id_shares_the_rows_of_its_model() -> None:
    book = PriceBook(LIST, canonical={"pro-2025-12-11": "pro"})
    assert book.price("pro-2025-12-11", Tier.DEFAULT, as_of=DAY).rates.input == 21_000_000_000


def test_the_price_changes_on_the_day_the_next_row_begins() -> None:
    book = PriceBook([listed("pro", until=date(2026, 12, 1)), listed("pro", input=5, since=date(2026, 12, 1))])
    assert book.price("pro", Tier.DEFAULT, as_of=date(2026, 11, 30)).rates.input == 1_000_000_000
    assert book.price("pro", Tier.DEFAULT, as_of=date(2026, 12, 1)).rates.input == 5


def test_the_discount_is_off_the_list_and_not_off_the_operator_s_own_row_nor_off_costs() -> None:
    book = PriceBook(LIST, [own(7, model="mini")], discount_basis_points=3_000)
    assert book.price("pro", Tier.DEFAULT, as_of=DAY).rates.input == 14_700_000_000
    assert book.price("mini", Tier.DEFAULT, as_of=DAY).rates.input == 7
    assert book.cost("pro", Tier.DEFAULT, as_of=DAY).rates.input == 21_000_000_000
    assert book.list_price("mini", Tier.DEFAULT, as_of=DAY).rates.input == 1_000_000_000


def test_the_narrowest_row_wins() -> None:
    rows = [
        own(1),
        own(2, provider="local"),
        own(3, organization="org_1"),
        own(4, organization="org_1", provider="local"),
        OperatorRow(organization="org_2", discount_basis_points=5_000),
    ]
    book = PriceBook(LIST, rows)

    def price(**narrowing: Any) -> int:
        return book.price("pro", Tier.DEFAULT, as_of=DAY, **narrowing).rates.input

    assert price() == 1
    assert price(provider="other") == 1
    assert price(provider="local") == 2
    assert price(organization=("org_1",)) == 3
    assert price(organization=("org_0", "org_1")) == 3
    assert price(organization=("org_1",), provider="local") == 4
    assert price(organization=("org_2",)) == 10_500_000_000


def test_a_row_for_the_exact_dated_id_wins_over_one_for_its_model() -> None:
    book = PriceBook(LIST, [own(8, model="pro-2025"), own(9)], canonical={"pro-2025": "pro"})
    assert book.price("pro-2025", Tier.DEFAULT, as_of=DAY).rates.input == 8
    assert book.price("pro", Tier.DEFAULT, as_of=DAY).rates.input == 9


def test_a_row_counts_only_while_it_is_valid_and_the_later_one_wins() -> None:
    rows = [
        own(1, valid_until=date(2026, 12, 1)),
        own(2, valid_from=date(2026, 11, 1)),
        own(3, valid_from=date(2027, 1, 1)),
    ]
    book = PriceBook(LIST, rows)
    assert book.price("pro", Tier.DEFAULT, as_of=date(2026, 10, 31)).rates.input == 1
    assert book.price("pro", Tier.DEFAULT, as_of=DAY).rates.input == 2
    assert book.price("pro", Tier.DEFAULT, as_of=date(2027, 1, 1)).rates.input == 3


def test_an_operator_s_row_prices_a_model_that_no_list_knows_at_its_tier_only() -> None:
    book = PriceBook(LIST, [own(200_000_000, model="my-vlm")])
    assert book.tiers("my-vlm", DAY) == (Tier.DEFAULT,)
    assert book.list_tiers("my-vlm", DAY) == ()
    with pytest.raises(TesseraError, match="Tiers with a price: default"):
        book.price("my-vlm", Tier.BATCH, as_of=DAY)


def test_a_discount_row_without_a_list_row_prices_nothing() -> None:
    book = PriceBook(LIST, [OperatorRow(discount_basis_points=1_000)])
    assert book.tiers("my-vlm", DAY) == ()
    assert book.tiers("pro", DAY) == (Tier.DEFAULT, Tier.BATCH)


def test_a_cost_row_changes_what_the_operator_pays_and_not_what_customers_pay() -> None:
    book = PriceBook(LIST, (), [own(5, provider="cheap")])
    assert book.cost("pro", Tier.DEFAULT, provider="cheap", as_of=DAY).rates.input == 5
    assert book.cost("pro", Tier.DEFAULT, as_of=DAY).rates.input == 21_000_000_000
    assert book.price("pro", Tier.DEFAULT, provider="cheap", as_of=DAY).rates.input == 21_000_000_000


def test_equal_books_have_equal_versions_and_any_change_shows() -> None:
    version = PriceBook(LIST).version
    assert PriceBook(tuple(reversed(LIST))).version == version
    others = {
        PriceBook(LIST[:2]).version,
        PriceBook(LIST, discount_basis_points=1).version,
        PriceBook(LIST, [own(1)]).version,
        PriceBook(LIST, (), [own(1)]).version,
    }
    assert len(others | {version}) == 5


def test_every_row_given_out_carries_the_version_of_its_own_content() -> None:
    book = PriceBook(LIST, [own(1, model="mini")], discount_basis_points=3_000)
    full, off, mine = (
        book.list_price("pro", Tier.DEFAULT, as_of=DAY),
        book.price("pro", Tier.DEFAULT, as_of=DAY),
        book.price("mini", Tier.DEFAULT, as_of=DAY),
    )
    assert len({full.version, off.version, mine.version, ""}) == 4
    assert msgspec.structs.replace(off, rates=full.rates, version=full.version) == full
