"""Write `catalog/prices/*.toml` from the genai-prices package, for review.

    python scripts/list_prices.py openai      # prints prices/openai.toml

What it takes, and what it refuses to take:
- only models of the catalogue; a model that genai-prices does not name gets no row and stays disabled;
- a tier only from an explicit variant of that package (its own lookup falls back to the standard price), and only for
  the model the entry is named after: names that merely share an entry get its standard price and no tier;
- OpenAI's tier rows without a cached rate have none (cached tokens are then charged as input), Gemini's keep the
  standard one, which Google prints as "same as standard";
- no batch row for gpt-image-2.5: its model cards say batch is not supported;
- a tier without long-context rates, of a model that has them, is not offered above the threshold.

The running server never imports genai-prices. A test compares every row of the catalogue with this script's output.
"""

import sys
from collections.abc import Iterator
from datetime import date
from decimal import Decimal
from typing import Any

from genai_prices.data import providers
from genai_prices.types import ModelInfo, ModelPrice, TieredPrices

from tessera.catalog.models import Model, load_models

SOURCE = "genai-prices 0.2.3 (MIT), read on 2026-11-22"
FILES = {
    "openai": ("openai", "openai"),
    "anthropic": ("anthropic", "anthropic"),
    "gemini": ("gemini", "google"),
}
RATES = {
    "input": "input_mtok",
    "cached_input": "cache_read_mtok",
    "cache_write": "cache_write_mtok",
    "output": "output_mtok",
    "input_image": "input_image_mtok",
    "cached_input_image": "cache_image_read_mtok",
    "output_image": "output_image_mtok",
}
TIERS = {
    "batch": {"processing": "batch"},
    "flex": {"service_tier": "flex"},
    "priority": {"service_tier": "priority"},
}
NO_BATCH = ("gpt-image-2.5-sunburst", "gpt-image-2.5-flare")


def rows(provider: str) -> Iterator[dict[str, Any]]:
    """Every price row of a provider of the catalogue, as a dictionary of strings, dates and integers."""
    listed, source = FILES[provider]
    entries = next(entry for entry in providers if entry.id == source).models
    for model in load_models():
        if model.provider != listed or model.id != model.canonical:
            continue
        entry = next((entry for entry in entries if entry.is_match(model.id)), None)
        if entry is not None:
            yield from _model_rows(model, entry)


def _model_rows(model: Model, entry: ModelInfo) -> Iterator[dict[str, Any]]:
    assert model.released_on is not None
    standard = (
        [(_start(price, model.released_on), price.prices) for price in entry.prices]
        if isinstance(entry.prices, list)
        else [(model.released_on, entry.prices)]
    )
    yield from _periods(model, "default", standard, None)
    threshold = _threshold(standard[-1][1])
    own_entry = entry.id in (model.id, *model.aliases) or model.id.startswith(entry.id)
    if not own_entry or any(entry.id == other.id for other in load_models() if other.canonical != model.canonical):
        return
    for tier, when in TIERS.items():
        if tier == "batch" and model.id in NO_BATCH:
            continue
        variants = [
            (_start(variant, model.released_on), _inherit(model, variant.prices, standard[-1][1]))
            for variant in entry.price_variants or []
            if variant.when == when
        ]
        yield from _periods(model, tier, variants, threshold)


def _periods(
    model: Model, tier: str, starts: list[tuple[date, ModelPrice]], threshold: int | None
) -> Iterator[dict[str, Any]]:
    """Consecutive half-open periods; one that would end before the model was released is left out."""
    starts = sorted(starts, key=lambda item: item[0])
    for index, (start, prices) in enumerate(starts):
        end = starts[index + 1][0] if index + 1 < len(starts) else None
        if end is not None and end <= start:
            continue
        row: dict[str, Any] = {"model": model.id, "tier": tier, "valid_from": start}
        if end is not None:
            row["valid_until"] = end
        row.update(_rates(model, prices, above=False))
        tokens = _threshold(prices)
        if tokens is not None:
            row["above"] = {"tokens": tokens, **_rates(model, prices, above=True)}
        elif threshold is not None:
            row["input_tokens_max"] = threshold
        yield row


def _start(price: Any, released_on: date) -> date:
    start = getattr(price.constraint, "start_date", None)
    return released_on if start is None or start < released_on else start


def _inherit(model: Model, variant: ModelPrice, standard: ModelPrice) -> ModelPrice:
    own = {key: value for key, value in variant.__dict__.items() if value is not None}
    if not own:
        return standard
    if model.provider == "gemini" and standard.__dict__.get("cache_read_mtok") is not None:
        own.setdefault("cache_read_mtok", standard.__dict__["cache_read_mtok"])
    return ModelPrice(**own)


def _threshold(prices: ModelPrice) -> int | None:
    found = {
        tier.start for price in prices.__dict__.values() if isinstance(price, TieredPrices) for tier in price.tiers
    }
    assert len(found) <= 1, "one threshold per row"
    return found.pop() if found else None


def _rates(model: Model, prices: ModelPrice, *, above: bool) -> dict[str, str]:
    rates = {}
    for name, key in RATES.items():
        price = prices.__dict__.get(key)
        if isinstance(price, TieredPrices):
            price = price.tiers[0].price if above else price.base
        if price is not None:
            rates[name] = _text(price)
    if model.output_modalities == ("image",):
        rates.setdefault("output_image", rates["output"])
    return rates


def _text(price: Decimal) -> str:
    text = format(price, "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def write(provider: str) -> str:
    """The TOML file of a provider."""
    lines = [
        f"# List prices of {provider}'s models in USD per million tokens. Rows are closed and followed, never edited.",
        "# Written by scripts/list_prices.py and reviewed; the tests compare it with its sources cell by cell.",
        f'provider = "{provider}"',
        f'source = "{SOURCE}"',
    ]
    for row in rows(provider):
        lines += ["", "[[price]]", *(f"{key} = {_value(value)}" for key, value in row.items())]
    return "\n".join(lines) + "\n"


def _value(value: Any) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {_value(part)}" for key, part in value.items()) + " }"
    return f'"{value}"' if isinstance(value, str) else str(value)


if __name__ == "__main__":
    sys.stdout.write(write(sys.argv[1]))
