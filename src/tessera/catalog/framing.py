"""Loads `framing.toml`: which tokenizer and framing each model counts text with."""

import tomllib
from functools import cache
from pathlib import Path

import msgspec

from tessera.domain.tokens.counts import Confidence
from tessera.domain.tokens.framing import Framing

UNPUBLISHED = "unpublished"
"""The row for every model that no other row names. Safe for any model: its maximum is the text's bytes."""


class FramingRow(Framing, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row of the file: a framing and the ids it is for."""

    models: tuple[str, ...]


class _File(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    framing: tuple[FramingRow, ...]


def find_framing(model_id: str) -> Framing:
    """How a model counts text; the `unpublished` row for one that no row names."""
    rows = _framing_by_model()
    return rows.get(model_id) or rows[UNPUBLISHED]


def read_framing(text: str) -> dict[str, Framing]:
    """Model id → framing, of a file's text. Raises ValueError, naming the row, when a check fails."""
    try:
        content = msgspec.convert(tomllib.loads(text), _File)
    except msgspec.ValidationError as error:
        raise ValueError(f"framing: {error}") from error
    found: dict[str, Framing] = {}
    for row in content.framing:
        if row.published_on and row.confidence is not Confidence.PUBLISHED:
            raise ValueError(f"framing {row.id} claims exact counts but is {row.confidence}")
        for model in row.models or (row.id,):
            if model in found:
                raise ValueError(f"two framings name {model}")
            found[model] = row
    if UNPUBLISHED not in found:
        raise ValueError("the row for all other models is missing")
    return found


@cache
def _framing_by_model() -> dict[str, Framing]:
    return read_framing((Path(__file__).parent / "framing.toml").read_text("utf-8"))
