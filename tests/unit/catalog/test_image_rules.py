"""The image rules as data: every printed example, the dates, and the loader's checks."""

import tomllib
from datetime import date

import pytest

from tessera.catalog.catalogue import load_catalogue
from tessera.catalog.image_rules import check_rows, find_image_rules, load_image_rule_rows, read_rows
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Detail
from tessera.domain.tokens.counts import Confidence
from tessera.domain.tokens.images import count_image

TODAY = date(2026, 11, 22)
FOUNDING = date(2026, 1, 15)


def count(model: str, size: tuple[int, int], detail: Detail = Detail.AUTO, as_of: date = TODAY):
    return count_image(find_image_rules(model, as_of), *size, detail)


@pytest.mark.parametrize(
    ("model", "as_of", "size", "detail", "patches", "tokens"),
    [
        # OpenAI, September and August 2026 copies
        ("gpt-6-astra", TODAY, (1024, 1024), "high", 1024, 1229),
        ("gpt-6-astra", TODAY, (2048, 2048), "high", 2500, 3000),
        ("gpt-6-astra", TODAY, (4096, 512), "high", 2048, 2458),
        ("gpt-5.4", date(2026, 8, 1), (1024, 1024), "high", 1024, 1229),
        ("gpt-5.4", date(2026, 8, 1), (2048, 2048), "high", 2500, 3000),
        # 2025 and March 2026 copies: the budget of 1,536, before the multiplier
        ("gpt-4.1-mini", FOUNDING, (1024, 1024), "high", 1024, 1659),
        ("gpt-4.1-mini", FOUNDING, (1800, 2400), "high", 1452, 2353),
        ("gpt-5-mini", date(2026, 3, 15), (1800, 2400), "high", 1452, 2353),
        ("gpt-4.1-nano", FOUNDING, (1800, 2400), "high", 1452, 3572),
        ("o4-mini", FOUNDING, (1800, 2400), "high", 1452, 2498),
        # Compared with other gateways' counts on the peers' images, September 2026 rules
        ("gpt-4.1-mini", TODAY, (1024, 1024), "auto", 1024, 1659),
        ("gpt-5-mini", TODAY, (1024, 1024), "auto", 1024, 1229),
        ("gpt-5-nano", TODAY, (1920, 1080), "auto", 1508, 2262),
        ("gpt-5.4", TODAY, (994, 2160), "high", None, 2304),
        # Claude, both tiers, and the rule they replaced
        ("claude-opus-4-7", TODAY, (1920, 1080), "auto", 2691, 2691),
        ("claude-opus-4-7", TODAY, (3840, 2160), "auto", 4784, 4784),
        ("claude-opus-4-7", TODAY, (1075, 1520), "auto", 2145, 2145),
        ("claude-sonnet-4-5", TODAY, (1920, 1080), "auto", 1560, 1560),
        ("claude-sonnet-4-5", TODAY, (2000, 1500), "auto", 1564, 1564),
        ("claude-sonnet-4-5", TODAY, (1075, 1520), "auto", 1551, 1551),
        ("claude-3-7-sonnet-latest", date(2025, 6, 1), (1092, 1092), "auto", None, 1590),
        ("claude-3-7-sonnet-latest", date(2025, 6, 1), (200, 200), "auto", None, 54),
    ],
)
def test_printed_patch_counts(model, as_of, size, detail, patches, tokens):
    found = count(model, size, Detail(detail), as_of)
    assert found.tokens.predicted == tokens
    if patches is not None:
        assert found.patches == patches


@pytest.mark.parametrize(
    ("model", "size", "detail", "tiles", "tokens"),
    [
        ("gpt-4o", (1024, 1024), "high", 4, 765),
        ("gpt-4o", (2048, 4096), "high", 6, 1105),
        ("gpt-4o", (4096, 8192), "low", 0, 85),
        ("gpt-4o", (512, 512), "high", 1, 255),
        ("gpt-4o-mini", (1024, 1024), "auto", 4, 25_501),
        ("gpt-5", (1024, 1024), "high", 4, 630),
        ("o3", (1024, 1024), "high", 4, 675),
        ("computer-use-preview", (1024, 1024), "high", 4, 581),
        ("gemini-2.5-flash", (960, 540), "auto", 6, 1548),
        ("llama-3.2-vision", (1120, 1120), "auto", 4, 6404),
    ],
)
def test_printed_tile_counts(model, size, detail, tiles, tokens):
    found = count(model, size, Detail(detail))
    assert (found.tiles, found.tokens.predicted) == (tiles, tokens)


@pytest.mark.parametrize(
    ("model", "size", "as_of", "sized"),
    [
        ("gpt-6-astra", (2048, 2048), TODAY, (1600, 1600)),
        ("gpt-4.1-mini", (1800, 2400), FOUNDING, (1056, 1408)),
        ("gpt-4o", (1024, 1024), TODAY, (768, 768)),
        ("gpt-4o", (2048, 4096), TODAY, (768, 1536)),
        ("claude-sonnet-4-5", (1920, 1080), TODAY, (1456, 819)),
        ("claude-sonnet-4-5", (3840, 2160), TODAY, (1456, 819)),
        ("claude-opus-4-7", (3840, 2160), TODAY, (2576, 1449)),
        ("claude-sonnet-4-5", (1075, 1520), TODAY, (924, 1307)),
    ],
)
def test_printed_sizes_at_high(model, size, as_of, sized):
    detail = Detail.AUTO if "claude" in model else Detail.HIGH
    found = count(model, size, detail, as_of)
    assert (found.sized_width, found.sized_height) == sized


def test_the_founding_figures():
    assert count("gpt-4.1-mini", (1024, 1024), as_of=FOUNDING).patches == 1024
    assert count("gpt-4.1-mini", (4000, 4000), as_of=FOUNDING).patches <= 1536
    assert count("gpt-5-mini", (1024, 1024), as_of=FOUNDING).multiplier == "1.62"
    assert count("gpt-4o", (3000, 3000), Detail.LOW, FOUNDING).tokens.predicted == 85
    assert count("gpt-5-mini", (1024, 1024)).multiplier == "1.2"


def test_a_model_in_no_guide_yet_is_unknown_and_held_at_every_rule_of_its_family():
    found = count("gpt-5.2-pro", (2048, 2048), as_of=FOUNDING)
    assert found.confidence is Confidence.UNKNOWN
    assert found.patches <= 1536
    assert found.tokens.max == count("gpt-5.2", (2048, 2048)).tokens.max
    assert found.tokens.max > count("gpt-4.1-mini", (2048, 2048), as_of=FOUNDING).tokens.predicted


def test_low_on_a_patch_model_of_2025_is_held_as_high():
    low = count("gpt-4.1-mini", (2000, 2000), Detail.LOW, FOUNDING)
    assert low.confidence is Confidence.INFERRED
    assert low.tokens.predicted == 415  # 256 patches x 1.62
    assert low.tokens.max == count("gpt-4.1-mini", (2000, 2000), Detail.HIGH, FOUNDING).tokens.max


def test_the_day_before_a_models_first_row_is_refused_by_name():
    with pytest.raises(TesseraError, match=r"gpt-5\.2-pro on 2025-12-10.*valid from 2025-12-11") as refused:
        find_image_rules("gpt-5.2-pro", date(2025, 12, 10))
    assert (refused.value.code, refused.value.param) == (ErrorCode.INVALID_REQUEST, "as_of")


@pytest.mark.parametrize("name", ["gpt-4", "gpt-5.2-pr", "gpt-5.2-pro-2025", "", "GPT-4o"])
def test_a_model_without_a_row_is_refused_not_given_a_default(name):
    with pytest.raises(TesseraError) as refused:
        find_image_rules(name, TODAY)
    assert refused.value.param == "model"


def test_rules_change_at_the_start_of_their_day():
    last, first = (count("gpt-5-mini", (1024, 1024), as_of=day) for day in (date(2026, 6, 30), date(2026, 7, 1)))
    assert (last.multiplier, first.multiplier) == ("1.62", "1.2")
    assert first.valid_from == "2026-07-01"


def test_every_model_that_sees_images_has_a_rule_from_its_release_on():
    catalogue = load_catalogue()
    for model in catalogue.models():
        if model.sees_images and model.surfaces and model.released_on is not None:
            assert catalogue.image_rules(model.id, max(model.released_on, date(2023, 11, 6)))
            assert catalogue.image_rules(model.id, max(TODAY, model.released_on))


def test_a_dated_id_counts_as_its_model():
    for dated, plain in (("gpt-5.2-pro-2025-12-11", "gpt-5.2-pro"), ("gpt-4o-2024-08-06", "gpt-4o")):
        assert count(dated, (1500, 900)).tokens == count(plain, (1500, 900)).tokens


def test_every_row_names_its_source_and_has_a_stable_id():
    rows = load_image_rule_rows()
    assert len({row.id for row in rows}) == len(rows) > 60
    assert all(row.source for row in rows)
    assert all(row.reserve_reason for row in rows if row.reserve_tokens or row.reserve_percent)
    assert sum(len(row.examples) for row in rows) > 40


GOOD = """
rule_set = "test"
source = "a guide"
valid_from = 2026-01-01
[[rule]]
id = "a"
models = ["m"]
method = "patch32"
multiplier = "1.2"
confidence = "published"
auto = "high"
details.high = { edge_max = 2048 }
valid_until = 2026-02-01
examples = [{ size = "32x33", patches = 2, tokens = 3 }]
[[rule]]
id = "b"
like = "a"
models = ["m"]
valid_from = 2026-02-01
confidence = "published"
"""


def load(text: str) -> None:
    check_rows(read_rows([tomllib.loads(text)]))


def test_a_good_file_loads():
    load(GOOD)


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("valid_from = 2026-02-01", "valid_from = 2026-01-31", "overlap"),
        ("valid_from = 2026-02-01", "valid_from = 2026-02-02", "leave a gap"),
        ("valid_until = 2026-02-01\n", "", "overlap"),
        ("tokens = 3", "tokens = 4", "does not reproduce"),
        ('size = "32x33"', 'size = "32"', "size '32'"),
        ('id = "b"', 'id = "a"', "two image rules"),
        ('like = "a"', 'like = "c"', "missing or a circle"),
        ('like = "a"', 'like = "b"', "missing or a circle"),
        ('like = "a"', 'like = "a"\ncandidates = ["zz"]', "unknown candidates"),
        ('like = "a"', 'like = "a"\nmultiplyer = "2"', "multiplyer"),
        ('method = "patch32"', 'method = "patch33"', "patch33"),
        ('confidence = "published"\nauto', 'confidence = "inferred"\nauto', "names no candidate"),
        ('confidence = "published"\nauto', 'confidence = "unknown"\nauto', "names no candidate"),
        ('multiplier = "1.2"', "multiplier = 1.2", "multiplier"),
    ],
)
def test_a_bad_file_is_refused_with_the_row_named(old, new, message):
    assert old in GOOD
    with pytest.raises(ValueError, match=message):
        load(GOOD.replace(old, new))
