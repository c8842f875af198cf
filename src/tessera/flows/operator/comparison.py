"""The calls of our records against a provider's own books. Lists differences and moves no money."""

from collections.abc import Mapping
from datetime import UTC, date, datetime, timedelta
from typing import Any, TypeVar

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.provider_comparison import (
    SLID_S_MAX,
    BilledCost,
    BilledUsage,
    Difference,
    DifferenceKind,
    OwnCall,
    compare_costs,
    compare_usage,
)
from tessera.flows.operator.margins import parse_day, seconds_of
from tessera.ports.usage import ProviderBooks, UsageRecords

DAYS_MAX = 31

Named = TypeVar("Named", OwnCall, BilledUsage, BilledCost)


def days_asked(start: str | None, end: str | None) -> tuple[date, date]:
    """The first day and the one after the last; by default yesterday. Raises [invalid_request]."""
    last = parse_day(end, "until") if end else datetime.now(UTC).date()
    return (parse_day(start, "from") if start else last - timedelta(days=1)), last


async def compare_provider(
    records: UsageRecords,
    books: ProviderBooks,
    provider: str,
    start: date,
    end: date,
    canonical: Mapping[str, str],
) -> dict[str, Any]:
    """Differences on the days from `start` on, up to and without `end`. `refundable` names calls that were charged
    and that the provider does not have. `canonical` has one name for all names of a model: providers count a call of
    `gpt-4o` under the dated id that served it. Raises [invalid_request, provider_error, storage_unavailable]."""
    if not 0 < (end - start).days <= DAYS_MAX:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, f"A comparison covers 1 to {DAYS_MAX} whole days, not {(end - start).days}."
        )
    first, last = seconds_of(start), seconds_of(end)
    # A call at midnight may stand on the other side of it in the provider's books.
    wide = max(0, first - SLID_S_MAX), last + SLID_S_MAX
    all_usage = _renamed(await books.read_usage(*wide), canonical)
    all_calls = _renamed(await records.list_served(provider, *wide), canonical)
    costs = _renamed(await books.read_costs(first, last), canonical)
    usage = [row for row in all_usage if first <= row.start_at < last]
    calls = [call for call in all_calls if first <= call.at < last]
    own = {call.request_id for call in calls}
    slid = [one for one in compare_usage(all_calls, all_usage) if one.start_at < last and one.end_at > first]
    # What other days' calls explain is in their comparison, which reads the books around them.
    differences = (
        *(one for one in slid if not one.exact or not own.isdisjoint(one.request_ids)),
        *compare_costs(calls, usage, costs),
    )
    charged = {call.request_id: call.charge_nanos for call in all_calls}
    missing = [one for one in differences if one.kind is DifferenceKind.MISSING and one.exact]
    known = {call.model for call in all_calls}
    return {
        "object": "provider_comparison",
        "provider": provider,
        "start": start.isoformat(),
        "end": end.isoformat(),
        "calls": len(calls),
        "cost_nanos": sum(call.cost_nanos for call in calls),
        "billed_nanos": sum(cost.nanos for cost in costs),
        "differences": [_object(one) for one in differences],
        "refundable": [
            {"request_id": name, "charge_nanos": charged[name]}
            for one in missing
            for name in one.request_ids
            if charged[name]
        ],
        "unmatched_line_items": sorted({cost.model for cost in costs if cost.nanos} - known),
    }


def _renamed(rows: tuple[Named, ...], canonical: Mapping[str, str]) -> list[Named]:
    return [msgspec.structs.replace(row, model=canonical.get(row.model, row.model)) for row in rows]


def _object(one: Difference) -> dict[str, Any]:
    built: dict[str, Any] = msgspec.to_builtins(one)
    return built
