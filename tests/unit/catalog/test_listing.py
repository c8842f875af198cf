"""A model as it is shown."""

from datetime import date

from tessera.catalog.catalogue import load_catalogue
from tessera.catalog.listing import model_object
from tessera.catalog.models import ConfiguredModel
from tessera.domain.pricing import OperatorRow, PriceBook, Rates

DAY = date(2026, 11, 22)
CATALOGUE = load_catalogue()
FIELDS = {
    "id", "aliases", "provider", "modalities", "surfaces", "context_max", "output_max", "output_default",
    "shutdown_date", "image_rule", "list_price", "price",
}  # fmt: skip


def shown(model: str, book: PriceBook | None = None) -> dict[str, object]:
    return model_object(CATALOGUE.model(model), CATALOGUE, book or CATALOGUE.price_book(), DAY)


def test_the_fields_are_the_contract_s_for_every_model() -> None:
    book = CATALOGUE.price_book()
    for model in CATALOGUE.models():
        assert set(model_object(model, CATALOGUE, book, DAY)) == FIELDS


def test_the_founding_model_at_30_percent_off() -> None:
    model = shown("gpt-5.2-pro-2025-12-11", CATALOGUE.price_book(discount_basis_points=3_000))
    assert model | {"image_rule": "…"} == {
        "id": "gpt-5.2-pro-2025-12-11",
        "aliases": ["gpt-5.2-pro"],
        "provider": "openai",
        "modalities": {"input": ["text", "image"], "output": ["text"]},
        "surfaces": ["responses"],
        "context_max": 400_000,
        "output_max": 128_000,
        "output_default": 8_192,
        "shutdown_date": None,
        "image_rule": "…",
        "list_price": {"default": rates("21", "168"), "batch": rates("10.5", "84")},
        "price": {"default": rates("14.7", "117.6"), "batch": rates("7.35", "58.8")},
    }
    assert isinstance(model["image_rule"], str)


def test_a_long_context_row_shows_the_rates_above_its_threshold() -> None:
    price = shown("gpt-5.4")["list_price"]
    assert isinstance(price, dict)
    assert price["default"] == rates("2.5", "15", cached_input="0.25") | {
        "above": {"tokens": 272_000, **rates("5", "22.5", cached_input="0.5")}
    }
    assert price["priority"]["input_tokens_max"] == 272_000


def test_a_disabled_model_shows_no_price_and_a_text_model_no_image_rule() -> None:
    assert (shown("gpt-6.2-sol")["list_price"], shown("gpt-6.2-sol")["price"]) == ({}, {})
    assert shown("o3-mini")["image_rule"] is None


def test_a_configured_model_shows_the_operator_s_price_and_no_list_price() -> None:
    catalogue = load_catalogue([ConfiguredModel(id="my-vlm", image_tokens_max=9)])
    book = catalogue.price_book([OperatorRow(model="my-vlm", rates=Rates(input=200_000_000, output=600_000_000))])
    model = model_object(catalogue.model("my-vlm"), catalogue, book, DAY)
    assert (model["list_price"], model["price"]) == ({}, {"default": rates("0.2", "0.6")})


def test_an_operator_s_row_may_name_a_model_by_its_alias() -> None:
    book = CATALOGUE.price_book([OperatorRow(model="gpt-5.6", rates=Rates(input=10**9, output=10**9))])
    price = shown("gpt-5.6-sol", book)["price"]
    assert isinstance(price, dict)
    assert price["default"] == rates("1", "1")


def rates(input: str, output: str, *, cached_input: str | None = None) -> dict[str, object]:
    return {
        "input": input,
        "cached_input": cached_input,
        "cache_write": None,
        "output": output,
        "input_image": None,
        "output_image": None,
    }
