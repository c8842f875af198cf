"""`tessera webhooks`: addresses that hear of an organization's alerts."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from tessera.cli._options import as_json_option, format_time, place_options, print_json, print_table
from tessera.cli.alerts import org_option, run_as_operator

if TYPE_CHECKING:
    from tessera.domain.people.records import Actor
    from tessera.flows.people.accounts import Accounts


@click.group()
def command() -> None:
    """Have an organization's alerts sent to an address, signed."""


@command.command()
@click.argument("url")
@org_option
@place_options
@as_json_option
def add(url: str, org: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Add an address. The secret that its requests are signed with is printed this once."""
    from tessera.flows.alerts.webhooks import create_webhook

    async def work(accounts: "Accounts", actor: "Actor") -> None:
        made = await create_webhook(accounts, actor, url)
        if as_json:
            print_json(made)
            return
        click.echo(made["secret"])
        click.echo(f"{made['id']}: {made['url']}", err=True)

    run_as_operator(org, config, data, work)


@command.command("list")
@org_option
@place_options
@as_json_option
def list_all(org: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """List addresses, never their secrets."""
    from tessera.flows.alerts.webhooks import list_webhooks
    from tessera.ports import Page

    async def work(accounts: "Accounts", actor: "Actor") -> None:
        found = (await list_webhooks(accounts, actor, Page(limit=100)))["data"]
        if as_json:
            print_json(found)
            return
        rows = [[one["id"], one["url"], format_time(one["created_at"])] for one in found]
        print_table(["ID", "ADDRESS", "SINCE (UTC)"], rows, empty="No webhook yet.")

    run_as_operator(org, config, data, work)


@command.command()
@click.argument("webhook")
@org_option
@place_options
@as_json_option
def remove(webhook: str, org: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Remove an address for good."""
    from tessera.flows.alerts.webhooks import remove_webhook

    async def work(accounts: "Accounts", actor: "Actor") -> None:
        await remove_webhook(accounts, actor, webhook)
        if as_json:
            print_json({"id": webhook, "removed": True})
        else:
            click.echo(f"{webhook} is removed.")

    run_as_operator(org, config, data, work)
