"""The rows of the configuration in the words of the catalogue and the price book."""

import re
from collections.abc import Iterable
from datetime import date

from tessera.catalog.catalogue import Catalogue, load_catalogue
from tessera.catalog.models import ConfiguredModel
from tessera.domain.errors import TesseraError
from tessera.domain.money import parse_usd
from tessera.domain.pricing.book import OperatorRow, PriceBook
from tessera.domain.pricing.rows import Rates
from tessera.settings.shapes import ModelSetting, PriceSetting, RateTable, Settings, SettingsError

_PERCENT = re.compile(r"(-?)([0-9]{1,4})(?:\.([0-9]{1,2}))?", re.ASCII)


def catalogue_of(settings: Settings) -> Catalogue:
    """The packaged models and the operator's `[[model]]` rows. Raises SettingsError."""
    try:
        return load_catalogue(tuple(_configured(index, row) for index, row in enumerate(settings.model)))
    except ValueError as error:
        raise SettingsError(f"model: {error}") from None


def providers_of(settings: Settings, catalogue: Catalogue) -> dict[str, str]:
    """The provider that live calls go to first, by canonical model; a model that is not here goes to its own.

    Raises SettingsError.
    """
    return {model: serving[0] for model, serving in all_providers_of(settings, catalogue).items()}


def all_providers_of(settings: Settings, catalogue: Catalogue) -> dict[str, tuple[str, ...]]:
    """The providers of `[[deployment]]` rows, by canonical model, in the order of the file. Raises SettingsError."""
    found: dict[str, tuple[str, ...]] = {}
    for index, row in enumerate(settings.deployment):
        try:
            model = catalogue.canonical(row.model)
        except TesseraError as error:
            raise SettingsError(f"deployment[{index}].model: {error.message}") from None
        found[model] = (*found.get(model, ()), row.provider)
    return found


def price_book_of(settings: Settings, catalogue: Catalogue) -> PriceBook:
    """The list prices under the operator's `[prices]`, `[[price]]` and `[[cost]]`. Raises SettingsError."""
    return catalogue.price_book(
        _operator_rows("price", settings.price, catalogue),
        _operator_rows("cost", settings.cost, catalogue),
        discount_basis_points=_basis_points("prices.discount_percent", settings.prices.discount_percent),
    )


def _configured(index: int, row: ModelSetting) -> ConfiguredModel:
    chosen = {name: value for name in row.__struct_fields__ if (value := getattr(row, name)) is not None}
    try:
        return ConfiguredModel(**chosen)
    except ValueError as error:
        raise SettingsError(f"model[{index}]: {error}") from None


def _operator_rows(table: str, rows: Iterable[PriceSetting], catalogue: Catalogue) -> list[OperatorRow]:
    return [_operator_row(f"{table}[{index}]", row, catalogue) for index, row in enumerate(rows)]


def _operator_row(place: str, row: PriceSetting, catalogue: Catalogue) -> OperatorRow:
    if place.startswith("cost") and row.organization is not None:
        raise SettingsError(f"{place}.organization: what a provider costs does not depend on who calls; leave it out.")
    if row.model is not None:
        try:
            catalogue.model(row.model)
        except TesseraError as error:
            raise SettingsError(f"{place}.model: {error.message}") from None
    if place.startswith("cost") and row.volume_from is not None:
        raise SettingsError(f"{place}.volume_from: what a provider costs does not depend on who calls; leave it out.")
    discount = row.discount_percent
    if row.valid_from is not None and row.valid_until is not None and row.valid_until <= row.valid_from:
        raise SettingsError(f"{place}.valid_until: the row holds on no day; valid_until is the day after its last.")
    if discount is not None and row.above is not None:
        raise SettingsError(f"{place}.above: a discount is off the list at any length; leave it out, or give rates.")
    if row.above is not None and row.above.tokens < 1:
        raise SettingsError(f"{place}.above.tokens must be at least 1.")
    try:
        return OperatorRow(
            model=row.model,
            provider=row.provider,
            organization=row.organization,
            tier=row.tier,
            rates=_rates(place, row),
            above_tokens=row.above.tokens if row.above else None,
            above_rates=_rates(f"{place}.above", row.above) if row.above else None,
            discount_basis_points=None if discount is None else _basis_points(f"{place}.discount_percent", discount),
            valid_from=row.valid_from or date.min,
            valid_until=row.valid_until,
            volume_from_nanos=0 if row.volume_from is None else _amount(f"{place}.volume_from", row.volume_from),
        )
    except ValueError as error:
        raise SettingsError(f"{place}: {error}") from None


def _rates(place: str, table: RateTable) -> Rates | None:
    """Decimal strings in dollars per million as integer nano-dollars; None for a row that has no rate at all."""
    written = {name: text for name in RateTable.__struct_fields__ if (text := getattr(table, name)) is not None}
    if not written:
        return None
    missing = [name for name in ("input", "output") if name not in written]
    if missing:
        raise SettingsError(f"{place}: a row with rates needs `input` and `output`; `{missing[0]}` is missing.")
    return Rates(**{name: _amount(f"{place}.{name}", text) for name, text in written.items()})


def _amount(place: str, text: str) -> int:
    try:
        return parse_usd(text)
    except ValueError as error:
        raise SettingsError(f"{place}: {error}") from None


def _basis_points(place: str, percent: str) -> int:
    """Hundredths of a percent of `30`, `12.5` or `-10` (a markup)."""
    match = _PERCENT.fullmatch(percent)
    if match is None:
        raise SettingsError(f'{place}: {percent!r} is not a percentage; write it as in "30" or "12.5".')
    points = int(match[2]) * 100 + int((match[3] or "").ljust(2, "0"))
    if not match[1] and points > 10_000:
        raise SettingsError(f"{place}: a discount is at most 100 percent, not {percent}.")
    return -points if match[1] else points
