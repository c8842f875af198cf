"""Who calls a route for people: each door turns a request into an `Actor`, or refuses it."""

from collections.abc import Awaitable, Callable

from tessera.domain.auth import Caller
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Actor, ActorKind
from tessera.domain.people.roles import require
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.admin_keys import admin_actor, find_admin_key
from tessera.flows.people.organizations import member_actor, person_actor
from tessera.flows.people.sessions import find_session
from tessera.flows.world import World
from tessera.http.account.cookies import browser_of, check_csrf_token, check_origin
from tessera.http.authentication import authenticate, presented_key
from tessera.http.exchange import Exchange
from tessera.http.route import Door, Route

Enter = Callable[[Accounts, Exchange], Awaitable[Actor]]

_HEADERS = ((b"cache-control", "no-store"), (b"x-content-type-options", "nosniff"))


def door_of(world: World, route: Route) -> Enter:
    """What lets callers into a route. Raises what the door and the route's right demand, and [invalid_request] for a
    query where the route takes none: what it asks for would not be done."""
    doors: dict[Door, Enter] = {
        Door.OPEN: _anybody,
        Door.PERSON: _person,
        Door.MEMBER: _member,
        Door.OPERATOR: _operator,
        Door.ADMIN: lambda accounts, exchange: _admin(world, accounts, exchange),
    }
    enter = doors[route.door]

    async def entered(accounts: Accounts, exchange: Exchange) -> Actor:
        for name, value in _HEADERS:
            exchange.add_header(name, value)
        actor = await enter(accounts, exchange)
        if route.right is not None:
            require(actor.rights, route.right)
        if not route.query:
            exchange.query(())
        return actor

    return entered


def call_door(accounts: Accounts | None) -> Callable[[World, Exchange], Awaitable[Caller]]:
    """What lets keys for calls in. An admin key that works is known here and may make no call; one that does not is
    as unknown as any other, after one look into the database like any other."""
    if accounts is None:
        return authenticate
    known = accounts

    async def entered(world: World, exchange: Exchange) -> Caller:
        try:
            return await authenticate(world, exchange)
        except TesseraError as error:
            if error.code is not ErrorCode.INVALID_API_KEY:
                raise
            if await find_admin_key(known, presented_key(exchange)) is None:
                raise
        raise TesseraError(
            ErrorCode.PERMISSION_DENIED,
            "This is an admin key, which makes no calls. Make a key for calls with it, and use that one here.",
        )

    return entered


async def _anybody(accounts: Accounts, exchange: Exchange) -> Actor:
    check_origin(accounts, exchange, by_cookie=False)
    return Actor(kind=ActorKind.NOBODY, id="", address=browser_of(accounts, exchange).address)


async def _person(accounts: Accounts, exchange: Exchange) -> Actor:
    browser = browser_of(accounts, exchange)
    session, person = await find_session(accounts, browser.session_token)
    check_origin(accounts, exchange, by_cookie=True)
    check_csrf_token(accounts, exchange, browser.session_token or "")
    return person_actor(person, session.id, browser.address)


async def _member(accounts: Accounts, exchange: Exchange) -> Actor:
    actor = await _person(accounts, exchange)
    return await member_actor(accounts, actor, exchange.path_params["organization"])


async def _operator(accounts: Accounts, exchange: Exchange) -> Actor:
    actor = await _person(accounts, exchange)
    if not actor.is_operator:
        raise TesseraError(ErrorCode.PERMISSION_DENIED, "Only operators of this installation may do this.")
    return actor


async def _admin(world: World, accounts: Accounts, exchange: Exchange) -> Actor:
    """An admin key's organization. A key for calls is known here and may do nothing."""
    presented = presented_key(exchange)
    actor = await admin_actor(accounts, presented, browser_of(accounts, exchange).address)
    if actor is None:
        await authenticate(world, exchange)
        raise TesseraError(
            ErrorCode.PERMISSION_DENIED,
            "This is a key for calls. Administration needs an admin key, made by an owner or admin.",
        )
    return actor
