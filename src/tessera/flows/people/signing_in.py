"""Signing in: a password, and a second factor where the person has one."""

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Standing
from tessera.domain.people.rules import normal_email
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.second_factor import check_code
from tessera.flows.people.sessions import Browser, SignedIn, open_session
from tessera.flows.people.tries import count_try
from tessera.log import get_logger

log = get_logger(__name__)


async def sign_in(accounts: Accounts, email: str, password: str, code: str | None, browser: Browser) -> SignedIn:
    """Signs a browser in.

    Raises [sign_in_failed], after the same work for a wrong password and an unknown address; [second_factor_required]
    only once the password was right; [invalid_request, rate_limit_exceeded, overloaded].
    """
    email = normal_email(email)
    standing = await check_password_of(accounts, email, password, browser.address)
    if standing.person.second_factor:
        await check_code(accounts, standing, code, browser.address)
    return await open_session(accounts, standing.person, standing.password_hash, browser)


async def check_password_of(accounts: Accounts, email: str, password: str, address: str) -> Standing:
    """The person with this address and password. Raises [sign_in_failed, rate_limit_exceeded, overloaded]."""
    await count_try(accounts, "password", email, address)
    standing = await accounts.people.find_standing(email)
    right = await accounts.passwords.matches(password, None if standing is None else standing.password_hash)
    if standing is None or not right:
        log.warning("people.sign_in_failed", account=accounts.digest_of("try", email)[:16], address=address)
        raise TesseraError(ErrorCode.SIGN_IN_FAILED, "The e-mail address or the password is wrong.")
    return standing
