"""What kind of picture it is: photo, drawing, screenshot, document or chart.

A photograph has few neighbours of exactly one grey and no few greys that cover it. What is drawn is told apart by
its lines of writing, its long straight edges, and its axes or its round of slices. The thresholds were read off the
labelled images (`tests/images`), where each lies in a gap between the kinds, and checked on other seeds.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from tessera.adapters.providers.sight.components import Regions, find_regions
from tessera.adapters.providers.sight.observation import Text
from tessera.adapters.providers.sight.outline import area_of, ellipse_of, hull_of, tightest_rectangle
from tessera.adapters.providers.sight.palette import Clusters

STEP_MIN = 5
"""Grey levels of the faintest edge of a panel."""
LINE_MIN = 16
"""Grey levels by which a thin line differs from both its sides."""
LINE_HALF = 4
"""A thin line is at most this many pixels wide."""


@dataclass(frozen=True)
class Evidence:
    """What the kinds are told apart by; shares are of the picture.

    `still`: pixels equal to both neighbours. `few`: covered by the six commonest greys. `few_rest`: the same of what
    is not the commonest grey. `panels`: long straight steps across. `axes`: a long thin line across and one down that
    meet. `rulers`: long thin lines across.
    """

    still: float
    few: float
    few_rest: float
    nearly_still: float
    panels: int
    rulers: int
    axes: bool
    slices: bool
    lines: int
    written: float
    ground_lightness: float


def see_kind(luma: NDArray[np.uint8], clusters: Clusters, text: Text) -> tuple[str, float]:
    """The kind and how clear it is, 0 to 1."""
    return decide(gather(luma, clusters, text))


def gather(luma: NDArray[np.uint8], clusters: Clusters, text: Text) -> Evidence:
    grey = luma.astype(np.int16)
    across, down = np.abs(np.diff(grey, axis=1))[:-1], np.abs(np.diff(grey, axis=0))[:, :-1]
    still, nearly = float(((across == 0) & (down == 0)).mean()), float(((across <= 1) & (down <= 1)).mean())
    shares = np.bincount(luma.ravel(), minlength=256) / luma.size
    few = float(np.sort(shares)[-6:].sum())
    mode = int(shares.argmax())
    rest = shares.copy()
    rest[max(0, mode - 3) : mode + 4] = 0
    few_rest = float(np.sort(rest)[-6:].sum() / rest.sum()) if rest.sum() > 0.02 else 1.0
    steps = longest_runs(down > STEP_MIN)[0]
    rulers, axes = find_axes(grey)
    return Evidence(
        still=still,
        few=few,
        few_rest=few_rest,
        nearly_still=nearly,
        panels=groups(steps > 0.3 * luma.shape[1]),
        rulers=rulers,
        axes=axes,
        slices=has_slices(clusters),
        lines=len(text.lines),
        written=text.share,
        ground_lightness=mode / 255,
    )


def decide(seen: Evidence) -> tuple[str, float]:
    page = seen.lines >= 8 and seen.written > 0.1
    made = seen.few + 0.5 * seen.still > 0.86 or seen.nearly_still > 0.955
    if made and seen.few < 0.8 and seen.few_rest < 0.3 and seen.still < 0.5:
        made = page
    if not made and not (page and seen.few > 0.42 and seen.ground_lightness > 0.5):
        return "photo", clear(0.86 - seen.few - 0.5 * seen.still, 0.4)
    table = seen.rulers >= 4 and seen.lines >= 15
    if (seen.axes and not table and seen.written < 0.12) or seen.slices or (seen.rulers >= 3 and 2 <= seen.lines < 15):
        return "chart", 0.85 if seen.axes or seen.slices else 0.6
    if seen.lines >= 5 and seen.ground_lightness < 0.4:
        return "screenshot", 0.7 if seen.panels < 2 else 0.85
    if page and (seen.panels < 4 or seen.written > 0.16):
        return "document", clear(seen.written - 0.1, 0.1)
    if seen.lines >= 5 and seen.panels >= 2:
        return "screenshot", clear(seen.panels - 1, 5)
    if seen.lines >= 5 and seen.written > 0.02 and seen.ground_lightness > 0.85:
        return "document", 0.55
    return "drawing", clear(seen.few + 0.5 * seen.still - 0.86, 0.4)


def clear(margin: float, full: float) -> float:
    return float(min(0.95, 0.55 + 0.4 * max(0.0, margin) / full))


def longest_runs(mask: NDArray[np.bool_]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Length and start of the longest run of True in each row."""
    rows, columns = mask.shape
    padded = np.zeros((rows, columns + 2), dtype=np.int8)
    padded[:, 1:-1] = mask
    change = np.diff(padded, axis=1)
    row, start = np.nonzero(change == 1)
    length = np.nonzero(change == -1)[1] - start
    order = np.argsort(length, kind="stable")  # The longest is written last and stays.
    lengths, starts = np.zeros(rows, dtype=np.int64), np.zeros(rows, dtype=np.int64)
    lengths[row[order]], starts[row[order]] = length[order], start[order]
    return lengths, starts


def groups(marked: NDArray[np.bool_]) -> int:
    """How many separate stretches of True: one edge may be two rows thick."""
    return int((marked[1:] & ~marked[:-1]).sum() + (marked[0] if len(marked) else 0))


def thin_lines(grey: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Pixels darker, or lighter, than what lies a few rows above and below them."""
    if grey.shape[0] <= 2 * LINE_HALF:
        return np.zeros((0, grey.shape[1]), dtype=bool)
    middle = grey[LINE_HALF:-LINE_HALF]
    above, below = middle - grey[: -2 * LINE_HALF], middle - grey[2 * LINE_HALF :]
    darker, lighter = (above < -LINE_MIN) & (below < -LINE_MIN), (above > LINE_MIN) & (below > LINE_MIN)
    both: NDArray[np.bool_] = darker | lighter
    return both


def find_axes(grey: NDArray[np.int16]) -> tuple[int, bool]:
    """How many long thin lines run across, and whether a base line low down meets one running down on the left.

    Bars stand on the base line and hide its upper side, so that it only has to end in plain ground below.
    """
    rows, columns = grey.shape
    thin, upright = thin_lines(grey), thin_lines(grey.T)
    if not thin.size or not upright.size:
        return 0, False
    across = longest_runs(thin)[0]
    down, down_start = longest_runs(upright)
    below = np.abs(grey[LINE_HALF:-LINE_HALF] - grey[2 * LINE_HALF :]) > LINE_MIN
    base, base_start = longest_runs(below)
    levels = np.flatnonzero((base > 0.45 * columns) & (thin.sum(axis=1) > 0.1 * columns))
    for y in levels[levels > 0.5 * rows]:
        for x in np.flatnonzero(down[: int(0.4 * columns)] > 0.45 * rows):
            foot = down_start[x] + down[x]
            if abs(x - base_start[y]) < 0.06 * columns and abs(foot - y) < 0.08 * rows:
                return groups(across > 0.45 * columns), True
    return groups(across > 0.45 * columns), False


def has_slices(clusters: Clusters) -> bool:
    """A pie: one round figure on the ground, made of three or more colours."""
    labels = clusters.labels
    border = np.concatenate((labels[0], labels[-1], labels[:, 0], labels[:, -1]))
    ground = int(np.bincount(border).argmax())
    figures = find_regions((labels != ground).astype(np.int64))
    for index in np.flatnonzero((figures.value == 1) & (figures.area > 0.05 * labels.size)):
        row, start, stop = figures.runs_of(int(index))
        hull = hull_of(row, start, stop)
        hull_area = area_of(hull)
        long_side, short_side = tightest_rectangle(hull)
        ellipse, ratio = ellipse_of(hull)
        round_ = (
            hull_area / max(ellipse, 1) > 0.985 and 0.74 < hull_area / (long_side * short_side) < 0.84 and ratio > 0.9
        )
        if not round_ or figures.area[index] < 0.75 * hull_area:
            continue
        held = np.concatenate([labels[y, a:b] for y, a, b in zip(row, start, stop, strict=True)])
        shares = np.bincount(held, minlength=len(clusters.shares)) / len(held)
        if int((shares > 0.05).sum()) >= 3 and wedges(labels, figures, int(index)):
            return True
    return False


def wedges(labels: NDArray[np.intp], figures: Regions, index: int) -> bool:
    """Slices are large: the round figure falls into few regions, not into the many of a photograph's subject."""
    box = labels[figures.top[index] : figures.bottom[index], figures.left[index] : figures.right[index]]
    parts = find_regions(box.astype(np.int64))
    return int((parts.area > 0.02 * box.size).sum()) <= 14
