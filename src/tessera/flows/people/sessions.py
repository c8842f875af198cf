"""Sessions: opaque tokens of 256 bits, known to the database by their digest, new at every sign-in."""

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor, ActorKind, Person, Session
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.letters import make_token

SEEN_EVERY_S = 60
"""How exactly a session's last use is known: writing on every request would cost a commit each time."""

USER_AGENT_LENGTH_MAX = 200


class Browser(msgspec.Struct, frozen=True, kw_only=True):
    """Where a request comes from; `session_token` is what its cookie holds, if anything."""

    address: str
    user_agent: str = ""
    session_token: str | None = None


class SignedIn(msgspec.Struct, frozen=True, kw_only=True):
    """A person with a session. `token` is for the cookie and shown nowhere else."""

    person: Person
    session: Session
    token: str

    def __repr__(self) -> str:
        return f"SignedIn({self.person.id})"


async def open_session(accounts: Accounts, person: Person, password_hash: str | None, browser: Browser) -> SignedIn:
    """A new session under a new token; the one the browser had ends (no session is ever carried over a sign-in).

    `person` and `password_hash` are as they were when the person proved who they are. Raises [sign_in_failed] when
    address, password or second factor were changed since.
    """
    token = make_token(accounts)
    now = accounts.now()
    session = Session(
        id=accounts.make_id("session"),
        person_id=person.id,
        created_at=now,
        seen_at=now,
        expires_at=now + accounts.limits.session_s,
        address=browser.address,
        user_agent=_one_line(browser.user_agent)[:USER_AGENT_LENGTH_MAX],
    )
    actor = Actor(kind=ActorKind.PERSON, id=person.id, person_id=person.id, address=browser.address)
    opened = await accounts.people.open_session(
        Act(actor=actor, action="person.signed_in", object_id=session.id),
        session,
        accounts.digest_of("session", token),
        person=person,
        password_hash=password_hash,
        idle_s=accounts.limits.session_idle_s,
        old_digest=None if browser.session_token is None else accounts.digest_of("session", browser.session_token),
    )
    if not opened:
        raise TesseraError(
            ErrorCode.SIGN_IN_FAILED,
            "The password, the second factor or the address of this account was changed meanwhile. Sign in again.",
        )
    return SignedIn(person=person, session=session, token=token)


async def find_session(accounts: Accounts, token: str | None) -> tuple[Session, Person]:
    """Whose session a token is. Read from the database each time, so that a session that was ended is refused at once.

    Raises [not_signed_in], the same for no, unknown, ended and expired sessions.
    """
    found = None
    if token:
        digest = accounts.digest_of("session", token)
        found = await accounts.people.find_session(digest, accounts.limits.session_idle_s)
        if found is not None and found[0].seen_at <= accounts.now() - SEEN_EVERY_S:
            await accounts.people.see_session(digest)
    if found is None:
        raise TesseraError(ErrorCode.NOT_SIGNED_IN, "You are not signed in, or your session has ended. Sign in again.")
    return found


async def list_sessions(accounts: Accounts, actor: Actor) -> tuple[Session, ...]:
    """Where the person is signed in."""
    assert actor.person_id is not None
    return await accounts.people.list_sessions(actor.person_id, accounts.limits.session_idle_s)


async def end_session(accounts: Accounts, actor: Actor, session_id: str) -> None:
    """Signs out one of the person's own sessions. Raises [not_found]."""
    assert actor.person_id is not None
    act = Act(actor=actor, action="person.signed_out", object_id=session_id)
    if not await accounts.people.end_session(act, actor.person_id):
        raise TesseraError(ErrorCode.NOT_FOUND, f"You have no session {session_id[:64]!r}.")


def _one_line(text: str) -> str:
    return "".join(character for character in text if character.isprintable())
