"""Invitations: a role offered to a mailbox, taken once."""

from typing import Any

import msgspec

from tessera.adapters.storage.deliveries import keep_letter
from tessera.adapters.storage.people.audit_log import record
from tessera.adapters.storage.people.organizations import (
    ADD,
    LOCK,
    MEMBERSHIP,
    add_person,
    check_offers,
    lock_open,
    membership_of,
)
from tessera.adapters.storage.people.steps import Steps, Store, change, first, read, rows
from tessera.domain.deliveries import Errand
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor, Invitation, Link, Membership, Person
from tessera.domain.people.roles import Role
from tessera.ports import Page

INVITATIONS_OPEN_MAX = 200
_NEWEST = "zzzz"

_INVITATION = """
SELECT invitation.id, invitation.organization_id, organization.name, email, role, invitation.created_at, expires_at,
    accepted_at, withdrawn_at
FROM invitation JOIN organization ON organization.id = invitation.organization_id
"""
_FIND = _INVITATION + " WHERE invitation.organization_id = $1 AND invitation.id = $2"
_LIST = (
    _INVITATION + " WHERE invitation.organization_id = $1 AND invitation.id < $2 ORDER BY invitation.id DESC LIMIT $3"
)
_OPEN = " WHERE digest = $1 AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > $2"
_FIND_OPEN = _INVITATION + _OPEN
_IS_MEMBER = """
SELECT person.id FROM membership JOIN person ON person.id = membership.person_id
WHERE membership.organization_id = $1 AND person.email = $2
"""
_COUNT_OPEN = """
SELECT count(*) FROM invitation
WHERE organization_id = $1 AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > $2
"""
_INSERT = """
INSERT INTO invitation (id, organization_id, email, role, digest, invited_by, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
"""
_REPLACE = """
UPDATE invitation SET withdrawn_at = $3
WHERE organization_id = $1 AND email = $2 AND accepted_at IS NULL AND withdrawn_at IS NULL
"""
_WITHDRAW = """
UPDATE invitation SET withdrawn_at = $3
WHERE organization_id = $1 AND id = $2 AND accepted_at IS NULL AND withdrawn_at IS NULL RETURNING id
"""
_ACCEPT = """
UPDATE invitation SET accepted_at = $2
WHERE digest = $1 AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > $2
RETURNING organization_id, email, role
"""
_FIND_MEMBER = MEMBERSHIP + " WHERE membership.organization_id = $1 AND membership.person_id = $2"


def _invitation_of(row: tuple[Any, ...]) -> Invitation:
    return Invitation(
        id=row[0],
        organization_id=row[1],
        organization=row[2],
        email=row[3],
        role=Role(row[4]),
        created_at=row[5],
        expires_at=row[6],
        accepted_at=row[7],
        withdrawn_at=row[8],
    )


class Invitations(Store):
    """Offers of a role. One address has at most one open offer in an organization."""

    @change
    def invite(
        self, act: Act, email: str, role: Role, digest: str, expires_at: int, letter: Errand | None = None
    ) -> Steps[Invitation]:
        """A new offer, in place of an open one to the same address. Raises [invalid_request] for a member, or for too
        many open offers, [not_found] when the organization was deleted or who offers has left it, [permission_denied]
        when they may not offer that role any more."""
        where, now = act.where, self.now()
        yield from lock_open(where)
        yield from check_offers(act.actor, where, role)
        if (yield from first(_IS_MEMBER, where, email)) is not None:
            raise TesseraError(ErrorCode.INVALID_REQUEST, "This person is a member already.", param="email")
        yield from rows(_REPLACE, where, email, now)
        count = yield from first(_COUNT_OPEN, where, now)
        if count is not None and count[0] >= INVITATIONS_OPEN_MAX:
            raise TesseraError(
                ErrorCode.INVALID_REQUEST,
                f"An organization has at most {INVITATIONS_OPEN_MAX} open invitations; withdraw some first.",
            )
        invitation_id = self.make_id("invite")
        values = (email, role.value, digest, act.actor.person_id, now, expires_at)
        yield from rows(_INSERT, invitation_id, where, *values)
        yield from keep_letter(letter)
        yield from record(self, Act(actor=act.actor, action=act.action, object_id=invitation_id, details=act.details))
        row = yield from first(_FIND, where, invitation_id)
        assert row is not None
        return _invitation_of(row)

    @read
    def list_invitations(self, organization_id: str, page: Page) -> Steps[tuple[Invitation, ...]]:
        """Newest first, those that were taken or withdrawn too."""
        found = yield from rows(_LIST, organization_id, page.after or _NEWEST, page.limit)
        return tuple(_invitation_of(row) for row in found)

    @read
    def find_invitation(self, organization_id: str, invitation_id: str) -> Steps[Invitation | None]:
        """One offer of an organization."""
        row = yield from first(_FIND, organization_id, invitation_id)
        return None if row is None else _invitation_of(row)

    @read
    def find_open_invitation(self, digest: str) -> Steps[Invitation | None]:
        """The offer a link stands for, while it can be taken."""
        row = yield from first(_FIND_OPEN, digest, self.now())
        return None if row is None else _invitation_of(row)

    @change
    def withdraw_invitation(self, act: Act) -> Steps[bool]:
        """Takes an open offer back; False if there is none."""
        if (yield from first(_WITHDRAW, act.where, act.object_id, self.now())) is None:
            return False
        yield from record(self, act)
        return True

    @change
    def become_invited(self, act: Act, digest: str, link: Link) -> Steps[Person | None]:
        """Uses an offer for somebody new, who becomes what `link` says and a member in the same commit. None: it cannot
        be used, or is for another address. Raises [invalid_request] for an address that has an account.
        """
        offer = yield from first(_FIND_OPEN, digest, self.now())
        if offer is None or offer[3] != link.email:
            return None
        taken = yield from self._take(digest)
        if taken is None:
            return None
        organization_id, _, role = taken
        person = yield from add_person(self, act, link)
        yield from rows(ADD, organization_id, person.id, role, self.now())
        actor = Actor(kind=act.actor.kind, id=person.id, person_id=person.id, address=act.actor.address)
        details = {"invitation": offer[0], "role": role}
        accepted = Act(actor=actor, action="invitation.accepted", object_id=person.id, details=details)
        yield from record(self, msgspec.structs.replace(accepted, scope=organization_id))
        return person

    @change
    def accept_invitation(self, act: Act, digest: str, person: Person) -> Steps[Membership | None]:
        """Uses an offer: its person, whose address must be the invited one, becomes a member. None: it cannot be used.

        Raises [permission_denied] for another person's offer, and then it stays open.
        """
        taken = yield from self._take(digest)
        if taken is None:
            return None
        organization_id, email, role = taken
        if email != person.email:
            raise TesseraError(
                ErrorCode.PERMISSION_DENIED, "This invitation is for another e-mail address; sign in with that one."
            )
        yield from rows(ADD, organization_id, person.id, role, self.now())
        details = {**act.details, "role": role}
        yield from record(
            self, Act(actor=act.actor, action=act.action, object_id=person.id, details=details, scope=organization_id)
        )
        row = yield from first(_FIND_MEMBER, organization_id, person.id)
        assert row is not None
        return membership_of(row)

    def _take(self, digest: str) -> Steps[tuple[Any, ...] | None]:
        """Marks an offer as taken: organization, address and role; None if it cannot be."""
        offer = yield from first(_FIND_OPEN, digest, self.now())
        if offer is None:
            return None
        # Whoever closes the organization meanwhile takes its members and offers away before or after, not in between.
        yield from rows(LOCK, offer[1])
        return (yield from first(_ACCEPT, digest, self.now()))
