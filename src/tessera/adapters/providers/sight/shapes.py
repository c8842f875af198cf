"""Simple shapes: regions of one colour whose outline is a circle, a rectangle, a triangle, a polygon or a line."""

import numpy as np
from numpy.typing import NDArray

from tessera.adapters.providers.sight.colours import hex_of, lab_of, name_of
from tessera.adapters.providers.sight.components import Regions, find_regions
from tessera.adapters.providers.sight.observation import Region, Shape
from tessera.adapters.providers.sight.outline import area_of, corners_of, ellipse_of, hull_of, tightest_rectangle
from tessera.adapters.providers.sight.palette import Clusters

AREA_MIN = 0.0018
"""Smallest shape, as a share of the picture."""
SIDE_MIN = 9
"""Smallest side in pixels of the working picture: smaller ones have no outline to judge."""
REGIONS_MAX = 60
SHAPES_MAX = 40


def see_shapes(clusters: Clusters, *, strict: bool) -> tuple[Shape, ...]:
    """Shapes from the largest to the smallest. `strict` is for photographs, where regions are seldom drawn shapes."""
    rows, columns = clusters.labels.shape
    regions = find_regions(tidied(clusters.labels))
    ground = backgrounds(regions, rows, columns)
    floor = max(AREA_MIN * (3 if strict else 1) * rows * columns, 40)
    boxes = (regions.right - regions.left) * (regions.bottom - regions.top)
    wanted = np.flatnonzero((boxes >= floor) & (regions.area >= floor / 4) & ~ground)
    wanted = wanted[np.argsort(-regions.area[wanted], kind="stable")][:REGIONS_MAX]
    rim = np.concatenate((clusters.labels[0], clusters.labels[-1], clusters.labels[:, 0], clusters.labels[:, -1]))
    rim_label = int(np.bincount(rim).argmax())
    found: list[tuple[Shape, bool]] = []
    for index in wanted:
        kind = classify(regions, int(index), (rows, columns), strict=strict)
        if kind is not None:
            is_rim = int(regions.value[index]) == rim_label
            found.append((shape_at(regions, int(index), clusters, kind), is_rim))
    return one_each(found)[:SHAPES_MAX]


def shape_at(regions: Regions, index: int, clusters: Clusters, kind: str) -> Shape:
    rows, columns = clusters.labels.shape
    left, top = float(regions.left[index] / columns), float(regions.top[index] / rows)
    wide, high = (
        (regions.right[index] - regions.left[index]) / columns,
        (regions.bottom[index] - regions.top[index]) / rows,
    )
    rgb = clusters.rgb[int(regions.value[index])]
    return Shape(
        kind=kind,
        colour=name_of(lab_of(rgb))[0],
        hex=hex_of(rgb),
        region=Region(left, top, float(wide), float(high)),
        area=float(regions.area[index] / (rows * columns)),
    )


def one_each(found: list[tuple[Shape, bool]]) -> tuple[Shape, ...]:
    """Each outline once: a filling and its edge are one shape, and the ground seen through a frame is none."""
    kept: list[Shape] = []
    for shape, is_rim in found:
        twins = [other for other, _ in found if other is not shape and same_outline(shape, other)]
        through = is_rim and any(other.region.width > shape.region.width for other in twins)
        if not through and not any(other in kept for other in twins):
            kept.append(shape)
    return tuple(kept)


def same_outline(first: Shape, second: Shape) -> bool:
    """Whether two shapes are one outline seen twice: of one kind, about one centre, and nearly of one size."""
    if first.kind != second.kind:
        return same_place(first.region, second.region, 0.72)
    (x, y), (x_other, y_other) = first.region.centre, second.region.centre
    size = max(first.region.width, first.region.height)
    concentric = abs(x - x_other) < 0.1 * size and abs(y - y_other) < 0.1 * size
    return same_place(first.region, second.region, 0.5 if concentric else 0.72)


def tidied(labels: NDArray[np.intp]) -> NDArray[np.int64]:
    """Single odd pixels, and the one pixel of mixed colour along every edge, take the label of a neighbour.

    A pixel whose left and right, and whose upper and lower neighbours, all differ from it belongs to no region.
    """
    result = labels.astype(np.int64)
    for _ in range(2):
        padded = np.pad(result, 1, mode="edge")
        up, down, left, right = padded[:-2, 1:-1], padded[2:, 1:-1], padded[1:-1, :-2], padded[1:-1, 2:]
        alike = (up == result).astype(np.int8) + (down == result) + (left == result) + (right == result)
        # A thin seam has neighbours of its own along the edge only; across the edge both sides differ from it.
        thin = ((up != result) & (down != result)) | ((left != result) & (right != result))
        calm_up, calm_left = up == padded_shift(result, 2, 0), left == padded_shift(result, 0, 2)
        lonely = (alike <= 1) | (thin & (calm_up | calm_left) & (alike <= 2))
        result = np.where(lonely, np.where(up == left, up, np.where(down == right, down, up)), result)
    return result


def padded_shift(labels: NDArray[np.int64], down: int, right: int) -> NDArray[np.int64]:
    rows, columns = labels.shape
    return np.pad(labels, ((down, 0), (right, 0)), mode="edge")[:rows, :columns]


def backgrounds(regions: Regions, rows: int, columns: int) -> NDArray[np.bool_]:
    """Regions that touch two opposite sides or three sides of the picture are ground, not figures."""
    left, right = regions.left == 0, regions.right == columns
    top, bottom = regions.top == 0, regions.bottom == rows
    touched = left.astype(np.int8) + right + top + bottom
    ground: NDArray[np.bool_] = (left & right) | (top & bottom) | (touched >= 3)
    return ground


def same_place(first: Region, second: Region, alike: float) -> bool:
    """Whether two boxes share more than `alike` of what they cover together."""
    wide = min(first.left + first.width, second.left + second.width) - max(first.left, second.left)
    high = min(first.top + first.height, second.top + second.height) - max(first.top, second.top)
    if wide <= 0 or high <= 0:
        return False
    union = first.width * first.height + second.width * second.height - wide * high
    return wide * high / union > alike


def classify(regions: Regions, index: int, size: tuple[int, int], *, strict: bool) -> str | None:
    """The kind of a region's outline, None when it is none of the simple ones.

    Measures: how full the hull is, how full the tightest rectangle is (rectangle 1, ellipse 0.785, triangle 0.5), the
    hull's area against the ellipse of equal moments (ellipse 1, rectangle 0.955, triangle 0.83), and the corners left
    when the outline may move by 4.5 % of its size.
    """
    hull = hull_of(*regions.runs_of(index))
    if len(hull) < 3:
        return None
    hull_area, area = area_of(hull), float(regions.area[index])
    long_side, short_side = tightest_rectangle(hull)
    if hull_area <= 0 or long_side < SIDE_MIN:
        return None
    # A slanted edge of pixels is a staircase: the hull runs over its steps, half a pixel outside.
    around = np.hypot(*(np.roll(hull, -1, axis=0) - hull).T).sum()
    solidity = (area + float(around) / 2) / hull_area
    if long_side / max(short_side, 1) >= 9 and solidity > 0.7:
        return "line" if long_side > 0.12 * max(size) else None
    if short_side < SIDE_MIN or touches_two_sides(regions, index, size):
        return None
    hollow = not strict and 0.1 < solidity < 0.62 and is_frame(regions, index)
    if solidity < (0.96 if strict else 0.92) and not hollow:
        return None
    return of_hull(hull, hull_area / (long_side * short_side), (long_side, short_side), strict=strict)


def of_hull(hull: NDArray[np.float64], fullness: float, sides: tuple[float, float], *, strict: bool) -> str | None:
    hull_area = area_of(hull)
    ellipse_area, axis_ratio = ellipse_of(hull)
    roundness = hull_area / ellipse_area if ellipse_area else 0.0
    corners = corners_of(hull, 0.045 * float(np.hypot(*sides)))
    drawn = area_of(corners) / hull_area
    if fullness < 0.66 and roundness < 0.885 and drawn > 0.8:
        return "triangle"
    if fullness > (0.93 if strict else 0.9):
        return "square" if sides[1] / sides[0] > 0.9 else "rectangle"
    straight = len(corners) <= 7 and drawn > 0.97
    if roundness > 0.985 and 0.74 < fullness < 0.88 and not straight:
        return "circle" if axis_ratio > 0.87 else "ellipse"
    if strict:
        return None
    return "polygon" if drawn > 0.9 and 4 <= len(corners) <= 8 else None


def touches_two_sides(regions: Regions, index: int, size: tuple[int, int]) -> bool:
    """Cut off by a corner of the picture: its outline is not its own."""
    rows, columns = size
    sides = (regions.left[index] == 0, regions.right[index] == columns, regions.top[index] == 0)
    return sum(bool(side) for side in (*sides, regions.bottom[index] == rows)) >= 2


def is_frame(regions: Regions, index: int) -> bool:
    """Whether a region goes around a hole: its middle row holds a wall on either side and little else."""
    row, start, stop = regions.runs_of(index)
    middle = row == (int(regions.top[index]) + int(regions.bottom[index])) // 2
    if middle.sum() != 2:
        return False
    wide = int(regions.right[index] - regions.left[index])
    left, right = int(start[middle].min()), int(stop[middle].max())
    return (right - left) > 0.8 * wide and int((stop[middle] - start[middle]).sum()) < 0.5 * wide
