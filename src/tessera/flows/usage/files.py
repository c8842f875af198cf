"""Usage as a file, one row a call: CSV, and Parquet where the `parquet` extra is installed.

Always holds: a file is made piece by piece, in memory that does not grow with it; amounts are integers and decimals.
"""

import csv
import io
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from importlib.util import find_spec
from typing import Any, Protocol

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import format_usd
from tessera.domain.quantities import Quantities
from tessera.domain.usage_report import UsedCall

GROUP_ROWS = 10_000
"""Rows of Parquet that are kept until they are written together."""

_TOKENS = Quantities.__struct_fields__
_TEXTS_BEFORE = ("mode", "project", "key", "member", "model", "endpoint", "tier", "outcome")
COLUMNS = (
    "request_id",
    "created_at",
    "settled_at",
    *_TEXTS_BEFORE,
    "status",
    "deployment",
    *_TOKENS,
    "usage_source",
    "charge",
    "charge_nanos",
    "waived_nanos",
    "latency_ms",
)
_TIMES = ("created_at", "settled_at")
_WHOLE = ("status", *_TOKENS, "charge_nanos", "waived_nanos", "latency_ms")


class UsageFile(Protocol):
    """A file in the making. `add` and `end` give what is to be written next."""

    kind: str

    def add(self, calls: Sequence[UsedCall]) -> bytes:
        """More rows."""
        ...

    def end(self) -> bytes:
        """What stands at the end."""
        ...


class CsvFile:
    """RFC 4180, UTF-8, a header first; times in UTC, nothing for what there is not."""

    kind = "text/csv; charset=utf-8"

    def __init__(self) -> None:
        self._text = io.StringIO()
        self._rows = csv.writer(self._text)
        self._rows.writerow(COLUMNS)

    def add(self, calls: Sequence[UsedCall]) -> bytes:
        """See `UsageFile`."""
        for call in calls:
            row = _row(call)
            for name in _TIMES:
                row[name] = row[name].strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            self._rows.writerow(row.values())
        return self.end()

    def end(self) -> bytes:
        """See `UsageFile`."""
        written = self._text.getvalue()
        self._text.seek(0)
        self._text.truncate()
        return written.encode()


class ParquetFile:
    """Parquet with typed columns: UTC times in microseconds, `charge` as a decimal with nine places."""

    kind = "application/vnd.apache.parquet"

    def __init__(self) -> None:
        import pyarrow
        import pyarrow.parquet

        self._arrow = pyarrow
        types: dict[str, Any] = dict.fromkeys(COLUMNS, pyarrow.string())
        types |= dict.fromkeys(_TIMES, pyarrow.timestamp("us", tz="UTC"))
        types |= dict.fromkeys(_WHOLE, pyarrow.int64()) | {"charge": pyarrow.decimal128(19, 9)}
        self._schema = pyarrow.schema([(name, types[name]) for name in COLUMNS])
        self._sink = _Sink()
        self._writer = pyarrow.parquet.ParquetWriter(pyarrow.PythonFile(self._sink, mode="w"), self._schema)
        self._rows: list[dict[str, Any]] = []

    def add(self, calls: Sequence[UsedCall]) -> bytes:
        """See `UsageFile`."""
        for call in calls:
            row = _row(call)
            row["charge"] = Decimal(row["charge"])
            self._rows.append(row)
        if len(self._rows) >= GROUP_ROWS:
            self._write()
        return self._sink.take()

    def end(self) -> bytes:
        """See `UsageFile`."""
        self._write()
        self._writer.close()
        return self._sink.take()

    def _write(self) -> None:
        rows, self._rows = self._rows, []
        if rows:
            self._writer.write_table(self._arrow.Table.from_pylist(rows, schema=self._schema))


class _Sink(io.RawIOBase):
    """Takes what is written until somebody takes it away."""

    def __init__(self) -> None:
        super().__init__()
        self._pieces: list[bytes] = []

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        piece = bytes(data)
        self._pieces.append(piece)
        return len(piece)

    def take(self) -> bytes:
        pieces, self._pieces = self._pieces, []
        return b"".join(pieces)


FORMATS: dict[str, Callable[[], UsageFile]] = {"csv": CsvFile, "parquet": ParquetFile}


def check_format(name: str) -> None:
    """Raises [invalid_request] for a format that cannot be written here."""
    if name not in FORMATS:
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"format must be {' or '.join(FORMATS)}.", param="format")
    if name == "parquet" and find_spec("pyarrow") is None:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            "This installation does not write Parquet. Ask for csv; its operator can install the `parquet` extra.",
            param="format",
        )


def _row(call: UsedCall) -> dict[str, Any]:
    """A call by the names of the columns, in their order."""
    usage = {name: getattr(call.usage, name) for name in _TOKENS}
    return {
        "request_id": call.request_id,
        "created_at": _time(call.placed_at_us),
        "settled_at": _time(call.settled_at_us),
        "mode": call.mode.value,
        "project": call.project_id,
        "key": call.key_id,
        "member": call.member_id,
        "model": call.model,
        "endpoint": call.endpoint,
        "tier": call.tier,
        "outcome": call.outcome,
        "status": call.status,
        "deployment": call.deployment,
        **usage,
        "usage_source": call.usage_source,
        "charge": format_usd(call.charge_nanos),
        "charge_nanos": call.charge_nanos,
        "waived_nanos": call.waived_nanos,
        "latency_ms": call.latency_ms,
    }


def _time(at_us: int) -> datetime:
    seconds, micros = divmod(at_us, 1_000_000)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=micros)
