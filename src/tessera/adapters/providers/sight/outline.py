"""Plane geometry of one region's outline: hull, corners, tightest rectangle, moments."""

import numpy as np
from numpy.typing import NDArray

Points = NDArray[np.float64]


def hull_of(row: NDArray[np.int64], start: NDArray[np.int64], stop: NDArray[np.int64]) -> Points:
    """Convex hull of the pixels' corners, by Andrew's monotone chain; counter-clockwise in image coordinates."""
    # Of all corners at one height only the outermost two can lie on the hull.
    top = int(row.min())
    left = np.full(int(row.max()) - top + 2, np.iinfo(np.int64).max)
    right = np.full(len(left), -1)
    for below in (0, 1):
        np.minimum.at(left, row - top + below, start)
        np.maximum.at(right, row - top + below, stop)
    heights = np.flatnonzero(right >= 0)
    xs = np.concatenate((left[heights], right[heights]))
    ys = np.tile(heights + top, 2)
    order = np.lexsort((ys, xs))
    points = list(zip(xs[order].tolist(), ys[order].tolist(), strict=True))
    lower = half_hull(points)
    upper = half_hull(points[::-1])
    return np.array(lower[:-1] + upper[:-1], dtype=np.float64)


def half_hull(points: list[tuple[int, int]]) -> list[tuple[int, int]]:
    chain: list[tuple[int, int]] = []
    for x, y in points:
        while len(chain) > 1:
            (ax, ay), (bx, by) = chain[-2], chain[-1]
            if (bx - ax) * (y - ay) - (by - ay) * (x - ax) > 0:
                break
            chain.pop()
        chain.append((x, y))
    return chain


def area_of(polygon: Points) -> float:
    x, y = polygon[:, 0], polygon[:, 1]
    return float(abs(np.dot(x, np.roll(y, -1)) - np.dot(y, np.roll(x, -1))) / 2)


def tightest_rectangle(hull: Points) -> tuple[float, float]:
    """Long and short side of the smallest rectangle around a hull; one of its sides lies on a side of the hull."""
    edges = np.roll(hull, -1, axis=0) - hull
    angles = np.unique(np.round(np.arctan2(edges[:, 1], edges[:, 0]) % (np.pi / 2), 4))
    along = np.outer(hull[:, 0], np.cos(angles)) + np.outer(hull[:, 1], np.sin(angles))
    across = np.outer(hull[:, 1], np.cos(angles)) - np.outer(hull[:, 0], np.sin(angles))
    wide, high = np.ptp(along, axis=0), np.ptp(across, axis=0)
    best = int((wide * high).argmin())
    return float(max(wide[best], high[best])), float(min(wide[best], high[best]))


def ellipse_of(hull: Points) -> tuple[float, float]:
    """Area and axis ratio (short / long) of the ellipse with the same second moments as the hull."""
    x, y = hull[:, 0] - hull[:, 0].mean(), hull[:, 1] - hull[:, 1].mean()
    x_next, y_next = np.roll(x, -1), np.roll(y, -1)
    cross = x * y_next - x_next * y
    area = cross.sum() / 2
    if abs(area) < 1e-9:
        return 0.0, 0.0
    centre_x, centre_y = ((x + x_next) * cross).sum() / (6 * area), ((y + y_next) * cross).sum() / (6 * area)
    xx = ((x * x + x * x_next + x_next * x_next) * cross).sum() / (12 * area) - centre_x**2
    yy = ((y * y + y * y_next + y_next * y_next) * cross).sum() / (12 * area) - centre_y**2
    xy = ((x * y_next + 2 * x * y + 2 * x_next * y_next + x_next * y) * cross).sum() / (24 * area) - centre_x * centre_y
    values = np.maximum(np.linalg.eigvalsh(np.array([[xx, xy], [xy, yy]])), 0)
    if values[1] <= 0:
        return 0.0, 0.0
    return float(4 * np.pi * np.sqrt(values[0] * values[1])), float(np.sqrt(values[0] / values[1]))


def corners_of(hull: Points, tolerance: float) -> Points:
    """The hull with fewer points: as long as dropping a corner moves the outline by less than `tolerance` pixels."""
    kept = hull
    while len(kept) > 3:
        before, after = np.roll(kept, 1, axis=0), np.roll(kept, -1, axis=0)
        chord = after - before
        length = np.maximum(np.hypot(chord[:, 0], chord[:, 1]), 1e-9)
        away = kept - before
        height = np.abs(chord[:, 0] * away[:, 1] - chord[:, 1] * away[:, 0]) / length
        weakest = int(height.argmin())
        if height[weakest] > tolerance:
            break
        kept = np.delete(kept, weakest, axis=0)
    return kept
