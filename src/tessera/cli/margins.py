"""`tessera margins`: what customers were charged against what providers bill."""

from pathlib import Path
from typing import Any

import click

from tessera.cli._options import (
    as_json_option,
    mode_option,
    place_options,
    print_json,
    print_table,
    run,
    settings_with_data,
)


@click.command(short_help="Show charges, costs, losses and what is left.")
@click.option("--by", multiple=True, type=click.Choice(["organization", "model", "provider"]), help="Repeat for more.")
@click.option("--per", type=click.Choice(["all", "day", "month"]), default="all", show_default=True)
@click.option("--from", "start", help="The first day, as in 2026-11-01 (UTC); by default the first of the month.")
@click.option("--until", "end", help="The day after the last; by default tomorrow.")
@mode_option
@place_options
@as_json_option
def command(
    by: tuple[str, ...],
    per: str,
    start: str | None,
    end: str | None,
    mode: str,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Show charges, costs, losses and what is left, over all organizations."""
    from tessera.bootstrap import open_storage
    from tessera.domain.margins import MarginGroup, Period
    from tessera.domain.money import Mode
    from tessera.flows.operator.margins import asked, list_margins

    settings = settings_with_data(config, data)
    groups = tuple(dict.fromkeys(MarginGroup(name) for name in by))
    query = asked(Mode(mode), start, end, groups, Period(per))

    async def work() -> dict[str, Any]:
        async with open_storage(settings) as opened:
            found = await list_margins(opened.storage, query)
            if not as_json:
                names = {one.id: one.name for one in await opened.storage.list_organizations()}
                _show(found, names)
            return found

    found = run(work())
    if as_json:
        print_json(found)


def _show(found: dict[str, Any], names: dict[str, str]) -> None:
    amounts = ("charge", "refund", "cost", "loss", "fee", "margin", "waived")
    groups = [*(["start"] if found["per"] != "all" else []), *found["by"]]
    rows = [
        [*_place(line, groups, names), str(line["requests"]), *(line[name] for name in amounts)]
        for line in found["data"]
    ]
    if rows:
        total = found["total"]
        label = ["total", *[""] * len(groups)][: len(groups)]
        rows.append([*label, str(total["requests"]), *(total[name] for name in amounts)])
    columns = [*(name.upper() for name in groups), "CALLS", "CHARGED USD", "REFUNDED", "COST", "LOST", "FEES"]
    print_table([*columns, "MARGIN", "WAIVED"], rows, empty=f"No calls from {found['start']} until {found['end']}.")


def _place(line: dict[str, Any], groups: list[str], names: dict[str, str]) -> list[str]:
    organization = line["organization_id"] or ""
    shown = {**line, "organization": names.get(organization, organization)}
    return [shown[name] or "-" for name in groups]
