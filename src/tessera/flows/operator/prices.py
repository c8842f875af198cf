"""The operator's price book as it is in force: list price, what customers pay, what it costs, and which row decided."""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Mapping, Sequence
from datetime import UTC, date, datetime
from difflib import get_close_matches
from typing import Any

import msgspec

from tessera.catalog.catalogue import Catalogue
from tessera.catalog.listing import price_object
from tessera.catalog.models import Model
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import format_price, format_usd
from tessera.domain.pricing.book import OperatorRow, PriceBook, Won
from tessera.domain.pricing.in_force import InForce, in_force, margins, validity
from tessera.flows.operator.margins import parse_day
from tessera.ports.administration import Organization

COMBINATIONS_MAX = 50_000
"""How many (model, organization, volume) a list looks at: the named organizations of a large book are many."""


class PriceList(msgspec.Struct, frozen=True, kw_only=True):
    """What the list is made of. `providers` names, by canonical model, who serves its live calls, first one first.

    `find_organization` looks an id or name up in the ledger; without a ledger, organizations are called as rows call
    them. Raises [not_found].
    """

    catalogue: Catalogue
    book: PriceBook
    providers: Mapping[str, Sequence[str]]
    find_organization: Callable[[str], Awaitable[Organization]] | None = None


class PricesAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Which prices; None is all models, every organization that rows name, all providers that serve, today."""

    model: str | None = None
    organization: str | None = None
    provider: str | None = None
    as_of: str | None = None


async def list_prices(prices: PriceList, asked: PricesAsked) -> dict[str, Any]:
    """The rows in force, in the order of the catalogue. Raises [invalid_request, model_not_found, not_found]."""
    as_of = parse_day(asked.as_of, "as_of") if asked.as_of else datetime.now(UTC).date()
    if asked.provider is not None:
        _check_provider(prices, asked.provider)
    models = _models(prices, asked.model, as_of)
    organizations = await _organizations(prices, asked.organization)
    if len(models) * len(organizations) * len(prices.book.volume_steps) > COMBINATIONS_MAX:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"Rows name {len(organizations) - 1} organizations, too many for all models at once: ask for a model or an "
            "organization.",
            param="organization",
        )
    # A large book takes seconds, which calls must not wait for.
    data = await asyncio.to_thread(_lines, prices, asked.provider, models, organizations, as_of)
    return {"object": "prices", "price_version": prices.book.version, "as_of": as_of.isoformat(), "data": data}


def _lines(
    prices: PriceList,
    provider: str | None,
    models: Sequence[Model],
    organizations: Sequence[tuple[str, ...]],
    as_of: date,
) -> list[dict[str, Any]]:
    return [
        _line(prices.book, found)
        for model in models
        for found in in_force(
            prices.book,
            model.id,
            as_of,
            providers=_providers(prices, provider, model),
            organizations=organizations,
        )
    ]


def _models(prices: PriceList, name: str | None, as_of: date) -> list[Model]:
    """The model asked for, or all that are served that day: of dated ids only those that a row names."""
    if name is not None:
        return [prices.catalogue.model(name)]
    named = {row.model for row in (*prices.book.price_rows, *prices.book.cost_rows)}
    models = (model for model in prices.catalogue.models() if model.serves_on(as_of))
    return [model for model in models if model.id == model.canonical or model.id in named]


def _check_provider(prices: PriceList, name: str) -> None:
    """Raises [invalid_request] for a provider that serves nothing and that no row names: list prices would be shown
    as if they were its own."""
    rows = (*prices.book.price_rows, *prices.book.cost_rows)
    known = {model.provider for model in prices.catalogue.models()}
    known.update(*prices.providers.values(), (row.provider for row in rows if row.provider is not None))
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else "."
        text = f"There is no provider {name[:64]!r}{hint}"
        raise TesseraError(ErrorCode.INVALID_REQUEST, text, param="provider")


def _providers(prices: PriceList, name: str | None, model: Model) -> Sequence[str]:
    """Who serves a model, first one first; its own provider always may, and is whose price test keys pay."""
    if name is not None:
        return [name]
    return list(dict.fromkeys([*prices.providers.get(model.canonical, ()), model.provider]))


async def _organizations(prices: PriceList, name: str | None) -> list[tuple[str, ...]]:
    """Everybody and whoever a row names, or the one organization asked for, by all that it is called."""
    named = dict.fromkeys(row.organization for row in prices.book.price_rows if row.organization is not None)
    if name is None:
        return [(), *((one,) for one in named)]
    if prices.find_organization is None:
        return [(name,)]
    try:
        found = await prices.find_organization(name)
    except TesseraError as error:
        # A row may be written before its organization is made.
        if error.code is ErrorCode.NOT_FOUND and name in named:
            return [(name,)]
        raise
    return [(found.id, found.name)]


def _line(book: PriceBook, found: InForce) -> dict[str, Any]:
    price, cost = found.price, found.cost
    starts, ends = validity(price, book.price_rows)
    return {
        "model": found.model,
        "tier": found.tier.value,
        "provider": found.provider,
        "organization": found.organization,
        "volume_from": format_usd(found.volume_from_nanos) if found.volume_from_nanos else None,
        "list_price": None if found.listed is None else price_object(found.listed),
        "price": price_object(price.row),
        "price_row": _row("price", price, book.price_rows, book.discount_basis_points),
        "price_row_version": price.row.version,
        "valid_from": None if starts is None else starts.isoformat(),
        "valid_until": None if ends is None else ends.isoformat(),
        "cost": None if cost is None else price_object(cost.row),
        "cost_row": None if cost is None else _row("cost", cost, book.cost_rows, 0),
        "cost_row_version": None if cost is None else cost.row.version,
        "margin": [] if cost is None else list(_margins(price, cost)),
    }


def _row(table: str, won: Won, rows: Sequence[OperatorRow], discount_basis_points: int) -> dict[str, Any]:
    """Which row decided, by its place in the settings, and why: what of the call it names."""
    if won.place is None:
        if discount_basis_points == 0:
            return {"place": None, "discount_percent": None, "for": {}, "why": "the list; no row is for it"}
        off = format_percent(discount_basis_points)
        why = f"{off} % off the list for every model; no row is for it"
        return {"place": "prices.discount_percent", "discount_percent": off, "for": {}, "why": why}
    row = rows[won.place]
    names = ("organization", "model", "provider")
    narrowed = {name: value for name in names if (value := getattr(row, name)) is not None}
    if row.volume_from_nanos:
        narrowed["volume_from"] = format_usd(row.volume_from_nanos)
    percent = None if row.discount_basis_points is None else format_percent(row.discount_basis_points)
    what = "rates of its own" if percent is None else f"{percent} % off the list"
    whom = " and ".join(f"{name} {value}" for name, value in narrowed.items()) or "all"
    place = f"{table}[{won.place}]"
    return {
        "place": place,
        "discount_percent": percent,
        "for": narrowed,
        "why": f"{place}: {what}, the narrowest row for it (for {whom})",
    }


def _margins(price: Won, cost: Won) -> Iterator[dict[str, Any]]:
    for margin in margins(price.row, cost.row):
        yield {"above_tokens": margin.above_tokens, **{unit: signed(rate) for unit, rate in margin.rates.items()}}


def signed(nanos_per_million: int) -> str:
    """A price per million that may be below zero."""
    return f"-{format_price(-nanos_per_million)}" if nanos_per_million < 0 else format_price(nanos_per_million)


def format_percent(basis_points: int) -> str:
    """A percentage as settings write it: `30`, `12.5`, `-10`."""
    whole, rest = divmod(abs(basis_points), 100)
    text = f"{whole}.{rest:02d}".rstrip("0").rstrip(".") if rest else str(whole)
    return f"-{text}" if basis_points < 0 else text
