"""Reports of usage and costs in the shapes of OpenAI's administration API: pages of buckets, oldest first.

Shapes: OpenAI's published description of `/organization/usage/completions`, `/usage/images` and `/costs`. What Tessera
does not measure apart is null there, as the description allows, never guessed.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode, format_usd
from tessera.domain.quantities import Quantities
from tessera.domain.usage_report import Dimension, UsageQuery, UsageSums, Width
from tessera.ports.usage import UsageRecords

IMAGE_SOURCES = {"image.generation": "/v1/images/generations", "image.edit": "/v1/images/edits"}
"""What OpenAI calls the sources of images, and the endpoints that make them."""

BATCH = "batch"
_PAGE = re.compile(r"page_([0-9]{1,13})", re.ASCII)
_BATCH_TIER = "batch"

Group = dict[str, Any]


class PageAsked(msgspec.Struct, frozen=True, kw_only=True):
    """What a page is asked for: at most `limit` buckets from `start_at`, or from where `page` says, to `end_at`.

    `by` maps the names that results are grouped by to dimensions. `only` and `without` are as in `UsageQuery`.
    """

    organization_id: str
    mode: Mode
    width: Width
    start_at: int
    end_at: int
    limit: int
    page: str | None = None
    by: Mapping[str, Dimension] = {}
    only: Mapping[Dimension, tuple[str, ...]] = {}
    without: Mapping[Dimension, tuple[str, ...]] = {}


async def completions_page(records: UsageRecords, asked: PageAsked) -> dict[str, Any]:
    """Tokens and requests of every endpoint that answers in text."""
    return await _page(records, asked, _completions)


async def images_page(records: UsageRecords, asked: PageAsked) -> dict[str, Any]:
    """Requests of the endpoints that make images."""
    return await _page(records, asked, _images)


async def costs_page(records: UsageRecords, asked: PageAsked) -> dict[str, Any]:
    """What was charged."""
    return await _page(records, asked, _costs)


async def _page(
    records: UsageRecords, asked: PageAsked, result: Callable[[Group, UsageSums], dict[str, Any]]
) -> dict[str, Any]:
    width = asked.width.seconds
    start_at = asked.start_at if asked.page is None else _start_of(asked)
    end_at = min(start_at + asked.limit * width, asked.end_at)
    dimensions = tuple(dict.fromkeys(asked.by.values()))
    query = UsageQuery(
        organization_id=asked.organization_id,
        mode=asked.mode,
        width=asked.width,
        start_at=start_at,
        end_at=end_at,
        by=dimensions,
        only=asked.only,
        without=asked.without,
    )
    found: dict[int, dict[tuple[Any, ...], UsageSums]] = {}
    for row in await records.sum_usage(query):
        of_dimension = dict(zip(dimensions, row.group, strict=True))
        names = tuple(_shown(name, of_dimension[dimension]) for name, dimension in asked.by.items())
        groups = found.setdefault(row.start_at, {})
        groups[names] = _together(groups[names], row) if names in groups else row
    buckets = [
        {
            "object": "bucket",
            "start_time": at,
            "end_time": at + width,
            "results": [
                result(dict(zip(asked.by, names, strict=True)), row) for names, row in found.get(at, {}).items()
            ],
        }
        for at in range(start_at, end_at, width)
    ]
    more = end_at < asked.end_at
    return {"object": "page", "data": buckets, "has_more": more, "next_page": f"page_{end_at}" if more else None}


def _start_of(asked: PageAsked) -> int:
    match = _PAGE.fullmatch(asked.page or "")
    start_at = int(match[1]) if match else -1
    if not asked.start_at < start_at < asked.end_at or start_at % asked.width.seconds:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            "page must be the next_page of an earlier page of the same question.",
            param="page",
        )
    return start_at


def _shown(name: str, value: str | None) -> Any:
    if name == BATCH:
        return value == _BATCH_TIER
    if name == "source":
        return next((source for source, endpoint in IMAGE_SOURCES.items() if endpoint == value), None)
    return value


def _together(one: UsageSums, other: UsageSums) -> UsageSums:
    usage = {name: getattr(one.usage, name) + getattr(other.usage, name) for name in Quantities.__struct_fields__}
    return msgspec.structs.replace(
        one,
        requests=one.requests + other.requests,
        usage=Quantities(**usage),
        charge_nanos=one.charge_nanos + other.charge_nanos,
        cost_nanos=one.cost_nanos + other.cost_nanos,
    )


def _completions(group: Group, row: UsageSums) -> dict[str, Any]:
    usage = row.usage
    return {
        "object": "organization.usage.completions.result",
        "input_tokens": usage.input_tokens,
        "input_cached_tokens": usage.cached_input_tokens,
        "input_cache_write_tokens": usage.cache_write_tokens,
        "input_uncached_tokens": max(0, usage.input_tokens - usage.cached_input_tokens - usage.cache_write_tokens),
        "input_image_tokens": usage.input_image_tokens,
        "input_audio_tokens": 0,
        "output_tokens": usage.output_tokens,
        "output_text_tokens": max(0, usage.output_tokens - usage.output_image_tokens),
        "output_image_tokens": usage.output_image_tokens,
        "output_audio_tokens": 0,
        "num_model_requests": row.requests,
        "project_id": group.get("project_id"),
        "user_id": group.get("user_id"),
        "api_key_id": group.get("api_key_id"),
        "model": group.get("model"),
        "batch": group.get(BATCH),
        "service_tier": group.get("service_tier"),
    }


def _images(group: Group, row: UsageSums) -> dict[str, Any]:
    return {
        "object": "organization.usage.images.result",
        # A call asks for one image.
        "images": row.requests,
        "num_model_requests": row.requests,
        "source": group.get("source"),
        "size": None,
        "project_id": group.get("project_id"),
        "user_id": group.get("user_id"),
        "api_key_id": group.get("api_key_id"),
        "model": group.get("model"),
    }


def _costs(group: Group, row: UsageSums) -> dict[str, Any]:
    return {
        "object": "organization.costs.result",
        # A JSON number in OpenAI's shape: written digit by digit, never through a float.
        "amount": {"value": msgspec.Raw(format_usd(row.charge_nanos).encode()), "currency": "usd"},
        "line_item": group.get("line_item"),
        "project_id": group.get("project_id"),
        "api_key_id": group.get("api_key_id"),
        "user_id": group.get("user_id"),
        "quantity": None,
        "quantity_unit": None,
    }
