"""What storage knows of people and organizations. Times are seconds since 1970; no secret is in any of these."""

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from tessera.domain.people.roles import RIGHTS, Right, Role


class Record(msgspec.Struct, frozen=True, kw_only=True):
    """A row as flows see it."""


class Person(Record, frozen=True, kw_only=True):
    """Someone who can sign in. `is_operator` administers the whole installation."""

    id: str
    email: str
    name: str
    is_operator: bool
    second_factor: bool
    created_at: int


class Standing(Record, frozen=True, kw_only=True):
    """What sign-in needs of a person: the password's hash, None of who has none, and what the second factor is derived
    from."""

    person: Person
    password_hash: str | None
    totp_nonce: str | None
    totp_step: int

    def __repr__(self) -> str:
        return f"Standing({self.person.id})"


class Session(Record, frozen=True, kw_only=True):
    """A browser that is signed in."""

    id: str
    person_id: str
    created_at: int
    seen_at: int
    expires_at: int
    address: str
    user_agent: str


class KnownIdentity(Record, frozen=True, kw_only=True):
    """Who a person is at an identity provider: `subject` names them at `issuer`."""

    id: str
    issuer: str
    subject: str
    created_at: int


class Membership(Record, frozen=True, kw_only=True):
    """A person's role in one organization, with the names of both."""

    organization_id: str
    organization: str
    person_id: str
    name: str
    email: str
    role: Role
    added_at: int


class InvitationState(StrEnum):
    """Where an invitation stands; OpenAI's names, and `withdrawn`."""

    PENDING = "pending"
    ACCEPTED = "accepted"
    EXPIRED = "expired"
    WITHDRAWN = "withdrawn"


class Invitation(Record, frozen=True, kw_only=True):
    """An offer of a role to whoever holds the link and the mailbox."""

    id: str
    organization_id: str
    organization: str
    email: str
    role: Role
    created_at: int
    expires_at: int
    accepted_at: int | None = None
    withdrawn_at: int | None = None

    def state(self, now: int) -> InvitationState:
        """Where it stands at a time in seconds since 1970."""
        if self.accepted_at is not None:
            return InvitationState.ACCEPTED
        if self.withdrawn_at is not None:
            return InvitationState.WITHDRAWN
        return InvitationState.EXPIRED if self.expires_at <= now else InvitationState.PENDING


class Project(Record, frozen=True, kw_only=True):
    """A part of an organization that has keys of its own."""

    id: str
    organization_id: str
    name: str
    created_at: int
    archived_at: int | None = None


class AdminKey(Record, frozen=True, kw_only=True):
    """A key for administration, as it can be shown again; `role` is what its maker is now, and so what it may do."""

    id: str
    organization_id: str
    person_id: str | None
    name: str
    display: str
    role: Role
    created_at: int
    expires_at: int | None = None
    last_used_at: int | None = None
    revoked_at: int | None = None


class LinkPurpose(StrEnum):
    """What a one-time link lets its holder do."""

    OPERATOR = "operator"
    SIGN_UP = "sign_up"
    PASSWORD_RESET = "password_reset"  # noqa: S105 - the name of a purpose


class Link(Record, frozen=True, kw_only=True):
    """A one-time link that has not been used: for a sign-up, what becomes the person."""

    purpose: LinkPurpose
    expires_at: int
    email: str | None = None
    name: str | None = None
    password_hash: str | None = None

    def __repr__(self) -> str:
        return f"Link({self.purpose})"


class ActorKind(StrEnum):
    """Who did something: a person signed in, an admin key, the operator at the command line, nobody yet known."""

    PERSON = "person"
    ADMIN_KEY = "admin_key"
    OPERATOR = "operator"
    NOBODY = "nobody"


class Actor(Record, frozen=True, kw_only=True):
    """Who acts, where, and with what rights; built from the database only, never from what a request says.

    `organization_id` is empty for what a person does to their own account. `address` is where the request came from.
    """

    kind: ActorKind
    id: str
    person_id: str | None = None
    organization_id: str = ""
    rights: frozenset[Right] = frozenset()
    session_id: str | None = None
    is_operator: bool = False
    address: str = ""

    def within(self, organization_id: str, role: Role) -> "Actor":
        """The same actor with a role's rights in an organization."""
        return msgspec.structs.replace(self, organization_id=organization_id, rights=RIGHTS[role])


Details = Mapping[str, str | int | bool | None]


class AuditEvent(Record, frozen=True, kw_only=True):
    """One administrative act. `details` is None once the people named in it were erased."""

    id: str
    scope: str
    actor_kind: ActorKind
    actor_id: str
    action: str
    object_id: str
    details: Mapping[str, str | int | bool | None] | None
    created_at: int


class AuditFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which events of an audit log: with one of these names, actors and objects (all where none is named), in
    [start_at, end_at), seconds since 1970."""

    actions: tuple[str, ...] = ()
    actor_ids: tuple[str, ...] = ()
    object_ids: tuple[str, ...] = ()
    start_at: int | None = None
    end_at: int | None = None


ALL_EVENTS = AuditFilter()


class Act(Record, frozen=True, kw_only=True):
    """What is to be written in the audit log beside a change. `scope` is an organization's id, or `instance`."""

    actor: Actor
    action: str
    object_id: str
    details: Details = {}
    scope: str = ""

    @property
    def where(self) -> str:
        """The chain it belongs to."""
        return self.scope or self.actor.organization_id or INSTANCE


INSTANCE = "instance"
"""The audit log's scope for what belongs to no organization."""
