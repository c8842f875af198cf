"""`tessera prices`: what customers pay and what it costs, as the settings have it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tessera.cli._options import (
    as_json_option,
    mode_option,
    place_options,
    print_json,
    print_table,
    read_settings,
    run,
    settings_with_data,
)

if TYPE_CHECKING:
    from tessera.flows.operator.preview import PreviewAsked
    from tessera.flows.operator.prices import PricesAsked
    from tessera.settings import Settings


@click.group("prices")
def command() -> None:
    """The operator's price book."""


@command.command("list")
@click.option("--model", help="An id or alias; by default all models.")
@click.option("--organization", help="An id or name; by default all that rows name.")
@click.option("--provider", help="By default all that serve.")
@click.option("--as-of", help="The day, as in 2026-12-01 (UTC); by default today.")
@place_options
@as_json_option
def list_prices(
    model: str | None,
    organization: str | None,
    provider: str | None,
    as_of: str | None,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """List price, your price, your cost and what is left, and which row decides. Needs no server."""
    from tessera.flows.operator.prices import PricesAsked

    settings = read_settings(config, data)
    asked = PricesAsked(model=model, organization=organization, provider=provider, as_of=as_of)
    found = run(_list(settings, asked))
    if as_json:
        print_json(found)
        return
    columns = [
        "MODEL",
        "TIER",
        "PROVIDER",
        "FOR",
        "VOLUME",
        "LIST $/M",
        "PRICE",
        "COST",
        "MARGIN",
        "VALID",
        "DECIDED BY",
    ]
    print_table(columns, [_row(line) for line in found["data"]], empty=f"No prices on {found['as_of']}.")


@command.command("preview")
@click.option("--month", help="The month of calls, as in 2026-10 (UTC); by default the last that is over.")
@click.option("--as-of", help="Price every call as on this day; by default each as on its own.")
@mode_option
@place_options
@as_json_option
def preview(
    month: str | None, as_of: str | None, mode: str, config: Path | None, data: Path | None, as_json: bool
) -> None:
    """A month's calls at the prices of the settings, against what they were charged. Writes nothing.

    Name the settings to try with --config; without it, those in force are compared with what was charged.
    """
    from tessera.domain.money import Mode
    from tessera.flows.operator.preview import asked

    settings = settings_with_data(config, data)
    query = asked(Mode(mode), month, as_of)
    found = run(_preview(settings, query))
    if as_json:
        print_json(found)
        return
    lines = [*found["data"], {"organization": "total", "model": "", **found["total"]}] if found["data"] else []
    amounts = ["CHARGED USD", "NEW CHARGES", "DIFFERENCE", "MARGIN", "NEW MARGIN"]
    print_table(
        ["ORGANIZATION", "MODEL", "CALLS", *amounts, "UNPRICED"],
        [_previewed(line) for line in lines],
        empty=f"No calls from {found['start']} until {found['end']}.",
    )


async def _preview(settings: "Settings", query: "PreviewAsked") -> dict[str, Any]:
    from tessera.bootstrap import open_storage, price_list
    from tessera.flows.operator.preview import preview_prices

    async with open_storage(settings) as opened:
        prices = price_list(settings, opened)
        rows = (*prices.book.price_rows, *prices.book.cost_rows)
        if query.as_of is None and any(row.valid_from >= query.end for row in rows):
            click.echo("Some rows begin after that month and take no part: name a day with --as-of.", err=True)
        return await preview_prices(opened.storage, prices, query)


def _previewed(line: dict[str, Any]) -> list[str]:
    amounts = ("charged", "would_be_charged", "difference", "margin", "would_be_margin")
    return [
        line["organization"],
        line["model"],
        str(line["requests"]),
        *(line[name] for name in amounts),
        str(line["unpriced_requests"]) if line["unpriced_requests"] else "-",
    ]


async def _list(settings: "Settings", asked: "PricesAsked") -> dict[str, Any]:
    from tessera.bootstrap import open_storage, price_list
    from tessera.flows.operator.prices import list_prices

    if asked.organization is None or not has_ledger(settings):
        return await list_prices(price_list(settings, None), asked)
    async with open_storage(settings) as opened:
        return await list_prices(price_list(settings, opened), asked)


def has_ledger(settings: "Settings") -> bool:
    """Whether there is a ledger that knows organizations; prices can be listed before there is one."""
    from tessera.adapters.storage.sqlite.connection import DATABASE_FILE

    return settings.database is not None or (settings.data_dir / DATABASE_FILE).exists()


def _row(line: dict[str, Any]) -> list[str]:
    margin = line["margin"][0] if line["margin"] else None
    rows = [line["price_row"]["place"] or "list", *([line["cost_row"]["place"]] if line["cost_row"] else [])]
    return [
        line["model"],
        line["tier"],
        line["provider"],
        line["organization"] or "-",
        line["volume_from"] or "-",
        *(_rates(line[name]) for name in ("list_price", "price", "cost")),
        _rates(margin),
        _validity(line["valid_from"], line["valid_until"]),
        ", ".join(place for place in rows if place),
    ]


def _validity(start: str | None, end: str | None) -> str:
    bounds = [f"{word} {day}" for word, day in (("since", start), ("until", end)) if day is not None]
    return " ".join(bounds) or "always"


def _rates(rates: dict[str, Any] | None) -> str:
    """Input and output; all other rates are in the JSON."""
    return "-" if rates is None else f"{rates['input']} / {rates['output']}"
