"""POST /v1/chat/completions and /v1/responses: the paid calls."""

from collections.abc import Awaitable, Mapping

from tessera.domain.auth import Caller
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.limits import RateLimitError
from tessera.domain.ledger.orders import RateLeft, StoredReply
from tessera.domain.money import format_usd
from tessera.domain.request import Surface
from tessera.flows.counting import count_input_tokens
from tessera.flows.inference import Call, infer
from tessera.flows.serving import LiveStream
from tessera.flows.terms import NO_TERMS, read_terms
from tessera.flows.world import World
from tessera.http.exchange import JSON, Exchange
from tessera.http.sse import Presence, send_stream

FORWARDED_HEADERS = (b"tessera-sandbox-fault",)
"""The caller's headers a provider may see. Everything else, credentials first, stays here."""
NO_HEADERS: Mapping[str, str] = {}
TERMS_HEADERS = (b"tessera-quote", b"tessera-max-price", b"tessera-fit", b"idempotency-key")
_ASKED = frozenset((*FORWARDED_HEADERS, *TERMS_HEADERS))


def chat_completions(world: World, caller: Caller, exchange: Exchange) -> Awaitable[None]:
    """Creates a chat completion, streamed or whole."""
    return _call(world, caller, exchange, Surface.CHAT, "/v1/chat/completions")


def responses(world: World, caller: Caller, exchange: Exchange) -> Awaitable[None]:
    """Creates a response, streamed or whole."""
    return _call(world, caller, exchange, Surface.RESPONSES, "/v1/responses")


async def input_tokens(world: World, caller: Caller, exchange: Exchange) -> None:
    """Counts the input tokens of a response before it is created; free."""
    wanted = exchange.header(b"tessera-count")
    if wanted not in (None, "provider", "tessera"):
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, "Tessera-Count must be `tessera` or `provider`.", param="Tessera-Count"
        )
    body = await exchange.body(world.limits.body_bytes_max, world.limits.body_seconds_max)
    with Presence(exchange):
        count, who = await count_input_tokens(
            world, caller, body, exchange.request_id, by_provider=wanted == "provider", take=exchange.take
        )
        exchange.add_header(b"tessera-count", who)
        await exchange.reply_json(200, {"object": "response.input_tokens", "input_tokens": count})


async def _call(world: World, caller: Caller, exchange: Exchange, surface: Surface, endpoint: str) -> None:
    terms, headers = NO_TERMS, NO_HEADERS
    if not _ASKED.isdisjoint(exchange.headers()):
        terms = read_terms(*map(exchange.header, TERMS_HEADERS))
        headers = {name.decode(): value for name in FORWARDED_HEADERS if (value := exchange.header(name)) is not None}
    body = await exchange.body(world.limits.body_bytes_max, world.limits.body_seconds_max)
    with Presence(exchange):
        call = Call(surface, endpoint, body, terms, headers, exchange.take)
        try:
            served = await infer(world, caller, call, exchange.request_id)
        except RateLimitError as refused:
            if refused.rate is not None:
                _add_rate(exchange, refused.rate)
            raise
        exchange.add_header(b"tessera-price-max", format_usd(served.price_max_nanos))
        if served.rate is not None:
            _add_rate(exchange, served.rate)
        if isinstance(served.reply, LiveStream):
            await send_stream(exchange, served.reply, world.limits.keep_alive_seconds)
            return
        reply = served.reply
        exchange.add_header(b"tessera-charge", format_usd(reply.charge_nanos))
        if isinstance(reply, StoredReply):
            exchange.add_header(b"tessera-replayed", reply.request_id)
            if reply.status >= 400:
                # The same key gets the same error for as long as it is kept.
                exchange.add_header(b"x-should-retry", "false")
            await exchange.reply(reply.status, reply.body, [(b"content-type", reply.content_type.encode())])
        else:
            await exchange.reply(200, reply.body, [JSON])


def _add_rate(exchange: Exchange, rate: RateLeft) -> None:
    """The tightest limits per minute, in the headers OpenAI's clients know; a reset is in seconds, as `1.25s`."""
    for unit, left in (("requests", rate.requests), ("tokens", rate.tokens)):
        if left is None:
            continue
        remaining, limit, reset_us = left
        exchange.add_header(b"x-ratelimit-limit-" + unit.encode(), str(limit))
        exchange.add_header(b"x-ratelimit-remaining-" + unit.encode(), str(remaining))
        whole, part = divmod(-(-reset_us // 1000), 1000)
        exchange.add_header(b"x-ratelimit-reset-" + unit.encode(), f"{whole}.{part:03d}s")
