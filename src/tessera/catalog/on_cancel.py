"""Loads `on_cancel.toml`: what each provider bills, on each API, for an answer that is not read to its end."""

import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from functools import cache
from pathlib import Path

import msgspec

from tessera.domain.request import Surface
from tessera.domain.usage import OnCancel


class OnCancelRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What a provider bills on these surfaces from a day on, and where that is said."""

    provider: str
    surfaces: tuple[Surface, ...]
    on_cancel: OnCancel
    valid_from: date
    source: str


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    row: tuple[OnCancelRow, ...]


class OnCancelRules:
    """The packaged rows under an operator's choice by provider. Immutable."""

    def __init__(self, rows: Iterable[OnCancelRow], chosen: Mapping[str, OnCancel]) -> None:
        self._rows: dict[tuple[str, Surface], list[OnCancelRow]] = {}
        self._chosen = dict(chosen)
        for row in sorted(rows, key=lambda row: row.valid_from, reverse=True):
            for surface in row.surfaces:
                self._rows.setdefault((row.provider, surface), []).append(row)

    def find(self, provider: str, surface: Surface, as_of: date) -> OnCancel:
        """What a provider bills on a surface on a day; unknown where nothing is said."""
        chosen = self._chosen.get(provider)
        if chosen is not None:
            return chosen
        for row in self._rows.get((provider, surface), ()):
            if row.valid_from <= as_of:
                return row.on_cancel
        return OnCancel.UNKNOWN


def read_on_cancel(text: str) -> tuple[OnCancelRow, ...]:
    """The rows of a file's text. Raises ValueError for one that breaks its schema, names no source, or stands twice."""
    try:
        rows = msgspec.convert(tomllib.loads(text), _File).row
    except msgspec.ValidationError as error:
        raise ValueError(f"on_cancel: {error}") from error
    seen: set[tuple[str, Surface, date]] = set()
    for row in rows:
        if not row.source.strip() or not row.surfaces:
            raise ValueError(f"on_cancel: the row of {row.provider} needs surfaces and a source")
        for surface in row.surfaces:
            if (row.provider, surface, row.valid_from) in seen:
                raise ValueError(f"on_cancel: {row.provider} has two rows for {surface} from {row.valid_from}")
            seen.add((row.provider, surface, row.valid_from))
    return rows


@cache
def packaged_on_cancel() -> tuple[OnCancelRow, ...]:
    """The rows that are shipped."""
    return read_on_cancel((Path(__file__).parent / "on_cancel.toml").read_text("utf-8"))
