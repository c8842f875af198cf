"""/account/operator/providers: the credentials of providers, which go in and never come out."""

from typing import Annotated

import msgspec

from tessera.domain.people.records import Actor
from tessera.flows.operator import credentials
from tessera.flows.people.accounts import Accounts
from tessera.http.account.bodies import Fields, read_fields
from tessera.http.exchange import Exchange


class SetCredential(Fields, frozen=True, kw_only=True):
    """A credential; `base_url` and `surfaces` stay as they were, or are the provider's own, where they are null."""

    credential: Annotated[str, msgspec.Meta(max_length=1_024)]
    base_url: Annotated[str, msgspec.Meta(max_length=2_000)] | None = None
    surfaces: tuple[Annotated[str, msgspec.Meta(max_length=64)], ...] | None = None


async def index(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Lists the providers of the settings and those whose credentials are stored, never the credentials."""
    await exchange.reply_json(200, await credentials.list_providers(accounts.vault))


async def put(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Stores a provider's credential in place of the one until now."""
    fields = await read_fields(exchange, SetCredential)
    name = exchange.path_params["provider"]
    stored = await credentials.set_credential(
        accounts.vault, actor, name, fields.credential, fields.base_url, fields.surfaces
    )
    await exchange.reply_json(200, stored)


async def remove(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Removes a provider's stored credential for good."""
    removed = await credentials.remove_credential(accounts.vault, actor, exchange.path_params["provider"])
    await exchange.reply_json(200, removed)
