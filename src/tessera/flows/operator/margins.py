"""What customers were charged against what providers bill, over all organizations."""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.margins import Margin, MarginGroup, MarginSums, Period, margins_of
from tessera.domain.money import Mode, format_usd
from tessera.ports.usage import UsageRecords

LINES_MAX = 10_000
"""How many lines a report has at most; a finer one is refused."""


class MarginsAsked(msgspec.Struct, frozen=True, kw_only=True):
    """A report of the days from `start` on, up to and without `end` (UTC)."""

    mode: Mode
    start: date
    end: date
    by: tuple[MarginGroup, ...]
    per: Period


def asked(mode: Mode, start: str | None, end: str | None, by: tuple[MarginGroup, ...], per: Period) -> MarginsAsked:
    """What was asked for in words: by default this month up to now. Raises [invalid_request]."""
    today = datetime.now(UTC).date()
    last = parse_day(end, "end") if end else today + timedelta(days=1)
    first = parse_day(start, "start") if start else (last - timedelta(days=1)).replace(day=1)
    if first >= last:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "end must be later than start.", param="end")
    return MarginsAsked(mode=mode, start=first, end=last, by=by, per=per)


async def list_margins(records: UsageRecords, query: MarginsAsked) -> dict[str, Any]:
    """Lines by time, then by what brought most, and their total. Raises [invalid_request, storage_unavailable]."""
    rows = await records.sum_settled(query.mode, seconds_of(query.start), seconds_of(query.end))
    found = margins_of(rows, query.by, query.per)
    if len(found) > LINES_MAX:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"This report has {len(found)} lines, more than {LINES_MAX}: ask for less time or fewer groups.",
            param="by",
        )
    total = sum((line.sums for line in found), start=_NOTHING)
    return {
        "object": "margins",
        "mode": query.mode.value,
        "start": query.start.isoformat(),
        "end": query.end.isoformat(),
        "per": query.per.value,
        "by": [group.value for group in query.by],
        "data": [_line(line) for line in found],
        "total": _amounts(total),
    }


_NOTHING = MarginSums(requests=0, charge_nanos=0, waived_nanos=0, cost_nanos=0, loss_nanos=0)


def _line(line: Margin) -> dict[str, Any]:
    return {
        "start": line.start.isoformat() if line.start else None,
        "organization_id": line.organization_id,
        "model": line.model,
        "provider": line.provider,
        **_amounts(line.sums),
    }


def _amounts(sums: MarginSums) -> dict[str, Any]:
    amounts: dict[str, Any] = {"requests": sums.requests}
    for name in ("charge", "refund", "waived", "cost", "loss", "fee", "margin"):
        nanos = getattr(sums, f"{name}_nanos")
        amounts[name] = format_usd(nanos)
        amounts[f"{name}_nanos"] = nanos
    return amounts


def parse_day(text: str, name: str) -> date:
    """A day written as in 2026-11-01. Raises [invalid_request]."""
    try:
        found = date.fromisoformat(text)
    except ValueError:
        found = None
    # The day's other notations (20261101, 2026-W44-7) would be a second way to say the same.
    if found is None or found.isoformat() != text or not 1970 <= found.year <= 9000:
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"{name} must be a day as in 2026-11-01.", param=name)
    return found


def seconds_of(day: date) -> int:
    """The start of a UTC day in seconds since 1970."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
