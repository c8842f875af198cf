"""Reading the query of a report."""

from collections.abc import Iterable, Mapping
from typing import TypeVar
from urllib.parse import parse_qsl

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.usage_report import TIME_MAX, Width
from tessera.http.exchange import Exchange
from tessera.http.requests import checked_page
from tessera.ports import Page

VALUES_MAX = 100
"""How many values a filter may name."""

_VALUE_LENGTH_MAX = 256
_FIELDS_MAX = 1_000

V = TypeVar("V")


class ReportQuery:
    """Query parameters by name: single ones once, lists repeated, with `[]` or with commas. Raises [invalid_request]
    naming what is wrong."""

    def __init__(self, exchange: Exchange, single: Iterable[str], lists: Iterable[str]) -> None:
        single, lists = set(single), set(lists)
        self._single: dict[str, str] = {}
        self._lists: dict[str, list[str]] = {}
        for name, value in _pairs(exchange):
            plain = name.removesuffix("[]")
            if plain in lists:
                self._lists.setdefault(plain, []).extend(part for part in value.split(",") if part)
            elif name not in single:
                raise _wrong(name[:64], f"Unknown query parameter {name[:64]!r}.")
            elif name in self._single:
                raise _wrong(name, f"The query parameter {name!r} was given twice.")
            else:
                self._single[name] = value
        for name, values in self._lists.items():
            if not values:
                # Taken as no filter, it would show what nobody asked for.
                raise _wrong(name, f"{name} names nothing: give it a value or leave it out.")
            if len(values) > VALUES_MAX or any(len(value) > _VALUE_LENGTH_MAX for value in values):
                raise _wrong(name, f"{name} takes at most {VALUES_MAX} values.")

    def text(self, name: str) -> str | None:
        """One value as it is."""
        return self._single.get(name)

    def values(self, name: str) -> tuple[str, ...]:
        """The values of a list, each once."""
        return tuple(dict.fromkeys(self._lists.get(name, ())))

    def number(self, name: str, default: int, *, least: int = 0, most: int) -> int:
        """A whole number within bounds."""
        text = self._single.get(name)
        if text is None:
            return default
        digits = text.isascii() and text.isdecimal() and len(text) <= len(str(most))
        if not digits or not least <= int(text) <= most:
            raise _wrong(name, f"{name} must be a whole number from {least} to {most}.")
        return int(text)

    def time(self, name: str) -> int | None:
        """Seconds since 1970, if given."""
        return self.number(name, 0, most=TIME_MAX) if name in self._single else None

    def choice(self, name: str, known: Mapping[str, V], default: V) -> V:
        """One of some words."""
        text = self._single.get(name)
        if text is None:
            return default
        if text not in known:
            raise _wrong(name, f"{name} must be {' or '.join(known)}.")
        return known[text]

    def choices(self, name: str, known: Mapping[str, V]) -> dict[str, V]:
        """Some of some words."""
        found = {}
        for text in self.values(name):
            if text not in known:
                raise _wrong(name, f"{name} takes {', '.join(known)}, not {text[:64]!r}.")
            found[text] = known[text]
        return found

    def width(self, known: Iterable[Width] = tuple(Width)) -> Width:
        """The width of buckets; a day if none is named."""
        return self.choice("bucket_width", {width.value: width for width in known}, Width.DAY)

    def mode(self) -> Mode:
        """Which money; live if none is named."""
        return self.choice("mode", {mode.value: mode for mode in Mode}, Mode.LIVE)


def page_asked(query: ReportQuery) -> Page:
    """The page of a list that a query asks for. Raises [invalid_request]."""
    return checked_page(query.text("limit"), query.text("after"))


def _pairs(exchange: Exchange) -> list[tuple[str, str]]:
    try:
        text = exchange.scope["query_string"].decode("ascii")
        return parse_qsl(text, keep_blank_values=True, max_num_fields=_FIELDS_MAX)
    except (UnicodeDecodeError, ValueError) as error:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "The query string cannot be read.") from error


def _wrong(name: str, text: str) -> TesseraError:
    return TesseraError(ErrorCode.INVALID_REQUEST, text, param=name)
