"""Connected regions of equal labels, found by runs: no dependency, no loop over pixels."""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]


@dataclass(frozen=True)
class Regions:
    """Regions of a label picture. Runs are `(row, start, stop)`, each belonging to a region; boxes are pixel bounds.

    `value`, `area`, `left`, `top`, `right`, `bottom` have one entry a region; right and bottom are exclusive.
    """

    row: Ints
    start: Ints
    stop: Ints
    owner: Ints
    value: Ints
    area: Ints
    left: Ints
    top: Ints
    right: Ints
    bottom: Ints

    def runs_of(self, region: int) -> tuple[Ints, Ints, Ints]:
        mine = np.flatnonzero(self.owner == region)
        return self.row[mine], self.start[mine], self.stop[mine]


def find_regions(labels: NDArray[np.int64]) -> Regions:
    """4-connected regions of equal value, in the order of their first pixel."""
    rows, columns = labels.shape
    first = np.ones((rows, columns), dtype=bool)
    first[:, 1:] = labels[:, 1:] != labels[:, :-1]
    run_of = (np.cumsum(first.ravel()) - 1).reshape(rows, columns)
    row, start = np.nonzero(first)
    stop = np.append(start[1:], columns)
    stop = np.where(stop == 0, columns, stop)
    touching = labels[:-1] == labels[1:]
    upper, lower = run_of[:-1][touching], run_of[1:][touching]
    fresh = np.ones(len(upper), dtype=bool)
    fresh[1:] = (upper[1:] != upper[:-1]) | (lower[1:] != lower[:-1])
    parent = joined(len(row), upper[fresh], lower[fresh])
    roots, owner = np.unique(parent, return_inverse=True)
    count = len(roots)
    bounds = [np.full(count, limit) for limit in (columns, rows, 0, 0)]
    np.minimum.at(bounds[0], owner, start)
    np.minimum.at(bounds[1], owner, row)
    np.maximum.at(bounds[2], owner, stop)
    np.maximum.at(bounds[3], owner, row + 1)
    area = np.bincount(owner, stop - start, count).astype(np.int64)
    return Regions(row, start, stop, owner, labels[row[roots], start[roots]], area, *bounds)


def joined(count: int, upper: Ints, lower: Ints) -> Ints:
    """The smallest run each run is connected with: hook to the smaller, then shorten the paths, until nothing moves."""
    parent = np.arange(count)
    while True:
        above, below = parent[upper], parent[lower]
        apart = above != below
        if not apart.any():
            return parent
        np.minimum.at(parent, np.maximum(above, below)[apart], np.minimum(above, below)[apart])
        while True:
            shorter = parent[parent]
            if np.array_equal(shorter, parent):
                break
            parent = shorter
