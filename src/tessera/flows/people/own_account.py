"""What people do to their own accounts: name, password, a copy of everything, the end."""

from typing import Any

from tessera.domain.deliveries import LetterKind
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import INSTANCE, Act, Actor, ActorKind, Link, LinkPurpose, Person
from tessera.domain.people.rules import check_password, normal_email, normal_name
from tessera.flows.alerts.delivering import run_errand
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.letters import new_letter
from tessera.flows.people.second_factor import check_code, standing_of
from tessera.flows.people.sessions import Browser, SignedIn, open_session
from tessera.flows.people.tries import count_letter, count_try


async def rename(accounts: Accounts, actor: Actor, name: str) -> Person:
    """Gives the person another name. Raises [invalid_request]."""
    name = normal_name(name)
    act = Act(actor=actor, action="person.renamed", object_id=actor.id, details={"name": name})
    return await accounts.people.rename_person(act, name)


async def step_up(accounts: Accounts, actor: Actor, password: str) -> Person:
    """Asks who is signed in for the password again, before what cannot be undone. Raises [sign_in_failed,
    rate_limit_exceeded, overloaded]."""
    standing = await standing_of(accounts, actor)
    if standing.password_hash is None:
        raise TesseraError(
            ErrorCode.SIGN_IN_FAILED,
            "You have no password, and this needs one. Choose one by a letter first: POST /account/password/forget.",
            param="password",
        )
    await count_try(accounts, "password", standing.person.email, actor.address)
    if not await accounts.passwords.matches(password, standing.password_hash):
        raise TesseraError(ErrorCode.SIGN_IN_FAILED, "The password is wrong.", param="password")
    return standing.person


async def change_password(accounts: Accounts, actor: Actor, old: str, new: str, browser: Browser) -> SignedIn:
    """A new password. Every other session ends, and this one goes on under a new token.

    Raises [sign_in_failed, invalid_request, not_signed_in, rate_limit_exceeded, overloaded].
    """
    person = await step_up(accounts, actor, old)
    check_password(new, person.email, param="new_password")
    act = Act(actor=actor, action="password.changed", object_id=person.id)
    letter, _ = new_letter(accounts, LetterKind.CHANGED, person.email)
    password_hash = await accounts.passwords.hash(new)
    await accounts.people.set_password(act, password_hash, actor.session_id or "", letter)
    accounts.spawn(run_errand(accounts, letter))
    return await open_session(accounts, person, password_hash, browser)


async def set_operator(accounts: Accounts, actor: Actor, email: str, is_operator: bool) -> Person:
    """Makes a person an operator, or one no more, from the command line. Raises [not_found, invalid_request]."""
    standing = await accounts.people.find_standing(normal_email(email))
    if standing is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"Nobody has signed up as {email!r}.")
    action = "operator.added" if is_operator else "operator.removed"
    act = Act(actor=actor, action=action, object_id=standing.person.id, scope=INSTANCE)
    return await accounts.people.set_operator(act, is_operator)


async def forget_password(accounts: Accounts, email: str, browser: Browser) -> None:
    """Sends a link to choose a new password, if the address has an account: neither the answer nor its time tells,
    because a letter is written either way.

    Raises [invalid_request, rate_limit_exceeded].
    """
    email = normal_email(email)
    await count_letter(accounts, email, browser.address)
    known = await accounts.people.find_standing(email) is not None
    letter, token = new_letter(accounts, LetterKind.RESET if known else LetterKind.NOBODY, email)
    if known:
        expires_at = accounts.now() + accounts.limits.reset_link_s
        link = Link(purpose=LinkPurpose.PASSWORD_RESET, email=email, expires_at=expires_at)
        await accounts.people.keep_link(accounts.digest_of("link", token), link, letter)
    else:
        await accounts.people.keep_letter(letter)
    accounts.spawn(run_errand(accounts, letter))


async def reset_password(accounts: Accounts, token: str, password: str, code: str | None, browser: Browser) -> None:
    """Uses a link for a new password; every session ends. A second factor is asked for here too.

    Raises [invalid_request, second_factor_required, rate_limit_exceeded, overloaded].
    """
    digest = accounts.digest_of("link", token)
    await count_try(accounts, "reset", digest, browser.address)
    link = await accounts.people.find_link(digest, LinkPurpose.PASSWORD_RESET)
    standing = None if link is None or link.email is None else await accounts.people.find_standing(link.email)
    if standing is None:
        raise _used()
    person = standing.person
    check_password(password, person.email)
    if person.second_factor:
        await check_code(accounts, standing, code, browser.address)
    actor = Actor(kind=ActorKind.PERSON, id=person.id, person_id=person.id, address=browser.address)
    act = Act(actor=actor, action="password.reset", object_id=person.id)
    letter, _ = new_letter(accounts, LetterKind.CHANGED, person.email)
    if not await accounts.people.reset_password(act, digest, await accounts.passwords.hash(password), letter):
        raise _used()
    accounts.spawn(run_errand(accounts, letter))


async def export(accounts: Accounts, actor: Actor) -> dict[str, Any]:
    """Everything that is kept about the person. Secrets are not: nobody has them."""
    standing = await standing_of(accounts, actor)
    person = standing.person
    kept = await accounts.people.export_person(person.id)
    return {
        "object": "person.export",
        "person": {name: getattr(person, name) for name in person.__struct_fields__},
        **kept,
    }


async def erase(accounts: Accounts, actor: Actor, password: str) -> None:
    """Erases the person for good, and organizations nobody else belongs to.

    Raises [sign_in_failed, invalid_request, rate_limit_exceeded, overloaded].
    """
    person = await step_up(accounts, actor, password)
    await accounts.people.erase_person(Act(actor=actor, action="person.erased", object_id=person.id))


def _used() -> TesseraError:
    return TesseraError(
        ErrorCode.INVALID_REQUEST,
        "This link was used, has expired or is not complete. Ask for a new one.",
        param="token",
    )
