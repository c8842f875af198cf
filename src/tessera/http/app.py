"""The HTTP application: one route table, one order of steps, one place where errors become replies."""

import asyncio
import re
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence, Set
from functools import lru_cache
from typing import Any

from starlette.routing import Route as StarletteRoute
from starlette.routing import Router
from starlette.types import ASGIApp, Receive, Scope, Send

from tessera.domain.auth import Caller
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Actor
from tessera.flows.money.treasury import Treasury
from tessera.flows.people.accounts import Accounts
from tessera.flows.serving import stopped
from tessera.flows.world import World
from tessera.http import metrics, operations
from tessera.http.account.doors import call_door, door_of
from tessera.http.errors import reply_error
from tessera.http.exchange import ClientGoneError, Exchange, HeadAnsweredError
from tessera.http.load import Load
from tessera.http.openapi import describe
from tessera.http.origins import allow_origins
from tessera.http.route import Door, Handler, Route
from tessera.http.routes import ROUTES
from tessera.log import get_logger

log = get_logger(__name__)

_PLAIN_HOST = re.compile(rb"(?:[A-Za-z0-9_](?:[A-Za-z0-9._-]*[A-Za-z0-9])?\.?|\[[0-9A-Fa-f:.]+\])(?::[0-9]{1,5})?")

_HOST_BYTES_MAX = 300
"""A name has at most 253 characters (RFC 1035), a port five."""


class Endpoint:
    """One path as a bare ASGI application: authenticate, handle, turn what goes wrong into an error reply."""

    def __init__(
        self,
        world: World,
        load: Load,
        routes: Sequence[Route],
        accounts: Accounts | None = None,
        treasury: Treasury | None = None,
    ) -> None:
        self._world = world
        self._load = load
        self._path = routes[0].path
        self._surface = routes[0].surface
        self._entries = {route.method: _entry(world, accounts, treasury, route) for route in routes}
        # HEAD is GET without the body (RFC 9110, 9.3.2). A redirect is for browsers, and following one signs in.
        if any(route.method == "GET" and not route.redirects for route in routes):
            self._entries["HEAD"] = self._entries["GET"]

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        load = self._load
        exchange = Exchange(scope, receive, send, self._world.make_id("req"), load)
        started_ns = time.perf_counter_ns()
        outcome = "ok"
        try:
            load.enter()
        except TesseraError as error:
            await self._answer(exchange, error)
            metrics.observe_request(self._path, error.code, time.perf_counter_ns() - started_ns)
            return
        try:
            entry = self._entries.get(scope["method"])
            if entry is None:
                exchange.add_header(b"allow", ", ".join(self._entries))
                methods = " or ".join(method for method in self._entries if method != "HEAD")
                taken = f"{scope['path'][:128]} takes {methods}."
                raise TesseraError(ErrorCode.METHOD_NOT_ALLOWED, taken)
            subject, enter, handler = entry
            await handler(subject, await enter(subject, exchange), exchange)
        except HeadAnsweredError:
            await exchange.end()
        except ClientGoneError:
            outcome = "client_gone"
        except asyncio.CancelledError:
            if not self._world.stopping:
                raise
            outcome = "stopped"
            await self._answer(exchange, stopped())
        except TesseraError as error:
            outcome = error.code
            await self._answer(exchange, error)
        except Exception:
            outcome = ErrorCode.INTERNAL_ERROR
            log.exception("http.internal_error", request_id=exchange.request_id, path=self._path)
            await self._answer(exchange, _internal())
        finally:
            load.leave(exchange.body_bytes)
            metrics.observe_request(self._path, outcome, time.perf_counter_ns() - started_ns)

    async def _answer(self, exchange: Exchange, error: TesseraError) -> None:
        if not exchange.started:
            await reply_error(exchange, error, self._surface)
            return
        # The head is out and says 200: cutting the connection is the only honest way left to say that it failed.
        log.error("http.error_after_head", request_id=exchange.request_id, code=error.code, path=self._path)
        raise error


def _entry(
    world: World, accounts: Accounts | None, treasury: Treasury | None, route: Route
) -> tuple[Any, Callable[[Any, Exchange], Awaitable[Any]], Handler]:
    """What a route's handler works on, who is let in, and the handler."""
    if route.money:
        assert treasury is not None
        return treasury, _money_door(world, accounts, route), route.handler
    if route.door is Door.KEY:
        return world, call_door(accounts), route.handler
    assert accounts is not None
    return accounts, door_of(world, route), route.handler


def _money_door(
    world: World, accounts: Accounts | None, route: Route
) -> Callable[[Treasury, Exchange], Awaitable[Caller | Actor | None]]:
    """Who is let in to a route of money, which works on the treasury."""
    if route.door is Door.SIGNED:
        return _nobody
    if route.door is Door.KEY:
        enter_call = call_door(accounts)
        return lambda _, exchange: enter_call(world, exchange)
    assert accounts is not None
    known, enter = accounts, door_of(world, route)
    return lambda _, exchange: enter(known, exchange)


async def _nobody(_treasury: Treasury, _exchange: Exchange) -> None:
    """Lets everybody in: the signature on what they bring is checked with it."""


def _is_served(route: Route, accounts: Accounts | None, treasury: Treasury | None) -> bool:
    """Whether a route is there: people's with accounts, money's with a treasury, a webhook's with a secret (T1)."""
    if route.money and treasury is None:
        return False
    if route.door is Door.SIGNED:
        return treasury is not None and treasury.hears_webhooks
    return accounts is not None or route.door is Door.KEY


def build_app(
    world: World,
    load: Load,
    *,
    accounts: Accounts | None = None,
    treasury: Treasury | None = None,
    cors_origins: Sequence[str] = (),
    metrics_token: str | None = None,
) -> ASGIApp:
    """The whole HTTP application on a world of ports; `load` bounds what it takes in hand. Without `accounts` it has
    the routes of API keys only, without a `treasury` none of money in and out.

    Order: sane Host, then CORS where the operator allows origins, then the route; each route authenticates by itself.
    """
    routes = [route for route in ROUTES if _is_served(route, accounts, treasury)]
    by_path: dict[str, list[Route]] = {}
    for route in routes:
        by_path.setdefault(route.path, []).append(route)
    endpoints = {path: Endpoint(world, load, same_path, accounts, treasury) for path, same_path in by_path.items()}
    app: ASGIApp = Router(
        [StarletteRoute(path, endpoint) for path, endpoint in endpoints.items()]
        + operations.routes(world, lambda: describe(routes), metrics_token),
        redirect_slashes=False,
        default=_nothing_here(world.make_id, frozenset(by_path)),
    )
    if cors_origins:
        app = allow_origins(app, cors_origins)
    else:
        # Paths without parameters need no search; with CORS the middleware must see every request.
        app = _direct({path: endpoint for path, endpoint in endpoints.items() if "{" not in path}, app)
    return _sane_host(app, world.make_id)


def _direct(endpoints: Mapping[str, ASGIApp], others: ASGIApp) -> ASGIApp:
    """Sends requests for exactly these paths straight to their endpoints, and all others on."""

    def dispatch(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        return endpoints.get(scope["path"], others)(scope, receive, send)

    return dispatch


def _sane_host(app: ASGIApp, make_id: Callable[[str], str]) -> ASGIApp:
    """Refuses a Host header that is not a plain host, before any route sees the request (security-tests T17).

    No coroutine of its own: each is passed through again whenever a call waits.
    """

    def checked(scope: Scope, receive: Receive, send: Send) -> Awaitable[None]:
        if scope["type"] == "http":
            hosts = [value for name, value in scope["headers"] if name == b"host"]
            # One Host, and none only before HTTP/1.1 (RFC 9112, 3.2).
            missing = not hosts and scope["http_version"] != "1.0"
            if missing or len(hosts) > 1 or (hosts and not _is_plain_host(hosts[0])):
                error = TesseraError(ErrorCode.INVALID_REQUEST, "The Host header is not one plain host name.")
                return reply_error(Exchange(scope, receive, send, make_id("req")), error)
        return app(scope, receive, send)

    return checked


def _is_plain_host(host: bytes) -> bool:
    return len(host) <= _HOST_BYTES_MAX and _has_plain_form(host)


@lru_cache(maxsize=1024)
def _has_plain_form(host: bytes) -> bool:
    return _PLAIN_HOST.fullmatch(host) is not None


def _nothing_here(make_id: Callable[[str], str], paths: Set[str]) -> ASGIApp:
    """Answers for every path that is none of `paths`; one that is nearly one of them is told so."""

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return
        path = scope["path"]
        near = _near(path, paths)
        hint = f" Did you mean {near}?" if near else ""
        error = TesseraError(ErrorCode.NOT_FOUND, f"There is nothing at {scope['method']} {path[:128]}.{hint}")
        await reply_error(Exchange(scope, receive, send, make_id("req")), error)

    return answer


def _near(path: str, paths: Set[str]) -> str | None:
    """The path that was meant where only slashes or the /v1 of the base URL are wrong."""
    tidy = "/" + "/".join(part for part in path.split("/") if part)
    return next((one for one in (tidy, f"/v1{tidy}", tidy.removeprefix("/v1")) if one in paths), None)


def _internal() -> TesseraError:
    return TesseraError(
        ErrorCode.INTERNAL_ERROR,
        "Something went wrong on our side; the request id names it in the operator's log. Nothing was charged twice.",
        should_retry=False,
    )
