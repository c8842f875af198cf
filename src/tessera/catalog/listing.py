"""A model as people and programs are shown it: `models show`, `GET /v1/models/{id}`."""

from datetime import date

from tessera.catalog.catalogue import Catalogue
from tessera.catalog.models import Model
from tessera.domain.errors import TesseraError
from tessera.domain.money import format_price
from tessera.domain.pricing.book import PriceBook
from tessera.domain.pricing.rows import PriceRow, Rates


def model_object(
    model: Model,
    catalogue: Catalogue,
    book: PriceBook,
    as_of: date,
    *,
    provider: str | None = None,
    organization: tuple[str, ...] = (),
    volume_nanos: int = 0,
) -> dict[str, object]:
    """The contract's model object on a day, at `organization`'s prices: decimal strings, USD per million, by tier.

    `volume_nanos` is what it was charged in the month, where prices depend on it. `provider` is who serves its calls;
    by default the model's own.

    A rate that does not exist is null; a model without a price has empty price objects and cannot be called.
    `image_rule` is the id of the rule that counts its images on that day, null for text models and unknown rules.
    """
    provider = provider or model.provider
    return {
        "id": model.id,
        "aliases": list(model.aliases),
        "provider": model.provider,
        "modalities": {"input": list(model.input_modalities), "output": list(model.output_modalities)},
        "surfaces": [str(surface) for surface in model.surfaces],
        "context_max": model.context_max,
        "output_max": model.output_max,
        "output_default": model.output_default,
        "shutdown_date": None if model.shutdown_date is None else model.shutdown_date.isoformat(),
        "image_rule": _image_rule(model, catalogue, as_of),
        "list_price": {
            str(tier): price_object(book.list_price(model.id, tier, as_of=as_of))
            for tier in book.list_tiers(model.id, as_of)
        },
        "price": {
            str(tier): price_object(
                book.price(
                    model.id,
                    tier,
                    provider=provider,
                    organization=organization,
                    as_of=as_of,
                    volume_nanos=volume_nanos,
                )
            )
            for tier in book.tiers(
                model.id, as_of, provider=provider, organization=organization, volume_nanos=volume_nanos
            )
        },
    }


def price_object(row: PriceRow) -> dict[str, object]:
    """One row's rates; a long-context row has `above` with its threshold (rates hold for more tokens than that)."""
    shown: dict[str, object] = dict(_rates_object(row.rates))
    if row.above_tokens is not None and row.above_rates is not None:
        shown["above"] = {"tokens": row.above_tokens, **_rates_object(row.above_rates)}
    if row.input_tokens_max is not None:
        shown["input_tokens_max"] = row.input_tokens_max
    return shown


def _rates_object(rates: Rates) -> dict[str, str | None]:
    shown: dict[str, str | None] = {
        name: None if rate is None else format_price(rate)
        for name, rate in (
            ("input", rates.input),
            ("cached_input", rates.cached_input),
            ("cache_write", rates.cache_write),
            ("output", rates.output),
            ("input_image", rates.input_image),
            ("output_image", rates.output_image),
        )
    }
    if rates.cached_input_image is not None:
        shown["cached_input_image"] = format_price(rates.cached_input_image)
    return shown


def _image_rule(model: Model, catalogue: Catalogue, as_of: date) -> str | None:
    if not model.sees_images:
        return None
    try:
        return catalogue.image_rules(model.id, as_of).rule.id
    except TesseraError:
        return None
