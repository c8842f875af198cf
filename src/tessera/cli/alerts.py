"""`tessera alerts`: what an organization is told of its money."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tessera.cli._options import (
    as_json_option,
    format_time,
    mode_option,
    place_options,
    print_json,
    print_table,
    run,
    settings_with_data,
)

if TYPE_CHECKING:
    from tessera.domain.people.records import Actor
    from tessera.flows.people.accounts import Accounts

org_option = click.option("--org", required=True, help="Name or id of the organization.")


@click.group(short_help="Tell people when money runs low or is spent fast.")
def command() -> None:
    """Tell the owners, admins and billing members of an organization when money runs low or is spent fast."""


@command.command("set")
@org_option
@click.option("--key", help="Id of a key.")
@click.option("--project", help="Name or id of a project.")
@click.option("--budget-percent", type=click.IntRange(1, 100), help="Percent of the period's budget that is spent.")
@click.option("--spent", metavar="USD", help="Amount that is spent in the period.")
@click.option("--balance-below", metavar="USD", help="What is left to spend.")
@click.option("--period", type=click.Choice(["month", "day", "total"]), help="Of UTC; month if it is not given.")
@mode_option
@place_options
@as_json_option
def set_one(
    org: str,
    key: str | None,
    project: str | None,
    budget_percent: int | None,
    spent: str | None,
    balance_below: str | None,
    period: str | None,
    mode: str,
    config: Path | None,
    data: Path | None,
    as_json: bool,
) -> None:
    """Set a new alert: on a part of a budget, an amount spent, or what is left to spend."""
    from tessera.flows.alerts.rules import create_alert

    given = {"budget": budget_percent, "spend": spent, "balance": balance_below}
    kinds = [kind for kind, value in given.items() if value is not None]
    if len(kinds) != 1:
        raise click.UsageError("Give one of --budget-percent, --spent and --balance-below.")

    async def work(accounts: "Accounts", actor: "Actor") -> None:
        made = await create_alert(
            accounts,
            actor,
            kind=kinds[0],
            mode=mode,
            key=key,
            project=project,
            period=period,
            percent=budget_percent,
            amount=spent if spent is not None else balance_below,
        )
        if as_json:
            print_json(made)
            return
        click.echo(f"{made['id']}: {_threshold(made)}, {made['subject']['kind']}, {mode} mode.")

    run_as_operator(org, config, data, work)


@command.command("list")
@org_option
@place_options
@as_json_option
def list_all(org: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """List the alerts of an organization."""
    from tessera.flows.alerts.rules import list_alerts
    from tessera.ports import Page

    async def work(accounts: "Accounts", actor: "Actor") -> None:
        found = (await list_alerts(accounts, actor, Page(limit=100)))["data"]
        if as_json:
            print_json(found)
            return
        rows = [
            [one["id"], one["mode"], f"{one['subject']['kind']} {one['subject']['id']}", _threshold(one), _raised(one)]
            for one in found
        ]
        print_table(["ID", "MODE", "OF", "WHEN", "RAISED"], rows, empty="No alert is set.")

    run_as_operator(org, config, data, work)


@command.command()
@click.argument("alert")
@org_option
@place_options
@as_json_option
def remove(alert: str, org: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Remove an alert for good."""
    from tessera.flows.alerts.rules import remove_alert

    async def work(accounts: "Accounts", actor: "Actor") -> None:
        await remove_alert(accounts, actor, alert)
        if as_json:
            print_json({"id": alert, "removed": True})
        else:
            click.echo(f"{alert} is removed.")

    run_as_operator(org, config, data, work)


@command.command()
@org_option
@place_options
@as_json_option
def raised(org: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """List the last hundred alerts that were raised, and whom they reached."""
    from tessera.flows.alerts.rules import list_notices
    from tessera.ports import Page

    async def work(accounts: "Accounts", actor: "Actor") -> None:
        found = (await list_notices(accounts, actor, Page(limit=100)))["data"]
        if as_json:
            print_json(found)
            return
        rows = [
            [
                format_time(one["created_at"]),
                one["id"],
                one["data"]["kind"],
                f"${one['data']['value']} of ${one['data']['threshold']}",
                ", ".join(f"{sent['kind']} {sent['to']}: {sent['state']}" for sent in one["deliveries"]) or "nobody",
            ]
            for one in found
        ]
        print_table(["RAISED (UTC)", "ID", "KIND", "VALUE", "TOLD"], rows, empty="No alert was raised yet.")

    run_as_operator(org, config, data, work)


def run_as_operator(
    org: str,
    config: Path | None,
    data: Path | None,
    work: Callable[["Accounts", "Actor"], Awaitable[None]],
) -> None:
    """Does work in an organization with the rights of the machine's own command line."""
    import os

    from tessera.bootstrap import open_people, open_storage
    from tessera.flows.people.organizations import operator_actor

    settings = settings_with_data(config, data)

    async def inside() -> None:
        async with open_storage(settings) as opened, open_people(settings, opened, os.environ) as accounts:
            owner = await opened.storage.find_organization(org)
            await work(accounts, operator_actor(owner.id))

    run(inside())


def _threshold(alert: dict[str, Any]) -> str:
    if alert["kind"] == "balance":
        return f"less than ${alert['amount']} left"
    most = f"{alert['percent']} % of the budget" if alert["kind"] == "budget" else f"${alert['amount']}"
    return f"{most} spent ({alert['period']})"


def _raised(alert: dict[str, Any]) -> str:
    return "yes" if alert["raised"] else "no"
