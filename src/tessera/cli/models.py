"""`tessera models list|show`: what can be called, within which limits, at which price."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click

from tessera.cli._options import as_json_option, place_options, print_json, print_table, read_settings
from tessera.domain.errors import TesseraError
from tessera.domain.money import format_price
from tessera.domain.request import Tier

if TYPE_CHECKING:
    from tessera.catalog.catalogue import Catalogue
    from tessera.catalog.models import Model
    from tessera.domain.pricing import PriceBook

    Opened = tuple[Catalogue, PriceBook, dict[str, str]]


@click.group("models")
def command() -> None:
    """Models, their limits and their prices."""


@command.command("list")
@place_options
@as_json_option
def list_models(config: Path | None, data: Path | None, as_json: bool) -> None:
    """All models, dated ids and shut-down ones included; prices in USD per million tokens."""
    from tessera.catalog.listing import model_object

    catalogue, book, providers = _open(config, data)
    today = datetime.now(UTC).date()
    served = [(model, providers.get(model.canonical, model.provider)) for model in catalogue.models()]
    if as_json:
        print_json([model_object(model, catalogue, book, today, provider=provider) for model, provider in served])
        return
    print_table(
        ["MODEL", "PROVIDER", "SURFACES", "CONTEXT", "OUTPUT", "INPUT $/M", "OUTPUT $/M", "TIERS", "STATE"],
        [_row(model, book, today, provider) for model, provider in served],
        empty="No models.",
    )


@command.command("show")
@click.argument("model_id", metavar="ID")
@place_options
@as_json_option
def show_model(model_id: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """One model: limits, image rule, list price and your price per tier, in USD per million tokens."""
    from tessera.catalog.listing import model_object

    catalogue, book, providers = _open(config, data)
    try:
        model = catalogue.model(model_id)
    except TesseraError as error:
        raise click.ClickException(error.message) from None
    provider = providers.get(model.canonical)
    shown = model_object(model, catalogue, book, datetime.now(UTC).date(), provider=provider)
    if as_json:
        print_json(shown)
        return
    click.echo("\n".join(_lines(shown)))


def _open(config: Path | None, data: Path | None) -> "Opened":
    from tessera.settings import SettingsError
    from tessera.settings.rows import catalogue_of, price_book_of, providers_of

    settings = read_settings(config, data)
    try:
        catalogue = catalogue_of(settings)
        return catalogue, price_book_of(settings, catalogue), providers_of(settings, catalogue)
    except SettingsError as error:
        raise click.UsageError(str(error)) from None


def _row(model: "Model", book: "PriceBook", today: date, provider: str) -> list[str]:
    tiers = book.tiers(model.id, today, provider=provider)
    prices = ["-", "-"]
    if Tier.DEFAULT in tiers:
        rates = book.price(model.id, Tier.DEFAULT, provider=provider, as_of=today).rates
        prices = [format_price(rates.input), format_price(rates.output)]
    state = "" if tiers else "no price: disabled"
    if model.shutdown_date is not None:
        state = f"{'ends' if model.serves_on(today) else 'shut down'} {model.shutdown_date}"
    return [
        model.id,
        model.provider,
        ",".join(model.surfaces) or "-",
        _number(model.context_max),
        _number(model.output_max),
        *prices,
        ",".join(tiers) or "-",
        state,
    ]


def _lines(shown: dict[str, object]) -> Iterable[str]:
    for name in ("id", "aliases", "provider", "modalities", "surfaces"):
        yield f"{name:<15} {_text(shown[name])}"
    for name in ("context_max", "output_max", "output_default", "shutdown_date", "image_rule"):
        yield f"{name:<15} {_text(shown[name])}"
    for name in ("list_price", "price"):
        prices = shown[name]
        assert isinstance(prices, dict)
        missing = "none: the model is disabled" if name == "price" else "none"
        yield f"{name:<15} {'USD per million tokens' if prices else missing}"
        for tier, rates in prices.items():
            yield f"  {tier:<13} {_text({key: rate for key, rate in rates.items() if rate is not None})}"


def _text(value: object) -> str:
    if isinstance(value, dict):
        return "; ".join(
            f"{key} ({_text(part)})" if isinstance(part, dict) else f"{key} {_text(part)}"
            for key, part in value.items()
        )
    if isinstance(value, list):
        return ", ".join(str(part) for part in value) or "-"
    if isinstance(value, int):
        return _number(value)
    return "-" if value is None else str(value)


def _number(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"
