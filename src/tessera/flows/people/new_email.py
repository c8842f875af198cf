"""Changing the e-mail address of an account: asked for with the password, done once the new mailbox is confirmed."""

from tessera.domain.deliveries import LetterKind
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor
from tessera.domain.people.rules import normal_email
from tessera.flows.alerts.delivering import run_errand
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.letters import new_letter
from tessera.flows.people.own_account import step_up
from tessera.flows.people.second_factor import check_code, standing_of
from tessera.flows.people.sessions import Browser, SignedIn, open_session
from tessera.flows.people.tries import count_letter, count_try


async def ask(accounts: Accounts, actor: Actor, email: str, password: str, code: str | None) -> None:
    """Sends a letter to the new address and a notice to the old one. The same answer whoever has the new address.

    What was asked before is off. Raises [sign_in_failed, second_factor_required] before anything is looked up,
    [invalid_request, rate_limit_exceeded, overloaded].
    """
    email = normal_email(email)
    person = await step_up(accounts, actor, password)
    if person.second_factor:
        await check_code(accounts, await standing_of(accounts, actor), code, actor.address)
    if email == person.email:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "This is your address already.", param="email")
    for mailbox in (email, person.email):
        await count_letter(accounts, mailbox, actor.address)
    # Of an address that has an account the token goes nowhere: what it stands for can never be used.
    taken = await accounts.people.find_standing(email) is not None
    new, token = new_letter(accounts, LetterKind.EMAIL_TAKEN if taken else LetterKind.NEW_EMAIL, email)
    notice, _ = new_letter(accounts, LetterKind.EMAIL_ASKED, person.email, email)
    act = Act(actor=actor, action="email.asked", object_id=person.id, details={"email": email})
    expires_at = accounts.now() + accounts.limits.email_link_s
    await accounts.people.ask_email_change(act, email, accounts.digest_of("link", token), expires_at, (new, notice))
    for letter in (new, notice):
        accounts.spawn(run_errand(accounts, letter))


async def confirm(accounts: Accounts, actor: Actor, token: str, browser: Browser) -> SignedIn:
    """Changes the address. Every other session ends, and this one goes on under a new token.

    Only who asked can confirm, signed in: otherwise the owner of a mailbox, sent a link by a stranger, would give their
    address to an account whose password the stranger knows. Raises [invalid_request, rate_limit_exceeded].
    """
    standing = await standing_of(accounts, actor)
    digest = accounts.digest_of("link", token)
    await count_try(accounts, "email", digest, actor.address)
    act = Act(actor=actor, action="email.changed", object_id=actor.id)
    letter, _ = new_letter(accounts, LetterKind.EMAIL_CHANGED, standing.person.email, actor.id)
    person = await accounts.people.change_email(act, digest, actor.session_id or "", letter)
    if person is None:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            "This link was used or replaced, has expired, or is for another account. Ask for a new one.",
            param="token",
        )
    accounts.spawn(run_errand(accounts, letter))
    return await open_session(accounts, person, standing.password_hash, browser)
