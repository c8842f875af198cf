"""Counting one image: levels, refusals, maxima over candidates, the cheapest level."""

from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from made_rules import rule_of
from tessera.catalog.image_rules import find_image_rules, load_image_rule_rows
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Detail
from tessera.domain.tokens.counts import Confidence, ImageCount
from tessera.domain.tokens.images import cheapest_detail, count_image
from tessera.domain.tokens.rules import ImageRules, Level, Method

TODAY = date(2026, 11, 22)
MODELS = sorted({model for row in load_image_rule_rows() for model in row.models})


def count(model: str, width: int, height: int, detail: Detail = Detail.AUTO, as_of: date = TODAY):
    return count_image(find_image_rules(model, as_of), width, height, detail)


def count_or_refuse(rules: ImageRules, width: int, height: int, detail: Detail) -> ImageCount | ErrorCode:
    try:
        return count_image(rules, width, height, detail)
    except TesseraError as error:
        return error.code


@pytest.mark.parametrize("size", [(0, 10), (10, 0), (-1, 10), (2**31 + 1, 5)])
def test_a_size_no_image_has_is_refused(size):
    with pytest.raises(TesseraError) as refused:
        count("gpt-5.2", *size)
    assert refused.value.code is ErrorCode.INVALID_REQUEST


@pytest.mark.parametrize("model", ["gpt-5.2", "gpt-5.2-pro", "gpt-4.1-mini", "gpt-4o", "gpt-5-mini"])
def test_original_is_refused_where_the_model_does_not_have_it(model):
    with pytest.raises(TesseraError, match=r"original.*Use low, high or auto|Use low, high or auto") as refused:
        count_image(find_image_rules(model, TODAY), 100, 100, Detail.ORIGINAL, param="input[0].content[1].image_url")
    assert refused.value.code is ErrorCode.UNSUPPORTED_DETAIL
    assert refused.value.param == "input[0].content[1].detail"


@pytest.mark.parametrize("model", ["claude-opus-4-7", "gemini-2.5-pro", "qwen2.5-vl"])
def test_a_model_without_levels_takes_auto_only(model):
    assert count(model, 100, 100).detail_used == "auto"
    for detail in (Detail.LOW, Detail.HIGH, Detail.ORIGINAL):
        with pytest.raises(TesseraError, match="omit detail"):
            count(model, 100, 100, detail)


@pytest.mark.parametrize(
    ("model", "used"),
    [
        ("gpt-6-astra", "original"),
        ("gpt-5.6-sol", "original"),
        ("gpt-5.5", "original"),
        ("gpt-5.4", "high"),
        ("gpt-5.4-nano", "high"),
        ("gpt-5.2", "high"),
        ("gpt-4o", "high"),
        ("gpt-5.1", "high"),
    ],
)
def test_auto_resolves_per_model_and_both_levels_are_kept(model, used):
    found = count(model, 3000, 2000)
    assert (found.detail, found.detail_used) == ("auto", used)
    assert found.tokens == count(model, 3000, 2000, Detail(used)).tokens


def test_more_than_thirty_thousand_patches_is_refused_with_a_size_that_fits():
    with pytest.raises(TesseraError, match="5536x5536 or use detail 'high'") as refused:
        count("gpt-6-astra", 6000, 6000)
    assert refused.value.code is ErrorCode.IMAGE_TOO_LARGE
    assert refused.value.details["patches"] == 35_344
    assert count("gpt-6-astra", 5536, 5536).patches == 29_929
    assert count("gpt-6-astra", 6000, 6000, Detail.HIGH).patches == 2500


@pytest.mark.parametrize(("size", "patches"), [((4800, 6400), 30_000), ((32, 65_535), 2048)])
def test_exactly_thirty_thousand_patches_pass(size, patches):
    assert count("gpt-6-astra", *size, Detail.ORIGINAL).patches == patches
    with pytest.raises(TesseraError):
        count("gpt-6-astra", 4801, 6400, Detail.ORIGINAL)


def test_the_patch_limit_does_not_hold_before_september_2026():
    august = date(2026, 8, 31)
    assert count("gpt-5.6-sol", 6000, 6000, as_of=august).patches == 35_344
    with pytest.raises(TesseraError):
        count("gpt-5.6-sol", 6000, 6000, as_of=date(2026, 9, 1))


def test_low_is_not_the_cheapest_level_of_gpt_5_4():
    rules = find_image_rules("gpt-5.4", TODAY)
    low, high = (count_image(rules, 2048, 2048, detail).tokens.predicted for detail in (Detail.LOW, Detail.HIGH))
    assert (low, high) == (4916, 3000)
    assert cheapest_detail(rules, 2048, 2048) is Detail.HIGH
    assert cheapest_detail(rules, 1000, 1000) is Detail.ORIGINAL  # all cost the same: the most detailed


@pytest.mark.parametrize(
    ("model", "size", "cheapest"),
    [
        ("gpt-5.2", (4000, 3000), Detail.HIGH),
        ("gpt-4o-mini", (1024, 1024), Detail.LOW),
        ("gpt-6-astra", (9000, 9000), Detail.LOW),
        ("gpt-6-astra", (400, 300), Detail.ORIGINAL),
        ("claude-opus-4-7", (4000, 3000), Detail.AUTO),
    ],
)
def test_the_cheapest_level_is_computed(model, size, cheapest):
    assert cheapest_detail(find_image_rules(model, TODAY), *size) is cheapest


@given(st.sampled_from(MODELS), st.integers(1, 9000), st.integers(1, 9000), st.sampled_from(Detail))
def test_no_maximum_is_below_its_prediction_nor_below_a_candidates(model, width, height, detail):
    rules = find_image_rules(model, TODAY)
    found = count_or_refuse(rules, width, height, detail)
    if isinstance(found, ErrorCode):
        assert found in (ErrorCode.UNSUPPORTED_DETAIL, ErrorCode.IMAGE_TOO_LARGE)
        return
    assert 0 < found.tokens.predicted <= found.tokens.max
    for candidate in rules.candidates:
        other = count_or_refuse(ImageRules(model=model, rule=candidate), width, height, detail)
        assert isinstance(other, ErrorCode) or other.tokens.predicted <= found.tokens.max


@given(st.sampled_from([m for m in MODELS if m.startswith(("gpt", "o"))]), st.integers(1, 9000), st.integers(1, 9000))
def test_openai_maxima_are_at_least_one_token_above(model, width, height):
    found = count_or_refuse(find_image_rules(model, TODAY), width, height, Detail.AUTO)
    if isinstance(found, ErrorCode):
        assert found is ErrorCode.IMAGE_TOO_LARGE
        return
    assert found.tokens.max >= found.tokens.predicted + 1


def test_an_inherited_rule_is_held_at_the_dearest_candidate():
    cheap = rule_of(levels={Detail.LOW: Level(tokens=10)}, auto=Detail.LOW, method=Method.FLAT)
    dear = rule_of(levels={Detail.LOW: Level(tokens=900)}, auto=Detail.LOW, method=Method.FLAT, reserve_tokens=5)
    other_levels = rule_of(levels={Detail.HIGH: Level(tokens=9999)}, auto=Detail.HIGH, method=Method.FLAT)
    rules = ImageRules(model="m", rule=cheap, candidates=(dear, other_levels))
    found = count_image(rules, 5, 5, Detail.LOW)
    assert (found.tokens.predicted, found.tokens.max) == (10, 905)


@pytest.mark.parametrize(
    ("model", "confidence"),
    [
        ("gpt-5.2", Confidence.PUBLISHED),
        ("gpt-5.2-pro", Confidence.INFERRED),
        ("gpt-5-mini", Confidence.INFERRED),
        ("gpt-6-sol", Confidence.INFERRED),
        ("gpt-4o", Confidence.PUBLISHED),
        ("claude-opus-4-7", Confidence.PUBLISHED),
    ],
)
def test_every_count_says_how_sure_it_is(model, confidence):
    assert count(model, 640, 480).confidence is confidence


def test_turning_an_image_changes_only_mistrals_prediction():
    for model in MODELS:
        upright, lying = count(model, 1234, 777).tokens, count(model, 777, 1234).tokens
        assert upright.max == lying.max
        if not model.startswith(("pixtral", "mistral")):
            assert upright == lying
