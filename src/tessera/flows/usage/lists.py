"""A report of usage as a list: one row for each bucket of time and group of calls, newest first."""

import hashlib
import re
from collections.abc import Sequence
from typing import Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import format_usd
from tessera.domain.usage_report import Dimension, UsageQuery, UsageSums, Width
from tessera.ports import Page
from tessera.ports.usage import UsageRecords

SPAN_BUCKETS = {Width.MINUTE: 60, Width.HOUR: 24, Width.DAY: 30}
"""How many buckets a report goes back when nobody says since when."""

_ID = re.compile(r"usg_([0-9]{1,13})_([0-9a-f]{16})", re.ASCII)


async def list_usage(records: UsageRecords, query: UsageQuery, page: Page) -> dict[str, Any]:
    """A page of a report. Raises [invalid_request] when `after` is not in it."""
    rows = await _rows(records, query, page)
    shown = rows[: page.limit]
    data = [_row_object(query, row) for row in shown]
    return {
        "object": "list",
        "data": data,
        "has_more": len(rows) > page.limit,
        "first_id": data[0]["id"] if data else None,
        "last_id": data[-1]["id"] if data else None,
    }


async def _rows(records: UsageRecords, query: UsageQuery, page: Page) -> Sequence[UsageSums]:
    """The page's rows and, if there is more, at least one beyond."""
    wanted = page.limit + 1
    if page.after is None:
        return await records.sum_usage(query, rows_max=wanted)
    match = _ID.fullmatch(page.after)
    start_at = int(match[1]) if match else -1
    if not query.start_at <= start_at < query.end_at:
        raise _unknown_cursor()
    end_at = start_at + query.width.seconds
    bucket = await records.sum_usage(msgspec.structs.replace(query, start_at=start_at, end_at=end_at))
    places = [place for place, row in enumerate(bucket) if _row_id(query, row) == page.after]
    if not places:
        raise _unknown_cursor()
    rest = bucket[places[0] + 1 :]
    if len(rest) < wanted and start_at > query.start_at:
        older = msgspec.structs.replace(query, end_at=start_at)
        rest += await records.sum_usage(older, rows_max=wanted - len(rest))
    return rest


def _unknown_cursor() -> TesseraError:
    return TesseraError(ErrorCode.INVALID_REQUEST, "after must be an id from this list.", param="after")


def _row_id(query: UsageQuery, row: UsageSums) -> str:
    """Names a row within its report: when it begins and whose it is."""
    group = msgspec.json.encode((query.width, query.by, row.group))
    return f"usg_{row.start_at}_{hashlib.blake2b(group, digest_size=8).hexdigest()}"


def _row_object(query: UsageQuery, row: UsageSums) -> dict[str, Any]:
    group = dict(zip(query.by, row.group, strict=True))
    return {
        "id": _row_id(query, row),
        "object": "usage",
        "mode": query.mode,
        "start_time": row.start_at,
        "end_time": row.start_at + query.width.seconds,
        **{dimension.value: group.get(dimension) for dimension in Dimension},
        "requests": row.requests,
        "usage": row.usage,
        "charge": format_usd(row.charge_nanos),
        "charge_nanos": row.charge_nanos,
    }
