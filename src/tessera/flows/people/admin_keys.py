"""Keys for administration, in OpenAI's shape. A key may do what its maker may do at that moment, and nothing else."""

from typing import Any

from tessera.domain.auth import is_admin_key, make_admin_key
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor, ActorKind, AdminKey
from tessera.domain.people.roles import Role
from tessera.domain.people.rules import normal_name
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.projects import KEY_SECONDS_MAX, shown
from tessera.flows.receipts import list_object, page_after
from tessera.ports import Page

USED_EVERY_S = 60
_RANDOM_BYTES = 32


async def admin_actor(accounts: Accounts, presented: str | None, address: str) -> Actor | None:
    """Who acts with an admin key, read from the database each time; None for one that does not work."""
    key = await find_admin_key(accounts, presented)
    if key is None:
        return None
    if key.last_used_at is None or key.last_used_at <= accounts.now() - USED_EVERY_S:
        await accounts.people.use_admin_key(key.id)
    actor = Actor(kind=ActorKind.ADMIN_KEY, id=key.id, person_id=key.person_id, address=address)
    return actor.within(key.organization_id, key.role)


async def find_admin_key(accounts: Accounts, presented: str | None) -> AdminKey | None:
    """The admin key that was presented, if it works now. Only a well-formed one is looked up."""
    if presented is None or not is_admin_key(presented):
        return None
    return await accounts.people.find_admin_caller(accounts.digest_of("admin", presented))


async def list_admin_keys(accounts: Accounts, actor: Actor, page: Page, *, newest_first: bool) -> dict[str, Any]:
    """Admin keys, a page at a time."""
    more = page_after(page, "adminkey")
    found = await accounts.people.list_admin_keys(actor.organization_id, more, newest_first=newest_first)
    return list_object([await admin_key_object(accounts, key) for key in found], page)


async def show_admin_key(accounts: Accounts, actor: Actor, key_id: str) -> dict[str, Any]:
    """One admin key, never its secret. Raises [not_found]."""
    found = await accounts.people.find_admin_key(actor.organization_id, key_id)
    if found is None:
        raise _no_key(key_id)
    return await admin_key_object(accounts, found)


async def create_admin_key(
    accounts: Accounts, actor: Actor, *, name: str, expires_in_seconds: int | None
) -> dict[str, Any]:
    """A new admin key with its secret, shown this once. Its maker is who acts, or the maker of the key that acts.

    Raises [invalid_request].
    """
    name = normal_name(name)
    if expires_in_seconds is not None and not 0 < expires_in_seconds <= KEY_SECONDS_MAX:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"expires_in_seconds must be 1 to {KEY_SECONDS_MAX}.",
            param="expires_in_seconds",
        )
    secret = make_admin_key(accounts.random(_RANDOM_BYTES))
    now = accounts.now()
    key = AdminKey(
        id=accounts.make_id("adminkey"),
        organization_id=actor.organization_id,
        person_id=actor.person_id,
        name=name,
        display=shown(secret),
        role=Role.VIEWER,  # what its maker is, is read back with the key
        created_at=now,
        expires_at=None if expires_in_seconds is None else now + expires_in_seconds,
    )
    act = Act(
        actor=actor,
        action="admin_key.created",
        object_id=key.id,
        details={"name": name, "expires_at": key.expires_at},
    )
    made = await accounts.people.create_admin_key(act, key, accounts.digest_of("admin", secret))
    return {**await admin_key_object(accounts, made), "value": secret}


async def revoke_admin_key(accounts: Accounts, actor: Actor, key_id: str) -> dict[str, Any]:
    """Revokes an admin key for good. Raises [not_found]."""
    act = Act(actor=actor, action="admin_key.revoked", object_id=key_id)
    if not await accounts.people.revoke_admin_key(act):
        raise _no_key(key_id)
    return {"object": "organization.admin_api_key.deleted", "id": key_id, "deleted": True}


async def admin_key_object(accounts: Accounts, key: AdminKey) -> dict[str, Any]:
    """OpenAI's `organization.admin_api_key`; a key that the operator made has no person as its owner."""
    owner: dict[str, Any] = {"type": "operator", "object": "organization.user", "id": None, "role": key.role}
    if key.person_id is not None:
        member = await accounts.people.find_membership(key.organization_id, key.person_id)
        if member is not None:
            owner = {
                "type": "user",
                "object": "organization.user",
                "id": member.person_id,
                "name": member.name,
                "created_at": member.added_at,
                "role": member.role,
            }
    return {
        "object": "organization.admin_api_key",
        "id": key.id,
        "name": key.name,
        "redacted_value": key.display,
        "created_at": key.created_at,
        "expires_at": key.expires_at,
        "last_used_at": key.last_used_at,
        "owner": owner,
    }


def _no_key(key_id: str) -> TesseraError:
    return TesseraError(ErrorCode.NOT_FOUND, f"There is no admin key {key_id[:64]!r} in this organization.")
