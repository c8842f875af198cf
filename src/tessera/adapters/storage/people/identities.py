"""Who people are at identity providers, and sign-ins that come back from there, each once."""

import msgspec

from tessera.adapters.storage.deliveries import keep_letter
from tessera.adapters.storage.people.audit_log import record
from tessera.adapters.storage.people.organizations import ADD, add_person
from tessera.adapters.storage.people.persons import LOCK_PERSON, STANDING_BY_ID, standing_of
from tessera.adapters.storage.people.steps import Steps, Store, change, first, read, rows
from tessera.domain.deliveries import Errand
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.identities import Identity
from tessera.domain.people.records import Act, Actor, KnownIdentity, Link, Person, Standing

_DROP_OLD = "DELETE FROM provider_sign_in WHERE expires_at <= $1"
_USE = """
INSERT INTO provider_sign_in (digest, expires_at) VALUES ($1, $2) ON CONFLICT (digest) DO NOTHING RETURNING digest
"""
_WAIT = "UPDATE provider_sign_in SET person_id = $2, issuer = $3, subject = $4 WHERE digest = $1"
_WAITING = """
SELECT person_id, issuer, subject FROM provider_sign_in
WHERE digest = $1 AND person_id IS NOT NULL AND expires_at > $2
"""
_END = """
UPDATE provider_sign_in SET person_id = NULL WHERE digest = $1 AND person_id IS NOT NULL AND expires_at > $2
RETURNING digest
"""

_WHOSE = "SELECT person_id FROM identity WHERE issuer = $1 AND subject = $2"
_AT_ISSUER = "SELECT subject FROM identity WHERE person_id = $1 AND issuer = $2"
_INSERT = "INSERT INTO identity (issuer, subject, id, person_id, created_at) VALUES ($1, $2, $3, $4, $5)"
_LIST = "SELECT id, issuer, subject, created_at FROM identity WHERE person_id = $1 ORDER BY id"
_DROP = "DELETE FROM identity WHERE person_id = $1 AND id = $2 RETURNING issuer"
_ACCEPT_LATEST = """
UPDATE invitation SET accepted_at = $2
WHERE id = (SELECT max(id) FROM invitation
    WHERE email = $1 AND accepted_at IS NULL AND withdrawn_at IS NULL AND expires_at > $2)
    AND accepted_at IS NULL AND withdrawn_at IS NULL
RETURNING id, organization_id, role
"""


class Identities(Store):
    """Who people are at identity providers, and sign-ins that come back from there."""

    @change
    def use_provider_sign_in(self, digest: str, expires_at: int) -> Steps[bool]:
        """Uses a sign-in that came back; False if it came back before. Remembered until it could not be used anyway."""
        yield from rows(_DROP_OLD, self.now())
        return (yield from first(_USE, digest, expires_at)) is not None

    @change
    def wait_for_code(self, digest: str, person_id: str, identity: Identity) -> Steps[None]:
        """Keeps whom the provider vouched for, until their second factor is there or the sign-in expires."""
        yield from rows(_WAIT, digest, person_id, identity.issuer, identity.subject)

    @read
    def find_waiting(self, digest: str) -> Steps[tuple[Standing, Identity] | None]:
        """Whose second factor a sign-in waits for."""
        row = yield from first(_WAITING, digest, self.now())
        person = None if row is None else (yield from first(STANDING_BY_ID, row[0]))
        if row is None or person is None:
            return None
        return standing_of(person), Identity(issuer=row[1], subject=row[2])

    @change
    def end_waiting(self, digest: str) -> Steps[bool]:
        """Uses what waited; False if it was used before, or has expired."""
        return (yield from first(_END, digest, self.now())) is not None

    @read
    def find_by_identity(self, identity: Identity) -> Steps[Standing | None]:
        """Whose identity it is."""
        row = yield from first(_WHOSE, identity.issuer, identity.subject)
        person = None if row is None else (yield from first(STANDING_BY_ID, row[0]))
        return None if person is None else standing_of(person)

    @change
    def link_identity(self, act: Act, identity: Identity, email: str, letter: Errand | None = None) -> Steps[bool]:
        """Makes an identity the person's, who was known by their address; False if it was theirs before.

        Raises [permission_denied] for somebody else's identity or a person who is somebody else at that issuer,
        [sign_in_failed] for a person who has another address by now, [not_found].
        """
        has = yield from first(LOCK_PERSON, act.object_id)
        if has is None:
            raise TesseraError(ErrorCode.NOT_FOUND, "There is no such person.")
        row = yield from first(_WHOSE, identity.issuer, identity.subject)
        if row is not None and row[0] == act.object_id:
            return False
        if row is not None or (yield from first(_AT_ISSUER, act.object_id, identity.issuer)) is not None:
            raise TesseraError(
                ErrorCode.PERMISSION_DENIED,
                "This account is signed in to by another identity of that provider. Sign in with the password, or as "
                "that identity, and remove it first.",
            )
        if has[0] != email:
            raise TesseraError(
                ErrorCode.SIGN_IN_FAILED, "The address of this account was changed meanwhile. Sign in again."
            )
        yield from _link(self, act, identity)
        yield from keep_letter(letter)
        return True

    @change
    def become_person_by_identity(
        self, act: Act, link: Link, identity: Identity, *, by_invitation: bool
    ) -> Steps[Person | None]:
        """A new person with an organization of their own, whose identity this is; with `by_invitation` they take the
        latest open invitation of the address, and it is None that there is none.

        Raises [invalid_request] for an address that has an account.
        """
        invitation = (yield from first(_ACCEPT_LATEST, link.email, self.now())) if by_invitation else None
        if by_invitation and invitation is None:
            return None
        person = yield from add_person(self, act, link)
        actor = Actor(kind=act.actor.kind, id=person.id, person_id=person.id, address=act.actor.address)
        yield from _link(self, Act(actor=actor, action="identity.added", object_id=person.id), identity)
        if invitation is not None:
            invitation_id, organization_id, role = invitation
            yield from rows(ADD, organization_id, person.id, role, self.now())
            details = {"invitation": invitation_id, "role": role}
            accepted = Act(actor=actor, action="invitation.accepted", object_id=person.id, details=details)
            yield from record(self, msgspec.structs.replace(accepted, scope=organization_id))
        return person

    @read
    def list_identities(self, person_id: str) -> Steps[tuple[KnownIdentity, ...]]:
        """Who a person is at identity providers, oldest first."""
        found = yield from rows(_LIST, person_id)
        return tuple(KnownIdentity(id=row[0], issuer=row[1], subject=row[2], created_at=row[3]) for row in found)

    @change
    def unlink_identity(self, act: Act, person_id: str) -> Steps[bool]:
        """Takes one identity from a person, by its id; False if there is none."""
        row = yield from first(_DROP, person_id, act.object_id)
        if row is None:
            return False
        details = {**act.details, "issuer": row[0]}
        yield from record(self, Act(actor=act.actor, action=act.action, object_id=act.object_id, details=details))
        return True


def _link(store: Store, act: Act, identity: Identity) -> Steps[None]:
    person_id = act.object_id
    values = (identity.issuer, identity.subject, store.make_id("identity"), person_id, store.now())
    yield from rows(_INSERT, *values)
    details = {**act.details, "issuer": identity.issuer}
    yield from record(store, Act(actor=act.actor, action=act.action, object_id=person_id, details=details))
