"""What was used, added up in the settle's commit: one row per series and minute, hour and day that a group touches.

Always holds: a row is the exact sum of its series' usage events settled in its time (`tessera verify`).
"""

import sqlite3
from collections.abc import Iterator
from itertools import pairwise

from tessera.adapters.storage.ledger.books import Book, Books
from tessera.domain.ledger.limits import SubjectKind
from tessera.domain.usage import UsageEvent

WIDTHS_S = (60, 3600, 86400)
_MINUTE_US = 60_000_000
_MINUTES_A_DAY = 1440
_SERIES_KEPT_MAX = 50_000

_COUNTED = (
    "requests",
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "input_image_tokens",
    "output_tokens",
    "reasoning_tokens",
    "output_image_tokens",
    "charge_nanos",
    "cost_nanos",
)
_COUNTS = len(_COUNTED)
_CHARGE = _COUNTED.index("charge_nanos")

_SERIES = "wallet_id, project_id, key_id, model, endpoint, tier"

_ADD_SERIES = f"INSERT INTO usage_series ({_SERIES}) VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT DO NOTHING"  # noqa: S608

_FIND_SERIES = """
SELECT id FROM usage_series
WHERE wallet_id = ? AND project_id = ? AND key_id = ? AND model = ? AND endpoint = ? AND tier = ?
"""

_COLUMNS = f"wallet_id, width_s, start_at, series_id, {', '.join(_COUNTED)}, first_number, last_number"

ON_CONFLICT = f"""ON CONFLICT (wallet_id, width_s, start_at, series_id) DO UPDATE SET
{", ".join(f"{name} = usage_sum.{name} + excluded.{name}" for name in _COUNTED)},
first_number = min(usage_sum.first_number, excluded.first_number),
last_number = max(usage_sum.last_number, excluded.last_number)
"""

INSERT_SUMS = f"INSERT INTO usage_sum ({_COLUMNS})"
ADD_SUMS = f"{INSERT_SUMS} VALUES ({', '.join('?' * (_COUNTS + 6))}) {ON_CONFLICT}"

_ADDED = """sum(input_tokens), sum(cached_input_tokens), sum(cache_write_tokens), sum(input_image_tokens),
    sum(output_tokens), sum(reasoning_tokens), sum(output_image_tokens)"""

_OF_EVENTS = f"""
SELECT hold.wallet_id AS wallet_id, settled_at_us / 60000000 * 60 AS start_at, project_id, key_id, model, endpoint,
    served_tier, count(*), {_ADDED}, sum(event.charge_nanos), sum(cost_nanos), min(number), max(number)
FROM usage_event AS event JOIN hold ON hold.number = hold_number
GROUP BY hold.wallet_id, settled_at_us / 60000000 * 60, project_id, key_id, model, endpoint, served_tier
"""  # noqa: S608

_MINUTES = f"""
SELECT usage_sum.wallet_id, start_at, project_id, key_id, model, endpoint, tier, {", ".join(_COUNTED)},
    first_number, last_number
FROM usage_sum LEFT JOIN usage_series ON usage_series.id = series_id
    AND usage_series.wallet_id = usage_sum.wallet_id WHERE width_s = 60
"""  # noqa: S608

_OF_FINER = f"""
SELECT wallet_id, start_at / {{width}} * {{width}} AS start_at, series_id, sum(requests), {_ADDED}, sum(charge_nanos),
    sum(cost_nanos), min(first_number), max(last_number)
FROM usage_sum WHERE width_s = {{finer}} GROUP BY wallet_id, start_at / {{width}} * {{width}}, series_id
"""  # noqa: S608

_STORED = f"""
SELECT wallet_id, start_at, series_id, {", ".join(_COUNTED)}, first_number, last_number
FROM usage_sum WHERE width_s = {{width}}
"""  # noqa: S608

CHARGED = """
SELECT coalesce(sum(charge_nanos), 0) FROM usage_sum
WHERE wallet_id = ?1 AND width_s = 86400 AND start_at >= ?2 AND start_at < ?3
"""
"""What a wallet was charged on the days that begin in [?2, ?3), seconds since 1970."""

_CHARGED_TO = {
    subject: f"{CHARGED} AND series_id IN (SELECT id FROM usage_series WHERE wallet_id = ?1 AND {column} = ?4)"  # noqa: S608
    for subject, column in ((SubjectKind.KEY, "key_id"), (SubjectKind.PROJECT, "project_id"))
}

Kind = tuple[str, str, str, str]
"""What a hold tells of its call: project, key, model and endpoint."""


class UsageSums:
    """What one transaction adds."""

    def __init__(self, connection: sqlite3.Connection, books: Books) -> None:
        self._connection = connection
        self._books = books
        self._minutes: dict[tuple[int, int, Kind, str], list[int]] = {}

    def add(self, book: Book, kind: Kind, number: int, event: UsageEvent) -> None:
        """Adds an event to its series' minute; called for every settled call, so as plain as can be."""
        place = (book.id, event.settled_at_us // _MINUTE_US, kind, event.served_tier)
        usage = event.usage
        sums = self._minutes.get(place)
        if sums is None:
            self._minutes[place] = [
                1,
                usage.input_tokens,
                usage.cached_input_tokens,
                usage.cache_write_tokens,
                usage.input_image_tokens,
                usage.output_tokens,
                usage.reasoning_tokens,
                usage.output_image_tokens,
                event.charge_nanos,
                event.cost_nanos,
                number,
                number,
            ]
            return
        sums[0] += 1
        sums[1] += usage.input_tokens
        sums[2] += usage.cached_input_tokens
        sums[3] += usage.cache_write_tokens
        sums[4] += usage.input_image_tokens
        sums[5] += usage.output_tokens
        sums[6] += usage.reasoning_tokens
        sums[7] += usage.output_image_tokens
        sums[8] += event.charge_nanos
        sums[9] += event.cost_nanos
        if number < sums[10]:
            sums[10] = number
        elif number > sums[11]:
            sums[11] = number

    def charged(self, book: Book, subject: SubjectKind, subject_id: str, first_day: int, end_day: int) -> int:
        """What a subject was charged on the days from one up to another, with what is added and not written yet."""
        place = [book.id, first_day * 86_400, end_day * 86_400]
        if subject is SubjectKind.ORGANIZATION:
            row = self._connection.execute(CHARGED, place).fetchone()
        else:
            row = self._connection.execute(_CHARGED_TO[subject], [*place, subject_id]).fetchone()
        nanos = int(row[0])
        for (wallet, minute, kind, _), sums in self._minutes.items():
            if wallet == book.id and first_day <= minute // _MINUTES_A_DAY < end_day:
                whose = {SubjectKind.PROJECT: kind[0], SubjectKind.KEY: kind[1]}.get(subject, subject_id)
                nanos += sums[_CHARGE] if whose == subject_id else 0
        return nanos

    def write(self) -> None:
        """Writes what was added. Raises sqlite3.Error."""
        rows: dict[tuple[int, int, int, int], list[int]] = {}
        for (wallet, minute, kind, tier), sums in self._minutes.items():
            series = self._series(wallet, kind, tier)
            for width in WIDTHS_S:
                place = (wallet, width, minute * 60 // width * width, series)
                rows[place] = sums if place not in rows else _together(rows[place], sums)
        if rows:
            self._connection.executemany(ADD_SUMS, [(*place, *sums) for place, sums in rows.items()])

    def _series(self, wallet: int, kind: Kind, tier: str) -> int:
        """A series' number, made if it is new. Under the wallet's lock, so that nobody else makes it meanwhile."""
        known = self._books.series
        values = (wallet, *kind, tier)
        found = known.get(values)
        if found is None:
            row = self._connection.execute(_FIND_SERIES, values).fetchone()
            if row is None:
                self._connection.execute(_ADD_SERIES, values)
                row = self._connection.execute(_FIND_SERIES, values).fetchone()
            if len(known) >= _SERIES_KEPT_MAX:
                known.clear()
            found = known[values] = int(row[0])
        return found


def _together(one: list[int], other: list[int]) -> list[int]:
    added = [a + b for a, b in zip(one[:_COUNTS], other[:_COUNTS], strict=True)]
    return [*added, min(one[_COUNTS], other[_COUNTS]), max(one[_COUNTS + 1], other[_COUNTS + 1])]


def usage_faults(connection: sqlite3.Connection) -> Iterator[str]:
    """Sums that are not those of their usage events: minutes are compared with events, hours and days with what is
    finer."""
    compared = [(60, _OF_EVENTS, _MINUTES)]
    for finer, width in pairwise(WIDTHS_S):
        compared.append((width, _OF_FINER.format(width=width, finer=finer), _STORED.format(width=width)))
    for width, expected, stored in compared:
        for what, ones, others in (("missing", expected, stored), ("not of their events", stored, expected)):
            sql = f"SELECT wallet_id, start_at FROM (SELECT * FROM ({ones}) AS ones EXCEPT {others}) AS different"  # noqa: S608
            for wallet, start_at in connection.execute(sql):
                yield f"wallet {wallet}, the {width} s from {start_at}: sums are {what}"
