"""OpenAI's 32 px patches and Claude's 28 px patches, against independent readings of the published algorithms."""

from decimal import ROUND_FLOOR, Decimal, localcontext
from math import ceil

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_rules import rule_of
from tessera.domain.request import Detail
from tessera.domain.tokens.counts import Confidence
from tessera.domain.tokens.images import count_image
from tessera.domain.tokens.patches import shrink_to_patches, size_claude28, size_patch32
from tessera.domain.tokens.rules import NO_LEVEL, ImageRules, Level, Method

SIDES = st.integers(1, 12_000)
BUDGETS = st.sampled_from([None, 1536, 2500, 6144, 10_000])
EDGES = st.sampled_from([None, 512, 2048, 6000, 65_535])


TIMES_1_2 = rule_of(multiplier="1.2", numerator=6, denominator=5)


def printed_patches(width: int, height: int, edge: int | None, budget: int | None) -> tuple[int, int, int]:
    """The guide's algorithm as it is printed, with sixty digits instead of doubles: (patches, width, height)."""
    with localcontext() as context:
        context.prec = 60
        w, h = Decimal(width), Decimal(height)
        if edge is not None and max(width, height) > edge:
            scale = Decimal(edge) / max(w, h)
            w, h = (max(Decimal(1), (side * scale + Decimal("0.5")).to_integral_value(ROUND_FLOOR)) for side in (w, h))
        patches = ceil(w / 32) * ceil(h / 32)
        if budget is not None and patches > budget:
            scale = (Decimal(32 * 32 * budget) / (w * h)).sqrt()
            columns, rows = w * scale / 32, h * scale / 32
            # Sixty digits can still fall a hair short of a whole number that the exact root reaches.
            whole = [(side + Decimal("1e-40")).to_integral_value(ROUND_FLOOR) for side in (columns, rows)]
            scale *= min(whole[0] / columns, whole[1] / rows)
            hair = Decimal("1e-40")
            w, h = (max(Decimal(1), (side * scale + hair).to_integral_value(ROUND_FLOOR)) for side in (w, h))
        return ceil(w / 32) * ceil(h / 32), int(w), int(h)


@given(SIDES, SIDES, EDGES, BUDGETS)
def test_exact_integers_agree_with_the_printed_algorithm(width, height, edge, budget):
    if budget is not None and edge is None and max(width, height) > budget * min(width, height):
        return  # beyond what the guide covers
    sized = size_patch32(TIMES_1_2, Level(edge_max=edge, budget=budget), width, height)
    assert (sized.units, sized.width, sized.height) == printed_patches(width, height, edge, budget)
    assert sized.tokens == ceil(Decimal(sized.units) * Decimal("1.2"))


@given(SIDES, SIDES, EDGES, BUDGETS)
def test_the_rule_is_symmetric(width, height, edge, budget):
    level = Level(edge_max=edge, budget=budget)
    upright, lying = (size_patch32(TIMES_1_2, level, *size) for size in ((width, height), (height, width)))
    assert (upright.units, upright.tokens, upright.tokens_max) == (lying.units, lying.tokens, lying.tokens_max)
    assert (upright.width, upright.height) == (lying.height, lying.width)


@given(SIDES, SIDES, EDGES, BUDGETS)
def test_patches_stay_within_the_budget_and_images_are_never_enlarged(width, height, edge, budget):
    sized = size_patch32(TIMES_1_2, Level(edge_max=edge, budget=budget), width, height)
    assert sized.units is not None
    assert sized.units >= 1
    assert budget is None or sized.units <= budget
    assert sized.width <= width
    assert sized.height <= height
    assert edge is None or max(sized.width, sized.height) <= edge
    assert sized.tokens <= sized.tokens_max


@given(SIDES, SIDES, st.sampled_from([512, 2048, 6000]), BUDGETS)
def test_the_maximum_covers_every_rounding_of_the_fitted_short_side(width, height, edge, budget):
    long, short = max(width, height), min(width, height)
    most = size_patch32(TIMES_1_2, Level(edge_max=edge, budget=budget), width, height).tokens_max
    if long <= edge:
        return
    exact = Decimal(short) * edge / long
    for fitted in {max(1, int(exact)), ceil(exact)}:
        assert size_patch32(TIMES_1_2, Level(budget=budget), edge, fitted).tokens <= most


@pytest.mark.parametrize("side", [1608, 1632, 1700, 1839, 2000, 2047, 2048, 4097])
def test_a_square_above_the_budget_keeps_its_full_last_row(side):
    """In double precision the printed formula loses a row of patches here; the exact count never does."""
    sized = size_patch32(TIMES_1_2, Level(budget=2500), side, side)
    assert (sized.units, sized.width, sized.height) == (2500, 1600, 1600)


def test_a_hair_thin_image_beyond_the_budget_is_unknown_and_bounded():
    rule = rule_of(levels={Detail.HIGH: Level(budget=1536)}, auto=Detail.HIGH, numerator=81, denominator=50)
    count = count_image(ImageRules(model="m", rule=rule), 100_000, 2)
    assert count.confidence is Confidence.UNKNOWN
    assert count.patches == 1536
    assert count.tokens.predicted == ceil(Decimal(1536) * Decimal("1.62"))


@given(SIDES, SIDES, st.sampled_from([1536, 30_000]))
def test_the_size_named_to_fit_does_fit(width, height, patches_max):
    if max(width, height) > patches_max * min(width, height):
        return
    fits_width, fits_height = shrink_to_patches(width, height, patches_max)
    assert ceil(fits_width / 32) * ceil(fits_height / 32) <= patches_max
    assert fits_width <= width
    assert fits_height <= height


CLAUDE_TIERS = st.sampled_from([(1568, 1568), (2576, 4784)])


def claude_brute_force(width: int, height: int, edge_max: int, tokens_max: int) -> int:
    """Every length of the long side, the largest that fits; the short side by exact halves to even."""
    long, short = max(width, height), min(width, height)

    def tokens(length: int) -> int | None:
        side = max(1, int((Decimal(length) * short / long).to_integral_value("ROUND_HALF_EVEN")))
        columns, rows = ceil(length / 28), ceil(side / 28)
        fits = max(columns, rows) * 28 <= edge_max and columns * rows <= tokens_max
        return columns * rows if fits else None

    if (found := tokens(long)) is not None:
        return found
    return max(length_tokens for length in range(1, long) if (length_tokens := tokens(length)) is not None)


@given(st.integers(1, 4000), st.integers(1, 4000), CLAUDE_TIERS)
def test_claudes_binary_search_finds_what_trying_every_size_finds(width, height, tier):
    edge_max, tokens_max = tier
    rule = rule_of(Method.CLAUDE28, edge_max=edge_max, tokens_max=tokens_max)
    sized = size_claude28(rule, NO_LEVEL, width, height)
    assert sized.tokens == claude_brute_force(width, height, edge_max, tokens_max)
    assert sized.tokens <= tokens_max
    assert max(sized.width, sized.height) <= edge_max


@given(SIDES, SIDES, CLAUDE_TIERS)
def test_claude_counts_both_orientations_alike(width, height, tier):
    rule = rule_of(Method.CLAUDE28, edge_max=tier[0], tokens_max=tier[1])
    upright, lying = (size_claude28(rule, NO_LEVEL, *size) for size in ((width, height), (height, width)))
    assert upright.tokens == lying.tokens
    assert (upright.width, upright.height) == (lying.height, lying.width)
