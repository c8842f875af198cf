"""/account: signing up, in and out, and what people do to their own accounts."""

from tessera.domain.people.records import Actor, Person, Session
from tessera.flows.people import new_email, organizations, own_account, second_factor, sessions, signing_in, signing_up
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.sessions import SignedIn
from tessera.flows.receipts import list_object
from tessera.http.account import bodies
from tessera.http.account.bodies import read_fields
from tessera.http.account.cookies import browser_of, clear_session, set_session
from tessera.http.exchange import Exchange
from tessera.ports import Page

_CHECK_MAIL = {"object": "sent", "message": "If this can be done, a letter with a link is on its way."}
_DONE = {"object": "done", "message": "Done."}


async def sign_up(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Sends a letter that confirms an address; the same answer whoever has an account."""
    fields = await read_fields(exchange, bodies.SignUp)
    browser = browser_of(accounts, exchange)
    await signing_up.sign_up(accounts, fields.email, fields.name, fields.password, browser)
    await exchange.reply_json(200, _CHECK_MAIL)


async def confirm_sign_up(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Makes the account whose address was confirmed, with an organization of its own, and signs in."""
    fields = await read_fields(exchange, bodies.ConfirmSignUp)
    browser = browser_of(accounts, exchange)
    done = await signing_up.confirm_sign_up(accounts, fields.token, fields.password, browser)
    await reply_signed_in(accounts, exchange, done)


async def sign_up_invited(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Makes an account for whoever holds an invitation, joins the organization, and signs in."""
    fields = await read_fields(exchange, bodies.SignUpInvited)
    browser = browser_of(accounts, exchange)
    done = await signing_up.sign_up_invited(accounts, fields.token, fields.name, fields.password, browser)
    await reply_signed_in(accounts, exchange, done)


async def become_operator(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Makes the first operator's account, with the one-time token that the server prints, and signs in."""
    fields = await read_fields(exchange, bodies.BecomeOperator)
    browser = browser_of(accounts, exchange)
    done = await signing_up.become_operator(accounts, fields.token, fields.email, fields.name, fields.password, browser)
    await reply_signed_in(accounts, exchange, done)


async def sign_in(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Signs in; the session is in the cookie of the reply."""
    fields = await read_fields(exchange, bodies.SignIn)
    browser = browser_of(accounts, exchange)
    done = await signing_in.sign_in(accounts, fields.email, fields.password, fields.code, browser)
    await reply_signed_in(accounts, exchange, done)


async def sign_out(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Ends this session."""
    await sessions.end_session(accounts, actor, actor.session_id or "")
    clear_session(accounts, exchange)
    await exchange.reply_json(200, _DONE)


async def show_session(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows who is signed in, their organizations, and the token that changes must carry."""
    person = (await second_factor.standing_of(accounts, actor)).person
    token = browser_of(accounts, exchange).session_token or ""
    mine = await organizations.list_organizations(accounts, actor)
    await exchange.reply_json(200, _session(accounts, person, actor.session_id or "", token, mine["data"]))


async def list_sessions(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Lists where the person is signed in."""
    found = await sessions.list_sessions(accounts, actor)
    shown = [_session_object(one, actor.session_id) for one in found]
    await exchange.reply_json(200, list_object(shown, Page(limit=max(1, len(shown)))))


async def end_session(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Signs out one session of the person."""
    await sessions.end_session(accounts, actor, exchange.path_params["session"])
    await exchange.reply_json(200, _DONE)


async def forget_password(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Sends a link to choose a new password; the same answer whoever has an account."""
    fields = await read_fields(exchange, bodies.ForgetPassword)
    await own_account.forget_password(accounts, fields.email, browser_of(accounts, exchange))
    await exchange.reply_json(200, _CHECK_MAIL)


async def reset_password(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Uses a link for a new password; every session of the person ends."""
    fields = await read_fields(exchange, bodies.ResetPassword)
    browser = browser_of(accounts, exchange)
    await own_account.reset_password(accounts, fields.token, fields.password, fields.code, browser)
    await exchange.reply_json(200, _DONE)


async def change_password(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Changes the password; every other session ends, and this one gets a new cookie."""
    fields = await read_fields(exchange, bodies.ChangePassword)
    browser = browser_of(accounts, exchange)
    done = await own_account.change_password(accounts, actor, fields.password, fields.new_password, browser)
    await reply_signed_in(accounts, exchange, done)


async def ask_email(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Sends a letter that confirms a new e-mail address; the same answer whoever has it."""
    fields = await read_fields(exchange, bodies.ChangeEmail)
    await new_email.ask(accounts, actor, fields.email, fields.password, fields.code)
    await exchange.reply_json(200, _CHECK_MAIL)


async def confirm_email(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Changes the e-mail address; every other session ends, and this one gets a new cookie."""
    fields = await read_fields(exchange, bodies.TokenOnly)
    done = await new_email.confirm(accounts, actor, fields.token, browser_of(accounts, exchange))
    await reply_signed_in(accounts, exchange, done)


async def rename(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Changes the person's name."""
    fields = await read_fields(exchange, bodies.Name)
    await exchange.reply_json(200, _person(await own_account.rename(accounts, actor, fields.name)))


async def export(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows everything that is kept about the person."""
    await exchange.reply_json(200, await own_account.export(accounts, actor))


async def erase(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Erases the person for good, and organizations nobody else belongs to."""
    fields = await read_fields(exchange, bodies.Password)
    await own_account.erase(accounts, actor, fields.password)
    clear_session(accounts, exchange)
    await exchange.reply_json(200, _DONE)


async def start_second_factor(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Begins a second factor: its secret, which does nothing until it is confirmed."""
    fields = await read_fields(exchange, bodies.Password)
    await own_account.step_up(accounts, actor, fields.password)
    await exchange.reply_json(200, await second_factor.start(accounts, actor))


async def confirm_second_factor(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Turns the second factor on with a first code; shows the recovery codes this once."""
    fields = await read_fields(exchange, bodies.Code)
    await exchange.reply_json(200, await second_factor.confirm(accounts, actor, fields.code))


async def remove_second_factor(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Turns the second factor off, with a code."""
    fields = await read_fields(exchange, bodies.Code)
    await second_factor.remove(accounts, actor, fields.code)
    await exchange.reply_json(200, _DONE)


async def reply_signed_in(accounts: Accounts, exchange: Exchange, done: SignedIn) -> None:
    """Answers with the session that begins, and its cookie."""
    set_session(accounts, exchange, done)
    members = await accounts.people.memberships(done.person.id)
    mine = [organizations.organization_object(member) for member in members]
    await exchange.reply_json(200, _session(accounts, done.person, done.session.id, done.token, mine))


def _session(
    accounts: Accounts, person: Person, session_id: str, token: str, mine: list[dict[str, object]]
) -> dict[str, object]:
    return {
        "object": "session",
        "id": session_id,
        "person": _person(person),
        "organizations": mine,
        "csrf_token": accounts.csrf_token(token),
    }


def _person(person: Person) -> dict[str, object]:
    return {
        "object": "person",
        "id": person.id,
        "email": person.email,
        "name": person.name,
        "is_operator": person.is_operator,
        "second_factor": person.second_factor,
        "created_at": person.created_at,
    }


def _session_object(session: Session, current: str | None) -> dict[str, object]:
    return {
        "object": "session",
        "id": session.id,
        "created_at": session.created_at,
        "seen_at": session.seen_at,
        "expires_at": session.expires_at,
        "address": session.address,
        "user_agent": session.user_agent,
        "current": session.id == current,
    }
