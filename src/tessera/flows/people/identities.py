"""Where people can sign in beside their password: identity providers, and who they are there."""

from typing import Any

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor
from tessera.flows.people.accounts import Accounts
from tessera.flows.receipts import list_object
from tessera.ports import Page


def list_providers(accounts: Accounts) -> dict[str, Any]:
    """The identity providers of this installation, and where a browser begins to sign in there."""
    shown = [
        {"object": "identity_provider", "id": name, "start_url": f"{accounts.base_url}/account/oidc/{name}/start"}
        for name in accounts.identity_providers
    ]
    return list_object(shown, Page(limit=max(1, len(shown))))


async def list_identities(accounts: Accounts, actor: Actor) -> dict[str, Any]:
    """Who the person is at identity providers."""
    found = await accounts.people.list_identities(actor.person_id or "")
    shown = [
        {
            "object": "identity",
            "id": one.id,
            "issuer": one.issuer,
            "subject": one.subject,
            "created_at": one.created_at,
        }
        for one in found
    ]
    return list_object(shown, Page(limit=max(1, len(shown))))


async def remove_identity(accounts: Accounts, actor: Actor, identity_id: str) -> None:
    """Takes a way to sign in from the person. Raises [not_found]."""
    act = Act(actor=actor, action="identity.removed", object_id=identity_id)
    if not await accounts.people.unlink_identity(act, actor.person_id or ""):
        raise TesseraError(ErrorCode.NOT_FOUND, f"You have no identity {identity_id[:64]!r}.")
