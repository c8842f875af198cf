"""Invitations, in OpenAI's shape: one-time, expiring, bound to an e-mail address."""

from typing import Any

from tessera.domain.deliveries import Errand, LetterKind
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor, Invitation
from tessera.domain.people.roles import check_grant, parse_role
from tessera.domain.people.rules import normal_email
from tessera.flows.alerts.delivering import run_errand
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.letters import invitation_link, make_token, new_letter
from tessera.flows.people.organizations import organization_object
from tessera.flows.people.second_factor import standing_of
from tessera.flows.people.tries import count_letter, count_try
from tessera.flows.receipts import list_object, page_after
from tessera.ports import Page


async def invite(accounts: Accounts, actor: Actor, email: str, role: str) -> dict[str, Any]:
    """Offers a role to an address. Raises [invalid_request], [permission_denied] for a role above one's own."""
    email = normal_email(email)
    await count_letter(accounts, email, actor.address)
    letter, token = new_letter(accounts, LetterKind.INVITATION, email)
    made = await _offer(accounts, actor, email, role, token, letter)
    accounts.spawn(run_errand(accounts, letter))
    return invitation_object(made, accounts.now())


async def invite_with_link(accounts: Accounts, actor: Actor, email: str, role: str) -> dict[str, Any]:
    """As `invite`, for the operator's command line: the link is in the answer, and no letter is sent."""
    token = make_token(accounts)
    made = await _offer(accounts, actor, normal_email(email), role, token, None)
    return {**invitation_object(made, accounts.now()), "link": invitation_link(accounts, token)}


async def _offer(
    accounts: Accounts, actor: Actor, email: str, role: str, token: str, letter: Errand | None
) -> Invitation:
    offered = parse_role(role)
    check_grant(actor.rights, offered)
    act = Act(actor=actor, action="invitation.created", object_id="", details={"role": offered.value})
    expires_at = accounts.now() + accounts.limits.invitation_s
    digest = accounts.digest_of("invitation", token)
    return await accounts.people.invite(act, email, offered, digest, expires_at, letter)


async def list_invitations(accounts: Accounts, actor: Actor, page: Page) -> dict[str, Any]:
    """Newest first, a page at a time."""
    more = page_after(page, "invite")
    found = await accounts.people.list_invitations(actor.organization_id, more)
    return list_object([invitation_object(one, accounts.now()) for one in found], page)


async def show_invitation(accounts: Accounts, actor: Actor, invitation_id: str) -> dict[str, Any]:
    """One invitation. Raises [not_found]."""
    found = await accounts.people.find_invitation(actor.organization_id, invitation_id)
    if found is None:
        raise _nothing(invitation_id)
    return invitation_object(found, accounts.now())


async def withdraw(accounts: Accounts, actor: Actor, invitation_id: str) -> dict[str, Any]:
    """Takes an open invitation back. Raises [not_found], also for one that was taken or withdrawn."""
    act = Act(actor=actor, action="invitation.withdrawn", object_id=invitation_id)
    if not await accounts.people.withdraw_invitation(act):
        raise _nothing(invitation_id)
    return {"object": "organization.invite.deleted", "id": invitation_id, "deleted": True}


async def accept(accounts: Accounts, actor: Actor, token: str) -> dict[str, Any]:
    """Uses an invitation for the person signed in. Raises [invalid_request, permission_denied, rate_limit_exceeded]."""
    person = (await standing_of(accounts, actor)).person
    digest = accounts.digest_of("invitation", token)
    await count_try(accounts, "invitation", digest, actor.address)
    act = Act(actor=actor, action="invitation.accepted", object_id=person.id)
    member = await accounts.people.accept_invitation(act, digest, person)
    if member is None:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, "This invitation was used, withdrawn or has expired.", param="token"
        )
    return organization_object(member)


def invitation_object(invitation: Invitation, now: int) -> dict[str, Any]:
    """OpenAI's `organization.invite`. The link is in the letter only."""
    return {
        "object": "organization.invite",
        "id": invitation.id,
        "email": invitation.email,
        "role": invitation.role,
        "status": invitation.state(now),
        "created_at": invitation.created_at,
        "invited_at": invitation.created_at,
        "expires_at": invitation.expires_at,
        "accepted_at": invitation.accepted_at,
        "projects": [],
    }


def _nothing(invitation_id: str) -> TesseraError:
    return TesseraError(ErrorCode.NOT_FOUND, f"There is no open invitation {invitation_id[:64]!r}.")
