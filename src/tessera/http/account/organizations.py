"""/account/organizations: making, naming, leaving, exporting and closing organizations, and joining one."""

from tessera.domain.people.records import Actor
from tessera.flows.people import invitations, organizations
from tessera.flows.people.accounts import Accounts
from tessera.http.account import bodies
from tessera.http.account.bodies import read_fields
from tessera.http.exchange import Exchange


async def index(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Lists the organizations of who is signed in."""
    await exchange.reply_json(200, await organizations.list_organizations(accounts, actor))


async def create(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Makes an organization, whose owner is who makes it."""
    fields = await read_fields(exchange, bodies.Name)
    await exchange.reply_json(200, await organizations.found_organization(accounts, actor, fields.name))


async def show(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows an organization, and what its member may do there."""
    await exchange.reply_json(200, await organizations.show_organization(accounts, actor))


async def rename(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Changes an organization's name."""
    fields = await read_fields(exchange, bodies.Name)
    await exchange.reply_json(200, await organizations.rename_organization(accounts, actor, fields.name))


async def leave(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Ends one's own membership; the last owner cannot leave."""
    await exchange.reply_json(200, await organizations.leave(accounts, actor))


async def export(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows everything that is kept about an organization, beside its calls and its money."""
    await exchange.reply_json(200, await organizations.export_organization(accounts, actor))


async def delete(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Closes an organization for good and erases what it was called and who belonged to it."""
    fields = await read_fields(exchange, bodies.Password)
    await exchange.reply_json(200, await organizations.delete_organization(accounts, actor, fields.password))


async def join(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Uses an invitation for who is signed in."""
    fields = await read_fields(exchange, bodies.TokenOnly)
    await exchange.reply_json(200, await invitations.accept(accounts, actor, fields.token))
