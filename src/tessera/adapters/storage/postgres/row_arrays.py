"""Rows as PostgreSQL reads them fastest: an array of a composite type, in binary, as one value of a statement.

An array for each column would cost both sides a fixed price for every column; text would have to be quoted and parsed.
The form is that of `array_recv` and `record_recv` in PostgreSQL's sources.
"""

import re
import struct
from collections.abc import Iterable, Sequence
from typing import Any

from psycopg.abc import Buffer
from psycopg.adapt import Dumper
from psycopg.pq import Format

from tessera.adapters.storage.postgres.escaping import escape

COLUMN_TYPES = {"i": "bigint", "n": "bigint", "t": "text", "b": "bytea"}
"""The kinds of columns: whole numbers, whole numbers or nothing, text, bytes. Text and bytes may be nothing too."""

_OIDS = {"i": 20, "n": 20, "t": 25, "b": 17}
_HEAD = struct.Struct("!ii")
_INT8 = _HEAD.pack(_OIDS["i"], 8)
_NULLS = {kind: _HEAD.pack(oid, -1) for kind, oid in _OIDS.items()}
_ARRAY = struct.Struct("!iiIii")


class RowArray(bytes):
    """The encoded array; its type is told by the statement it is a value of."""

    __slots__ = ()


class RowArrayDumper(Dumper):
    """Gives the driver an encoded array as it is."""

    format = Format.BINARY

    def dump(self, obj: RowArray) -> Buffer:
        """See `Dumper.dump`."""
        return obj


class RowType:
    """A composite type of a connection, known there by `number`, with columns of `kinds`."""

    def __init__(self, kinds: str, number: int) -> None:
        self._number = number
        # Numbers that stand side by side are packed at once.
        self._steps = [
            (run[0], run.start(), run.end(), struct.Struct("!" + "8sq" * len(run[0])).pack)
            for run in re.finditer("i+|[^i]", kinds)
        ]
        self._count = struct.pack("!i", len(kinds))

    def array(self, rows: Iterable[Sequence[Any]]) -> RowArray:
        """The array of these rows. Raises struct.error for a number that is none of 64 bits."""
        texts: dict[str, bytes] = {}
        records: list[bytes] = []
        for row in rows:
            pieces = [self._count]
            for kind, start, stop, pack in self._steps:
                value = row[start]
                if kind[0] == "i":
                    heads_and_numbers = [_INT8] * (2 * (stop - start))
                    heads_and_numbers[1::2] = row[start:stop]
                    pieces.append(pack(*heads_and_numbers))
                elif value is None:
                    pieces.append(_NULLS[kind])
                elif kind == "t":
                    # Most columns of a group say the same in most rows.
                    pieces.append(texts.get(value) or texts.setdefault(value, _text(value)))
                elif kind == "b":
                    pieces += (_HEAD.pack(17, len(value)), value)
                else:
                    pieces.append(pack(_INT8, value))
            record = b"".join(pieces)
            records += (len(record).to_bytes(4, "big"), record)
        return RowArray(_ARRAY.pack(1, 0, self._number, len(records) // 2, 1) + b"".join(records))


def _text(text: str) -> bytes:
    encoded = escape(text).encode()
    return _HEAD.pack(_OIDS["t"], len(encoded)) + encoded
