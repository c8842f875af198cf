"""GET /v1/usage/export: every call of a time span as a file."""

from contextlib import aclosing
from typing import Any

from tessera.domain.auth import Caller
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.people.records import Actor
from tessera.flows.people.accounts import Accounts
from tessera.flows.usage.exports import export_usage
from tessera.flows.usage.files import FORMATS, CsvFile, ParquetFile, check_format
from tessera.flows.world import World
from tessera.http.exchange import Exchange
from tessera.http.sse import Presence
from tessera.http.usage.query import ReportQuery
from tessera.ports.usage import UsageRecords

FILES = ("text/csv", ParquetFile.kind)
_KINDS = {"csv": CsvFile.kind, "parquet": ParquetFile.kind}
_SINGLE = ("format", "start_time", "end_time")
EXPORT: dict[str, dict[str, Any]] = {
    "format": {"enum": list(FORMATS), "default": "csv"},
    "start_time": {"type": "integer", "minimum": 0, "description": "Required. Seconds since 1970."},
    "end_time": {"type": "integer", "minimum": 0, "description": "Exclusive; by default now."},
}


async def index(world: World, caller: Caller, exchange: Exchange) -> None:
    """Exports every call that was settled in a time span, as CSV or Parquet."""
    query = ReportQuery(exchange, _SINGLE, ())
    now = world.clock.now_us() // 1_000_000
    await _send(exchange, query, world.storage, caller.organization_id, caller.mode, now)


async def show(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Exports every call of an organization that was settled in a time span, as CSV or Parquet."""
    query = ReportQuery(exchange, (*_SINGLE, "mode"), ())
    await _send(exchange, query, accounts.usage, actor.organization_id, query.mode(), accounts.now())


async def _send(
    exchange: Exchange, query: ReportQuery, records: UsageRecords, organization_id: str, mode: Mode, now: int
) -> None:
    file_format = query.text("format") or "csv"
    check_format(file_format)
    start_at, end_at = query.time("start_time"), query.time("end_time")
    if start_at is None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "start_time is missing: seconds since 1970.", param="start_time")
    end_at = now + 1 if end_at is None else end_at
    if end_at <= start_at:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "end_time must be later than start_time.", param="end_time")
    pieces = export_usage(records, organization_id, mode, start_at, end_at, file_format)
    head = [
        (b"content-type", _KINDS[file_format].encode()),
        (b"content-disposition", f'attachment; filename="usage-{mode.value}.{file_format}"'.encode()),
    ]
    with Presence(exchange):
        async with aclosing(pieces):
            async for piece in pieces:
                if not exchange.started:
                    await exchange.start(200, head)
                await exchange.send_piece(piece)
            await exchange.end()
