"""Send a held call to a provider, falling back to the next deployment while nothing has reached the client."""

from collections.abc import Callable, Mapping

import msgspec
import pybase64

from tessera.domain.dialects.refusals import read_refusal
from tessera.domain.dialects.splice import Edits, splice
from tessera.domain.dialects.translate import translate_request
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface, Tier
from tessera.domain.routing import Health, standing
from tessera.domain.usage import Attempt
from tessera.flows.quoting import SANDBOX, Estimate
from tessera.flows.settling import Running
from tessera.flows.world import World
from tessera.log import get_logger
from tessera.ports import Deployment, ProbedImage, Provider, UpstreamCall, UpstreamReply
from tessera.ports.credentials import UNAUTHORIZED

log = get_logger(__name__)

_REFUSAL_BYTES_MAX = 64 * 1024
_FAILURES = {
    ErrorCode.PROVIDER_ERROR,
    ErrorCode.PROVIDER_TIMEOUT,
    ErrorCode.OVERLOADED,
    ErrorCode.RATE_LIMIT_EXCEEDED,
}
_SELF_HOSTED = ("configuration", "open-weight")
"""Whose models run on the operator's own servers, which may know a chat's output cap by its old name only."""
_SEALS_REASONING = "openai"
"""Whose models give what they thought in an encrypted form too, on responses. Callers send back what came; an id alone,
which is all that comes unasked, would be refused."""
_FALLBACK_CODES = {
    ErrorCode.PROVIDER_ERROR,
    ErrorCode.PROVIDER_TIMEOUT,
    ErrorCode.OVERLOADED,
    ErrorCode.NO_DEPLOYMENT,
    ErrorCode.PROVIDER_CREDENTIAL_REJECTED,
}


async def open_upstream(
    running: Running, headers: Mapping[str, str], last: TesseraError | None = None
) -> tuple[Surface, UpstreamReply]:
    """The first deployment's answer that is not an error, head received, and the surface it speaks.

    Every try is recorded; asked again after `last` went wrong, it goes on with the deployments not tried yet. Raises
    the last deployment's refusal, in our words.
    """
    world, found = running.world, running.found
    if running.ways is None:
        ways = standing(found.plan, world.health, world.clock.monotonic_ms()) if world.health else found.plan
        running.ways = iter(ways[: world.limits.attempts_max])
    for deployment, surface in running.ways:
        if running.accepted and running.deployment is not None:
            running.lost.append(running.deployment)
        started_at = world.clock.now_us() // 1_000_000
        started_ms = world.clock.monotonic_ms()
        running.deployment = deployment
        running.on_cancel = world.on_cancel(deployment.provider, surface, found.as_of)
        call = upstream_call(
            found, deployment, surface, running.order.id, headers, world.limits.forward_images, running.note_sent
        )
        status: int | None = None
        provider: Provider | None = None
        try:
            # Until the provider answers we cannot know that it did not take the call.
            running.accepted, running.sent = True, False
            provider = world.provider(deployment.provider)
            reply = await provider.send(call)
            status = reply.status
            if status < 300:
                running.sent = True
                _record(running, deployment, status, None, started_at, started_ms)
                if world.health:
                    world.health.pop(deployment.name, None)
                    world.health.pop(deployment.provider, None)
                return surface, reply
            running.accepted = False
            error, fall_back = await _refusal(reply, found)
        except TesseraError as raised:
            running.accepted = raised.code is ErrorCode.PROVIDER_TIMEOUT
            error, fall_back = raised, raised.code in _FALLBACK_CODES
        _record(running, deployment, status, error.code, started_at, started_ms)
        if error.code is ErrorCode.PROVIDER_CREDENTIAL_REJECTED:
            count_rejection(world, deployment.provider, provider, status)
        else:
            _count_against(running, deployment, status, error)
        if not fall_back:
            raise error
        last = error
    assert last is not None
    raise last


def spoiled(running: Running, error: TesseraError) -> bool:
    """Notes that an answer that had begun went wrong before anything of it reached the client. Returns whether the next
    deployment is to be asked: once, and only for a provider's fault."""
    if error.code not in _FALLBACK_CODES or running.event is not None or running.spoiled:
        return False
    running.spoiled = True
    running.attempts[-1] = msgspec.structs.replace(running.attempts[-1], error=error.code)
    assert running.deployment is not None
    _count_against(running, running.deployment, running.attempts[-1].status, error)
    return True


def overlong(running: Running) -> TesseraError:
    """Notes that a whole answer is larger than is accepted, and gives the refusal.

    Whoever asked for so much did it: nothing counts against the deployment, and no other is asked, which would answer
    as much again at the operator's cost.
    """
    running.overlong = running.spoiled = True
    running.attempts[-1] = msgspec.structs.replace(running.attempts[-1], error=ErrorCode.PROVIDER_ERROR)
    return TesseraError(
        ErrorCode.PROVIDER_ERROR,
        "The answer is larger than this server accepts. Ask for a stream, or for fewer choices, tokens or logprobs.",
    )


def _count_against(running: Running, deployment: Deployment, status: int | None, error: TesseraError) -> None:
    """Counts a provider's fault against its deployment. The sandbox fails when its caller asks it to."""
    if deployment.provider == SANDBOX:
        return
    world = running.world
    ejection_ms = world.limits.ejection_seconds * 1000
    now_ms = world.clock.monotonic_ms()
    # Our own bound on calls in flight, which comes without a status, says nothing of the deployment.
    if error.code in _FAILURES and (status is not None or error.code is not ErrorCode.OVERLOADED):
        health = world.health.setdefault(deployment.name, Health())
        if health.failed(now_ms, ejection_ms):
            log.error("deployment.ejected", deployment=deployment.name, code=error.code)


def count_rejection(world: World, name: str, provider: Provider | None, status: int | None) -> None:
    """Counts a refusal of our credential against its provider. One without a status was never sent, and one of a
    credential that was changed meanwhile says nothing of the new one, and one of the sandbox nothing at all."""
    if name == SANDBOX or status is None or world.providers.get(name) is not provider:
        return
    ejection_ms = world.limits.ejection_seconds * 1000
    is_news = world.health.setdefault(name, Health()).reject(world.clock.monotonic_ms(), ejection_ms)
    if is_news:
        log.error("provider.credential_rejected", provider=name, status=status)
    if is_news or status == UNAUTHORIZED:
        world.credential_rejected(name, status)


def upstream_call(
    found: Estimate,
    deployment: Deployment,
    surface: Surface,
    request_id: str,
    headers: Mapping[str, str],
    forward: str,
    on_sent: Callable[[], None] | None = None,
) -> UpstreamCall:
    """The call as one deployment is sent it: the original bytes with splices, or translated for its surface.

    `forward` is `inline` or `url`: whether fetched images are sent on as data or by their address.
    """
    edits = Edits(
        model=upstream_name(found, deployment),
        output_cap=found.output_cap,
        tier=found.tier if deployment.explicit_tier or found.tier is not Tier.DEFAULT else None,
        include_usage=True,
        images={image.index: data_url(image) for image in found.images if _inline(image, forward)},
        old_cap_name=found.model.provider in _SELF_HOSTED,
        sealed_reasoning=found.model.reasoning and found.model.provider == _SEALS_REASONING,
    )
    if surface is found.request.surface:
        body = splice(surface, found.body, found.request, edits)
    else:
        body = translate_request(found.request.surface, surface, found.body, found.request, edits)
    return UpstreamCall(
        request_id=request_id,
        deployment=deployment,
        surface=surface,
        stream=found.request.stream,
        body=body,
        request=found.request,
        count=found.count,
        images=found.images,
        output_cap=found.output_cap,
        headers=headers,
        on_sent=on_sent,
    )


def upstream_name(found: Estimate, deployment: Deployment) -> str:
    """What a provider is asked for: its own name for the model; a model's own provider knows the dated ids too."""
    if deployment.provider == found.model.provider and deployment.upstream_model == deployment.model:
        return found.model.id
    return deployment.upstream_model


def _record(
    running: Running, deployment: Deployment, status: int | None, error: str | None, started_at: int, started_ms: int
) -> None:
    running.attempts.append(
        Attempt(
            deployment=deployment.name,
            status=status,
            error=error,
            started_at=started_at,
            duration_ms=running.world.clock.monotonic_ms() - started_ms,
        )
    )


async def _refusal(reply: UpstreamReply, found: Estimate) -> tuple[TesseraError, bool]:
    """A provider's error answer in our words, and whether another deployment may do better."""
    pieces: list[bytes] = []
    size = 0
    try:
        async for piece in reply.chunks():
            pieces.append(piece)
            size += len(piece)
            if size > _REFUSAL_BYTES_MAX:
                break
    finally:
        await reply.close()
    return read_refusal(reply.status, reply.headers, b"".join(pieces), flex=found.tier is Tier.FLEX)


def _inline(image: ProbedImage, forward: str) -> bool:
    """Whether an image's bytes take the place of what the caller wrote: fetched ones, unless the operator passes
    addresses on, and those that had to be converted."""
    if image.content is None:
        return False
    return forward == "inline" or image.converted


def data_url(image: ProbedImage) -> bytes:
    """A fetched image as the data URL that takes its address's place: the bytes that were counted are sent."""
    assert image.content is not None
    return b"data:image/" + image.format.encode() + b";base64," + pybase64.b64encode(image.content)
