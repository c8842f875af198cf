"""Signing in at an identity provider: the browser goes there, comes back with a code, and is signed in.

Nothing is stored when a sign-in begins, so strangers cannot fill a table. The browser keeps a random value in a cookie;
`state`, `nonce` and PKCE's verifier are derived from it under the operator's pepper, on any replica. Nobody can have
another browser finish a sign-in that it did not begin, and none is finished twice.
"""

import hmac

import msgspec

from tessera.domain.deliveries import LetterKind
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.identities import Identity, name_of, no_verified_email
from tessera.domain.people.records import Act, Actor, ActorKind, Link, LinkPurpose, Person, Standing
from tessera.flows.alerts.delivering import run_errand
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.letters import make_token, new_letter
from tessera.flows.people.second_factor import check_code
from tessera.flows.people.sessions import Browser, SignedIn, open_session
from tessera.flows.people.tries import count_try
from tessera.log import get_logger
from tessera.ports.identities import IdentityProvider, ProviderSignIn

log = get_logger(__name__)

CODE_LENGTH_MAX = 4_096


class Begun(msgspec.Struct, frozen=True, kw_only=True):
    """A sign-in that begins: where the browser goes, and what it keeps meanwhile, for `seconds`."""

    url: str
    kept: str
    seconds: int

    def __repr__(self) -> str:
        return "Begun()"


class CameBack(msgspec.Struct, frozen=True, kw_only=True):
    """What a browser brings back from a provider: `code` or `error`; `issuer` where the provider says it (RFC 9207)."""

    state: str
    code: str | None = None
    error: str | None = None
    issuer: str | None = None

    def __repr__(self) -> str:
        return "CameBack()"


async def begin(accounts: Accounts, name: str) -> Begun:
    """Where to sign in. Raises [not_found] for a provider that is not configured, [provider_error]."""
    provider = _provider(accounts, name)
    kept = f"{accounts.now()}.{make_token(accounts)}"
    url = await provider.authorization_url(_sign_in(accounts, name, kept))
    return Begun(url=url, kept=kept, seconds=accounts.limits.provider_sign_in_s)


async def finish(
    accounts: Accounts, name: str, kept: str | None, came_back: CameBack, browser: Browser
) -> SignedIn | None:
    """Signs the browser in as whom the provider names; None where `finish_with_code` is to follow.

    Somebody new gets an account where sign-up is open, or with an open invitation. Raises [not_found, invalid_request]
    for a sign-in that this browser did not begin or that came back before, [sign_in_failed, permission_denied,
    rate_limit_exceeded, provider_error].
    """
    provider = _provider(accounts, name)
    sign_in = _sign_in(accounts, name, kept or "")
    expires_at = _expires_at(accounts, kept)
    if (
        not hmac.compare_digest(sign_in.state.encode(), came_back.state.encode("utf-8", "replace"))
        or expires_at is None
    ):
        raise _not_begun()
    assert kept is not None
    digest = accounts.digest_of("provider-sign-in", kept)
    await count_try(accounts, "provider", digest, browser.address)
    if not await accounts.people.use_provider_sign_in(digest, expires_at):
        raise _not_begun()
    if came_back.error is not None or not came_back.code or len(came_back.code) > CODE_LENGTH_MAX:
        log.warning("oidc.not_signed_in", provider=name, error=_one_word(came_back.error or "no_code"))
        raise TesseraError(ErrorCode.SIGN_IN_FAILED, f"You were not signed in at {name}. Start again.")
    identity = await provider.identify(sign_in, came_back.code, came_back.issuer)
    standing = await _standing_of(accounts, identity)
    if standing is None:
        return await open_session(accounts, await _become(accounts, identity, browser), None, browser)
    if standing.person.second_factor:
        await accounts.people.wait_for_code(digest, standing.person.id, identity)
        return None
    return await _sign_in_as(accounts, standing, identity, browser)


async def finish_with_code(accounts: Accounts, kept: str | None, code: str, browser: Browser) -> SignedIn:
    """Signs in whom a provider vouched for, with their second factor.

    Raises [invalid_request] when nobody is waited for in this browser, [second_factor_required, rate_limit_exceeded].
    """
    if _expires_at(accounts, kept) is None:
        raise _not_begun()
    digest = accounts.digest_of("provider-sign-in", kept or "")
    found = await accounts.people.find_waiting(digest)
    if found is None:
        raise _not_begun()
    standing, identity = found
    await check_code(accounts, standing, code, browser.address)
    if not await accounts.people.end_waiting(digest):
        raise _not_begun()
    return await _sign_in_as(accounts, standing, identity, browser)


async def _standing_of(accounts: Accounts, identity: Identity) -> Standing | None:
    """Whose identity it is, or else who has the address that the provider vouches for. Raises [permission_denied]."""
    known = await accounts.people.find_by_identity(identity)
    if known is not None:
        return known
    if identity.email is None:
        raise no_verified_email()
    return await accounts.people.find_standing(identity.email)


async def _sign_in_as(accounts: Accounts, standing: Standing, identity: Identity, browser: Browser) -> SignedIn:
    """A session; the identity is the person's from now on. Raises [permission_denied] where they have another one."""
    person = standing.person
    act = Act(actor=_actor(person, browser), action="identity.added", object_id=person.id)
    letter, _ = new_letter(accounts, LetterKind.IDENTITY, person.email, identity.issuer)
    if await accounts.people.link_identity(act, identity, person.email, letter):
        accounts.spawn(run_errand(accounts, letter))
    return await open_session(accounts, person, standing.password_hash, browser)


async def _become(accounts: Accounts, identity: Identity, browser: Browser) -> Person:
    if accounts.sign_up == "closed":
        raise TesseraError(ErrorCode.PERMISSION_DENIED, "Sign-up is closed here.")
    act = Act(
        actor=Actor(kind=ActorKind.PERSON, id="", address=browser.address), action="person.signed_up", object_id=""
    )
    link = Link(purpose=LinkPurpose.SIGN_UP, email=identity.email, name=name_of(identity), expires_at=accounts.now())
    by_invitation = accounts.sign_up == "invite"
    person = await accounts.people.become_person_by_identity(act, link, identity, by_invitation=by_invitation)
    if person is None:
        raise TesseraError(
            ErrorCode.PERMISSION_DENIED, "Sign-up is not open here. Ask a member of an organization to invite you."
        )
    return person


def _provider(accounts: Accounts, name: str) -> IdentityProvider:
    provider = accounts.identity_providers.get(name)
    if provider is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"No identity provider {name[:64]!r} is configured here.")
    return provider


def _sign_in(accounts: Accounts, name: str, kept: str) -> ProviderSignIn:
    """All of a sign-in that its browser's value stands for; another provider's is another sign-in."""
    return ProviderSignIn(
        redirect_uri=f"{accounts.base_url}/account/oidc/{name}/callback",
        state=accounts.digest_of("oidc-state", f"{name}:{kept}"),
        nonce=accounts.digest_of("oidc-nonce", f"{name}:{kept}"),
        verifier=accounts.digest_of("oidc-verifier", f"{name}:{kept}"),
    )


def _expires_at(accounts: Accounts, kept: str | None) -> int | None:
    """When a sign-in ends, by the value its browser kept; None for one that has ended or is no value of ours."""
    began_at, _, secret = (kept or "").partition(".")
    if not secret or not began_at.isascii() or not began_at.isdecimal() or len(began_at) > 15:
        return None
    expires_at = int(began_at) + accounts.limits.provider_sign_in_s
    return expires_at if expires_at > accounts.now() else None


def _actor(person: Person, browser: Browser) -> Actor:
    return Actor(kind=ActorKind.PERSON, id=person.id, person_id=person.id, address=browser.address)


def _one_word(error: str) -> str:
    """An error of OAuth's for the log, which nothing a browser brings can add a line to."""
    return error[:64] if error.replace("_", "").isalnum() and error.isascii() else "unknown"


def _not_begun() -> TesseraError:
    return TesseraError(
        ErrorCode.INVALID_REQUEST,
        "This sign-in was not begun in this browser, has expired or was used. Start again.",
        param="state",
    )
