"""Names of colours."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.adapters.providers.sight.colours import NAMED, lab_of, name_of, names_of


def lab(red: int, green: int, blue: int) -> np.ndarray:
    return lab_of(np.array([red, green, blue], dtype=np.uint8))


def test_there_are_at_least_30_names_in_13_families() -> None:
    assert len({name for name, _, _ in NAMED}) == len(NAMED) >= 30
    assert len({family for _, family, _ in NAMED}) == 13


@pytest.mark.parametrize(
    ("rgb", "expected"),
    [
        ((255, 255, 255), (100.0, 0.0, 0.0)),
        ((0, 0, 0), (0.0, 0.0, 0.0)),
        ((255, 0, 0), (53.24, 80.09, 67.20)),
        ((0, 255, 0), (87.73, -86.18, 83.18)),
        ((0, 0, 255), (32.30, 79.19, -107.86)),
    ],
)
def test_cielab_of_the_corners_of_srgb_is_as_published(
    rgb: tuple[int, int, int], expected: tuple[float, float, float]
) -> None:
    assert lab(*rgb) == pytest.approx(expected, abs=0.05)


@pytest.mark.parametrize(
    ("rgb", "family"),
    [
        ((255, 0, 0), "red"),
        ((255, 140, 0), "orange"),
        ((255, 255, 0), "yellow"),
        ((0, 128, 0), "green"),
        ((0, 255, 0), "green"),
        ((0, 128, 128), "teal"),
        ((0, 0, 255), "blue"),
        ((135, 206, 235), "blue"),
        ((128, 0, 128), "purple"),
        ((255, 192, 203), "pink"),
        ((139, 69, 19), "brown"),
        ((245, 222, 179), "beige"),
        ((128, 128, 128), "grey"),
        ((0, 0, 0), "black"),
        ((255, 255, 255), "white"),
    ],
)
def test_colours_that_people_agree_on_get_their_family(rgb: tuple[int, int, int], family: str) -> None:
    assert name_of(lab(*rgb))[1] == family


@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_every_colour_has_a_name_of_the_table_and_the_list_form_agrees(rgb: tuple[int, int, int]) -> None:
    name, family = name_of(lab(*rgb))
    assert (name, family) in {(row[0], row[1]) for row in NAMED}
    assert names_of(lab(*rgb)[None, :]) == [name]


@given(st.integers(0, 255))
def test_grey_is_never_given_a_hue(level: int) -> None:
    assert name_of(lab(level, level, level))[1] in {"black", "grey", "white"}
