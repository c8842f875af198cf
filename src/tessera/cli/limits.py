"""`tessera limits`: what keys, projects and organizations may use, and what they have used."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

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

if TYPE_CHECKING:
    from tessera.domain.ledger.limits import Meter
    from tessera.domain.money import Mode

_BUDGETS = {"budget_total": "in all", "budget_month": "in a calendar month (UTC)", "budget_day": "on a day (UTC)"}
_COUNTS = {
    "requests_per_minute": "Calls a minute.",
    "tokens_per_minute": "Tokens a minute: predicted input and all the output a call may write.",
    "concurrent": "Calls at once.",
}


@click.group(short_help="Limit what keys, projects and organizations use.")
def command() -> None:
    """Limit what keys, projects and organizations use: budgets, calls and tokens a minute, calls at once."""


def _limit_options(work: Callable[..., None]) -> Callable[..., None]:
    for name, text in reversed(_COUNTS.items()):
        work = click.option(f"--{name.replace('_', '-')}", name, type=click.IntRange(min=0), help=text)(work)
    for name, text in reversed(_BUDGETS.items()):
        work = click.option(f"--{name.replace('_', '-')}", name, metavar="USD", help=f"The most to spend {text}.")(work)
    return work


@command.command("set")
@click.option("--org", required=True, help="Name or id of the organization.")
@click.option("--key", help="Id of a key; its mode is the key's own.")
@click.option("--project", help="Name or id of a project.")
@mode_option
@_limit_options
@place_options
@as_json_option
def set_all(
    org: str,
    key: str | None,
    project: str | None,
    mode: str,
    config: Path | None,
    data: Path | None,
    as_json: bool,
    **given: Any,
) -> None:
    """Replace the limits of a key, a project or a whole organization; what is not given is not limited."""
    from tessera.bootstrap import open_storage
    from tessera.domain.ledger.limits import Limits, SubjectKind
    from tessera.domain.money import Mode

    if key and project:
        raise click.UsageError("Give --key or --project, not both.")
    try:
        limits = Limits(
            **{f"{name}_nanos": _budget_nanos(name, given[name]) for name in _BUDGETS},
            requests_per_minute=given["requests_per_minute"],
            tokens_per_minute=given["tokens_per_minute"],
            concurrent_max=given["concurrent"],
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    settings = settings_with_data(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            storage = opened.storage
            owner = await storage.find_organization(org)
            of = Mode(mode)
            if key:
                kind, subject = SubjectKind.KEY, key
                of = next((made.mode for made in await storage.list_keys(owner.id) if made.id == key), of)
            elif project:
                kind, subject = SubjectKind.PROJECT, project
            else:
                kind, subject = SubjectKind.ORGANIZATION, owner.id
            shown = _shown(of, await storage.set_limits(owner.id, of, kind, subject, limits))
        if as_json:
            print_json(shown)
        else:
            click.echo(f"Limits of {kind} {shown['id']} in {of} mode: {_limits_text(shown) or 'none'}.")

    run(work())


@command.command("list")
@click.option("--org", required=True, help="Name or id of the organization.")
@mode_option
@place_options
@as_json_option
def list_all(org: str, mode: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """What keys, projects and the organization have used, and their limits."""
    from tessera.bootstrap import open_storage
    from tessera.domain.money import Mode

    settings = settings_with_data(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            owner = await opened.storage.find_organization(org)
            of = Mode(mode)
            found = [_shown(of, meter) for meter in await opened.storage.list_meters(owner.id, of)]
        if as_json:
            print_json(found)
            return
        rows = [
            [row["kind"], row["id"], row["spent"], row["month"], row["held"], str(row["open_calls"]), _limits_text(row)]
            for row in found
        ]
        columns = ["KIND", "ID", "SPENT", "THIS MONTH", "HELD", "RUNNING", "LIMITS"]
        print_table(columns, rows, empty="Nothing used and nothing limited yet.")

    run(work())


def _budget_nanos(name: str, text: str | None) -> int | None:
    from tessera.domain.money import parse_usd

    try:
        return None if text is None else parse_usd(text)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint=f"--{name.replace('_', '-')}") from None


def _shown(mode: "Mode", meter: "Meter") -> dict[str, Any]:
    """A meter as it is printed: amounts as decimal strings of USD, a month or day that is over as nothing spent."""
    import time

    from tessera.domain.ledger.limits import month_of
    from tessera.domain.ledger.losses import day_of
    from tessera.domain.money import format_usd

    now_us = time.time_ns() // 1000
    limits = meter.limits
    budgets = {name: getattr(limits, f"{name}_nanos") for name in _BUDGETS}
    return {
        "kind": meter.kind.value,
        "id": meter.subject_id,
        "mode": mode.value,
        "spent": format_usd(meter.spent_nanos),
        "month": format_usd(meter.month_nanos if meter.month >= month_of(now_us) else 0),
        "day": format_usd(meter.day_nanos if meter.day >= day_of(now_us) else 0),
        "held": format_usd(meter.held_nanos),
        "open_calls": meter.open_calls,
        **{name: None if nanos is None else format_usd(nanos) for name, nanos in budgets.items()},
        "requests_per_minute": limits.requests_per_minute,
        "tokens_per_minute": limits.tokens_per_minute,
        "concurrent": limits.concurrent_max,
    }


def _limits_text(shown: dict[str, Any]) -> str:
    names = (*_BUDGETS, *_COUNTS)
    return ", ".join(f"{name.replace('_', ' ')} {shown[name]}" for name in names if shown[name] is not None)
