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
    is not the commonest grey; `shaded_rest`: the share of that which goes over gently into its neighbours. `panels`:
    long straight steps across. `rulers`: long thin lines across. `axes`: a base line and one rising from its left end.
    `slices`: a round figure in several colours. `lines`, `written`: lines of writing and their share.
    """

    still: float
    few: float
    few_rest: float
    shaded_rest: float
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
    figure = np.abs(grey - mode)[:-1, :-1] > 3
    slope = np.maximum(across, down)[figure]
    steps = longest_runs(down > STEP_MIN)[0]
    rulers, axes = find_axes(grey)
    return Evidence(
        still=still,
        few=few,
        few_rest=few_rest,
        shaded_rest=float(((slope > 0) & (slope <= 12)).mean()) if slope.size else 0.0,
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
    if seen.few_rest < 0.2 and seen.shaded_rest > 0.4 and not page:
        return "photo", 0.7 if made else 0.9  # A thing photographed before a plain ground.
    if not made and not (page and seen.few > 0.42 and seen.ground_lightness > 0.5):
        return "photo", clear(0.86 - seen.few - 0.5 * seen.still, 0.4)
    table = seen.lines >= 25 and seen.ground_lightness > 0.8 and seen.panels < 4 and seen.written > 0.06
    if (
        (seen.axes and not table and seen.written < 0.12)
        or seen.slices
        or (seen.rulers >= 3 and 2 <= seen.lines < 15 and seen.panels < 7)
    ):
        return "chart", 0.85 if seen.axes or seen.slices else 0.6
    if seen.lines >= 5 and seen.ground_lightness < 0.4:
        return "screenshot", 0.7 if seen.panels < 2 else 0.85
    if table or (page and (seen.panels < 4 or seen.written > 0.16)):
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


def bridged(mask: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """Gaps of up to three pixels closed: tick marks interrupt an axis."""
    result = mask.copy()
    for reach in (1, 2):
        result[:, reach:-reach] |= mask[:, : -2 * reach] & mask[:, 2 * reach :]
    return result


def find_axes(grey: NDArray[np.int16]) -> tuple[int, bool]:
    """How many long thin lines run across, and whether a base line low down meets one running down on the left.

    Bars stand on the base line and hide its upper side, so that it only has to end in plain ground below.
    """
    rows, columns = grey.shape
    thin, upright = thin_lines(grey), thin_lines(grey.T)
    if not thin.size or not upright.size:
        return 0, False
    covered = thin.sum(axis=1)
    rulers = groups(covered > 0.3 * columns)
    # Only rows and columns with enough of a line in them are looked at closer.
    levels = np.flatnonzero((covered > 0.1 * columns) & (np.arange(len(covered)) > 0.5 * rows))
    uprights = np.flatnonzero(upright[: int(0.4 * columns)].sum(axis=1) > 0.3 * rows)
    if not levels.size or not uprights.size:
        return rulers, False
    below = np.abs(grey[levels + LINE_HALF] - grey[levels + 2 * LINE_HALF]) > LINE_MIN
    base, base_start = longest_runs(bridged(below))
    down, down_start = longest_runs(bridged(upright[uprights]))
    for index in np.flatnonzero(base > 0.45 * columns):
        beside = np.abs(uprights - base_start[index]) < 0.06 * columns
        meeting = np.abs(down_start + down - levels[index]) < 0.08 * rows
        if (beside & meeting & (down > 0.45 * rows)).any():
            return rulers, True
    return rulers, False


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
        if not round_ or figures.area[index] < 0.5 * hull_area:
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
