"""Connected regions, against a flood fill."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from tessera.adapters.providers.sight.components import find_regions

PICTURES = arrays(np.int64, st.tuples(st.integers(1, 9), st.integers(1, 9)), elements=st.integers(0, 2))


def flooded(labels: np.ndarray) -> list[frozenset[tuple[int, int]]]:
    left = {(y, x) for y in range(labels.shape[0]) for x in range(labels.shape[1])}
    regions = []
    while left:
        queue = [min(left)]
        region: set[tuple[int, int]] = set()
        while queue:
            y, x = queue.pop()
            if (y, x) in region:
                continue
            region.add((y, x))
            near = [(y - 1, x), (y + 1, x), (y, x - 1), (y, x + 1)]
            queue += [spot for spot in near if spot in left and labels[spot] == labels[y, x]]
        left -= region
        regions.append(frozenset(region))
    return regions


@given(PICTURES)
def test_regions_are_those_of_a_flood_fill(labels: np.ndarray) -> None:
    found = find_regions(labels)
    spots = []
    for index in range(len(found.value)):
        runs = zip(*found.runs_of(index), strict=True)
        spots.append(frozenset((int(y), x) for y, a, b in runs for x in range(int(a), int(b))))
    assert sorted(spots, key=min) == flooded(labels)


@given(PICTURES)
def test_areas_and_boxes_are_those_of_the_regions(labels: np.ndarray) -> None:
    found = find_regions(labels)
    assert found.area.sum() == labels.size
    for index, region in enumerate(flooded(labels)):
        ys, xs = [y for y, _ in region], [x for _, x in region]
        box = (found.left[index], found.top[index], found.right[index], found.bottom[index])
        assert box == (min(xs), min(ys), max(xs) + 1, max(ys) + 1)
        assert found.area[index] == len(region)
        assert found.value[index] == labels[min(region)]
