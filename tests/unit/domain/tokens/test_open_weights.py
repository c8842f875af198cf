"""Qwen and Mistral counts against the public processors' own arithmetic."""

from math import ceil, floor, sqrt

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_rules import rule_of
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.tokens.open_weights import size_mistral, size_qwen
from tessera.domain.tokens.rules import NO_LEVEL, Method

SIDES = st.integers(1, 9000)


def qwen_rule(unit: int, pixels_min: int, pixels_max: int):
    return rule_of(Method.QWEN, unit=unit, pixels_min=pixels_min, pixels_max=pixels_max, marker_tokens=2)


def qwen_processor(width: int, height: int, unit: int, pixels_min: int, pixels_max: int) -> tuple[float, float]:
    """(columns, rows) before the last rounding where the area is out of bounds, as the processor computes them."""
    columns, rows = round(width / unit), round(height / unit)
    area = columns * rows * unit * unit
    if area > pixels_max:
        beta = sqrt(width * height / pixels_max)
        return width / beta / unit, height / beta / unit
    if area < pixels_min:
        beta = sqrt(pixels_min / (width * height))
        return width * beta / unit, height * beta / unit
    return columns, rows


@given(SIDES, SIDES, st.sampled_from([28, 32]), st.sampled_from([256, 1280, 16_384]))
def test_qwen_agrees_with_the_processor(width, height, unit, patches_max):
    if max(width, height) > 200 * min(width, height):
        return
    bounds = 4 * unit * unit, patches_max * unit * unit
    sized = size_qwen(qwen_rule(unit, *bounds), NO_LEVEL, width, height)
    columns, rows = qwen_processor(width, height, unit, *bounds)
    if isinstance(columns, int):
        expected = {columns * rows}
    elif columns * rows > 4.5:  # shrunk: down; doubles may fall just short of a whole number
        expected = {max(1, floor(columns + e)) * max(1, floor(rows + e)) for e in (0, 1e-9)}
    else:  # enlarged: up; doubles may land just above one
        expected = {ceil(columns - e) * ceil(rows - e) for e in (0, 1e-9)}
    assert sized.tokens - 2 in expected
    assert sized.tokens_max - 2 >= max(expected)


@pytest.mark.parametrize(
    ("size", "tokens"), [((28, 28), 4), ((56, 56), 4), ((280, 280), 100), ((1024, 1024), 1369), ((8000, 8000), 16_384)]
)
def test_qwen_counts_whole_patches_and_two_markers(size, tokens):
    assert size_qwen(qwen_rule(28, 4 * 784, 16_384 * 784), NO_LEVEL, *size).tokens == tokens + 2


def test_qwen_refuses_what_is_over_two_hundred_times_as_long_as_wide():
    rule = qwen_rule(28, 4 * 784, 16_384 * 784)
    assert size_qwen(rule, NO_LEVEL, 2000, 10).tokens > 0
    with pytest.raises(TesseraError, match="200 times") as refused:
        size_qwen(rule, NO_LEVEL, 2001, 10)
    assert refused.value.code is ErrorCode.IMAGE_TOO_LARGE


PIXTRAL = rule_of(Method.MISTRAL, unit=16, edge_max=1024)


@given(SIDES, SIDES)
def test_mistral_agrees_with_the_image_encoder(width, height):
    ratio = max(width / 1024, height / 1024)
    fitted = (max(1, round(width / ratio)), max(1, round(height / ratio))) if ratio > 1 else (width, height)
    columns, rows = ((side - 1) // 16 + 1 for side in fitted)
    assert size_mistral(PIXTRAL, NO_LEVEL, width, height).tokens == (columns + 1) * rows


@given(SIDES, SIDES)
def test_mistrals_maximum_covers_the_turned_image(width, height):
    upright = size_mistral(PIXTRAL, NO_LEVEL, width, height)
    lying = size_mistral(PIXTRAL, NO_LEVEL, height, width)
    assert upright.tokens_max == lying.tokens_max == max(upright.tokens, lying.tokens)


def test_a_row_of_patches_costs_one_break_token():
    assert size_mistral(PIXTRAL, NO_LEVEL, 512, 256).tokens == 33 * 16
    assert size_mistral(PIXTRAL, NO_LEVEL, 256, 512).tokens == 17 * 32
