"""List prices as dated, sourced rows. One TOML file per provider in `prices/`; figures are decimal strings."""

import tomllib
from collections.abc import Mapping
from datetime import date
from importlib.resources import files
from typing import Any

import msgspec

from tessera.domain.money import parse_usd
from tessera.domain.pricing.rows import PriceRow, Rates
from tessera.domain.request import Tier


class RateStrings(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Rates as people write them: USD per million tokens, decimal strings. What is left out has no rate of its own."""

    input: str
    output: str
    cached_input: str | None = None
    cache_write: str | None = None
    input_image: str | None = None
    cached_input_image: str | None = None
    output_image: str | None = None


class AboveStrings(RateStrings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """The rates of a request with more than `tokens` input tokens."""

    tokens: int


class PriceStrings(RateStrings, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One `[[price]]` of a catalogue file."""

    model: str
    valid_from: date
    valid_until: date | None = None
    tier: Tier = Tier.DEFAULT
    above: AboveStrings | None = None
    input_tokens_max: int | None = None
    source: str | None = None


class _Head(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    provider: str
    source: str
    price: tuple[PriceStrings, ...]


def load_list_prices() -> tuple[PriceRow, ...]:
    """Every list price row of the catalogue. Raises ValueError for a file that breaks its schema."""
    found: list[PriceRow] = []
    for file in sorted(files(__package__).joinpath("prices").iterdir(), key=lambda entry: entry.name):
        if file.name.endswith(".toml"):
            found.extend(_read(file.name, tomllib.loads(file.read_text("utf-8"))))
    return tuple(found)


def parse_rates(strings: RateStrings) -> Rates:
    """Decimal strings in USD per million as integer nano-dollars. Raises ValueError for anything inexact."""

    def parse(text: str | None) -> int | None:
        return None if text is None else parse_usd(text)

    return Rates(
        input=parse_usd(strings.input),
        output=parse_usd(strings.output),
        cached_input=parse(strings.cached_input),
        cache_write=parse(strings.cache_write),
        input_image=parse(strings.input_image),
        cached_input_image=parse(strings.cached_input_image),
        output_image=parse(strings.output_image),
    )


def _read(name: str, document: Mapping[str, Any]) -> list[PriceRow]:
    try:
        head = msgspec.convert(document, _Head)
        return [_row(head, price) for price in head.price]
    except ValueError as error:
        raise ValueError(f"catalogue file prices/{name}: {error}") from error


def _row(head: _Head, price: PriceStrings) -> PriceRow:
    return PriceRow(
        id=f"{head.provider}.{price.model}.{price.tier}.{price.valid_from.isoformat()}",
        model=price.model,
        tier=price.tier,
        rates=parse_rates(price),
        above_tokens=None if price.above is None else price.above.tokens,
        above_rates=None if price.above is None else parse_rates(price.above),
        valid_from=price.valid_from,
        valid_until=price.valid_until,
        input_tokens_max=price.input_tokens_max,
        source=price.source or head.source,
    )
