"""Count a request's input before it is sent, for nothing: by our own rules, or by the provider's own counter."""

from collections.abc import Callable

import msgspec

from tessera.domain.auth import Caller
from tessera.domain.dialects.refusals import read_refusal
from tessera.domain.dialects.spans import members
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.request import Surface
from tessera.flows.quoting import Estimate, estimate
from tessera.flows.sending import upstream_call, upstream_name
from tessera.flows.world import World
from tessera.ports import Deployment

COUNTER = "openai"
"""The provider that has a counter, `/responses/input_tokens` (OpenAI API reference); others that speak its dialect
have none."""
_COUNTED = ("instructions", "input", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "truncation")
_REPLY_BYTES_MAX = 64 * 1024


class _Counted(msgspec.Struct):
    input_tokens: int


async def count_input_tokens(
    world: World,
    caller: Caller,
    raw: bytes,
    request_id: str,
    *,
    by_provider: bool,
    take: Callable[[int], None] | None = None,
) -> tuple[int, str]:
    """The input tokens of a Responses request, and who counted: `provider` where that is wanted and the model's
    provider has a counter, else `tessera`. Free: nothing is held.

    Raises what the call itself would raise before it is held, and the provider's refusal to count.
    """
    found = await estimate(world, caller, Surface.RESPONSES, raw, world.clock.today(), take=take)
    if by_provider and caller.mode is Mode.LIVE:
        for deployment, surface in found.plan:
            if deployment.provider == COUNTER and surface is Surface.RESPONSES:
                return await _ask(world, found, deployment, request_id), "provider"
    return found.count.total.predicted, "tessera"


async def _ask(world: World, found: Estimate, deployment: Deployment, request_id: str) -> int:
    call = upstream_call(found, deployment, Surface.RESPONSES, request_id, {}, world.limits.forward_images)
    sent = b"".join(call.body)
    at = members(sent, 0, len(sent))
    fields = [b'"model":' + msgspec.json.encode(upstream_name(found, deployment))]
    fields += [sent[at[name][0] : at[name][2]] for name in _COUNTED if name in at]
    counting = msgspec.structs.replace(call, body=(b"{" + b",".join(fields) + b"}",), stream=False, counting=True)
    reply = await world.provider(deployment.provider).send(counting)
    try:
        body = b""
        async for piece in reply.chunks():
            body += piece
            if len(body) > _REPLY_BYTES_MAX:
                break
    finally:
        await reply.close()
    if reply.status >= 300:
        raise read_refusal(reply.status, reply.headers, body, flex=False)[0]
    try:
        return msgspec.json.decode(body, type=_Counted).input_tokens
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        raise TesseraError(ErrorCode.PROVIDER_ERROR, "The provider's counter did not answer with a count.") from None
