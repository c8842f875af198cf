"""What a month will cost if it goes on like this: two straight lines, in whole nano-dollars."""

from datetime import UTC, datetime

import msgspec

DAY_S = 86_400
WEEK_S = 7 * DAY_S


class Forecast(msgspec.Struct, frozen=True, kw_only=True):
    """`by_month` goes on as the month so far, `by_week` from what is charged at the pace of the last seven days."""

    month: str
    charged_nanos: int
    by_month_nanos: int
    by_week_nanos: int


def month_bounds_at(now: int) -> tuple[int, int]:
    """Start and end of the UTC month of a time, all in seconds since 1970."""
    start = datetime.fromtimestamp(now, UTC).replace(day=1, hour=0, minute=0, second=0, microsecond=0)
    end = start.replace(year=start.year + start.month // 12, month=start.month % 12 + 1)
    return int(start.timestamp()), int(end.timestamp())


def forecast(now: int, month_nanos: int, week_nanos: int) -> Forecast:
    """What the month of `now` will have cost, from its charges so far and those of the last seven days.

    Each line is rounded down to a whole nano-dollar; neither is below what is charged already.
    """
    start, end = month_bounds_at(now)
    elapsed = max(1, now - start)
    return Forecast(
        month=datetime.fromtimestamp(start, UTC).strftime("%Y-%m"),
        charged_nanos=month_nanos,
        by_month_nanos=month_nanos * max(elapsed, end - start) // elapsed,
        by_week_nanos=month_nanos + week_nanos * (end - now) // WEEK_S,
    )
