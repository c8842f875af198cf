"""Changes of people's e-mail addresses: asked for, then confirmed from the new mailbox."""

from tessera.adapters.storage.deliveries import keep_letter
from tessera.adapters.storage.people.audit_log import record
from tessera.adapters.storage.people.persons import FIND_PERSON, LOCK_PERSON, check_session, person_of
from tessera.adapters.storage.people.steps import Steps, Store, change, first, rows
from tessera.domain.deliveries import Errand
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Person

_KEEP = """
INSERT INTO email_change (person_id, digest, email, created_at, expires_at) VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (person_id) DO UPDATE SET digest = excluded.digest, email = excluded.email,
    created_at = excluded.created_at, expires_at = excluded.expires_at
"""
_DROP_OLD = "DELETE FROM email_change WHERE expires_at <= $1"
_TAKE = "DELETE FROM email_change WHERE person_id = $1 AND digest = $2 AND expires_at > $3 RETURNING email"
_TAKEN = "SELECT id FROM person WHERE email = $1"
_SET_EMAIL = "UPDATE person SET email = $2 WHERE id = $1"
_END_OTHER_SESSIONS = "DELETE FROM session WHERE person_id = $1 AND id <> $2"
_DROP_LINKS = "DELETE FROM link WHERE email IN ($1, $2)"
_MOVE_INVITATIONS = "UPDATE invitation SET email = $2 WHERE email = $1"


class EmailChanges(Store):
    """Changes of people's e-mail addresses. A person waits for at most one; nothing changes before it is confirmed."""

    @change
    def ask_email_change(
        self, act: Act, email: str, digest: str, expires_at: int, letters: tuple[Errand, ...] = ()
    ) -> Steps[None]:
        """Keeps what the link of a letter stands for, in place of what the person asked before. Raises
        [not_found, not_signed_in]."""
        if (yield from first(LOCK_PERSON, act.object_id)) is None:
            raise TesseraError(ErrorCode.NOT_FOUND, "There is no such person.")
        yield from check_session(act.actor)
        yield from rows(_DROP_OLD, self.now())
        yield from rows(_KEEP, act.object_id, digest, email, self.now(), expires_at)
        for letter in letters:
            yield from keep_letter(letter)
        yield from record(self, act)

    @change
    def change_email(
        self, act: Act, digest: str, keep_session: str, letter: Errand | None = None
    ) -> Steps[Person | None]:
        """Gives the person the address that a link stands for; every other session ends, and links sent to the old
        address work no more. Invitations follow the person. None: the link is not this person's, or cannot be used.

        Raises [invalid_request] for an address that has an account by now.
        """
        old = yield from first(LOCK_PERSON, act.object_id)
        taken = yield from first(_TAKE, act.object_id, digest, self.now())
        if old is None or taken is None:
            return None
        email = taken[0]
        if (yield from first(_TAKEN, email)) is not None:
            raise TesseraError(ErrorCode.INVALID_REQUEST, "This address has an account by now.", param="email")
        yield from rows(_SET_EMAIL, act.object_id, email)
        yield from rows(_DROP_LINKS, old[0], email)
        yield from rows(_MOVE_INVITATIONS, old[0], email)
        yield from rows(_END_OTHER_SESSIONS, act.object_id, keep_session)
        yield from keep_letter(letter)
        details = {**act.details, "from": old[0], "to": email}
        yield from record(self, Act(actor=act.actor, action=act.action, object_id=act.object_id, details=details))
        row = yield from first(FIND_PERSON, act.object_id)
        assert row is not None
        return person_of(row)
