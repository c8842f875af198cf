"""GET /v1/usage: sums of usage as a list."""

from typing import Any

from tessera.domain.auth import Caller
from tessera.domain.money import Mode
from tessera.domain.people.records import Actor
from tessera.domain.usage_report import Dimension, UsageQuery, Width, bucket_start, buckets_of
from tessera.flows.people.accounts import Accounts
from tessera.flows.usage import lists
from tessera.flows.world import World
from tessera.http.exchange import Exchange
from tessera.http.usage.query import VALUES_MAX, ReportQuery
from tessera.ports import Page

LIMIT_MAX = 1_000
_LIMIT = 100
_FILTERS = {f"{dimension.value}s": dimension for dimension in Dimension}
_BY = {dimension.value: dimension for dimension in Dimension}
_SINGLE = ("start_time", "end_time", "bucket_width", "limit", "after")

_TIME = {"type": "integer", "minimum": 0}
LIST: dict[str, dict[str, Any]] = {
    "start_time": {**_TIME, "description": "Seconds since 1970; by default 30 days, 24 hours or 60 minutes ago."},
    "end_time": {**_TIME, "description": "Seconds since 1970, exclusive; by default now."},
    "bucket_width": {"enum": [width.value for width in Width], "default": Width.DAY.value},
    "group_by": {"type": "array", "items": {"enum": list(_BY)}},
    **{name: {"type": "array", "items": {"type": "string"}, "maxItems": VALUES_MAX} for name in _FILTERS},
    "limit": {"type": "integer", "minimum": 1, "maximum": LIMIT_MAX, "default": _LIMIT},
    "after": {"type": "string", "minLength": 1, "maxLength": 64},
}
MODE = {"mode": {"enum": [mode.value for mode in Mode], "default": Mode.LIVE.value}}


async def index(world: World, caller: Caller, exchange: Exchange) -> None:
    """Lists what was used and charged, by time and by what calls are told apart by, newest first."""
    query = ReportQuery(exchange, _SINGLE, ("group_by", *_FILTERS))
    now = world.clock.now_us() // 1_000_000
    asked, page = _asked(query, caller.organization_id, caller.mode, now)
    await exchange.reply_json(200, await lists.list_usage(world.storage, asked, page))


async def show(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Lists what an organization used and was charged, newest first."""
    query = ReportQuery(exchange, (*_SINGLE, "mode"), ("group_by", *_FILTERS))
    asked, page = _asked(query, actor.organization_id, query.mode(), accounts.now())
    await exchange.reply_json(200, await lists.list_usage(accounts.usage, asked, page))


def _asked(query: ReportQuery, organization_id: str, mode: Mode, now: int) -> tuple[UsageQuery, Page]:
    width = query.width()
    start, end = query.time("start_time"), query.time("end_time")
    if start is None:
        start = max(0, bucket_start(now if end is None else end, width) - lists.SPAN_BUCKETS[width] * width.seconds)
    start_at, end_at = buckets_of(start, end, now, width)
    asked = UsageQuery(
        organization_id=organization_id,
        mode=mode,
        width=width,
        start_at=start_at,
        end_at=end_at,
        by=tuple(query.choices("group_by", _BY).values()),
        only={dimension: query.values(name) for name, dimension in _FILTERS.items() if query.values(name)},
    )
    return asked, Page(limit=query.number("limit", _LIMIT, least=1, most=LIMIT_MAX), after=query.text("after"))
