"""Loads the image token rules of `image_rules/*.toml` and finds the one for a model on a day.

Always holds after loading: no two rows of a model overlap and none leaves a gap; an inferred or unknown row names the
rules its maximum covers; every printed example reproduces. A model without a row is refused, never given a default.
"""

import re
import tomllib
from collections.abc import Iterable, Mapping
from datetime import date
from fractions import Fraction
from functools import cache
from itertools import pairwise
from pathlib import Path
from types import MappingProxyType
from typing import Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Detail
from tessera.domain.tokens.counts import Confidence
from tessera.domain.tokens.images import count_image
from tessera.domain.tokens.rules import ImageRule, ImageRules, Level, Method

FOLDER = Path(__file__).parent / "image_rules"
_SIZE = re.compile(r"([1-9][0-9]*)x([1-9][0-9]*)")
_OWN_FIELDS = frozenset({"id", "models", "like", "valid_from", "valid_until", "source", "confidence"})
_OWN_FIELDS |= {"boundary_from", "boundary_until", "candidates", "examples", "rule_set"}


class Example(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A printed example: an image size, and what the vendor says comes out. None is not printed."""

    size: str
    detail: Detail = Detail.AUTO
    sized: str | None = None
    patches: int | None = None
    tiles: int | None = None
    tokens: int | None = None


class ImageRuleRow(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One row as written, with its file's defaults: half-open validity in UTC; `like` takes figures from another row.

    `boundary_*` says how well each end of the validity is known: exact, assumed, or latest possible.
    """

    id: str
    rule_set: str
    models: tuple[str, ...]
    source: str
    confidence: Confidence
    valid_from: date
    valid_until: date | None = None
    boundary_from: str = "exact"
    boundary_until: str = "exact"
    like: str | None = None
    candidates: tuple[str, ...] = ()
    examples: tuple[Example, ...] = ()
    method: Method
    auto: Detail
    details: dict[Detail, Level] = {}
    multiplier: str = "1"
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

    def rule(self) -> ImageRule:
        """The row as the domain counts with it."""
        fraction = Fraction(self.multiplier)
        shared = {name: getattr(self, name) for name in ImageRule.__struct_fields__ if hasattr(self, name)}
        return ImageRule(
            **(
                shared
                | {
                    "levels": MappingProxyType(self.details),
                    "numerator": fraction.numerator,
                    "denominator": fraction.denominator,
                }
            )
        )


def find_image_rules(model_id: str, as_of: date) -> ImageRules:
    """How a model (its canonical id, or a dated id the rows name) counts images on a day.

    Raises [invalid_request] when the model has no image rule, or none yet on that day.
    """
    periods = _rules_by_model().get(model_id)
    if periods is None:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"There is no image token rule for {model_id}: it takes no images, or the operator must configure it "
            "(a [[model]] row with like or image_tokens_max).",
            param="model",
        )
    for rules in periods:
        rule = rules.rule
        if rule.valid_from <= as_of and (rule.valid_until is None or as_of < rule.valid_until):
            return rules
    first = periods[0].rule
    raise TesseraError(
        ErrorCode.INVALID_REQUEST,
        f"No image token rule is known for {model_id} on {as_of}: the first is {first.id}, "
        f"valid from {first.valid_from}.",
        param="as_of",
    )


@cache
def load_image_rule_rows() -> tuple[ImageRuleRow, ...]:
    """Every row of every file, in file order. Raises ValueError, naming the row, when a check fails."""
    rows = read_rows(tomllib.loads(path.read_text("utf-8")) for path in sorted(FOLDER.glob("*.toml")))
    check_rows(rows)
    return rows


def read_rows(files: Iterable[Mapping[str, Any]]) -> tuple[ImageRuleRow, ...]:
    """Rows of parsed TOML files: file defaults filled in, `like` resolved. Raises ValueError naming the row."""
    written: dict[str, dict[str, Any]] = {}
    for content in files:
        defaults = {name: value for name, value in content.items() if name != "rule"}
        for row in content["rule"]:
            if row["id"] in written:
                raise ValueError(f"two image rules are called {row['id']}")
            written[row["id"]] = {**defaults, **_sourced(row, defaults.get("source", ""))}
    rows = []
    for row_id in written:
        try:
            rows.append(msgspec.convert(_resolve(row_id, written, ()), ImageRuleRow))
        except msgspec.ValidationError as error:
            raise ValueError(f"image rule {row_id}: {error}") from error
    return tuple(rows)


def check_rows(rows: tuple[ImageRuleRow, ...]) -> None:
    """Runs every loader check. Raises ValueError that names the row at fault."""
    by_id = {row.id: row for row in rows}
    for row in rows:
        if row.confidence in (Confidence.INFERRED, Confidence.UNKNOWN) and not row.candidates:
            raise ValueError(f"image rule {row.id} is {row.confidence} and names no candidate rules for its maximum")
        missing = [candidate for candidate in row.candidates if candidate not in by_id]
        if missing:
            raise ValueError(f"image rule {row.id} names unknown candidates {missing}")
        rule = row.rule()
        for example in row.examples:
            _check_example(rule, example)
    for model, periods in _by_model(rows).items():
        for earlier, later in pairwise(periods):
            if earlier.valid_until is None or earlier.valid_until > later.valid_from:
                raise ValueError(f"image rules {earlier.id} and {later.id} of {model} overlap")
            if earlier.valid_until < later.valid_from:
                raise ValueError(f"image rules {earlier.id} and {later.id} of {model} leave a gap")


def parse_size(text: str) -> tuple[int, int] | None:
    """(width, height) of a text such as `1024x768`, or None."""
    match = _SIZE.fullmatch(text)
    return None if match is None else (int(match[1]), int(match[2]))


def _sourced(row: Mapping[str, Any], source: str) -> dict[str, Any]:
    """A row whose source says so when its figures are inherited rather than printed."""
    if row.get("confidence") != Confidence.INFERRED or "like" not in row or "source" in row:
        return dict(row)
    return {**row, "source": f"inferred from {row['like']} ({source})"}


def _resolve(row_id: str, written: Mapping[str, dict[str, Any]], path: tuple[str, ...]) -> dict[str, Any]:
    """A row with the figures of the row it is like, its file's defaults over those, and its own over all."""
    if row_id not in written or row_id in path:
        raise ValueError(f"image rule {path[-1] if path else row_id} is like {row_id}, which is missing or a circle")
    full = written[row_id]
    if "like" not in full:
        return full
    inherited = _resolve(full["like"], written, (*path, row_id))
    return {name: value for name, value in inherited.items() if name not in _OWN_FIELDS} | full


def _by_model(rows: Iterable[ImageRuleRow]) -> dict[str, list[ImageRuleRow]]:
    """Each model's rows, earliest first."""
    found: dict[str, list[ImageRuleRow]] = {}
    for row in rows:
        for model in row.models:
            found.setdefault(model, []).append(row)
    for periods in found.values():
        periods.sort(key=lambda row: row.valid_from)
    return found


@cache
def _rules_by_model() -> dict[str, tuple[ImageRules, ...]]:
    rows = load_image_rule_rows()
    rules = {row.id: row.rule() for row in rows}
    return {
        model: tuple(
            ImageRules(model=model, rule=rules[row.id], candidates=tuple(rules[id] for id in row.candidates))
            for row in periods
        )
        for model, periods in _by_model(rows).items()
    }


def _check_example(rule: ImageRule, example: Example) -> None:
    size = parse_size(example.size)
    if size is None:
        raise ValueError(f"image rule {rule.id} has an example of size {example.size!r}")
    count = count_image(ImageRules(model=rule.id, rule=rule), *size, example.detail)
    found = Example(
        size=example.size,
        detail=example.detail,
        sized=f"{count.sized_width}x{count.sized_height}" if example.sized is not None else None,
        patches=count.patches if example.patches is not None else None,
        tiles=count.tiles if example.tiles is not None else None,
        tokens=count.tokens.predicted if example.tokens is not None else None,
    )
    if found != example:
        raise ValueError(f"image rule {rule.id} does not reproduce a printed example: {example}, but counts {found}")
