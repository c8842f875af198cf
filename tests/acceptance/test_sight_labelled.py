"""What sight gets right on labelled images, and that the reference states exactly these figures."""

import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from images.labelled import SEED, Labelled, labelled_images
from images.other_styles import other_styles
from tessera.adapters.providers.sight.answers import answer
from tessera.adapters.providers.sight.look import observe
from tessera.adapters.providers.sight.observation import Observation, SightLimits
from tessera.adapters.providers.sight.swatches import dominant

SECOND_SEED = 77
REFERENCE = Path(__file__).parents[2] / "docs" / "reference" / "sight.md"
Seen = list[tuple[Labelled, Observation]]
Score = tuple[int, int]


@pytest.fixture(scope="module")
def first_set() -> Seen:
    return looked_at(labelled_images(SEED))


@pytest.fixture(scope="module")
def second_set() -> Seen:
    return looked_at(labelled_images(SECOND_SEED))


@pytest.fixture(scope="module")
def other_set() -> Seen:
    return looked_at(other_styles(SECOND_SEED))


def looked_at(images: list[Labelled]) -> Seen:
    # Reading takes most of the time and decides none of these figures.
    return [(image, observe(image.data, SightLimits(text_characters_max=0))) for image in images]


def right(seen: Seen, wanted: Callable[[Labelled], object], correct: Callable[[Labelled, Observation], bool]) -> Score:
    judged = [(image, found) for image, found in seen if wanted(image) is not None]
    wrong = [image.name for image, found in judged if not correct(image, found)]
    print(f"wrong: {wrong}")
    return len(judged) - len(wrong), len(judged)


def colours(seen: Seen) -> Score:
    return right(seen, lambda i: i.colours, lambda i, o: dominant(o.palette).family in (i.colours or ()))


def kinds(seen: Seen) -> Score:
    return right(seen, lambda i: i.kind, lambda i, o: o.kind == i.kind)


def codes(seen: Seen) -> Score:
    return right(seen, lambda i: i.codes, lambda i, o: tuple(code.content for code in o.codes) == i.codes)


def shapes(seen: Seen) -> Score:
    return right(seen, lambda i: i.shapes, lambda i, o: Counter(shape.kind for shape in o.shapes) == Counter(i.shapes))


def patterns(seen: Seen) -> Score:
    return right(seen, lambda i: i.pattern, lambda i, o: o.texture.pattern == i.pattern)


def share(score: Score) -> float:
    return score[0] / score[1]


def test_the_set_holds_at_least_60_labelled_images(first_set: Seen) -> None:
    assert sum(1 for image, _ in first_set if image.kind or image.colours or image.codes) >= 60


@pytest.mark.parametrize("name", ["first_set", "second_set"])
def test_the_figures_that_were_promised_are_reached(name: str, request: pytest.FixtureRequest) -> None:
    seen = request.getfixturevalue(name)
    assert share(colours(seen)) >= 0.90
    assert share(kinds(seen)) >= 0.85
    assert share(codes(seen)) == 1
    assert share(shapes(seen)) >= 0.85
    assert share(patterns(seen)) >= 0.85


def test_kinds_are_recognised_in_styles_that_the_set_does_not_hold(other_set: Seen) -> None:
    assert share(kinds(other_set)) >= 0.85


def test_no_code_is_read_where_there_is_none(first_set: Seen, second_set: Seen, other_set: Seen) -> None:
    assert [image.name for image, seen in (*first_set, *second_set, *other_set) if seen.codes and not image.codes] == []


def test_no_two_different_photographs_get_the_same_text(first_set: Seen, second_set: Seen) -> None:
    photos = {image.data: seen for image, seen in (*first_set, *second_set) if image.kind == "photo"}
    for question in ("Describe this image.", "What colours are in it?", "Is it sharp?", "How many people are there?"):
        texts = {answer([seen], question) for seen in photos.values()}
        assert len(texts) == len(photos)


def test_the_reference_states_the_measured_figures(first_set: Seen, second_set: Seen, other_set: Seen) -> None:
    measured = {
        "dominant colour": (colours(first_set), colours(second_set)),
        "kind of picture": (kinds(first_set), kinds(second_set)),
        "codes, exactly": (codes(first_set), codes(second_set)),
        "shapes, counted": (shapes(first_set), shapes(second_set)),
        "pattern": (patterns(first_set), patterns(second_set)),
        "kind, other styles": (kinds(other_set),),
    }
    table = re.findall(r"^\| ([^|]+?) \| (\d+ of \d+[^|]*?) \| ([^|]*?) \|", REFERENCE.read_text("utf-8"), re.M)
    stated = {row[0]: tuple(parse(cell) for cell in row[1:] if parse(cell)) for row in table}
    assert stated == measured


def parse(cell: str) -> Score | None:
    found = re.match(r"(\d+) of (\d+)", cell)
    return (int(found[1]), int(found[2])) if found else None
