"""Organizations: who belongs to them in what role, who is invited, and their projects."""

from typing import Any

from tessera.adapters.storage.people.audit_log import record
from tessera.adapters.storage.people.persons import FIND_PERSON, LOCK_PERSON, NO_PASSWORD, person_of
from tessera.adapters.storage.people.steps import NewOrganization, Steps, Store, among, change, first, read, rows
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor, ActorKind, Link, LinkPurpose, Membership, Person
from tessera.domain.people.roles import RIGHTS, Right, Role, check_acts_on, check_grant
from tessera.ports import Page
from tessera.ports.administration import Organization

ORGANIZATIONS_PER_PERSON_MAX = 20

MEMBERSHIP = """
SELECT membership.organization_id, organization.name, membership.person_id, person.name, person.email,
    membership.role, membership.added_at
FROM membership JOIN organization ON organization.id = membership.organization_id
JOIN person ON person.id = membership.person_id
"""
_FIND = MEMBERSHIP + " WHERE membership.organization_id = $1 AND membership.person_id = $2"
_LIST = (
    MEMBERSHIP
    + """
WHERE membership.organization_id = $1 AND membership.person_id > $2{only} ORDER BY membership.person_id LIMIT $3
"""
)
_OF_PERSON = MEMBERSHIP + " WHERE membership.person_id = $1 ORDER BY membership.organization_id"
ADD = """
INSERT INTO membership (organization_id, person_id, role, added_at) VALUES ($1, $2, $3, $4)
ON CONFLICT (organization_id, person_id) DO NOTHING
"""
_SET_ROLE = "UPDATE membership SET role = $3 WHERE organization_id = $1 AND person_id = $2"
REMOVE = "DELETE FROM membership WHERE organization_id = $1 AND person_id = $2"
_COUNT_OF_PERSON = "SELECT count(*) FROM membership WHERE person_id = $1"
_OWNERS = "SELECT count(*) FROM membership WHERE organization_id = $1 AND role = 'owner'"

# Changes of one organization's members wait for each other on every engine: who counts owners sees the last change.
LOCK = "UPDATE organization SET name = name WHERE id = $1 RETURNING id"
_LOCK_OPEN = "UPDATE organization SET name = name WHERE id = $1 AND closed_at IS NULL RETURNING id"

_RENAME = "UPDATE organization SET name = $2 WHERE id = $1"
_TAKEN = "SELECT id FROM organization WHERE name = $1 AND id <> $2"
_ORGANIZATION = "SELECT id, name, created_at, suspended FROM organization WHERE id = $1"

# What a member leaves behind that would let them, or whom they chose, back in.
_OFFERED_BY = """
SELECT id, role FROM invitation
WHERE organization_id = $1 AND invited_by = $2 AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > $3
ORDER BY id
"""
_WITHDRAW = "UPDATE invitation SET withdrawn_at = $2 WHERE id = $1"
_REVOKE_ADMIN_KEYS = """
UPDATE admin_key SET revoked_at = $3 WHERE organization_id = $1 AND person_id = $2 AND revoked_at IS NULL RETURNING id
"""

_TAKE_LINK = "DELETE FROM link WHERE digest = $1 AND purpose = $2 AND expires_at > $3 RETURNING digest"
_DROP_LINKS_OF = "DELETE FROM link WHERE email = $1"
_PERSON_BY_EMAIL = "SELECT id FROM person WHERE email = $1"
_INSERT_PERSON = """
INSERT INTO person (id, email, name, password_hash, is_operator, created_at) VALUES ($1, $2, $3, $4, $5, $6)
"""


def membership_of(row: tuple[Any, ...]) -> Membership:
    """A membership from the columns of `MEMBERSHIP`."""
    return Membership(
        organization_id=row[0],
        organization=row[1],
        person_id=row[2],
        name=row[3],
        email=row[4],
        role=Role(row[5]),
        added_at=row[6],
    )


def lock_open(organization_id: str) -> Steps[None]:
    """Waits for who changes the organization. Raises [not_found] when it was deleted."""
    if (yield from first(_LOCK_OPEN, organization_id)) is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no organization {organization_id!r} any more.")


class Organizations(Store):
    """Organizations and their members. Every check that decides a change is made in the change's own commit."""

    @change
    def become_person(self, act: Act, digest: str, link: Link) -> Steps[Person | None]:
        """Uses a sign-up or operator link: the person and their organization. None when the link was used before.

        `link` carries what the person becomes: e-mail, name and password hash. Raises [invalid_request] for an address
        that has an account.
        """
        if (yield from first(_TAKE_LINK, digest, link.purpose.value, self.now())) is None:
            return None
        return (yield from add_person(self, act, link))

    @change
    def found_organization(self, actor: Actor, name: str) -> Steps[Membership]:
        """A new organization whose owner is the person who makes it. Raises [invalid_request] for a name taken, and for
        who belongs to so many that only an operator may make another; [not_found] for who was erased meanwhile."""
        assert actor.person_id is not None
        if (yield from first(LOCK_PERSON, actor.person_id)) is None:
            raise TesseraError(ErrorCode.NOT_FOUND, "There is no such person.")
        count = yield from first(_COUNT_OF_PERSON, actor.person_id)
        if count is not None and count[0] >= ORGANIZATIONS_PER_PERSON_MAX and not actor.is_operator:
            raise TesseraError(
                ErrorCode.INVALID_REQUEST,
                f"A person belongs to at most {ORGANIZATIONS_PER_PERSON_MAX} organizations.",
            )
        return (yield from _found(self, actor, actor.person_id, name))

    @change
    def rename_organization(self, act: Act, name: str) -> Steps[Organization]:
        """Raises [invalid_request] for a name taken."""
        if (yield from first(_TAKEN, name, act.object_id)) is not None:
            raise TesseraError(
                ErrorCode.INVALID_REQUEST, f"There is an organization named {name!r} already.", param="name"
            )
        yield from rows(_RENAME, act.object_id, name)
        yield from record(self, act)
        row = yield from first(_ORGANIZATION, act.object_id)
        assert row is not None
        return Organization(id=row[0], name=row[1], created_at=row[2], suspended=bool(row[3]))

    @read
    def memberships(self, person_id: str) -> Steps[tuple[Membership, ...]]:
        """The organizations a person belongs to, oldest first."""
        found = yield from rows(_OF_PERSON, person_id)
        return tuple(membership_of(row) for row in found)

    @read
    def find_membership(self, organization_id: str, person_id: str) -> Steps[Membership | None]:
        """A person's role in an organization."""
        row = yield from first(_FIND, organization_id, person_id)
        return None if row is None else membership_of(row)

    @read
    def list_members(
        self, organization_id: str, page: Page, emails: tuple[str, ...] = ()
    ) -> Steps[tuple[Membership, ...]]:
        """Members by the age of their accounts, oldest first; with addresses, only those who have one of them."""
        only = among("person.email", emails, 4)
        found = yield from rows(_LIST.format(only=only), organization_id, page.after or "", page.limit, *emails)
        return tuple(membership_of(row) for row in found)

    @change
    def change_role(self, act: Act, role: Role) -> Steps[Membership]:
        """Gives a member another role.

        Raises [permission_denied] for a role above the actor's or a member not below them, [invalid_request] for the
        last owner, [not_found].
        """
        member = yield from _locked(act)
        check_grant(act.actor.rights, role)
        if not _acts_on_anybody(act.actor, member):
            check_acts_on(act.actor.rights, member.role)
        if member.role is Role.OWNER and role is not Role.OWNER:
            yield from _check_another_owner(act.where)
        yield from rows(_SET_ROLE, act.where, act.object_id, role.value)
        yield from record(self, act)
        yield from _withdraw_offers(self, act.actor, act.where, act.object_id, role)
        return (yield from _member(act.where, act.object_id))

    @change
    def remove_member(self, act: Act) -> Steps[None]:
        """Ends a membership; members may always end their own.

        Raises [permission_denied] for a member not below the actor, [invalid_request] for the last owner, [not_found].
        """
        member = yield from _locked(act)
        if not _acts_on_anybody(act.actor, member):
            check_acts_on(act.actor.rights, member.role)
        if member.role is Role.OWNER:
            yield from _check_another_owner(act.where)
        yield from rows(REMOVE, act.where, act.object_id)
        yield from record(self, act)
        yield from take_back(self, act.actor, act.where, act.object_id)


def add_person(store: Store, act: Act, link: Link) -> Steps[Person]:
    """A new person, as a link says, with an organization of their own. Raises [invalid_request] for an address that has
    an account."""
    assert link.email is not None
    assert link.name is not None
    if (yield from first(_PERSON_BY_EMAIL, link.email)) is not None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "This address has an account: sign in with it.", param="email")
    yield from rows(_DROP_LINKS_OF, link.email)
    person_id = store.make_id("person")
    is_operator = int(link.purpose is LinkPurpose.OPERATOR)
    password_hash = link.password_hash or NO_PASSWORD
    yield from rows(_INSERT_PERSON, person_id, link.email, link.name, password_hash, is_operator, store.now())
    actor = Actor(kind=act.actor.kind, id=person_id, address=act.actor.address)
    yield from record(store, Act(actor=actor, action=act.action, object_id=person_id, details=act.details))
    yield from _found(store, actor, person_id, (yield from _free_name(link.name, store.make_id("org")[-6:])))
    row = yield from first(FIND_PERSON, person_id)
    assert row is not None
    return person_of(row)


def take_back(store: Store, actor: Actor, organization_id: str, person_id: str) -> Steps[None]:
    """Withdraws what somebody who leaves has offered and revokes their admin keys."""
    yield from _withdraw_offers(store, actor, organization_id, person_id, None)
    for key in (yield from rows(_REVOKE_ADMIN_KEYS, organization_id, person_id, store.now())):
        act = Act(actor=actor, action="admin_key.revoked", object_id=key[0], scope=organization_id)
        yield from record(store, act)


def _withdraw_offers(
    store: Store, actor: Actor, organization_id: str, person_id: str, role: Role | None
) -> Steps[None]:
    """Takes back what a member has offered and could not offer in the role they have now; None is for none."""
    for invitation_id, offered in (yield from rows(_OFFERED_BY, organization_id, person_id, store.now())):
        if not _may_offer(role, Role(offered)):
            yield from rows(_WITHDRAW, invitation_id, store.now())
            act = Act(actor=actor, action="invitation.withdrawn", object_id=invitation_id, scope=organization_id)
            yield from record(store, act)


def check_offers(actor: Actor, organization_id: str, offered: Role) -> Steps[None]:
    """For an offer that nobody may make who has left, or has a lower role, since they asked for it. After the
    organization was locked. Raises [not_found, permission_denied]."""
    if actor.person_id is None:
        return
    row = yield from first(_FIND, organization_id, actor.person_id)
    if row is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no organization {organization_id!r}.")
    if not _may_offer(membership_of(row).role, offered):
        raise TesseraError(ErrorCode.PERMISSION_DENIED, f"You cannot give the role {offered} any more.", param="role")


def _may_offer(role: Role | None, offered: Role) -> bool:
    return role is not None and Right.MEMBERS_CHANGE in RIGHTS[role] and RIGHTS[offered] <= RIGHTS[role]


def _acts_on_anybody(actor: Actor, member: Membership) -> bool:
    """People act on themselves; the operator, at the machine's own command line, on everybody."""
    return actor.kind is ActorKind.OPERATOR or actor.person_id == member.person_id


def _found(store: Store, actor: Actor, person_id: str, name: str) -> Steps[Membership]:
    made: Organization = yield NewOrganization(name)
    yield from rows(ADD, made.id, person_id, Role.OWNER.value, store.now())
    act = Act(actor=actor, action="organization.created", object_id=made.id, details={"name": name}, scope=made.id)
    yield from record(store, act)
    return (yield from _member(made.id, person_id))


def _free_name(name: str, suffix: str) -> Steps[str]:
    """The name of a personal organization: the person's, with a few digits of its own where somebody has that."""
    wanted = name if not name.lower().startswith("org_") else f"The organization of {name}"
    taken = yield from first(_TAKEN, wanted, "")
    return wanted if taken is None else f"{wanted[:180]} ({suffix})"


def _locked(act: Act) -> Steps[Membership]:
    yield from rows(LOCK, act.where)
    return (yield from _member(act.where, act.object_id))


def _member(organization_id: str, person_id: str) -> Steps[Membership]:
    row = yield from first(_FIND, organization_id, person_id)
    if row is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no member {person_id[:64]!r} in this organization.")
    return membership_of(row)


def _check_another_owner(organization_id: str) -> Steps[None]:
    row = yield from first(_OWNERS, organization_id)
    if row is None or row[0] < 2:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            "This is the organization's last owner. Make another member an owner first.",
        )
