"""512 px tiles, Gemini's crop units, Llama's tiles and flat counts."""

from fractions import Fraction
from math import ceil, floor

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_rules import rule_of
from tessera.domain.request import Detail
from tessera.domain.tokens.images import count_image, flat_rules
from tessera.domain.tokens.rules import NO_LEVEL, ImageRules, Level, Method
from tessera.domain.tokens.tiles import size_gemini_tile, size_llama_tile, size_tile512

SIDES = st.integers(1, 20_000)
GPT_4O = rule_of(Method.TILE512, base=85, tile_tokens=170)


def tiles_of(width: int, height: int, rounded: bool) -> int:
    """The guide's steps in exact fractions, the other side rounded down or left as it is."""
    w, h = Fraction(width), Fraction(height)
    if max(w, h) > 2048:
        scale = 2048 / max(w, h)
        w, h = w * scale, h * scale
    if min(w, h) > 768:
        scale = 768 / min(w, h)
        w, h = w * scale, h * scale
    if rounded:
        w, h = max(Fraction(1), Fraction(floor(w))), max(Fraction(1), Fraction(floor(h)))
    return ceil(w / 512) * ceil(h / 512)


@given(SIDES, SIDES)
def test_integer_tiles_agree_with_exact_fractions(width, height):
    sized = size_tile512(GPT_4O, Level(), width, height)
    assert sized.units == tiles_of(width, height, rounded=True)
    assert sized.tokens == 85 + 170 * sized.units
    assert sized.tokens_max >= 85 + 170 * tiles_of(width, height, rounded=False)
    assert sized.width <= width
    assert sized.height <= height


@given(SIDES, SIDES)
def test_tiles_are_symmetric_and_at_most_eight(width, height):
    upright, lying = (size_tile512(GPT_4O, Level(), *size) for size in ((width, height), (height, width)))
    assert (upright.units, upright.tokens_max) == (lying.units, lying.tokens_max)
    assert 1 <= upright.units <= 8


@pytest.mark.parametrize(
    ("size", "tokens"), [((512, 512), 255), ((300, 200), 255), ((600, 600), 765), ((10, 700), 425)]
)
def test_a_small_image_is_not_enlarged(size, tokens):
    assert size_tile512(GPT_4O, Level(), *size).tokens == tokens


@given(SIDES, SIDES)
def test_low_is_the_base_whatever_the_size(width, height):
    sized = size_tile512(GPT_4O, Level(tokens=85, edge_max=512), width, height)
    assert (sized.tokens, sized.tokens_max) == (85, 85)
    assert max(sized.width, sized.height) <= 512


GEMINI = rule_of(Method.GEMINI_TILE, edge_max=384, tile_tokens=258)


@given(SIDES, SIDES)
def test_gemini_tiles_agree_with_the_printed_crop_unit(width, height):
    sized = size_gemini_tile(GEMINI, NO_LEVEL, width, height)
    if max(width, height) <= 384:
        assert sized.tokens == 258
    else:
        unit = max(1, floor(Fraction(min(width, height)) / Fraction(3, 2)))
        assert sized.tokens == 258 * ceil(Fraction(width, unit)) * ceil(Fraction(height, unit))


def test_the_printed_gemini_example_has_six_tiles():
    assert size_gemini_tile(GEMINI, NO_LEVEL, 960, 540).units == 6


@pytest.mark.parametrize(
    ("size", "tiles"),
    [((1, 1), 1), ((560, 560), 1), ((561, 560), 2), ((561, 561), 4), ((5000, 10), 2), ((5000, 5000), 4)],
)
def test_llama_counts_up_to_two_tiles_a_side(size, tiles):
    rule = rule_of(Method.LLAMA_TILE, unit=560, tiles_max=2, tile_tokens=1601)
    assert size_llama_tile(rule, NO_LEVEL, *size).tokens == 1601 * tiles


def test_a_configured_model_counts_its_ceiling_for_every_image():
    count = count_image(flat_rules("my-vlm", 2048), 10, 9000)
    assert (count.tokens.predicted, count.tokens.max) == (2048, 2048)
    assert (count.rule, count.detail_used) == ("configured.flat.2048", "auto")


def test_media_levels_are_flat_and_keep_a_margin():
    rule = rule_of(
        Method.GEMINI_MEDIA,
        levels={Detail.LOW: Level(tokens=280), Detail.HIGH: Level(tokens=1120)},
        auto=Detail.HIGH,
        reserve_percent=10,
    )
    rules = ImageRules(model="m", rule=rule)
    assert count_image(rules, 50, 60).tokens.predicted == 1120
    assert count_image(rules, 50, 60).tokens.max == 1232
    assert count_image(rules, 50, 60, Detail.LOW).tokens.predicted == 280
