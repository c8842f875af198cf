"""`tessera orgs`: who owns money, projects and keys."""

from pathlib import Path

import click

from tessera.cli._options import (
    as_json_option,
    format_time,
    place_options,
    print_json,
    print_table,
    read_settings,
    run,
)


@click.group()
def command() -> None:
    """Create and list organizations."""


@command.command()
@click.argument("name")
@place_options
@as_json_option
def create(name: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Create an organization, with a default project and $100 of test credit."""
    from tessera.bootstrap import open_storage

    settings = read_settings(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            made = await opened.storage.create_organization(name)
            if as_json:
                print_json({"id": made.id, "name": made.name, "created_at": made.created_at})
                return
            click.echo(f"Organization {made.name} ({made.id}) is ready, with $100.00 of test credit.")
            click.echo(f"Next: tessera keys create --org {made.name!r} --mode test")

    run(work())


@command.command("list")
@place_options
@as_json_option
def list_all(config: Path | None, data: Path | None, as_json: bool) -> None:
    """List organizations."""
    from tessera.bootstrap import open_storage

    settings = read_settings(config, data)

    async def work() -> None:
        async with open_storage(settings) as opened:
            found = await opened.storage.list_organizations()
        if as_json:
            print_json(found)
            return
        rows = [[one.id, one.name, format_time(one.created_at), "suspended" if one.suspended else ""] for one in found]
        print_table(["ID", "NAME", "CREATED (UTC)", ""], rows, empty="No organization yet: tessera orgs create NAME")

    run(work())
