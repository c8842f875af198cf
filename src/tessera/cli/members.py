"""`tessera members`: who belongs to an organization, in what role."""

from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from tessera.cli._options import (
    as_json_option,
    format_time,
    place_options,
    print_json,
    print_table,
    run,
    settings_with_data,
)

if TYPE_CHECKING:
    from tessera.domain.people.records import Actor
    from tessera.flows.people.accounts import Accounts

_ROLES = click.Choice(["owner", "admin", "developer", "billing", "viewer"])
org_option = click.option("--org", required=True, help="Name or id of the organization.")


@click.group(short_help="Invite members, change their roles, make operators.")
def command() -> None:
    """Invite, list and remove members, change their roles, and make operators."""


@command.command()
@click.argument("email")
@org_option
@click.option("--role", type=_ROLES, default="developer", show_default=True)
@place_options
@as_json_option
def invite(email: str, org: str, role: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Invite an address. The link is printed, works once, and is for you to pass on."""
    from tessera.flows.people.invitations import invite_with_link

    async def work(accounts: "Accounts", actor: "Actor") -> None:
        made = await invite_with_link(accounts, actor, email, role)
        if as_json:
            print_json(made)
            return
        click.echo(made["link"])
        click.echo(f"For {made['email']}, as {role}, until {format_time(made['expires_at'])} UTC.", err=True)

    _run(org, config, data, work)


@command.command("list")
@org_option
@place_options
@as_json_option
def list_all(org: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """List members and their roles."""
    from tessera.flows.people.organizations import list_members
    from tessera.ports import Page

    async def work(accounts: "Accounts", actor: "Actor") -> None:
        found: list[dict[str, Any]] = []
        after = None
        while True:
            page = await list_members(accounts, actor, Page(limit=100, after=after))
            found += page["data"]
            if not page["has_more"]:
                break
            after = page["last_id"]
        if as_json:
            print_json(found)
            return
        rows = [[one["id"], one["email"], one["name"], one["role"], format_time(one["added_at"])] for one in found]
        columns = ["ID", "EMAIL", "NAME", "ROLE", "SINCE (UTC)"]
        print_table(columns, rows, empty=f"No member yet: tessera members invite EMAIL --org {org!r}")

    _run(org, config, data, work)


@command.command()
@click.argument("member")
@click.argument("new_role", metavar="ROLE", type=_ROLES)
@org_option
@place_options
@as_json_option
def role(member: str, new_role: str, org: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Give a member, named by id or e-mail address, another role."""
    from tessera.flows.people.organizations import change_role, find_member

    async def work(accounts: "Accounts", actor: "Actor") -> None:
        found = await find_member(accounts, actor, member)
        changed = await change_role(accounts, actor, found.person_id, new_role)
        if as_json:
            print_json(changed)
            return
        click.echo(f"{changed['email']} is {changed['role']} now.")

    _run(org, config, data, work)


@command.command()
@click.argument("member")
@org_option
@place_options
@as_json_option
def remove(member: str, org: str, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Remove a member, named by id or e-mail address. The last owner stays."""
    from tessera.flows.people.organizations import find_member, remove_member

    async def work(accounts: "Accounts", actor: "Actor") -> None:
        found = await find_member(accounts, actor, member)
        removed = await remove_member(accounts, actor, found.person_id)
        if as_json:
            print_json(removed)
            return
        click.echo(f"{found.email} is no member any more.")

    _run(org, config, data, work)


@command.command()
@click.argument("email")
@click.option("--remove", "removed", is_flag=True, help="Make the person an operator no more.")
@place_options
@as_json_option
def operator(email: str, removed: bool, config: Path | None, data: Path | None, as_json: bool) -> None:
    """Make a person who has signed up an operator of the whole installation."""
    from tessera.flows.people.own_account import set_operator

    async def work(accounts: "Accounts", actor: "Actor") -> None:
        person = await set_operator(accounts, actor, email, not removed)
        if as_json:
            print_json({"id": person.id, "email": person.email, "is_operator": person.is_operator})
            return
        click.echo(f"{person.email} is {'an operator' if person.is_operator else 'no operator'} now.")

    _run(None, config, data, work)


def _run(
    org: str | None,
    config: Path | None,
    data: Path | None,
    work: Callable[["Accounts", "Actor"], Awaitable[None]],
) -> None:
    """Runs work as the operator, in an organization if one is named, beside a running server."""
    import os

    import msgspec

    from tessera.bootstrap import open_people, open_storage
    from tessera.flows.people.organizations import operator_actor

    settings = settings_with_data(config, data)
    # No letter is sent from here, so the mail server's password need not be at hand.
    settings = msgspec.structs.replace(settings, smtp=type(settings.smtp)())

    async def whole() -> None:
        async with open_storage(settings) as opened, open_people(settings, opened, os.environ) as accounts:
            organization = None if org is None else await opened.storage.find_organization(org)
            await work(accounts, operator_actor("" if organization is None else organization.id))

    run(whole())
