"""Count and price a call before anything is spent on it: the first half of inference, all of a quote."""

import asyncio
import types
from collections.abc import Callable, Generator, Sequence
from datetime import date
from functools import partial

import msgspec

from tessera.catalog.models import Model
from tessera.domain.advisories import advise
from tessera.domain.auth import Caller
from tessera.domain.dialects.body import Body, open_body, opening
from tessera.domain.dialects.chat import parse_chat
from tessera.domain.dialects.ranges import check_ranges
from tessera.domain.dialects.responses import parse_responses, refuse_stored_reasoning
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.key_rules import KeyRules, model_denied, output_denied
from tessera.domain.money import Mode
from tessera.domain.pricing.bounds import affordable_output_tokens, price_max
from tessera.domain.pricing.quote import Quote, QuotedImage, build_quote
from tessera.domain.pricing.rows import PriceRow
from tessera.domain.request import InferenceRequest, Surface, Tier
from tessera.domain.routing import plan
from tessera.domain.tokens import TokenCount
from tessera.domain.tokens.framing import Framing
from tessera.domain.tokens.requests import count_request
from tessera.flows.volumes import read_volume
from tessera.flows.world import World
from tessera.ports import Deployment, ProbedImage

PARSERS = {Surface.CHAT: parse_chat, Surface.RESPONSES: parse_responses}
SANDBOX = "sandbox"
"""The provider that serves test keys."""
_SANDBOX_SURFACES = (Surface.CHAT, Surface.RESPONSES)
"""What the sandbox speaks for a model whose own provider speaks neither; a model that speaks one keeps to it."""
_COUNT_ON_LOOP_BYTES_MAX = 32 * 1024
"""Requests with more text than this are counted in a thread: 32 KB take about 2 ms, the most the loop should wait."""
_OFFERS_KEPT_MAX = 10_000
_OPEN_AT_ONCE_BYTES_MAX = 2 * 1024 * 1024
"""A body up to here is opened in one go; 5 MB take less than a millisecond (`benchmarks.micro`)."""
_OUTPUT_MIN = {Surface.CHAT: 1, Surface.RESPONSES: 16}
"""The smallest output cap a surface accepts (OpenAI API reference: `max_output_tokens` starts at 16)."""


class Estimate(msgspec.Struct, frozen=True):
    """Everything known about a call before money moves.

    `rows` are the customer's price rows the call may be charged by, one per provider that may serve it; the quote's
    maximum covers the dearest. `plan` lists deployments with the surface each is called on, best first. `output_cap` is
    what the provider will be told; `output_cap_min` the least worth asking for. `as_of` is the day of prices and
    rules, `volume_nanos` what its prices were chosen by where they depend on it, `encoding` the tokenizer that
    predicts.
    """

    body: Body
    request: InferenceRequest
    model: Model
    plan: tuple[tuple[Deployment, Surface], ...]
    images: tuple[ProbedImage, ...]
    count: TokenCount
    rows: tuple[PriceRow, ...]
    tier: Tier
    output_cap: int
    output_cap_min: int
    as_of: date
    volume_nanos: int | None
    encoding: str
    quote: Quote


async def volume_of(world: World, caller: Caller, as_of: date) -> int | None:
    """What a caller's prices on a day are chosen by, where they depend on it. Raises [storage_unavailable]."""
    if not world.prices.knows_volumes:
        return None
    return await read_volume(world.volumes, world.storage, world.prices, caller, as_of, world.clock.monotonic_ms())


async def estimate(
    world: World,
    caller: Caller,
    surface: Surface,
    raw: bytes,
    as_of: date,
    *,
    volume_nanos: int | None = None,
    take: Callable[[int], None] | None = None,
) -> Estimate:
    """Counts and prices a call on `surface`. Raises every refusal that needs no money and no provider to find.

    `take` is told of the bytes of images that are fetched for it: see `ports.Media.probe`.
    """
    body = open_body(raw) if len(raw) <= _OPEN_AT_ONCE_BYTES_MAX else await _open_in_steps(raw)
    request = PARSERS[surface](body)
    if caller.mode is Mode.TEST:
        check_ranges(surface, body.value)
    model = world.catalogue.model(request.model)
    check_model_rule(world, caller, model)
    _check_model(caller, model, request, as_of)
    tier = request.tier or Tier.DEFAULT
    ways, rows = offer(world, caller, model, surface, tier, as_of, volume_nanos)
    if request.stored_reasoning and any(way is Surface.RESPONSES for _, way in ways):
        refuse_stored_reasoning(request.stored_reasoning)
    output_cap = _output_cap(caller, model, request)
    images = await world.media.probe(request.images, take) if request.images else ()
    framing = world.catalogue.framing(model.id)
    counting = _counting(world, model, framing, request, images, ways, as_of)
    at_once = request.text_bytes <= _COUNT_ON_LOOP_BYTES_MAX and world.counts_at_once(framing.encoding)
    count = counting() if at_once else await asyncio.to_thread(counting)
    if model.context_max is not None and count.total.predicted > model.context_max:
        raise TesseraError(
            ErrorCode.CONTEXT_LENGTH_EXCEEDED,
            f"This request has about {count.total.predicted} input tokens; {model.id} accepts {model.context_max}.",
        )
    return Estimate(
        body=body,
        request=request,
        model=model,
        plan=ways,
        images=images,
        count=count,
        rows=rows,
        tier=tier,
        output_cap=output_cap,
        output_cap_min=min(output_cap, max([_OUTPUT_MIN[way] for _, way in ways])),
        as_of=as_of,
        volume_nanos=volume_nanos,
        encoding=framing.encoding,
        quote=_quote(world, caller, model, request, images, count, rows, tier, output_cap, volume_nanos),
    )


@types.coroutine
def _open_in_steps(raw: bytes) -> Generator[None, None, Body]:
    """A large body opened, with other calls in between: a bare yield is what `asyncio.sleep(0)` waits on."""
    return (yield from opening(raw))


def deployments(world: World, caller: Caller, model: Model) -> tuple[Deployment, ...]:
    """What may serve a model for a key: live deployments for live keys, the sandbox in its place for test keys."""
    if caller.mode is Mode.LIVE:
        return world.deployments.get(model.canonical, ())
    spoken = tuple(surface for surface in model.surfaces if surface in _SANDBOX_SURFACES)
    return (
        Deployment(
            name=f"{SANDBOX}/{model.id}",
            provider=SANDBOX,
            model=model.canonical,
            upstream_model=model.id,
            surfaces=spoken or _SANDBOX_SURFACES,
        ),
    )


def with_output_cap(found: Estimate, output_cap: int) -> Estimate:
    """The same call with a lower output cap, priced again."""
    quote = found.quote
    total, image, choices = found.count.total.max, found.count.image.max, found.request.choices
    max_nanos = max(price_max(row, total, image, output_cap, choices) for row in found.rows)
    lower = msgspec.structs.replace(
        quote,
        output_max_tokens=output_cap,
        output_max_nanos=max_nanos - quote.input_max_nanos,
        max_nanos=max_nanos,
    )
    return msgspec.structs.replace(found, output_cap=output_cap, quote=lower)


def output_affordable(found: Estimate, nanos: int) -> int:
    """The largest output cap, 0 to the call's own, that `nanos` pays for under every row it may be charged by."""
    total, image = found.count.total.max, found.count.image.max
    choices = found.request.choices
    affordable = min(affordable_output_tokens(row, total, image, nanos, choices) for row in found.rows)
    return max(0, min(affordable, found.output_cap))


async def asked_model(world: World, raw: bytes) -> Model:
    """The model that a body names. Raises [invalid_request, model_not_found]."""
    name = (await _open_in_steps(raw)).value.get("model")
    if not isinstance(name, str):
        raise TesseraError(ErrorCode.INVALID_REQUEST, "model must be the id of a model.", param="model")
    return world.catalogue.model(name)


def check_model_rule(world: World, caller: Caller, model: Model) -> None:
    """Raises [permission_denied] for a model that the key's rules do not name under any of its names."""
    if caller.rules is not None and not may_use(world, caller.rules, model):
        raise model_denied(model.id)


def may_use(world: World, rules: KeyRules, model: Model) -> bool:
    """Whether a key with these rules may use a model: a rule that names it, an alias or a dated id of it, means it."""
    if rules.models is None:
        return True
    return any(world.catalogue.is_same_model(name, model.id) for name in rules.models)


def _check_model(caller: Caller, model: Model, request: InferenceRequest, as_of: date) -> None:
    if caller.mode is Mode.LIVE and not model.serves_on(as_of):
        raise TesseraError(
            ErrorCode.MODEL_NOT_FOUND,
            f"The model {model.id} was shut down by its provider on {model.shutdown_date}.",
            param="model",
        )
    if request.images and not model.sees_images:
        raise TesseraError(
            ErrorCode.UNSUPPORTED_PARAMETER, f"{model.id} does not take images.", param=request.images[0].param
        )
    if "text" not in model.output_modalities:
        raise TesseraError(
            ErrorCode.UNSUPPORTED_PARAMETER,
            f"{model.id} generates images; it does not answer with text.",
            param="model",
        )


def offer(
    world: World, caller: Caller, model: Model, surface: Surface, tier: Tier, as_of: date, volume_nanos: int | None
) -> tuple[tuple[tuple[Deployment, Surface], ...], tuple[PriceRow, ...]]:
    """The plan of a call on `surface` and the rows it may be charged by. Raises as `plan` and `price_rows`.

    Remembered: every call asks one of a few questions. Not where prices depend on a volume, which every call changes.
    """
    who = (caller.organization_id, caller.organization, caller.mode)
    asked = (world.prices.version, model.id, surface, tier, as_of, *who)
    found = world.offers.get(asked) if volume_nanos is None else None
    if found is None:
        ways = plan(surface, deployments(world, caller, model), model.id)
        found = ways, price_rows(world, caller, model, ways, tier, as_of, volume_nanos)
        if len(world.offers) >= _OFFERS_KEPT_MAX:
            world.offers.clear()
        if volume_nanos is None:
            world.offers[asked] = found
    return found


def price_rows(
    world: World,
    caller: Caller,
    model: Model,
    ways: Sequence[tuple[Deployment, Surface]],
    tier: Tier,
    as_of: date,
    volume_nanos: int | None,
) -> tuple[PriceRow, ...]:
    """The rows a call may be charged by, one for each price that its deployments have. Raises as `price_row`."""
    rows: dict[str, PriceRow] = {}
    for deployment, _ in ways:
        row = price_row(world, caller, model, deployment, tier, as_of, volume_nanos)
        rows.setdefault(row.version, row)
    return tuple(rows.values())


def price_row(
    world: World,
    caller: Caller,
    model: Model,
    deployment: Deployment,
    tier: Tier,
    as_of: date,
    volume_nanos: int | None,
) -> PriceRow:
    """The customer's price row for a call served by `deployment`; the sandbox stands for the model's own provider.

    Raises unsupported_service_tier, model_not_found.
    """
    provider = paid_provider(caller, model, deployment)
    return world.prices.price(
        model.id,
        tier,
        provider=provider,
        organization=caller.organization_names,
        as_of=as_of,
        volume_nanos=volume_nanos or 0,
    )


def paid_provider(caller: Caller, model: Model, deployment: Deployment) -> str:
    """The provider whose price rows hold for a call served by `deployment`."""
    return model.provider if caller.mode is Mode.TEST else deployment.provider


def _output_cap(caller: Caller, model: Model, request: InferenceRequest) -> int:
    """What the caller asks for, or else the model's default, at most the key's: who asks for more than that is refused
    as with more than the model writes, and never finds an answer cut short that was not expected to be."""
    key_max = None if caller.rules is None else caller.rules.output_tokens_max
    if request.output_cap is None:
        return model.output_default if key_max is None else min(model.output_default, key_max)
    field = request.output_cap_name
    if key_max is not None and request.output_cap > key_max:
        raise output_denied(request.output_cap, key_max, field)
    if model.output_max is not None and request.output_cap > model.output_max:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"{field} is {request.output_cap}; {model.id} writes at most {model.output_max} tokens.",
            param=field,
        )
    return request.output_cap


def _counting(
    world: World,
    model: Model,
    framing: Framing,
    request: InferenceRequest,
    images: Sequence[ProbedImage],
    ways: Sequence[tuple[Deployment, Surface]],
    as_of: date,
) -> Callable[[], TokenCount]:
    """The counting of a call's input, to be done here or in a thread."""
    rules = world.catalogue.image_rules(model.id, as_of) if images else None
    sizes = [(image.width, image.height) for image in images]
    called_on = [surface for _, surface in ways]
    return partial(count_request, request, sizes, rules, framing, world.counter_for(framing.encoding), called_on)


def _quote(
    world: World,
    caller: Caller,
    model: Model,
    request: InferenceRequest,
    images: Sequence[ProbedImage],
    count: TokenCount,
    rows: Sequence[PriceRow],
    tier: Tier,
    output_cap: int,
    volume_nanos: int | None,
) -> Quote:
    created_at = world.clock.now_us() // 1_000_000
    return build_quote(
        id=world.make_id("quote"),
        created_at=created_at,
        expires_at=created_at + world.limits.quote_seconds,
        mode=caller.mode,
        model=model.id,
        service_tier=tier,
        price_version=world.prices.version,
        count=count,
        images=quoted_images(request, images, count),
        rows=rows,
        output_max_tokens=output_cap,
        choices=request.choices,
        volume_nanos=volume_nanos,
    )


def quoted_images(
    request: InferenceRequest, images: Sequence[ProbedImage], count: TokenCount
) -> tuple[QuotedImage, ...]:
    """Each image as a quote shows it, with what to know before sending it."""
    if not images:
        return ()
    prompt = "\n".join(text for message in request.messages for text in message.texts)
    return tuple(
        QuotedImage(
            index=image.index,
            count=counted,
            source=image.source,
            format=image.format,
            orientation=image.orientation,
            advisories=tuple(
                (advisory.code, advisory.message)
                for advisory in advise(image.facts, prompt, (counted.sized_width, counted.sized_height))
            ),
        )
        for image, counted in zip(images, count.images, strict=True)
    )
