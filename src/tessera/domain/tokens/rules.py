"""What an image token rule is: one dated row, and the rules that speak about one model on one day."""

from collections.abc import Mapping
from datetime import date
from enum import StrEnum
from typing import NamedTuple

import msgspec

from tessera.domain.request import Detail
from tessera.domain.tokens.counts import Confidence


class Method(StrEnum):
    """The kinds of rule there are. A new row of a known kind is data; a new kind is code beside these."""

    PATCH32 = "patch32"
    TILE512 = "tile512"
    CLAUDE28 = "claude28"
    CLAUDE_AREA = "claude_area"
    GEMINI_TILE = "gemini_tile"
    GEMINI_MEDIA = "gemini_media"
    QWEN = "qwen"
    MISTRAL = "mistral"
    LLAMA_TILE = "llama_tile"
    FLAT = "flat"


class Level(msgspec.Struct, frozen=True, kw_only=True):
    """What a detail level allows: both sides at most `edge_max` pixels, at most `budget` patches, or `tokens` flat.

    None is no such limit. `confidence` stands where the level is known worse than its rule; `max_as` names levels
    whose count the maximum must also cover, because the provider may bill by them.
    """

    edge_max: int | None = None
    budget: int | None = None
    tokens: int | None = None
    confidence: Confidence | None = None
    max_as: tuple[Detail, ...] = ()


class ImageRule(msgspec.Struct, frozen=True, kw_only=True):
    """One row: how the models it names count an image between `valid_from` and the day before `valid_until` (UTC).

    `levels` holds the detail levels there are; `auto` is what auto and an omitted detail become (auto itself where a
    model has no levels). `numerator`/`denominator` is `multiplier`. Of the method's figures only those it uses are
    set: `base` and `tile_tokens` tokens; `unit` pixels a side of patch or tile, `edge_max` pixels, `tokens_max`
    tokens, `pixels_min`/`pixels_max` pixels, `tiles_max` tiles a side, `marker_tokens` tokens around the image.
    More than `reject_above` patches is refused. `reserve_tokens` and `reserve_percent` are what the maximum adds, for
    the reason in `reserve_reason`.
    """

    id: str
    method: Method
    valid_from: date
    valid_until: date | None
    source: str
    confidence: Confidence
    levels: Mapping[Detail, Level]
    auto: Detail
    multiplier: str = "1"
    numerator: int = 1
    denominator: int = 1
    base: int = 0
    tile_tokens: int = 0
    unit: int = 0
    edge_max: int = 0
    tokens_max: int = 0
    pixels_min: int = 0
    pixels_max: int = 0
    tiles_max: int = 0
    marker_tokens: int = 0
    reject_above: int | None = None
    reserve_tokens: int = 0
    reserve_percent: int = 0
    reserve_reason: str = ""

    def level(self, detail: Detail) -> tuple[Detail, Level] | None:
        """The level a requested detail resolves to, with its limits; None when the model does not have it."""
        used = self.auto if detail is Detail.AUTO else detail
        found = self.levels.get(used)
        if found is None and used is Detail.AUTO:
            found = NO_LEVEL
        return None if found is None else (used, found)


NO_LEVEL = Level()


class ImageRules(msgspec.Struct, frozen=True, kw_only=True):
    """How `model` counts images on one day: `rule` predicts, the maximum also covers every rule of `candidates`."""

    model: str
    rule: ImageRule
    candidates: tuple[ImageRule, ...] = ()


class Sized(NamedTuple):
    """An image under one level of one rule.

    `width`, `height` are the pixels the model looks at, `units` its patches or tiles (None: the rule has neither).
    `tokens` is the expected count, `tokens_max` the largest over the roundings a provider may use, without reserve.
    `known` is False where the published rule does not say what happens.
    """

    width: int
    height: int
    units: int | None
    tokens: int
    tokens_max: int
    known: bool = True
