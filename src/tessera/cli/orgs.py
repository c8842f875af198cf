"""`tessera orgs`: who owns money, projects and keys."""

from functools import partial
from pathlib import Path

import click

from tessera.cli._options import (
    as_json_option,
    every,
    format_time,
    mode_option,
    place_options,
    print_json,
    print_table,
    read_settings,
    run,
    settings_with_data,
)


@click.group()
def command() -> None:
    """Create, list, suspend and resume organizations."""


@command.command()
@click.argument("name")
@place_options
@as_json_option
def create(name: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Create an organization, with a default project and $100 of test credit."""
    from tessera.bootstrap import open_storage
    from tessera.domain.people.rules import normal_organization_name

    settings = read_settings(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            made = await opened.storage.create_organization(normal_organization_name(name))
            if as_json:
                print_json({"id": made.id, "name": made.name, "created_at": made.created_at})
                return
            click.echo(f"Organization {made.name} ({made.id}) is ready, with $100.00 of test credit.")
            click.echo(f"Next: tessera keys create --org {made.name!r} --mode test")

    run(work())


@command.command("list")
@click.option("--search", help="An id, or a part of a name or of a member's address.")
@place_options
@as_json_option
def list_all(search: str | None, config: Path | None, data: Path | None, as_json: bool) -> None:
    """List organizations with their live balances, newest first."""
    from tessera.bootstrap import clientele_of, open_storage
    from tessera.domain.money import format_usd
    from tessera.flows.operator.customers import customer_object
    from tessera.ports.customers import CustomersAsked

    settings = settings_with_data(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            customers = clientele_of(settings, opened).customers
            found = await every(partial(customers.list_customers, CustomersAsked(search=search)))
        if as_json:
            print_json([customer_object(one) for one in found])
            return
        rows = [
            [
                *(one.id, one.name, one.owner or "", format_time(one.created_at), format_usd(one.available_nanos)),
                *(format_usd(one.held_nanos), format_usd(one.spent_nanos)),
                format_time(one.last_used_at) if one.last_used_at else "never",
                f"suspended ({one.suspended_for})" if one.suspended_for else "",
            ]
            for one in found
        ]
        empty = "No organization yet: tessera orgs create NAME" if search is None else "No organization like that."
        columns = ["ID", "NAME", "OWNER", "CREATED (UTC)", "AVAILABLE USD", "HELD", "SPENT", "LAST USED", ""]
        print_table(columns, rows, empty=empty)

    run(work())


@command.command()
@click.argument("name")
@place_options
@as_json_option
def suspend(name: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Suspend an organization by name or id: new calls are refused, running ones finish."""
    _change(name, config, data, as_json, suspended=True)


@command.command()
@click.argument("name")
@place_options
@as_json_option
def resume(name: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Lift an organization's suspension; what it has cost so far no longer counts towards the day's limit."""
    _change(name, config, data, as_json, suspended=False)


@command.command()
@click.argument("name")
@mode_option
@place_options
@as_json_option
def losses(name: str, mode: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Show, day by day, what providers billed for an organization's calls that no customer paid for."""
    from tessera.bootstrap import open_storage
    from tessera.domain.money import Mode, format_usd
    from tessera.ports import Page

    settings = settings_with_data(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            found = await opened.storage.find_organization(name)
            days = await opened.storage.list_losses(found.id, Mode(mode), Page(limit=31))
        if as_json:
            print_json(days)
            return
        rows = [
            [
                *(day.day.isoformat(), format_usd(day.loss_nanos), format_usd(day.forgiven_nanos)),
                *(str(day.left_calls), format_usd(day.left_loss_nanos)),
            ]
            for day in days
        ]
        columns = ["DAY (UTC)", "LOST USD", "FORGIVEN", "LEFT CALLS", "LOST ON THEM"]
        print_table(columns, rows, empty="No losses.")

    run(work())


def _change(name: str, config: Path | None, data: Path | None, as_json: bool, *, suspended: bool) -> None:
    from tessera.bootstrap import open_storage

    settings = settings_with_data(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            found = await opened.storage.find_organization(name)
            change = opened.storage.suspend_organization if suspended else opened.storage.resume_organization
            found = await change(found.id)
        if as_json:
            print_json(found)
        elif suspended:
            click.echo(f"{found.name} ({found.id}) is suspended. To lift it: tessera orgs resume {found.name!r}")
        else:
            click.echo(f"{found.name} ({found.id}) can make calls.")

    run(work())
