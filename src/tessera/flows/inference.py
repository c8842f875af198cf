"""The whole path of one paid call, top to bottom."""

import asyncio
import hashlib
from collections.abc import Callable, Mapping

import msgspec

from tessera.domain.auth import Caller
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.idempotency import KeyOrder
from tessera.domain.ledger.orders import HoldGrant, HoldOrder, RateLeft, StoredReply
from tessera.domain.money import format_usd
from tessera.domain.request import Surface
from tessera.flows.quoting import (
    Estimate,
    asked_model,
    check_model_rule,
    estimate,
    output_affordable,
    volume_of,
    with_output_cap,
)
from tessera.flows.serving import LiveStream, WholeReply, serve
from tessera.flows.terms import Terms, agree, find_quote
from tessera.flows.usage.following import tell_refusal
from tessera.flows.volumes import quoted_volume
from tessera.flows.world import World, date_of

_DIGEST_ON_LOOP_BYTES_MAX = 1024 * 1024
"""Larger bodies are digested in a thread, which frees the interpreter meanwhile: 20 MB take 11 ms."""


class Call(msgspec.Struct, frozen=True):
    """One call as the transport received it: which surface, the body's bytes, the terms in its headers.

    `headers` are the few caller headers a provider may see. `take` is told of the bytes that are fetched for the call
    beside its body.
    """

    surface: Surface
    endpoint: str
    body: bytes
    terms: Terms
    headers: Mapping[str, str]
    take: Callable[[int], None] | None = None


class Served(msgspec.Struct, frozen=True):
    """What the transport sends back: one of a whole reply, a live stream, or the stored reply of an earlier try.

    `price_max_nanos` is what was held; for a stored reply, what the call it answered could cost.
    """

    request_id: str
    price_max_nanos: int
    reply: WholeReply | LiveStream | StoredReply
    rate: RateLeft | None = None


async def infer(world: World, caller: Caller, call: Call, request_id: str) -> Served:
    """Serves one call: parse, probe, count, plan, price, hold, serve, settle.

    Raises every code a caller can meet; whatever it raises, nothing stays held and nothing was charged.
    """
    started_ms = world.clock.monotonic_ms()
    try:
        placed = await _place(world, caller, call, request_id)
    except TesseraError as error:
        if world.live.listeners:
            tell_refusal(world, caller, request_id, call.endpoint, error)
        raise
    if isinstance(placed, Served):
        return placed
    found, order, grant = placed
    reply = await serve(world, caller, call.headers, found, order, grant.granted_nanos, started_ms)
    return Served(request_id, grant.granted_nanos, reply, grant.rate)


async def _place(
    world: World, caller: Caller, call: Call, request_id: str
) -> Served | tuple[Estimate, HoldOrder, HoldGrant]:
    """What is to be sent on which hold, or the reply of an earlier try."""
    key, fingerprint = call.terms.idempotency_key, b""
    if key is not None:
        if caller.rules is not None:
            # Another key of the organization may have been given the reply that a repeat would get.
            check_model_rule(world, caller, await asked_model(world, call.body))
        fingerprint = await _fingerprint(call)
        repeat = await _find_repeat(world, caller, key, fingerprint)
        if repeat is not None:
            return repeat
    quote = None if call.terms.quote_id is None else await find_quote(world, caller, call.terms.quote_id)
    as_of = date_of(quote.created_at_us) if quote else world.clock.today()
    volume = None
    if quote:
        volume = quoted_volume(quote)
    elif world.prices.knows_volumes:
        volume = await volume_of(world, caller, as_of)
    estimated = await estimate(world, caller, call.surface, call.body, as_of, volume_nanos=volume, take=call.take)
    try:
        found = agree(call.terms, quote, estimated)
    except TesseraError as error:
        raise await _with_balance(world, caller, error) from None
    order = _order(world, caller, call, found, request_id, fingerprint)
    try:
        grant = await world.storage.hold(order)
    except TesseraError as error:
        raise _with_affordable(error, found) from None
    if grant.replay is not None:
        return Served(grant.replay.request_id, grant.granted_nanos, grant.replay)
    if grant.granted_nanos < order.amount_nanos:
        found = with_output_cap(found, output_affordable(found, grant.granted_nanos))
    return found, order, grant


async def _find_repeat(world: World, caller: Caller, key: str, fingerprint: bytes) -> Served | None:
    """The reply of an earlier try, looked for first: its image may be gone and its quote expired since.

    Two tries at once both find nothing here; the hold decides between them.
    """
    grant = await world.storage.find_repeat(
        KeyOrder(
            organization_id=caller.organization_id,
            mode=caller.mode,
            idempotency_key=key,
            fingerprint=fingerprint,
            placed_at_us=world.clock.now_us(),
        )
    )
    if grant is None or grant.replay is None:
        return None
    return Served(grant.replay.request_id, grant.granted_nanos, grant.replay)


def _order(world: World, caller: Caller, call: Call, found: Estimate, request_id: str, fingerprint: bytes) -> HoldOrder:
    maximum = found.quote.max_nanos
    minimum = with_output_cap(found, found.output_cap_min).quote.max_nanos if call.terms.fit == "balance" else maximum
    return HoldOrder(
        id=request_id,
        organization_id=caller.organization_id,
        project_id=caller.project_id,
        key_id=caller.key_id,
        mode=caller.mode,
        amount_nanos=maximum,
        amount_min_nanos=min(minimum, maximum),
        idempotency_key=call.terms.idempotency_key,
        fingerprint=fingerprint,
        endpoint=call.endpoint,
        model=found.request.model,
        stream=found.request.stream,
        quote=msgspec.json.encode(found.quote),
        owner=world.owner,
        placed_at_us=world.clock.now_us(),
        tokens=found.quote.total.predicted + found.output_cap * found.request.choices,
    )


async def _fingerprint(call: Call) -> bytes:
    """What a repeat under the same idempotency key must equal: endpoint and body, the model in it."""
    if len(call.body) > _DIGEST_ON_LOOP_BYTES_MAX:
        return await asyncio.to_thread(_digest, call)
    return _digest(call)


def _digest(call: Call) -> bytes:
    digest = hashlib.sha256(call.endpoint.encode())
    digest.update(b"\0")
    digest.update(call.body)
    return digest.digest()


async def _with_balance(world: World, caller: Caller, error: TesseraError) -> TesseraError:
    """A price over the caller's limit also says what the balance is, as every refusal for money does."""
    if error.code is not ErrorCode.PRICE_OVER_LIMIT:
        return error
    balance = await world.storage.balance(caller.organization_id, caller.mode)
    return TesseraError(
        error.code,
        error.message,
        details={
            **error.details,
            "available": format_usd(balance.available_nanos),
            "available_nanos": balance.available_nanos,
            "held": format_usd(balance.held_nanos),
            "held_nanos": balance.held_nanos,
        },
    )


def _with_affordable(error: TesseraError, found: Estimate) -> TesseraError:
    """Money errors also say how many output tokens the balance, or what is left of a budget, would pay for."""
    if error.code not in (ErrorCode.INSUFFICIENT_BALANCE, ErrorCode.BALANCE_RESERVED, ErrorCode.BUDGET_EXCEEDED):
        return error
    available = error.details.get("available_nanos")
    affordable = output_affordable(found, available) if isinstance(available, int) and available > 0 else 0
    required = found.quote.max_nanos
    return TesseraError(
        error.code,
        error.message,
        retry_after_s=error.retry_after_s,
        should_retry=error.should_retry,
        details={"required": format_usd(required), **error.details, "output_tokens_affordable": affordable},
    )
