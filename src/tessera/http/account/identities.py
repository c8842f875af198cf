"""/account/oidc and /account/identities: signing in at identity providers, by redirects of a browser."""

from typing import Any
from urllib.parse import parse_qsl

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Actor
from tessera.flows.people import identities, provider_sign_in
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.provider_sign_in import CameBack
from tessera.http.account import bodies
from tessera.http.account.bodies import read_fields
from tessera.http.account.cookies import browser_of, clear_sign_in, set_session, set_sign_in, sign_in_of
from tessera.http.account.own import reply_signed_in
from tessera.http.exchange import Exchange

CAME_BACK: dict[str, dict[str, Any]] = {name: {"type": "string"} for name in ("state", "code", "error", "iss")}
"""What a provider sends back with a browser; anything else it adds is not looked at (RFC 6749, 4.1.2)."""

SIGNED_IN_PATH, SECOND_FACTOR_PATH = "/", "/sign-in/second-factor"


async def list_providers(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Lists the identity providers where people can sign in."""
    await exchange.reply_json(200, identities.list_providers(accounts))


async def begin(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Sends the browser to an identity provider to sign in there."""
    begun = await provider_sign_in.begin(accounts, exchange.path_params["provider"])
    set_sign_in(accounts, exchange, begun.kept, begun.seconds)
    await exchange.redirect(begun.url)


async def finish(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Signs in the browser that comes back from an identity provider, and sends it on.

    A sign-in by GET, as the protocol has it: `state`, bound to the browser's cookie and used once, is the token that
    changes by cookie carry elsewhere.
    """
    name, kept, browser = (
        exchange.path_params["provider"],
        sign_in_of(accounts, exchange),
        browser_of(accounts, exchange),
    )
    signed_in = await provider_sign_in.finish(accounts, name, kept, _came_back(exchange), browser)
    if signed_in is None:
        await exchange.redirect(accounts.base_url + SECOND_FACTOR_PATH)
        return
    clear_sign_in(accounts, exchange)
    set_session(accounts, exchange, signed_in)
    await exchange.redirect(accounts.base_url + SIGNED_IN_PATH)


async def finish_with_code(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Signs in whom an identity provider vouched for in this browser, with a code of the second factor."""
    fields = await read_fields(exchange, bodies.Code)
    kept, browser = sign_in_of(accounts, exchange), browser_of(accounts, exchange)
    done = await provider_sign_in.finish_with_code(accounts, kept, fields.code, browser)
    clear_sign_in(accounts, exchange)
    await reply_signed_in(accounts, exchange, done)


async def list_identities(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Lists who the person is at identity providers."""
    await exchange.reply_json(200, await identities.list_identities(accounts, actor))


async def remove_identity(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Removes one identity: it signs nobody in any more."""
    await identities.remove_identity(accounts, actor, exchange.path_params["identity"])
    await exchange.reply_json(200, {"object": "done", "message": "Done."})


def _came_back(exchange: Exchange) -> CameBack:
    """What the provider sent. Raises [invalid_request] for a parameter given twice (RFC 6749, 3.1)."""
    try:
        pairs = parse_qsl(exchange.scope["query_string"].decode("ascii"), keep_blank_values=True)
    except ValueError as error:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "The query string cannot be read.") from error
    found: dict[str, str] = {}
    for name, value in pairs:
        if name in CAME_BACK:
            if name in found:
                raise TesseraError(
                    ErrorCode.INVALID_REQUEST, f"The query parameter {name!r} was given twice.", param=name
                )
            found[name] = value
    return CameBack(
        state=found.get("state", ""), code=found.get("code"), error=found.get("error"), issuer=found.get("iss")
    )
