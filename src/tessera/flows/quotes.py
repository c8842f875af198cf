"""A quote for the real request, before it is sent: kept, so that a later call can be held to it."""

from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Literal

import msgspec

from tessera.domain.auth import Caller
from tessera.domain.dialects.spans import members
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.pricing.bounds import price_max
from tessera.domain.pricing.quote import cheaper_changes, quote_object
from tessera.domain.request import Detail, Surface, Tier
from tessera.domain.tokens import Confidence
from tessera.domain.tokens.images import cheapest_detail, count_image
from tessera.flows.quoting import Estimate, estimate, price_rows, volume_of
from tessera.flows.world import World, date_of
from tessera.ports import SavedQuote

SURFACES = {"/v1/chat/completions": Surface.CHAT, "/v1/responses": Surface.RESPONSES}

_FIELDS: dict[str, Any] = {"url": str, "body": None, "custom_id": str | None, "method": Literal["POST"] | None}
"""What a line of a batch has, and what it is; a body is read as what its url takes. Any other field would be the call's
own in the wrong place, and change nothing here."""


async def make_quote(world: World, caller: Caller, raw: bytes, take: Callable[[int], None] | None = None) -> bytes:
    """The quote, as JSON, of `{"url": "/v1/chat/completions", "body": {the real request}}`; a batch line is one too.

    Raises what the call itself would raise before it is held.
    """
    url, body = _read(raw)
    surface = SURFACES.get(url)
    if surface is None:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, f"url must be one of {', '.join(SURFACES)}, not {url[:64]!r}.", param="url"
        )
    created_at_us = world.clock.now_us()
    today = date_of(created_at_us)
    volume = await volume_of(world, caller, today)
    found = await estimate(world, caller, surface, body, today, volume_nanos=volume, take=take)
    created_at = created_at_us // 1_000_000
    quote = msgspec.structs.replace(
        found.quote,
        # A call under it is priced as of the day it was made, which must be that of its own prices, however long its
        # images took.
        created_at=created_at,
        expires_at=created_at + world.limits.quote_seconds,
        cheaper=cheaper_changes(found.quote.max_nanos, _cheaper(world, caller, found)),
    )
    shown = msgspec.json.encode(quote_object(quote))
    await world.storage.save_quote(
        SavedQuote(
            id=quote.id,
            organization_id=caller.organization_id,
            mode=caller.mode,
            model=found.model.canonical,
            max_nanos=quote.max_nanos,
            price_version=quote.price_version,
            created_at_us=quote.created_at * 1_000_000,
            expires_at_us=quote.expires_at * 1_000_000,
            body=shown,
        )
    )
    return shown


async def find_quote(world: World, caller: Caller, quote_id: str) -> bytes:
    """A quote made earlier by the same organization in the same mode, as JSON. Raises not_found."""
    saved = await world.storage.find_quote(caller.organization_id, caller.mode, quote_id)
    if saved is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no quote {quote_id[:64]!r} for this key.")
    return saved.body


def _read(raw: bytes) -> tuple[str, bytes]:
    """The url and the bytes of the body. Raises invalid_request for anything else, naming the field at fault."""
    try:
        found = members(raw, 0, len(raw))
    except RecursionError:
        raise _unreadable("it is nested too deeply") from None
    except (ValueError, UnicodeDecodeError) as error:
        raise _unreadable(str(error) if raw.strip() else "the request is empty") from None
    for name in ("url", "body"):
        if name not in found:
            raise _unreadable(f"{name} is missing", name)
    values = {}
    for name, (_, start, end) in found.items():
        if name not in _FIELDS:
            raise _unreadable(f"{name[:64]!r} is none of its fields; those of the call stand in body", name[:64])
        if name != "body":
            try:
                values[name] = msgspec.json.decode(raw[start:end], type=_FIELDS[name])
            except (ValueError, UnicodeDecodeError) as error:
                raise _unreadable(f"{name}: {error}", name) from None
    _, start, end = found["body"]
    return values["url"], raw[start:end]


def _unreadable(why: str, param: str | None = None) -> TesseraError:
    return TesseraError(
        ErrorCode.INVALID_REQUEST,
        f'A quote is asked for with {{"url": "/v1/chat/completions", "body": {{…}}}}: {why}.',
        param=param,
    )


def _cheaper(world: World, caller: Caller, found: Estimate) -> Iterator[tuple[str, int]]:
    """Changes worth knowing about, each with the most the call would then cost.

    Where text is bounded by the bytes of the body, what is written for the change counts among them.
    """
    total, image, choices = found.count.total.max, found.count.image.max, found.request.choices
    exact = found.count.text_confidence is Confidence.PUBLISHED
    if found.count.images:
        least, chosen = _cheapest_details(world, found)
        after = total - image + least + (0 if exact else sum(len(f', "detail": "{detail}"') for detail in chosen))
        if after < total:
            changed = "detail: " + " or ".join(sorted(set(chosen)))
            yield changed, max(price_max(row, after, least, found.output_cap, choices) for row in found.rows)
    if found.tier is not Tier.FLEX:
        # A tier without a price for every deployment, or for input this long, is no alternative.
        with suppress(TesseraError):
            rows = price_rows(world, caller, found.model, found.plan, Tier.FLEX, found.as_of, found.volume_nanos)
            # The word in the place of another tier's is no longer than that.
            after = total if exact or found.request.tier is not None else total + len(', "service_tier": "flex"')
            flex = max(price_max(row, after, image, found.output_cap, choices) for row in rows)
            yield "service_tier: flex", flex


def _cheapest_details(world: World, found: Estimate) -> tuple[int, list[Detail]]:
    """The fewest tokens that all images can have, and the level of each one that is to have another."""
    rules = world.catalogue.image_rules(found.model.id, found.as_of)
    least = 0
    chosen = []
    for counted in found.count.images:
        detail = cheapest_detail(rules, counted.width, counted.height)
        tokens = count_image(rules, counted.width, counted.height, detail).tokens.max
        if tokens < counted.tokens.max:
            chosen.append(detail)
        least += min(tokens, counted.tokens.max)
    return least, chosen
