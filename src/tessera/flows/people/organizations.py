"""Organizations and their members, in OpenAI's shapes where OpenAI has one."""

from typing import Any

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor, ActorKind, Membership, Person
from tessera.domain.people.roles import RIGHTS, Role, parse_role
from tessera.domain.people.rules import normal_organization_name
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.own_account import step_up
from tessera.flows.receipts import list_object, page_after
from tessera.ports import Page


def person_actor(person: Person, session_id: str, address: str) -> Actor:
    """Somebody signed in, acting on their own account."""
    return Actor(
        kind=ActorKind.PERSON,
        id=person.id,
        person_id=person.id,
        session_id=session_id,
        is_operator=person.is_operator,
        address=address,
    )


def operator_actor(organization_id: str) -> Actor:
    """The operator at the machine's own command line, in any organization."""
    return Actor(kind=ActorKind.OPERATOR, id="operator", is_operator=True).within(organization_id, Role.OWNER)


async def find_member(accounts: Accounts, actor: Actor, person: str) -> Membership:
    """A member by id or e-mail address. Raises [not_found]."""
    standing = await accounts.people.find_standing(person.strip().lower())
    return await _member(accounts, actor, person if standing is None else standing.person.id)


async def member_actor(accounts: Accounts, actor: Actor, organization_id: str) -> Actor:
    """The same person with the rights of their role in an organization. Raises [not_found], for strangers too."""
    member = await accounts.people.find_membership(organization_id, actor.person_id or "")
    if member is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no organization {organization_id[:64]!r}.")
    return actor.within(member.organization_id, member.role)


async def found_organization(accounts: Accounts, actor: Actor, name: str) -> dict[str, Any]:
    """A new organization, whose owner is who makes it. Raises [invalid_request]."""
    return organization_object(await accounts.people.found_organization(actor, normal_organization_name(name)))


async def list_organizations(accounts: Accounts, actor: Actor) -> dict[str, Any]:
    """The organizations of who is signed in."""
    mine = await accounts.people.memberships(actor.person_id or "")
    return list_object([organization_object(one) for one in mine], Page(limit=max(1, len(mine))))


async def show_organization(accounts: Accounts, actor: Actor) -> dict[str, Any]:
    """One organization of who is signed in."""
    member = await accounts.people.find_membership(actor.organization_id, actor.person_id or "")
    if member is None:
        raise TesseraError(ErrorCode.NOT_FOUND, "There is no such organization.")
    return organization_object(member)


async def rename_organization(accounts: Accounts, actor: Actor, name: str) -> dict[str, Any]:
    """Gives an organization another name. Raises [invalid_request]."""
    name = normal_organization_name(name)
    act = Act(actor=actor, action="organization.renamed", object_id=actor.organization_id, details={"name": name})
    await accounts.people.rename_organization(act, name)
    return await show_organization(accounts, actor)


async def list_members(accounts: Accounts, actor: Actor, page: Page, emails: tuple[str, ...] = ()) -> dict[str, Any]:
    """Members, a page at a time; with addresses, only those who have one of them."""
    wanted = tuple(email.strip().lower() for email in emails)
    found = await accounts.people.list_members(actor.organization_id, page_after(page, "person"), wanted)
    return list_object([member_object(member) for member in found], page)


async def show_member(accounts: Accounts, actor: Actor, person_id: str) -> dict[str, Any]:
    """One member. Raises [not_found]."""
    return member_object(await _member(accounts, actor, person_id))


async def change_role(accounts: Accounts, actor: Actor, person_id: str, role: str) -> dict[str, Any]:
    """Gives a member another role. Raises [invalid_request, permission_denied, not_found]."""
    new = parse_role(role)
    was = await _member(accounts, actor, person_id)
    details = {"before": was.role.value, "after": new.value}
    act = Act(actor=actor, action="member.role_changed", object_id=person_id, details=details)
    return member_object(await accounts.people.change_role(act, new))


async def remove_member(accounts: Accounts, actor: Actor, person_id: str) -> dict[str, Any]:
    """Ends a membership. Raises [invalid_request, permission_denied, not_found]."""
    await accounts.people.remove_member(Act(actor=actor, action="member.removed", object_id=person_id))
    return {"object": "organization.user.deleted", "id": person_id, "deleted": True}


async def leave(accounts: Accounts, actor: Actor) -> dict[str, Any]:
    """Ends one's own membership. Raises [invalid_request] for the last owner."""
    act = Act(actor=actor, action="member.left", object_id=actor.person_id or "")
    await accounts.people.remove_member(act)
    return {"object": "organization.left", "id": actor.organization_id, "deleted": True}


async def export_organization(accounts: Accounts, actor: Actor) -> dict[str, Any]:
    """What is kept about an organization; its calls, entries and usage have lists of their own."""
    kept = await accounts.people.export_organization(actor.organization_id)
    return {"object": "organization.export", "id": actor.organization_id, **kept}


async def delete_organization(accounts: Accounts, actor: Actor, password: str) -> dict[str, Any]:
    """Closes an organization for good. Raises [sign_in_failed, invalid_request, rate_limit_exceeded]."""
    await step_up(accounts, actor, password)
    act = Act(actor=actor, action="organization.deleted", object_id=actor.organization_id)
    await accounts.people.erase_organization(act)
    return {"object": "organization.deleted", "id": actor.organization_id, "deleted": True}


async def _member(accounts: Accounts, actor: Actor, person_id: str) -> Membership:
    member = await accounts.people.find_membership(actor.organization_id, person_id)
    if member is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no member {person_id[:64]!r} in this organization.")
    return member


def organization_object(member: Membership) -> dict[str, Any]:
    """An organization as one of its members sees it."""
    return {
        "object": "organization",
        "id": member.organization_id,
        "name": member.organization,
        "role": member.role,
        "rights": sorted(RIGHTS[member.role]),
        "added_at": member.added_at,
    }


def member_object(member: Membership) -> dict[str, Any]:
    """OpenAI's `organization.user`, with Tessera's roles."""
    return {
        "object": "organization.user",
        "id": member.person_id,
        "name": member.name,
        "email": member.email,
        "role": member.role,
        "added_at": member.added_at,
    }
