"""/healthz, /readyz, /metrics and /openapi.json: for operators and their machines; no API key."""

import asyncio
import hmac
import ipaddress
from collections.abc import Awaitable, Callable
from functools import cache

import msgspec
from starlette.routing import Route as StarletteRoute
from starlette.types import ASGIApp, Receive, Scope, Send

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.flows.world import World
from tessera.http.errors import reply_error
from tessera.http.exchange import JSON, Exchange
from tessera.http.metrics import exposition

_FORWARDED = (b"x-forwarded-for", b"forwarded", b"x-real-ip")
"""What a proxy adds to a request that is not its own: it is on loopback then, and whoever asked it is not."""
_TEXT = (b"content-type", b"text/plain; version=0.0.4; charset=utf-8")


def routes(
    world: World, description: Callable[[], dict[str, object]], metrics_token: str | None
) -> list[StarletteRoute]:
    """The operations routes; metrics only from loopback, or with the operator's token. The API's `description` is made
    when it is first asked for."""

    @cache
    def openapi() -> bytes:
        return msgspec.json.encode(description())

    async def healthz(exchange: Exchange) -> None:
        await exchange.reply_json(200, {"status": "ok"})

    async def readyz(exchange: Exchange) -> None:
        if await world.storage.ready():
            await exchange.reply_json(200, {"status": "ready"})
        else:
            raise TesseraError(ErrorCode.STORAGE_UNAVAILABLE, "The database cannot place a hold right now.")

    async def metrics(exchange: Exchange) -> None:
        if not _may_read_metrics(exchange, metrics_token):
            raise TesseraError(ErrorCode.NOT_FOUND, "There is nothing at GET /metrics.")
        await exchange.reply(200, exposition(world.quarantined), [_TEXT])

    async def openapi_json(exchange: Exchange) -> None:
        # In a thread: the first time it takes 20 ms.
        await exchange.reply(200, await asyncio.to_thread(openapi), [JSON])

    found = {"/healthz": healthz, "/readyz": readyz, "/metrics": metrics, "/openapi.json": openapi_json}
    return [StarletteRoute(path, _open(handler, world.make_id)) for path, handler in found.items()]


def _open(handler: Callable[[Exchange], Awaitable[None]], make_id: Callable[[str], str]) -> ASGIApp:
    class Open:
        async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
            exchange = Exchange(scope, receive, send, make_id("req"))
            try:
                if scope["method"] not in ("GET", "HEAD"):
                    exchange.add_header(b"allow", "GET, HEAD")
                    raise TesseraError(ErrorCode.METHOD_NOT_ALLOWED, f"{scope['path'][:128]} takes GET.")
                await handler(exchange)
            except TesseraError as error:
                await reply_error(exchange, error)

    return Open()


def _may_read_metrics(exchange: Exchange, token: str | None) -> bool:
    if token is not None:
        presented = (exchange.header(b"authorization") or "").removeprefix("Bearer ")
        return hmac.compare_digest(presented.encode("latin-1"), token.encode())
    if any(exchange.header(name) is not None for name in _FORWARDED):
        return False
    client = exchange.scope.get("client")
    try:
        return client is not None and ipaddress.ip_address(client[0]).is_loopback
    except ValueError:
        return False
