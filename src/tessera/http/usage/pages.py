"""OpenAI's `/v1/organization/usage/completions`, `/usage/images` and `/costs`, for admin keys and members."""

from collections.abc import Mapping
from typing import Any

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Actor
from tessera.domain.usage_report import Dimension, Width, buckets_of
from tessera.flows.people.accounts import Accounts
from tessera.flows.usage import pages
from tessera.flows.usage.pages import IMAGE_SOURCES, PageAsked
from tessera.http.exchange import Exchange
from tessera.http.usage.lists import MODE
from tessera.http.usage.query import VALUES_MAX, ReportQuery

_LIMITS = {Width.DAY: (7, 31), Width.HOUR: (24, 168), Width.MINUTE: (60, 1440)}
"""OpenAI's: how many buckets a page has by default, and at most."""

_COST_LIMITS = {Width.DAY: (7, 180)}
_SINGLE = ("start_time", "end_time", "bucket_width", "limit", "page", "mode")
_FILTERS = {
    "project_ids": Dimension.PROJECT,
    "user_ids": Dimension.MEMBER,
    "api_key_ids": Dimension.KEY,
    "models": Dimension.MODEL,
}
_COST_FILTERS = {
    "project_ids": Dimension.PROJECT,
    "api_key_ids": Dimension.KEY,
    "line_items": Dimension.MODEL,
}
_BY = {
    "project_id": Dimension.PROJECT,
    "user_id": Dimension.MEMBER,
    "api_key_id": Dimension.KEY,
    "model": Dimension.MODEL,
}
_COMPLETIONS_BY = {**_BY, pages.BATCH: Dimension.TIER, "service_tier": Dimension.TIER}
_IMAGES_BY = {**_BY, "source": Dimension.ENDPOINT}
_COSTS_BY = {
    "project_id": Dimension.PROJECT,
    "user_id": Dimension.MEMBER,
    "api_key_id": Dimension.KEY,
    "line_item": Dimension.MODEL,
}
_FLAGS = {"true": True, "false": False}
_BATCH_ONLY = {Dimension.TIER: (pages.BATCH,)}


def _described(
    by: Mapping[str, Dimension], filters: Mapping[str, Dimension], limits: Mapping[Width, tuple[int, int]], **more: Any
) -> dict[str, dict[str, Any]]:
    strings = {"type": "array", "items": {"type": "string"}, "maxItems": VALUES_MAX}
    return {
        "start_time": {"type": "integer", "minimum": 0, "description": "Required. Seconds since 1970."},
        "end_time": {"type": "integer", "minimum": 0, "description": "Exclusive; by default now."},
        "bucket_width": {"enum": [width.value for width in limits], "default": Width.DAY.value},
        "group_by": {"type": "array", "items": {"enum": list(by)}},
        **dict.fromkeys(filters, strings),
        "limit": {"type": "integer", "minimum": 1, "maximum": max(most for _, most in limits.values())},
        "page": {"type": "string", "minLength": 1, "maxLength": 64},
        **MODE,
        **more,
    }


COMPLETIONS = _described(_COMPLETIONS_BY, _FILTERS, _LIMITS, batch={"type": "boolean"})
IMAGES = _described(_IMAGES_BY, _FILTERS, _LIMITS, sources={"type": "array", "items": {"enum": list(IMAGE_SOURCES)}})
COSTS = _described(_COSTS_BY, _COST_FILTERS, _COST_LIMITS)


async def completions(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows tokens and requests by bucket of time."""
    query = ReportQuery(exchange, (*_SINGLE, "batch"), ("group_by", *_FILTERS))
    only, without = _only(query, _FILTERS), {Dimension.ENDPOINT: tuple(IMAGE_SOURCES.values())}
    batch = query.choice("batch", _FLAGS, None)
    if batch is True:
        only |= _BATCH_ONLY
    elif batch is False:
        without |= _BATCH_ONLY
    asked = _asked(accounts, actor, query, _COMPLETIONS_BY, _LIMITS, only, without)
    await exchange.reply_json(200, await pages.completions_page(accounts.usage, asked))


async def images(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows made images and their requests by bucket of time."""
    query = ReportQuery(exchange, _SINGLE, ("group_by", "sources", *_FILTERS))
    sources = query.choices("sources", IMAGE_SOURCES) or IMAGE_SOURCES
    only = _only(query, _FILTERS) | {Dimension.ENDPOINT: tuple(sources.values())}
    asked = _asked(accounts, actor, query, _IMAGES_BY, _LIMITS, only, {})
    await exchange.reply_json(200, await pages.images_page(accounts.usage, asked))


async def costs(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Shows what was charged, by day."""
    query = ReportQuery(exchange, _SINGLE, ("group_by", *_COST_FILTERS))
    asked = _asked(accounts, actor, query, _COSTS_BY, _COST_LIMITS, _only(query, _COST_FILTERS), {})
    await exchange.reply_json(200, await pages.costs_page(accounts.usage, asked))


def _only(query: ReportQuery, filters: Mapping[str, Dimension]) -> dict[Dimension, tuple[str, ...]]:
    return {dimension: query.values(name) for name, dimension in filters.items() if query.values(name)}


def _asked(
    accounts: Accounts,
    actor: Actor,
    query: ReportQuery,
    by: Mapping[str, Dimension],
    limits: Mapping[Width, tuple[int, int]],
    only: Mapping[Dimension, tuple[str, ...]],
    without: Mapping[Dimension, tuple[str, ...]],
) -> PageAsked:
    width = query.width(limits)
    default, most = limits[width]
    start = query.time("start_time")
    if start is None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "start_time is missing: seconds since 1970.", param="start_time")
    start_at, end_at = buckets_of(start, query.time("end_time"), accounts.now(), width)
    return PageAsked(
        organization_id=actor.organization_id,
        mode=query.mode(),
        width=width,
        start_at=start_at,
        end_at=end_at,
        limit=query.number("limit", default, least=1, most=most),
        page=query.text("page"),
        by=query.choices("group_by", by),
        only=only,
        without=without,
    )
