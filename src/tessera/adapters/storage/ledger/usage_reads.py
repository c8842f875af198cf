"""Reading what was used. Every function takes a connection and reads one snapshot."""

import sqlite3
from typing import Any

from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities
from tessera.domain.usage_report import Dimension, UsageQuery, UsageSums, UsedCall, Width

_FIND_WALLET = "SELECT id FROM wallet WHERE organization_id = ? AND mode = ?"

_COLUMNS = {
    Dimension.MODEL: "model",
    Dimension.PROJECT: "project_id",
    Dimension.KEY: "key_id",
    Dimension.MEMBER: "person_id",
    Dimension.TIER: "tier",
    Dimension.ENDPOINT: "endpoint",
}

_SUMS = """sum(requests), sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens),
    sum(input_image_tokens), sum(output_tokens), sum(reasoning_tokens), sum(output_image_tokens), sum(charge_nanos),
    sum(cost_nanos)"""

_MAKER = " LEFT JOIN api_key_maker ON api_key_id = key_id"

# How far back the buckets go that hold the first rows: single buckets are looked at until there are enough of them.
_NEWEST_STARTS = """
SELECT min(start_at) FROM (
    SELECT DISTINCT start_at FROM {tables} WHERE usage_sum.wallet_id = ? AND width_s = ? AND start_at >= ?
        AND start_at < ?{only} ORDER BY start_at DESC LIMIT ?
) AS newest
"""

_NUMBERS = """
SELECT min(first_number), max(last_number) FROM usage_sum
WHERE wallet_id = ? AND width_s = ? AND start_at >= ? AND start_at < ?
"""

# In the order of the wallet's own index, so that no page sorts, or reads what stands on the pages before it.
_USED = """
SELECT hold.id, project_id, key_id, person_id, model, endpoint, served_tier, outcome, status, deployment,
    input_tokens, cached_input_tokens, cache_write_tokens, input_image_tokens, output_tokens, reasoning_tokens,
    output_image_tokens, usage_source, event.charge_nanos, waived_nanos, placed_at_us, settled_at_us, latency_ms
FROM hold JOIN usage_event AS event ON event.hold_number = hold.number
LEFT JOIN api_key_maker ON api_key_id = key_id
WHERE wallet_id = ? AND hold.id > ? AND hold.number >= ? AND hold.number <= ? AND settled_at_us >= ?
    AND settled_at_us < ?
ORDER BY hold.id LIMIT ?
"""


def sum_usage(connection: sqlite3.Connection, query: UsageQuery, rows_max: int | None) -> tuple[UsageSums, ...]:
    """See the port."""
    found = connection.execute(_FIND_WALLET, (query.organization_id, query.mode.value)).fetchone()
    if found is None:
        return ()
    asked = {*query.by, *query.only, *query.without}
    tables = "usage_sum"
    if asked:
        tables += " JOIN usage_series ON usage_series.id = series_id"
    if Dimension.MEMBER in asked:
        tables += _MAKER
    only, values = _only(query)
    place: list[Any] = [found[0], query.width.seconds, query.start_at, query.end_at]
    if rows_max is not None:
        newest = _NEWEST_STARTS.format(tables=tables, only=only)
        place[2] = connection.execute(newest, [*place, *values, rows_max]).fetchone()[0]
        if place[2] is None:
            return ()
    groups = "".join(f", {_COLUMNS[dimension]}" for dimension in query.by)
    order = "".join(f", coalesce({_COLUMNS[dimension]}, '')" for dimension in query.by)
    sql = (
        f"SELECT start_at{groups}, {_SUMS} FROM {tables} WHERE usage_sum.wallet_id = ? AND width_s = ?"  # noqa: S608
        f" AND start_at >= ? AND start_at < ?{only} GROUP BY start_at{groups} ORDER BY start_at DESC{order}"
    )
    by = len(query.by)
    return tuple(_sums(row[0], row[1 : by + 1], row[by + 1 :]) for row in connection.execute(sql, [*place, *values]))


def _only(query: UsageQuery) -> tuple[str, list[str]]:
    """The conditions of a query's filters, and their values."""
    text = ""
    values: list[str] = []
    for within, filters in (("IN", query.only), ("NOT IN", query.without)):
        for dimension, named in filters.items():
            text += f" AND coalesce({_COLUMNS[dimension]}, '') {within} ({', '.join('?' * len(named))})"
            values.extend(named)
    return text, values


def _sums(start_at: int, group: tuple[str | None, ...], sums: tuple[int, ...]) -> UsageSums:
    return UsageSums(
        start_at=start_at,
        group=group,
        requests=sums[0],
        usage=_quantities(sums[1:8]),
        charge_nanos=sums[8],
        cost_nanos=sums[9],
    )


def _quantities(tokens: tuple[int, ...]) -> Quantities:
    return Quantities(
        input_tokens=tokens[0],
        cached_input_tokens=tokens[1],
        cache_write_tokens=tokens[2],
        input_image_tokens=tokens[3],
        output_tokens=tokens[4],
        reasoning_tokens=tokens[5],
        output_image_tokens=tokens[6],
    )


def list_used(
    connection: sqlite3.Connection, organization_id: str, mode: Mode, start_at: int, end_at: int, after: str, limit: int
) -> tuple[UsedCall, ...]:
    """See the port. The sums of the days say between which numbers the calls are."""
    found = connection.execute(_FIND_WALLET, (organization_id, mode.value)).fetchone()
    if found is None:
        return ()
    day = Width.DAY.seconds
    first, last = connection.execute(_NUMBERS, (found[0], day, start_at - start_at % day, end_at)).fetchone()
    if first is None:
        return ()
    values = (found[0], after, first, last, start_at * 1_000_000, end_at * 1_000_000, limit)
    return tuple(
        UsedCall(
            request_id=row[0],
            mode=mode,
            project_id=row[1],
            key_id=row[2],
            member_id=row[3],
            model=row[4],
            endpoint=row[5],
            tier=row[6],
            outcome=row[7],
            status=row[8],
            deployment=row[9],
            usage=_quantities(row[10:17]),
            usage_source=row[17],
            charge_nanos=row[18],
            waived_nanos=row[19],
            placed_at_us=row[20],
            settled_at_us=row[21],
            latency_ms=row[22],
        )
        for row in connection.execute(_USED, values)
    )
