"""What the running month will cost, for the balance."""

from typing import Any

from tessera.domain.auth import Caller
from tessera.domain.forecast import DAY_S, WEEK_S, forecast, month_bounds_at
from tessera.domain.money import format_usd
from tessera.domain.usage_report import UsageQuery, Width
from tessera.flows.world import World

_HOUR_S = 3_600


async def read_forecast(world: World, caller: Caller) -> dict[str, Any]:
    """The forecast of the caller's organization and mode.

    The week is the last 168 hours that are over, and the hour that runs; days and hours are UTC's.
    """
    now = world.clock.now_us() // 1_000_000
    month_start, _ = month_bounds_at(now)
    week_start = (now - WEEK_S) // _HOUR_S * _HOUR_S
    month_nanos = await _charged(world, caller, Width.DAY, month_start, now // DAY_S * DAY_S + DAY_S)
    week_nanos = await _charged(world, caller, Width.HOUR, week_start, now + 1)
    found = forecast(now, month_nanos, week_nanos)
    return {
        "month": found.month,
        "charged": format_usd(found.charged_nanos),
        "charged_nanos": found.charged_nanos,
        "by_month": format_usd(found.by_month_nanos),
        "by_month_nanos": found.by_month_nanos,
        "by_last_7_days": format_usd(found.by_week_nanos),
        "by_last_7_days_nanos": found.by_week_nanos,
    }


async def _charged(world: World, caller: Caller, width: Width, start_at: int, end_at: int) -> int:
    query = UsageQuery(
        organization_id=caller.organization_id, mode=caller.mode, width=width, start_at=start_at, end_at=end_at
    )
    return sum(int(one.charge_nanos) for one in await world.storage.sum_usage(query))
