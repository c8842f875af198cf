"""Signing up: by anybody, by invitation, and the first operator."""

from tessera.domain.deliveries import LetterKind
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor, ActorKind, Link, LinkPurpose, Person
from tessera.domain.people.rules import check_password, normal_email, normal_name
from tessera.flows.alerts.delivering import run_errand
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.letters import make_token, new_letter, operator_link
from tessera.flows.people.sessions import Browser, SignedIn, open_session
from tessera.flows.people.tries import count_letter, count_try

_USED = "This link was used, has expired or is not complete. Ask for a new one."


async def sign_up(accounts: Accounts, email: str, name: str, password: str, browser: Browser) -> None:
    """Sends a letter that confirms the address. The same answer, after the same time, whoever has an account: one
    letter is written, in one commit, either way.

    Raises [permission_denied] where sign-up is not open, [invalid_request, rate_limit_exceeded, overloaded].
    """
    if accounts.sign_up != "open":
        raise TesseraError(
            ErrorCode.PERMISSION_DENIED, "Sign-up is not open here. Ask a member of an organization to invite you."
        )
    email, name = normal_email(email), normal_name(name)
    check_password(password, email)
    await count_letter(accounts, email, browser.address)
    password_hash = await accounts.passwords.hash(password)
    known = await accounts.people.find_standing(email) is not None
    letter, token = new_letter(accounts, LetterKind.KNOWN if known else LetterKind.SIGN_UP, email)
    link = Link(
        purpose=LinkPurpose.SIGN_UP,
        email=email,
        name=name,
        password_hash=password_hash,
        expires_at=accounts.now() + accounts.limits.sign_up_link_s,
    )
    if known:
        await accounts.people.keep_letter(letter)
    else:
        await accounts.people.keep_link(accounts.digest_of("link", token), link, letter)
    accounts.spawn(run_errand(accounts, letter))


async def confirm_sign_up(accounts: Accounts, token: str, password: str, browser: Browser) -> SignedIn:
    """Makes the person and their organization, and signs them in.

    The password is asked again: somebody who signs up with a stranger's address cannot have that stranger open an
    account whose password they know. Raises [invalid_request, sign_in_failed, rate_limit_exceeded, overloaded].
    """
    digest = accounts.digest_of("link", token)
    link = await accounts.people.find_link(digest, LinkPurpose.SIGN_UP)
    await count_try(accounts, "confirm", digest, browser.address)
    if link is None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, _USED, param="token")
    if not await accounts.passwords.matches(password, link.password_hash):
        raise TesseraError(ErrorCode.SIGN_IN_FAILED, "This is not the password you chose when you signed up.")
    return await _become(accounts, digest, link, "person.signed_up", browser)


async def sign_up_invited(accounts: Accounts, token: str, name: str, password: str, browser: Browser) -> SignedIn:
    """Signs up whoever holds an invitation's link, which proves the mailbox, and makes them a member.

    Raises [permission_denied] where sign-up is closed, [invalid_request, rate_limit_exceeded, overloaded].
    """
    if accounts.sign_up == "closed":
        raise TesseraError(ErrorCode.PERMISSION_DENIED, "Sign-up is closed here.")
    name = normal_name(name)
    invited = accounts.digest_of("invitation", token)
    await count_try(accounts, "invitation", invited, browser.address)
    invitation = await accounts.people.find_open_invitation(invited)
    if invitation is None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, _USED, param="token")
    check_password(password, invitation.email)
    password_hash = await accounts.passwords.hash(password)
    # It was read before the password was hashed: whether it still stands is decided as it is taken.
    link = Link(
        purpose=LinkPurpose.SIGN_UP,
        email=invitation.email,
        name=name,
        password_hash=password_hash,
        expires_at=invitation.expires_at,
    )
    person = await accounts.people.become_invited(_signing_up("person.signed_up", browser), invited, link)
    return await _settle(accounts, person, link, browser)


async def make_operator_link(accounts: Accounts) -> str | None:
    """A one-time link for the first operator, in place of the one before; None once there is an operator."""
    if await accounts.people.has_operator():
        return None
    token = make_token(accounts)
    expires_at = accounts.now() + accounts.limits.operator_link_s
    link = Link(purpose=LinkPurpose.OPERATOR, expires_at=expires_at)
    await accounts.people.keep_link(accounts.digest_of("link", token), link)
    return operator_link(accounts, token)


async def become_operator(
    accounts: Accounts, token: str, email: str, name: str, password: str, browser: Browser
) -> SignedIn:
    """Uses the operator's link. Raises [invalid_request, rate_limit_exceeded, overloaded]."""
    email, name = normal_email(email), normal_name(name)
    check_password(password, email)
    digest = accounts.digest_of("link", token)
    await count_try(accounts, "operator", digest, browser.address)
    link = await accounts.people.find_link(digest, LinkPurpose.OPERATOR)
    if link is None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, _USED, param="token")
    link = Link(
        purpose=LinkPurpose.OPERATOR,
        email=email,
        name=name,
        password_hash=await accounts.passwords.hash(password),
        expires_at=link.expires_at,
    )
    return await _become(accounts, digest, link, "operator.signed_up", browser)


async def _become(accounts: Accounts, digest: str, link: Link, action: str, browser: Browser) -> SignedIn:
    person = await accounts.people.become_person(_signing_up(action, browser), digest, link)
    return await _settle(accounts, person, link, browser)


def _signing_up(action: str, browser: Browser) -> Act:
    return Act(actor=Actor(kind=ActorKind.PERSON, id="", address=browser.address), action=action, object_id="")


async def _settle(accounts: Accounts, person: Person | None, link: Link, browser: Browser) -> SignedIn:
    if person is None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, _USED, param="token")
    return await open_session(accounts, person, link.password_hash, browser)
