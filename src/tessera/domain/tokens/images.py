"""Counting one image by the rules of one model."""

from collections.abc import Callable, Mapping
from datetime import date
from types import MappingProxyType

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Detail
from tessera.domain.tokens.counts import Confidence, ImageCount, Span
from tessera.domain.tokens.open_weights import size_mistral, size_qwen
from tessera.domain.tokens.patches import shrink_to_patches, size_claude28, size_claude_area, size_patch32
from tessera.domain.tokens.rules import ImageRule, ImageRules, Level, Method, Sized
from tessera.domain.tokens.tiles import size_flat, size_gemini_tile, size_llama_tile, size_tile512

_SIZE: Mapping[Method, Callable[[ImageRule, Level, int, int], Sized]] = {
    Method.PATCH32: size_patch32,
    Method.TILE512: size_tile512,
    Method.CLAUDE28: size_claude28,
    Method.CLAUDE_AREA: size_claude_area,
    Method.GEMINI_TILE: size_gemini_tile,
    Method.GEMINI_MEDIA: size_flat,
    Method.QWEN: size_qwen,
    Method.MISTRAL: size_mistral,
    Method.LLAMA_TILE: size_llama_tile,
    Method.FLAT: size_flat,
}
_TILED = frozenset({Method.TILE512, Method.GEMINI_TILE, Method.LLAMA_TILE})
SIDE_PX_MAX = 2**31
"""No format Tessera reads can state a longer side."""


def count_image(
    rules: ImageRules, width: int, height: int, detail: Detail = Detail.AUTO, *, param: str | None = None
) -> ImageCount:
    """The tokens of an image of width x height pixels (as displayed) at a detail level.

    `tokens.predicted` follows the model's rule; `tokens.max` is the largest count over the roundings the provider may
    use, the rule's reserve and every candidate rule. `param` is the caller's path to the image's address, for messages.
    Raises [unsupported_detail] when the model does not have the level, [image_too_large] when the provider refuses
    that many patches, [invalid_request] for sizes that no image has.
    """
    if not (0 < width <= SIDE_PX_MAX and 0 < height <= SIDE_PX_MAX):
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"An image is 1 to {SIDE_PX_MAX} pixels wide and high, not {width}x{height}.",
            param=param,
        )
    rule = rules.rule
    found = rule.level(detail)
    if found is None:
        raise _unsupported(rules, detail, param)
    used, level = found
    sized = _SIZE[rule.method](rule, level, width, height)
    units = sized.units
    if rule.reject_above is not None and units is not None and units > rule.reject_above:
        raise _too_large(rules, used, width, height, units, param)
    most = _largest(rule, level, sized, width, height)
    for candidate in rules.candidates:
        most = max(most, _largest_of(candidate, detail, width, height))
    tiled = rule.method in _TILED
    return ImageCount(
        detail=detail.value,
        detail_used=used.value,
        width=width,
        height=height,
        rule=rule.id,
        sized_width=sized.width,
        sized_height=sized.height,
        patches=None if tiled else units,
        tiles=units if tiled else None,
        multiplier=rule.multiplier,
        tokens=Span(sized.tokens, most),
        confidence=(level.confidence or rule.confidence) if sized.known else Confidence.UNKNOWN,
        rule_source=rule.source,
        valid_from=rule.valid_from.isoformat(),
    )


def cheapest_detail(rules: ImageRules, width: int, height: int) -> Detail:
    """The level with the fewest predicted tokens for this size; among equals the most detailed one.

    Never simply `low`: on several models low costs as much as high, or more. `auto` where a model has no levels, or
    takes this image at none.
    """
    best, fewest = Detail.AUTO, None
    for detail in (Detail.ORIGINAL, Detail.HIGH, Detail.LOW):
        if detail not in rules.rule.levels:
            continue
        try:
            tokens = count_image(rules, width, height, detail).tokens.predicted
        except TesseraError:
            continue
        if fewest is None or tokens < fewest:
            best, fewest = detail, tokens
    return best


def flat_rules(model: str, tokens_max: int) -> ImageRules:
    """Rules for a model whose operator configured `image_tokens_max`: every image is expected and held at that."""
    rule = ImageRule(
        id=f"configured.flat.{tokens_max}",
        method=Method.FLAT,
        valid_from=date(1970, 1, 1),
        valid_until=None,
        source="operator's configuration (image_tokens_max)",
        confidence=Confidence.UNKNOWN,
        levels=MappingProxyType({}),
        auto=Detail.AUTO,
        tokens_max=tokens_max,
    )
    return ImageRules(model=model, rule=rule)


def _largest(rule: ImageRule, level: Level, sized: Sized, width: int, height: int) -> int:
    """The largest count of one rule: roundings, levels the provider may bill by instead, and the reserve."""
    most = sized.tokens_max
    for other in level.max_as:
        most = max(most, _SIZE[rule.method](rule, rule.levels[other], width, height).tokens_max)
    return most + rule.reserve_tokens + -(-most * rule.reserve_percent // 100)


def _largest_of(rule: ImageRule, detail: Detail, width: int, height: int) -> int:
    """What a candidate rule could bill; 0 when it would not take such an image at all."""
    found = rule.level(detail)
    if found is None:
        return 0
    level = found[1]
    sized = _SIZE[rule.method](rule, level, width, height)
    if rule.reject_above is not None and sized.units is not None and sized.units > rule.reject_above:
        return 0
    return _largest(rule, level, sized, width, height)


def _unsupported(rules: ImageRules, detail: Detail, param: str | None) -> TesseraError:
    levels = [level.value for level in Detail if level in rules.rule.levels]
    if param is not None:
        # `detail` stands beside the address, the data or the file id that `param` leads to.
        param = param.rpartition(".")[0] + ".detail"
    offer = f"Use {', '.join(levels)} or auto." if levels else "It has no detail levels: omit detail, or use auto."
    return TesseraError(
        ErrorCode.UNSUPPORTED_DETAIL, f"{rules.model} does not support detail {detail.value!r}. {offer}", param=param
    )


def _too_large(
    rules: ImageRules, used: Detail, width: int, height: int, patches: int, param: str | None
) -> TesseraError:
    limit = rules.rule.reject_above
    assert limit is not None
    fits_width, fits_height = shrink_to_patches(width, height, limit)
    smaller = " or use detail 'high'" if Detail.HIGH in rules.rule.levels and used is not Detail.HIGH else ""
    return TesseraError(
        ErrorCode.IMAGE_TOO_LARGE,
        f"An image of {width}x{height} is {patches:,} patches for {rules.model} at detail {used.value!r}; more than "
        f"{limit:,} are refused. Scale it down to {fits_width}x{fits_height}{smaller}.",
        param=param,
        details={"patches": patches, "patches_max": limit, "fits_width": fits_width, "fits_height": fits_height},
    )
