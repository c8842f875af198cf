"""The hull of a region: the least convex polygon that holds every corner of every pixel."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from tessera.adapters.providers.sight.outline import area_of, hull_of

RUNS = st.lists(st.tuples(st.integers(0, 12), st.integers(0, 20), st.integers(1, 9)), min_size=1, max_size=30)


@given(RUNS)
def test_a_hull_holds_every_pixel_and_turns_the_same_way_at_each_of_its_corners(
    runs: list[tuple[int, int, int]],
) -> None:
    row, start, length = (np.array(column, dtype=np.int64) for column in zip(*runs, strict=True))
    hull = hull_of(row, start, start + length)
    corners = {(x, y) for top, left, wide in runs for x in (left, left + wide) for y in (top, top + 1)}
    assert {(int(x), int(y)) for x, y in hull} <= corners
    edges = np.roll(hull, -1, axis=0) - hull
    after = np.roll(edges, -1, axis=0)
    assert (edges[:, 0] * after[:, 1] - edges[:, 1] * after[:, 0] > 0).all()
    for x, y in corners:
        away = np.array([x, y]) - hull
        assert (edges[:, 0] * away[:, 1] - edges[:, 1] * away[:, 0] >= 0).all()


def test_the_hull_of_one_run_of_pixels_is_its_rectangle() -> None:
    hull = hull_of(np.array([3]), np.array([2]), np.array([6]))
    assert hull.tolist() == [[2, 3], [6, 3], [6, 4], [2, 4]]
    assert area_of(hull) == 4
