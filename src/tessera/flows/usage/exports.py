"""Export the calls of a time span, read and written piece by piece."""

import asyncio
from collections.abc import AsyncGenerator

from tessera.domain.money import Mode
from tessera.flows.usage.files import FORMATS
from tessera.ports.usage import UsageRecords

ROWS_AT_ONCE = 2_000


async def export_usage(
    records: UsageRecords, organization_id: str, mode: Mode, start_at: int, end_at: int, file_format: str
) -> AsyncGenerator[bytes, None]:
    """The pieces of a file with every call settled in [start_at, end_at), seconds since 1970, in the order they
    came. The format is one that `check_format` lets pass."""
    # Rows are encoded in a thread: calls go on meanwhile, and importing what writes Parquet takes a moment.
    file = await asyncio.to_thread(FORMATS[file_format])
    after = ""
    while True:
        calls = await records.list_used(organization_id, mode, start_at, end_at, after=after, limit=ROWS_AT_ONCE)
        piece = await asyncio.to_thread(file.add, calls)
        if piece:
            yield piece
        if len(calls) < ROWS_AT_ONCE:
            break
        after = calls[-1].request_id
    last = await asyncio.to_thread(file.end)
    if last:
        yield last
