"""Images counted as the public processors of open-weight models count them. A host may set other limits."""

from math import isqrt

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.tokens.rules import ImageRule, Level, Sized

QWEN_RATIO_MAX = 200


def size_qwen(rule: ImageRule, _level: Level, width: int, height: int) -> Sized:
    """Qwen-VL: sides rounded to whole patches of `unit` px, the area kept between `pixels_min` and `pixels_max`.

    Source: the image processors of the transformers library (Qwen2-VL, Qwen3-VL). When a tiny image is enlarged,
    floating point may round one more row and column up; the maximum covers that.
    Raises [image_too_large] when one side is more than 200 times the other, as the processor does.
    """
    if max(width, height) > QWEN_RATIO_MAX * min(width, height):
        raise TesseraError(
            ErrorCode.IMAGE_TOO_LARGE,
            f"An image of {width}x{height} is more than {QWEN_RATIO_MAX} times as long as wide; "
            "this model refuses it. Crop it.",
        )
    unit = rule.unit
    columns, rows = _nearest_even(width, unit), _nearest_even(height, unit)
    pixels = columns * rows * unit * unit
    enlarged = False
    if pixels > rule.pixels_max:
        columns = max(1, isqrt(width * rule.pixels_max // (height * unit * unit)))
        rows = max(1, isqrt(height * rule.pixels_max // (width * unit * unit)))
    elif pixels < rule.pixels_min:
        enlarged = True
        columns = _root_up(width * rule.pixels_min, height * unit * unit)
        rows = _root_up(height * rule.pixels_min, width * unit * unit)
    most = (columns + 1) * (rows + 1) if enlarged else columns * rows
    patches = columns * rows
    return Sized(columns * unit, rows * unit, patches, patches + rule.marker_tokens, most + rule.marker_tokens)


def size_mistral(rule: ImageRule, _level: Level, width: int, height: int) -> Sized:
    """Pixtral and Mistral Small: patches of `unit` px in rows, each row closed by one token.

    Source: mistral-common. The rule is not symmetric and a host may turn the image by its EXIF tag: the maximum is
    the larger of both orientations.
    """
    long = max(width, height)
    if long > rule.edge_max:
        width = max(1, _nearest_even(width * rule.edge_max, long))
        height = max(1, _nearest_even(height * rule.edge_max, long))
    columns, rows = -(-width // rule.unit), -(-height // rule.unit)
    patches = columns * rows
    return Sized(width, height, patches, patches + rows, patches + max(rows, columns))


def _nearest_even(number: int, divisor: int) -> int:
    """number / divisor, rounded half to even."""
    whole, rest = divmod(number, divisor)
    return whole + (2 * rest > divisor or (2 * rest == divisor and whole % 2 == 1))


def _root_up(number: int, divisor: int) -> int:
    """The smallest integer not below the square root of number / divisor."""
    return isqrt(-(-number // divisor) - 1) + 1
