"""What flows need of the storage of people: a few verbs each for persons, organizations, invitations.

Every verb raises [storage_unavailable] when the database cannot answer, and what it names. A change, its audit event
(`Act`) and the letter it makes necessary are one commit.
"""

from typing import Any, Protocol

import msgspec

from tessera.domain.deliveries import Errand
from tessera.domain.people.records import (
    ALL_EVENTS,
    Act,
    Actor,
    AuditEvent,
    AuditFilter,
    Invitation,
    Link,
    LinkPurpose,
    Membership,
    Person,
    Session,
    Standing,
)
from tessera.domain.people.roles import Role
from tessera.ports import Page
from tessera.ports.administration import Organization
from tessera.ports.identities import EmailChanges, Identities
from tessera.ports.keys import AdminKeys, Projects


class Persons(Protocol):
    """People, their passwords, one-time links, sessions and counted tries."""

    async def has_operator(self) -> bool:
        """Whether there is anybody who administers the installation."""
        ...

    async def set_operator(self, act: Act, is_operator: bool) -> Person:
        """Makes a person an operator, or one no more. Raises [not_found], [invalid_request] for the last one."""
        ...

    async def find_standing(self, email: str) -> Standing | None:
        """What sign-in needs, by e-mail address."""
        ...

    async def standing_of(self, person_id: str) -> Standing | None:
        """What sign-in needs, by id."""
        ...

    async def rename_person(self, act: Act, name: str) -> Person:
        """Gives a person another name. Raises [not_found]."""
        ...

    async def set_password(self, act: Act, password_hash: str, keep_session: str, letter: Errand | None = None) -> None:
        """A new password; every other session of the person ends, and links and a change of address that wait. Raises
        [not_found], [not_signed_in] when the session that asks was ended meanwhile."""
        ...

    async def keep_letter(self, letter: Errand) -> None:
        """Writes a letter that follows from no other change."""
        ...

    async def keep_link(self, digest: str, link: Link, letter: Errand | None = None) -> None:
        """Keeps a link until it is used or expires. A new operator's link replaces the one before."""
        ...

    async def find_link(self, digest: str, purpose: LinkPurpose) -> Link | None:
        """A link that can still be used."""
        ...

    async def reset_password(self, act: Act, digest: str, password_hash: str, letter: Errand | None = None) -> bool:
        """Uses a link for a new password; every session, every other link and a waiting change of address of the person
        end. False: used before."""
        ...

    async def open_session(
        self,
        act: Act,
        session: Session,
        digest: str,
        *,
        person: Person,
        password_hash: str | None,
        idle_s: int,
        old_digest: str | None,
    ) -> bool:
        """Signs a browser in under a new token; the session it had before ends. False: the address, the password or
        the second factor of the person is not what they proved (`person`, `password_hash`) any more."""
        ...

    async def find_session(self, digest: str, idle_s: int) -> tuple[Session, Person] | None:
        """A session that has neither ended nor been idle too long, and whose it is."""
        ...

    async def see_session(self, digest: str) -> None:
        """Notes that a session is in use."""
        ...

    async def list_sessions(self, person_id: str, idle_s: int) -> tuple[Session, ...]:
        """Where a person is signed in, oldest first."""
        ...

    async def end_session(self, act: Act, person_id: str) -> bool:
        """Signs out one session of a person, by its id; False if there is none."""
        ...

    async def count_tries(self, buckets: tuple[str, ...], window_s: int) -> tuple[int, ...]:
        """Counts one more try in each bucket's current window; how many there are now, this one among them."""
        ...


class SecondFactors(Protocol):
    """A code by time (TOTP) and one-time recovery codes. A code is used at most once."""

    async def start_second_factor(self, person_id: str, nonce: str) -> bool:
        """Keeps what a new factor is derived from, until it is confirmed; False if there is a confirmed one."""
        ...

    async def confirm_second_factor(
        self, act: Act, nonce: str, step: int, codes: tuple[str, ...], keep_session: str
    ) -> bool:
        """Turns the factor on, with the digests of new recovery codes; other sessions end. False: it was on before."""
        ...

    async def use_step(self, person_id: str, step: int) -> bool:
        """Uses a time step; False if it or a later one was used before (RFC 6238, 5.2)."""
        ...

    async def use_recovery_code(self, act: Act, digest: str) -> bool:
        """Uses a recovery code for good; False if it is not one."""
        ...

    async def drop_second_factor(self, act: Act) -> bool:
        """Turns the factor off; False if there was none."""
        ...


class Organizations(Protocol):
    """Organizations and their members. Every check that decides a change is made in the change's own commit."""

    async def become_person(self, act: Act, digest: str, link: Link) -> Person | None:
        """Uses a sign-up or operator link: the person and their organization. None when the link was used before.

        `link` carries what the person becomes: e-mail, name and password hash. Raises [invalid_request] for an address
        that has an account.
        """
        ...

    async def found_organization(self, actor: Actor, name: str) -> Membership:
        """A new organization whose owner is the person who makes it. Raises [invalid_request] for a name taken, and for
        who belongs to so many that only an operator may make another; [not_found] for who was erased meanwhile."""
        ...

    async def rename_organization(self, act: Act, name: str) -> Organization:
        """Raises [invalid_request] for a name taken."""
        ...

    async def memberships(self, person_id: str) -> tuple[Membership, ...]:
        """The organizations a person belongs to, oldest first."""
        ...

    async def find_membership(self, organization_id: str, person_id: str) -> Membership | None:
        """A person's role in an organization."""
        ...

    async def list_members(
        self, organization_id: str, page: Page, emails: tuple[str, ...] = ()
    ) -> tuple[Membership, ...]:
        """Members by the age of their accounts, oldest first; with addresses, only those who have one of them."""
        ...

    async def change_role(self, act: Act, role: Role) -> Membership:
        """Gives a member another role.

        Raises [permission_denied] for a role above the actor's or a member not below them, [invalid_request] for the
        last owner, [not_found].
        """
        ...

    async def remove_member(self, act: Act) -> None:
        """Ends a membership; members may always end their own.

        Raises [permission_denied] for a member not below the actor, [invalid_request] for the last owner, [not_found].
        """
        ...


class Invitations(Protocol):
    """Offers of a role. One address has at most one open offer in an organization."""

    async def invite(
        self, act: Act, email: str, role: Role, digest: str, expires_at: int, letter: Errand | None = None
    ) -> Invitation:
        """A new offer, in place of an open one to the same address. Raises [invalid_request] for a member, or for too
        many open offers, [not_found] when the organization was deleted or who offers has left it, [permission_denied]
        when they may not offer that role any more.
        """
        ...

    async def list_invitations(self, organization_id: str, page: Page) -> tuple[Invitation, ...]:
        """Newest first, those that were taken or withdrawn too."""
        ...

    async def find_invitation(self, organization_id: str, invitation_id: str) -> Invitation | None:
        """One offer of an organization."""
        ...

    async def find_open_invitation(self, digest: str) -> Invitation | None:
        """The offer a link stands for, while it can be taken."""
        ...

    async def withdraw_invitation(self, act: Act) -> bool:
        """Takes an open offer back; False if there is none."""
        ...

    async def become_invited(self, act: Act, digest: str, link: Link) -> Person | None:
        """Uses an offer for somebody new, who becomes what `link` says and a member in the same commit. None: it cannot
        be used, or is for another address. Raises [invalid_request] for an address that has an account.
        """
        ...

    async def accept_invitation(self, act: Act, digest: str, person: Person) -> Membership | None:
        """Uses an offer: its person, whose address must be the invited one, becomes a member. None: it cannot be used.

        Raises [permission_denied] for another person's offer, and then it stays open.
        """
        ...


class AuditLog(Protocol):
    """Reads the log; everything that changes something writes to it through `record`."""

    async def list_audit_events(
        self, scope: str, page: Page, wanted: AuditFilter = ALL_EVENTS
    ) -> tuple[AuditEvent, ...]:
        """An organization's events, newest first."""
        ...


class Erasure(Protocol):
    """Exports and erasures."""

    async def export_person(self, person_id: str) -> dict[str, Any]:
        """What is kept about a person beside their own record."""
        ...

    async def export_organization(self, organization_id: str) -> dict[str, Any]:
        """What is kept about an organization beside its calls and its money, which have pages of their own."""
        ...

    async def erase_person(self, act: Act) -> None:
        """Erases who a person is. Organizations nobody else belongs to are closed with them.

        Raises [invalid_request] for the last owner of an organization others belong to, and for the last operator.
        """
        ...

    async def erase_organization(self, act: Act) -> None:
        """Closes an organization and erases what it was called, who belonged to it and what it asked.

        Raises [invalid_request] while it has live money, which must be refunded first, calls in flight, or a refund
        that waits for some, [not_signed_in].
        """
        ...


class People(
    Persons,
    EmailChanges,
    SecondFactors,
    Identities,
    Organizations,
    Invitations,
    Projects,
    AdminKeys,
    AuditLog,
    Erasure,
    Protocol,
):
    """All of it, as one database keeps it."""


class Passwords(Protocol):
    """Hashes passwords, a few at a time: each takes tens of mebibytes, so that more of them wait."""

    async def hash(self, password: str) -> str:
        """The hash to store. Raises [overloaded] when too many wait."""
        ...

    async def matches(self, password: str, password_hash: str | None) -> bool:
        """Whether the password is the hashed one; None takes as long and is never right. Raises [overloaded]."""
        ...


class Letter(msgspec.Struct, frozen=True, kw_only=True):
    """A message to one mailbox, in plain text."""

    to: str
    subject: str
    text: str


class Mail(Protocol):
    """Sends letters."""

    async def send(self, letter: Letter) -> None:
        """Hands a letter over. Raises OSError when the mail server does not take it."""
        ...
