"""How the picture is built: what stands out, a horizon, symmetry, a background out of focus."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tessera.adapters.providers.sight.colours import Floats, lab_of, name_of, names_of
from tessera.adapters.providers.sight.observation import Composition, Region

GRID = 48
"""The picture is judged on a grid of this many cells a side."""
HORIZON_MIN = 9.0
"""CIELAB difference between the bands above and below that counts as a horizon."""


def see_composition(small: NDArray[np.uint8], lab: Floats) -> Composition:
    cells = np.asarray(Image.fromarray(small).resize((GRID, GRID), Image.Resampling.BOX))
    cell_lab = lab_of(cells)
    standing_out = salience(cell_lab)
    subject = subject_of(standing_out) if standing_out.any() else None
    horizon, above, below = find_horizon(cells, cell_lab)
    border = cells[border_mask()]
    calm = float(cell_lab[border_mask()].std(axis=0).max()) < 14
    detail = local_detail(lab[..., 0])
    return Composition(
        subject=subject,
        subject_colour=commonest_name(cells[standing_out > 0.6]) if subject else None,
        horizon=horizon,
        above=above,
        below=below,
        symmetry_sides=alikeness(cell_lab, cell_lab[:, ::-1]),
        symmetry_ends=alikeness(cell_lab, cell_lab[::-1]),
        background=typical_name(border) if calm else None,
        background_soft=bool(subject is not None and is_soft(detail, subject)),
        thirds=tuple(typical_name(part) for row in np.split(cells, 3) for part in np.split(row, 3, axis=1)),
    )


def border_mask() -> NDArray[np.bool_]:
    mask = np.ones((GRID, GRID), dtype=bool)
    edge = GRID // 10
    mask[edge:-edge, edge:-edge] = False
    return mask


def salience(cells: Floats) -> Floats:
    """How much each cell differs from the rim of the picture and from the picture's mean, smoothed; 0 to 1."""
    rim = np.median(cells[border_mask()], axis=0)
    away = np.linalg.norm(cells - rim, axis=2) + 0.5 * np.linalg.norm(cells - cells.mean(axis=(0, 1)), axis=2)
    padded = np.pad(away, 2, mode="edge")
    smooth = sum(padded[y : y + GRID, x : x + GRID] for y in range(5) for x in range(5)) / 25
    centred = np.linspace(-1, 1, GRID)
    weight = 1 - 0.35 * np.minimum(1, centred[:, None] ** 2 + centred[None, :] ** 2)
    result = smooth * weight
    top = float(result.max())
    return (result / top if top > 12 else np.zeros_like(result)).astype(np.float32)


def subject_of(standing_out: Floats) -> Region | None:
    """The box around the middle 80 % of what stands out; None when that is nothing or everything."""
    hot = np.where(standing_out > 0.45, standing_out, 0)
    total = float(hot.sum())
    if total <= 0:
        return None
    columns, rows = np.cumsum(hot.sum(axis=0)) / total, np.cumsum(hot.sum(axis=1)) / total
    left, right = (int(np.searchsorted(columns, share)) for share in (0.1, 0.9))
    top, bottom = (int(np.searchsorted(rows, share)) for share in (0.1, 0.9))
    box = Region(left / GRID, top / GRID, (right - left + 1) / GRID, (bottom - top + 1) / GRID)
    return box if box.width * box.height < 0.55 else None


def commonest_name(colours: NDArray[np.uint8]) -> str:
    names = names_of(lab_of(colours.reshape(-1, 3)))
    return max(sorted(set(names)), key=names.count)


def typical_name(colours: NDArray[np.uint8]) -> str:
    return name_of(np.median(lab_of(colours.reshape(-1, 3)), axis=0).astype(np.float32))[0]


def find_horizon(cells: NDArray[np.uint8], lab: Floats) -> tuple[float | None, str | None, str | None]:
    """A level edge that runs through most columns: its height from the top, and the colours above and below it."""
    best, best_score = None, 0.0
    band = 5
    for row in range(GRID // 6, GRID - GRID // 6):
        step = lab[row : row + band].mean(axis=0) - lab[row - band : row].mean(axis=0)
        mean = step.mean(axis=0)
        size = float(np.linalg.norm(mean))
        agreeing = float((step @ (mean / max(size, 1e-6)) > 0.4 * size).mean()) if size > 1e-6 else 0.0
        if size > HORIZON_MIN and agreeing > 0.88 and size * agreeing > best_score:
            best, best_score = row, size * agreeing
    if best is None:
        return None, None, None
    return best / GRID, typical_name(cells[:best]), typical_name(cells[best:])


def alikeness(first: Floats, second: Floats) -> float:
    """Correlation of the picture with its mirror image, over all three CIELAB channels; 0 when it is one tone."""
    a, b = first - first.mean(axis=(0, 1)), second - second.mean(axis=(0, 1))
    power = float((a * a).sum())
    return float((a * b).sum()) / power if power > 3 * GRID * GRID else 0.0


def local_detail(lightness: Floats) -> Floats:
    """Mean fine contrast of each of 8 × 8 parts of the picture."""
    middle = lightness[1:-1, 1:-1] * 4
    around = lightness[:-2, 1:-1] + lightness[2:, 1:-1] + lightness[1:-1, :-2] + lightness[1:-1, 2:]
    fine = np.abs(middle - around)
    rows, columns = (side // 8 for side in fine.shape)
    if rows == 0 or columns == 0:
        return np.zeros((8, 8), dtype=np.float32)
    parts = fine[: rows * 8, : columns * 8].reshape(8, rows, 8, columns)
    means: Floats = parts.mean(axis=(1, 3), dtype=np.float32)
    return means


def is_soft(detail: Floats, subject: Region) -> bool:
    """Whether what surrounds the subject holds far less fine detail than the subject itself."""
    inside = np.zeros((8, 8), dtype=bool)
    top, left = int(subject.top * 8), int(subject.left * 8)
    bottom, right = (int(np.ceil(edge * 8)) for edge in (subject.top + subject.height, subject.left + subject.width))
    inside[top:bottom, left:right] = True
    if inside.all() or not inside.any():
        return False
    sharp = float(np.median(detail[inside]))
    return float(np.median(detail[~inside])) < 0.33 * sharp and float(detail[inside].max()) > 4
