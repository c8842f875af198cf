"""People: who they are, how they prove it, where they are signed in."""

from typing import Any

from tessera.adapters.storage.deliveries import keep_letter
from tessera.adapters.storage.people.audit_log import record
from tessera.adapters.storage.people.steps import Steps, Store, change, first, read, rows
from tessera.domain.deliveries import Errand
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor, Link, LinkPurpose, Person, Session, Standing

ATTEMPTS_KEPT_S = 86_400
NO_PASSWORD = ""
"""In place of the hash of a password of who has none: signed up at an identity provider."""

_PERSON = """
SELECT id, email, name, is_operator, totp_confirmed, created_at FROM person
"""
FIND_PERSON = _PERSON + " WHERE id = $1 AND erased_at IS NULL"
# Changes of who a person is wait for each other on every engine, their erasure among them.
LOCK_PERSON = "UPDATE person SET name = name WHERE id = $1 AND erased_at IS NULL RETURNING email"
_ANY_OPERATOR = "SELECT id FROM person WHERE is_operator = 1 LIMIT 1"
# Who takes an operator away waits for whoever else does on every engine: one of them sees that they would be the last.
LOCK_OPERATORS = "UPDATE person SET is_operator = 1 WHERE is_operator = 1 RETURNING id"
_SET_OPERATOR = "UPDATE person SET is_operator = $2 WHERE id = $1 AND erased_at IS NULL RETURNING id"
_OTHER_OPERATOR = "SELECT id FROM person WHERE is_operator = 1 AND id <> $1 LIMIT 1"
_STANDING = """
SELECT id, email, name, is_operator, totp_confirmed, created_at, password_hash, totp_nonce, totp_step FROM person
WHERE erased_at IS NULL
"""
_STANDING_BY_EMAIL = _STANDING + " AND email = $1"
STANDING_BY_ID = _STANDING + " AND id = $1"
_SET_PASSWORD = "UPDATE person SET password_hash = $2 WHERE id = $1 AND erased_at IS NULL RETURNING email"  # noqa: S105
_RENAME = "UPDATE person SET name = $2 WHERE id = $1 AND erased_at IS NULL RETURNING id"

_KEEP_LINK = """
INSERT INTO link (digest, purpose, email, name, password_hash, created_at, expires_at)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_DROP_OLD_LINKS = "DELETE FROM link WHERE expires_at <= $1"
_FIND_LINK = """
SELECT purpose, expires_at, email, name, password_hash FROM link
WHERE digest = $1 AND purpose = $2 AND expires_at > $3
"""
_TAKE_LINK = "DELETE FROM link WHERE digest = $1 AND purpose = $2 AND expires_at > $3 RETURNING email"
_DROP_LINKS_OF = "DELETE FROM link WHERE email = $1"
_DROP_EMAIL_CHANGE = "DELETE FROM email_change WHERE person_id = $1"
_DROP_LINKS_FOR = "DELETE FROM link WHERE purpose = $1"

_OPEN_SESSION = """
INSERT INTO session (digest, id, person_id, created_at, seen_at, expires_at, address, user_agent)
VALUES ($1, $2, $3, $4, $4, $5, $6, $7)
"""
# What somebody proved must still hold as their session begins: hashing takes its time, and whoever has changed a
# password meanwhile has ended the sessions there were.
_LOCK_PROVEN = """
UPDATE person SET name = name
WHERE id = $1 AND erased_at IS NULL AND email = $2 AND password_hash = $3 AND totp_confirmed = $4 RETURNING id
"""
_SESSION_GOES_ON = "SELECT id FROM session WHERE id = $1"
_END_SESSION = "DELETE FROM session WHERE digest = $1"
_END_SESSION_BY_ID = "DELETE FROM session WHERE person_id = $1 AND id = $2 RETURNING id"
_END_SESSIONS = "DELETE FROM session WHERE person_id = $1"
_END_OTHER_SESSIONS = "DELETE FROM session WHERE person_id = $1 AND id <> $2"
_DROP_OLD_SESSIONS = "DELETE FROM session WHERE person_id = $1 AND (expires_at <= $2 OR seen_at <= $3)"
_FIND_SESSION = """
SELECT session.id, person_id, session.created_at, seen_at, expires_at, address, user_agent,
    person.id, email, name, is_operator, totp_confirmed, person.created_at
FROM session JOIN person ON person.id = session.person_id
WHERE digest = $1 AND expires_at > $2 AND seen_at > $3 AND erased_at IS NULL
"""
_SEEN = "UPDATE session SET seen_at = $2 WHERE digest = $1 AND seen_at < $2"
_LIST_SESSIONS = """
SELECT id, person_id, created_at, seen_at, expires_at, address, user_agent FROM session
WHERE person_id = $1 AND expires_at > $2 AND seen_at > $3 ORDER BY id
"""

_TRY = """
INSERT INTO attempt (bucket, window_at, tries) VALUES ($1, $2, 1)
ON CONFLICT (bucket, window_at) DO UPDATE SET tries = attempt.tries + 1 RETURNING tries
"""
_DROP_OLD_TRIES = "DELETE FROM attempt WHERE window_at < $1"


def person_of(row: tuple[Any, ...]) -> Person:
    """A person from the columns of `FIND_PERSON`."""
    return Person(
        id=row[0],
        email=row[1],
        name=row[2],
        is_operator=bool(row[3]),
        second_factor=bool(row[4]),
        created_at=row[5],
    )


def _session_of(row: tuple[Any, ...]) -> Session:
    return Session(
        id=row[0],
        person_id=row[1],
        created_at=row[2],
        seen_at=row[3],
        expires_at=row[4],
        address=row[5],
        user_agent=row[6],
    )


def standing_of(row: tuple[Any, ...]) -> Standing:
    """What sign-in needs, from the columns of `STANDING_BY_ID`."""
    return Standing(person=person_of(row), password_hash=row[6] or None, totp_nonce=row[7], totp_step=row[8])


class Persons(Store):
    """People, their passwords, one-time links, sessions and counted tries."""

    @read
    def has_operator(self) -> Steps[bool]:
        """Whether there is anybody who administers the installation."""
        return (yield from first(_ANY_OPERATOR)) is not None

    @change
    def set_operator(self, act: Act, is_operator: bool) -> Steps[Person]:
        """Makes a person an operator, and the link for the first one works no more; or one no more.

        Raises [not_found], [invalid_request] for the last one.
        """
        if is_operator:
            yield from rows(_DROP_LINKS_FOR, LinkPurpose.OPERATOR.value)
        else:
            yield from rows(LOCK_OPERATORS)
        if not is_operator and (yield from first(_OTHER_OPERATOR, act.object_id)) is None:
            raise TesseraError(ErrorCode.INVALID_REQUEST, "This is the last operator. Make another one first.")
        if (yield from first(_SET_OPERATOR, act.object_id, int(is_operator))) is None:
            raise _nobody()
        yield from record(self, act)
        row = yield from first(FIND_PERSON, act.object_id)
        assert row is not None
        return person_of(row)

    @read
    def find_standing(self, email: str) -> Steps[Standing | None]:
        """What sign-in needs, by e-mail address."""
        row = yield from first(_STANDING_BY_EMAIL, email)
        return None if row is None else standing_of(row)

    @read
    def standing_of(self, person_id: str) -> Steps[Standing | None]:
        """What sign-in needs, by id."""
        row = yield from first(STANDING_BY_ID, person_id)
        return None if row is None else standing_of(row)

    @change
    def rename_person(self, act: Act, name: str) -> Steps[Person]:
        """Gives a person another name. Raises [not_found]."""
        if (yield from first(_RENAME, act.object_id, name)) is None:
            raise _nobody()
        yield from record(self, act)
        row = yield from first(FIND_PERSON, act.object_id)
        assert row is not None
        return person_of(row)

    @change
    def set_password(
        self, act: Act, password_hash: str, keep_session: str, letter: Errand | None = None
    ) -> Steps[None]:
        """A new password; every other session of the person ends, and links and a change of address that wait. Raises
        [not_found, not_signed_in]."""
        row = yield from first(_SET_PASSWORD, act.object_id, password_hash)
        if row is None:
            raise _nobody()
        yield from check_session(act.actor)
        yield from rows(_DROP_LINKS_OF, row[0])
        yield from rows(_DROP_EMAIL_CHANGE, act.object_id)
        yield from rows(_END_OTHER_SESSIONS, act.object_id, keep_session)
        yield from keep_letter(letter)
        yield from record(self, act)

    # ---- one-time links -----------------------------------------------------------------------------------------

    @change
    def keep_letter(self, letter: Errand) -> Steps[None]:
        """Writes a letter that follows from no other change."""
        yield from keep_letter(letter)

    @change
    def keep_link(self, digest: str, link: Link, letter: Errand | None = None) -> Steps[None]:
        """Keeps a link until it is used or expires. A new operator's link replaces the one before."""
        now = self.now()
        yield from rows(_DROP_OLD_LINKS, now)
        if link.purpose is LinkPurpose.OPERATOR:
            yield from rows(_DROP_LINKS_FOR, link.purpose.value)
        values = (link.email, link.name, link.password_hash, now, link.expires_at)
        yield from rows(_KEEP_LINK, digest, link.purpose.value, *values)
        yield from keep_letter(letter)

    @read
    def find_link(self, digest: str, purpose: LinkPurpose) -> Steps[Link | None]:
        """A link that can still be used."""
        row = yield from first(_FIND_LINK, digest, purpose.value, self.now())
        if row is None:
            return None
        return Link(
            purpose=LinkPurpose(row[0]),
            expires_at=row[1],
            email=row[2],
            name=row[3],
            password_hash=row[4],
        )

    @change
    def reset_password(self, act: Act, digest: str, password_hash: str, letter: Errand | None = None) -> Steps[bool]:
        """Uses a link for a new password; every session and every other link of the person ends. False: used before."""
        taken = yield from first(_TAKE_LINK, digest, LinkPurpose.PASSWORD_RESET.value, self.now())
        if taken is None:
            return False
        if (yield from first(_SET_PASSWORD, act.object_id, password_hash)) is None:
            return False
        yield from rows(_DROP_LINKS_OF, taken[0])
        yield from rows(_DROP_EMAIL_CHANGE, act.object_id)
        yield from rows(_END_SESSIONS, act.object_id)
        yield from keep_letter(letter)
        yield from record(self, act)
        return True

    # ---- sessions -----------------------------------------------------------------------------------------------

    @change
    def open_session(
        self,
        act: Act,
        session: Session,
        digest: str,
        *,
        person: Person,
        password_hash: str | None,
        idle_s: int,
        old_digest: str | None,
    ) -> Steps[bool]:
        """Signs a browser in under a new token; the session it had before ends. False: who the person was when they
        proved it (`person`, `password_hash`) is not who they are now."""
        proven = (person.email, password_hash or NO_PASSWORD, int(person.second_factor))
        if (yield from first(_LOCK_PROVEN, session.person_id, *proven)) is None:
            return False
        if old_digest is not None:
            yield from rows(_END_SESSION, old_digest)
        yield from rows(_DROP_OLD_SESSIONS, session.person_id, self.now(), self.now() - idle_s)
        values = (session.created_at, session.expires_at, session.address, session.user_agent)
        yield from rows(_OPEN_SESSION, digest, session.id, session.person_id, *values)
        yield from record(self, act)
        return True

    @read
    def find_session(self, digest: str, idle_s: int) -> Steps[tuple[Session, Person] | None]:
        """A session that has neither ended nor been idle too long, and whose it is."""
        row = yield from first(_FIND_SESSION, digest, self.now(), self.now() - idle_s)
        return None if row is None else (_session_of(row), person_of(row[7:]))

    @change
    def see_session(self, digest: str) -> Steps[None]:
        """Notes that a session is in use."""
        yield from rows(_SEEN, digest, self.now())

    @read
    def list_sessions(self, person_id: str, idle_s: int) -> Steps[tuple[Session, ...]]:
        """Where a person is signed in, oldest first."""
        found = yield from rows(_LIST_SESSIONS, person_id, self.now(), self.now() - idle_s)
        return tuple(_session_of(row) for row in found)

    @change
    def end_session(self, act: Act, person_id: str) -> Steps[bool]:
        """Signs out one session of a person, by its id; False if there is none."""
        if (yield from first(_END_SESSION_BY_ID, person_id, act.object_id)) is None:
            return False
        yield from record(self, act)
        return True

    # ---- tries --------------------------------------------------------------------------------------------------

    @change
    def count_tries(self, buckets: tuple[str, ...], window_s: int) -> Steps[tuple[int, ...]]:
        """Counts one more try in each bucket's current window; how many there are now, this one among them."""
        now = self.now()
        window_at = now - now % window_s
        yield from rows(_DROP_OLD_TRIES, now - ATTEMPTS_KEPT_S)
        counts = []
        for bucket in sorted(buckets):
            row = yield from first(_TRY, bucket, window_at)
            assert row is not None
            counts.append((bucket, int(row[0])))
        by_bucket = dict(counts)
        return tuple(by_bucket[bucket] for bucket in buckets)


def check_session(actor: Actor) -> Steps[None]:
    """For a change that nobody may make whose session was ended since they asked for it: a thief's, by a new password.

    After the person was locked. Raises [not_signed_in].
    """
    if actor.session_id is not None and (yield from first(_SESSION_GOES_ON, actor.session_id)) is None:
        raise TesseraError(ErrorCode.NOT_SIGNED_IN, "Your session was ended meanwhile. Sign in again.")


def _nobody() -> TesseraError:
    return TesseraError(ErrorCode.NOT_FOUND, "There is no such person.")
