"""List prices against their sources: the vendor's printed list typed by hand, and two packages cell by cell."""

import importlib.util
import json
import tomllib
from datetime import date
from decimal import Decimal
from pathlib import Path
from types import ModuleType

import pytest

from tessera.catalog import prices
from tessera.catalog.catalogue import load_catalogue
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import format_price, parse_usd
from tessera.domain.pricing import PriceRow, charge
from tessera.domain.quantities import Quantities
from tessera.domain.request import Tier

DAY = date(2026, 11, 22)
CATALOGUE = load_catalogue()
BOOK = CATALOGUE.price_book()
ROOT = Path(__file__).parents[3]

# OpenAI API pricing page, Sept 2026 copy (gpt-6-sol, -luna, gpt-6.1: genai-prices = litellm): input, cached, output.
PRINTED = {
    "gpt-5.2-pro": ("21", None, "168"),
    "gpt-6-astra": ("10", "1", "50"),
    "gpt-5.6-sol": ("4", "0.4", "20"),
    "gpt-5.6-terra": ("2", "0.2", "12"),
    "gpt-5.6-luna": ("0.2", "0.02", "1.2"),
    "gpt-5.5": ("5", "0.5", "30"),
    "gpt-5.5-pro": ("30", None, "180"),
    "gpt-5.4": ("2.5", "0.25", "15"),
    "gpt-5.4-mini": ("0.75", "0.075", "4.5"),
    "gpt-5.4-nano": ("0.2", "0.02", "1.25"),
    "gpt-5.2": ("1.75", "0.175", "14"),
    "gpt-5.1": ("1.25", "0.125", "10"),
    "gpt-5": ("1.25", "0.125", "10"),
    "gpt-5-mini": ("0.25", "0.025", "2"),
    "gpt-4.1": ("2", "0.5", "8"),
    "gpt-4.1-mini": ("0.4", "0.1", "1.6"),
    "gpt-4o": ("2.5", "1.25", "10"),
    "gpt-4o-mini": ("0.15", "0.075", "0.6"),
    "gpt-6-sol": ("2", "0.2", "10"),
    "gpt-6-luna": ("0.1", "0.01", "0.5"),
    "gpt-6.1-sol": ("2", "0.1", "10"),
    "gpt-6.1-terra": ("1", "0.05", "5"),
}
# gpt-image-2 and 2.5: text in, cached text, image in, cached image, image out.
PRINTED_IMAGE = {
    model: ("5", "1.25", "8", "2", "30") for model in ("gpt-image-2", "gpt-image-2.5-sunburst", "gpt-image-2.5-flare")
}
LONG_CONTEXT = (
    "gpt-5.4", "gpt-5.4-pro", "gpt-5.5", "gpt-5.5-pro", "gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-6-astra",
    "gpt-6-sol", "gpt-6-luna", "gpt-6.1-sol", "gpt-6.1-terra",
)  # fmt: skip
CACHE_WRITES = tuple(model for model in LONG_CONTEXT if model.startswith(("gpt-5.6", "gpt-6")))
FAST = {
    **dict.fromkeys(("gpt-5.6-sol", "gpt-5.6-terra", "gpt-5.6-luna", "gpt-6-astra", "gpt-6-sol", "gpt-6-luna"), "2"),
    **dict.fromkeys(("gpt-6.1-sol", "gpt-6.1-terra", "gpt-5.4", "gpt-5.4-mini", "gpt-5.2", "gpt-5.1", "gpt-5"), "2"),
    "gpt-5.5": "2.5",
    "gpt-5-mini": "1.8",
    "gpt-4.1": "1.75",
    "gpt-4o": "1.7",
}
FLEX = (
    *LONG_CONTEXT, "gpt-5.4-mini", "gpt-5.4-nano", "gpt-5.2", "gpt-5.1", "gpt-5", "gpt-5-mini", "gpt-5-nano", "o3",
    "o4-mini",
)  # fmt: skip
WITHOUT_PRICE = (
    "gpt-6.2-sol", "gpt-6.2-astra", "gpt-image-2.6-sunburst", "gpt-image-2.6-flare", "dall-e-2", "dall-e-3",
    "qwen2.5-vl",
)  # fmt: skip
RATES = {
    "input": "input_cost_per_token",
    "cached_input": "cache_read_input_token_cost",
    "cache_write": "cache_creation_input_token_cost",
    "output": "output_cost_per_token",
    "input_image": "input_cost_per_image_token",
    "cached_input_image": "cache_read_input_image_token_cost",
    "output_image": "output_cost_per_image_token",
}
SUFFIX = {Tier.DEFAULT: "", Tier.BATCH: "_batches", Tier.FLEX: "_flex", Tier.PRIORITY: "_priority"}


def listed(model: str, tier: Tier = Tier.DEFAULT, day: date = DAY) -> PriceRow:
    return BOOK.list_price(model, tier, as_of=day)


def nanos(text: str | None) -> int | None:
    return None if text is None else parse_usd(text)


@pytest.mark.parametrize("model", WITHOUT_PRICE)
def test_a_listed_model_without_a_price_is_disabled_and_says_so(model: str) -> None:
    assert CATALOGUE.model(model).id == model
    with pytest.raises(TesseraError, match=r"no price .* disabled") as refused:
        BOOK.price(model, Tier.DEFAULT, as_of=DAY)
    assert refused.value.code is ErrorCode.MODEL_NOT_FOUND


@pytest.mark.parametrize(
    ("model", "tier"),
    [
        ("gpt-5.2-pro", Tier.FLEX),
        ("gpt-5.2-pro", Tier.PRIORITY),
        ("gpt-5-pro", Tier.FLEX),
        ("gpt-5.4-pro", Tier.PRIORITY),
        ("gpt-5.5-pro", Tier.PRIORITY),
        ("gpt-5.4-nano", Tier.PRIORITY),
        ("gpt-5-nano", Tier.PRIORITY),
        ("gpt-4.1", Tier.FLEX),
        ("gpt-4o", Tier.FLEX),
        ("gpt-image-2.5-flare", Tier.BATCH),
        ("gemini-3.8-flash", Tier.PRIORITY),
    ],
)
def test_a_tier_nobody_prints_is_refused(model: str, tier: Tier) -> None:
    with pytest.raises(TesseraError, match="Tiers with a price: default") as refused:
        BOOK.price(model, tier, as_of=DAY)
    assert refused.value.code is ErrorCode.UNSUPPORTED_SERVICE_TIER


@pytest.mark.parametrize("model", PRINTED)
def test_the_printed_standard_price(model: str) -> None:
    rates = listed(model).rates
    assert (rates.input, rates.cached_input, rates.output) == tuple(nanos(cell) for cell in PRINTED[model])


@pytest.mark.parametrize("model", PRINTED_IMAGE)
def test_the_printed_image_model_price(model: str) -> None:
    rates = listed(model).rates
    found = (rates.input, rates.cached_input, rates.input_image, rates.cached_input_image, rates.output_image)
    assert found == tuple(nanos(cell) for cell in PRINTED_IMAGE[model])


def test_the_founding_figures() -> None:
    book = CATALOGUE.price_book(discount_basis_points=3_000)
    used = Quantities(input_tokens=1_000, output_tokens=100)
    for model in ("gpt-5.2-pro", "gpt-5.2-pro-2025-12-11"):
        full, price = listed(model), book.price(model, Tier.DEFAULT, as_of=DAY)
        assert (format_price(full.rates.input), format_price(full.rates.output)) == ("21", "168")
        assert (format_price(price.rates.input), format_price(price.rates.output)) == ("14.7", "117.6")
        assert price.rounding == "exact"
        assert charge(full, used).nanos == parse_usd("0.0378")
        assert charge(price, used).nanos == parse_usd("0.02646")
    batch = listed("gpt-5.2-pro", Tier.BATCH).rates
    assert (batch.input, batch.output, batch.cached_input) == (parse_usd("10.50"), parse_usd("84"), None)


def test_the_founding_price_already_held_in_january_2026() -> None:
    assert listed("gpt-5.2-pro", day=date(2026, 1, 15)).rates.output == parse_usd("168")


@pytest.mark.parametrize("model", [model.id for model in CATALOGUE.models() if model.provider == "openai"])
def test_long_context_doubles_the_input_and_adds_half_to_the_output_of_the_models_it_is_printed_for(
    model: str,
) -> None:
    for tier in BOOK.list_tiers(model, DAY):
        row = listed(model, tier)
        if CATALOGUE.canonical(model) not in (*LONG_CONTEXT, "gpt-6-rosalind"):
            assert row.above_tokens is None
            assert row.input_tokens_max is None
        elif row.above_rates is None:
            assert row.input_tokens_max == 272_000
            assert tier is not Tier.DEFAULT
        else:
            assert row.above_tokens == 272_000
            assert (row.above_rates.input, 2 * row.above_rates.output) == (2 * row.rates.input, 3 * row.rates.output)


@pytest.mark.parametrize("model", PRINTED)
def test_cache_writes_cost_a_quarter_more_than_input_from_gpt_5_6_on(model: str) -> None:
    rates = listed(model).rates
    assert rates.cache_write == (rates.input * 5 // 4 if model in CACHE_WRITES else None)


@pytest.mark.parametrize("model", PRINTED)
def test_the_printed_fast_factor(model: str) -> None:
    if model not in FAST and model not in ("gpt-4.1-mini", "gpt-4o-mini"):
        assert Tier.PRIORITY not in BOOK.list_tiers(model, DAY)
        return
    fast, standard = listed(model, Tier.PRIORITY).rates, listed(model).rates
    if model in FAST:
        factor = Decimal(FAST[model])
        assert Decimal(fast.input) == standard.input * factor
        assert Decimal(fast.output) == standard.output * factor
    assert fast.input > standard.input


@pytest.mark.parametrize("model", [*PRINTED, "gpt-5-nano", "gpt-5-pro", "o3", "o4-mini"])
def test_flex_is_offered_for_the_printed_models_only(model: str) -> None:
    assert (Tier.FLEX in BOOK.list_tiers(model, DAY)) == (model in FLEX)


def test_prices_printed_with_rounding_are_kept_as_printed() -> None:
    assert listed("gpt-5.4", Tier.BATCH).rates.cached_input == parse_usd("0.13")
    assert listed("o4-mini", Tier.FLEX).rates.cached_input == parse_usd("0.138")
    assert listed("gpt-image-1.5", Tier.BATCH).rates.cached_input == parse_usd("0.63")


@pytest.mark.parametrize("model", ["gpt-4.1", "gpt-4o", "o3", "o4-mini", "o1"])
def test_a_batch_row_without_a_cached_price_charges_cached_tokens_in_full(model: str) -> None:
    row = listed(model, Tier.BATCH)
    assert row.rates.cached_input is None
    assert charge(row, Quantities(input_tokens=1_000, cached_input_tokens=1_000)).nanos == row.rates.input // 1_000


def test_tiers_have_no_history_before_they_were_read() -> None:
    with pytest.raises(TesseraError, match="batch tier on 2026-01-15"):
        listed("gpt-5.2-pro", Tier.BATCH, date(2026, 1, 15))


def test_a_price_that_changed_is_closed_and_followed() -> None:
    assert listed("o3", day=date(2025, 6, 9)).rates.input == parse_usd("10")
    assert listed("o3", day=date(2025, 6, 10)).rates.input == parse_usd("2")
    assert listed("gpt-5.6-sol", day=date(2026, 8, 20)).rates.output == parse_usd("30")
    assert listed("gpt-5.6-sol", day=date(2026, 8, 21)).rates.output == parse_usd("20")
    assert listed("gemini-4-argon", day=date(2026, 12, 1)).rates.input == parse_usd("4")


def test_every_row_names_its_source_and_a_model_of_the_catalogue() -> None:
    for row in CATALOGUE.price_rows:
        assert row.source
        assert CATALOGUE.model(row.model).id == CATALOGUE.canonical(row.model) == row.model
    assert len({row.id for row in CATALOGUE.price_rows}) == len(CATALOGUE.price_rows)


@pytest.mark.parametrize("provider", ["openai", "anthropic", "gemini"])
def test_the_catalogue_is_what_genai_prices_says(provider: str) -> None:
    script = _script("list_prices")
    file = Path(prices.__file__).parent / "prices" / f"{provider}.toml"
    written = tomllib.loads(file.read_text("utf-8"))
    assert tomllib.loads(script.write(provider)) == written
    assert len(written["price"]) > 40


def test_no_figure_contradicts_litellm() -> None:
    table = json.loads(Path(__file__).with_name("litellm_prices.json").read_text("utf-8"))
    agreeing, differing = 0, []
    for model, theirs in table.items():
        for tier in BOOK.list_tiers(model, DAY):
            row = listed(model, tier)
            sides = [("", row.rates), (f"_above_{(row.above_tokens or 0) // 1000}k_tokens", row.above_rates)]
            for side, rates in sides:
                for name, key in RATES.items():
                    ours = None if rates is None else getattr(rates, name)
                    printed = theirs.get(f"{key}{side}{SUFFIX[tier]}")
                    if ours is None or printed is None:
                        continue
                    if Decimal(printed) * 10**15 == ours:
                        agreeing += 1
                    else:
                        differing.append((model, tier, side, name, ours, printed))
    assert differing == []
    assert agreeing >= 1_167


def _script(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "scripts" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module
