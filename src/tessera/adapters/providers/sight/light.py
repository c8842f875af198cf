"""Light, contrast, sharpness and noise."""

import numpy as np
from numpy.typing import NDArray

from tessera.adapters.providers.sight.colours import Floats
from tessera.adapters.providers.sight.observation import Light, Sharpness

EDGE_MIN = 4.0
"""A picture whose steepest edges are under this many grey levels has nothing that could be sharp."""
SOFT, BLURRED = 0.42, 0.58
"""Blur above which a picture is called slightly soft and blurred. On the labelled photographs a Gaussian of 1 px gives
0.22 to 0.49 and one of 2 px 0.50 to 0.72."""


def see_light(lab: Floats) -> Light:
    lightness = lab[..., 0]
    mean = float(lightness.mean())
    low, high = (float(value) for value in np.percentile(lightness, (1, 99)))
    spread = high - low
    rows, columns = lightness.shape
    middle = lightness[rows // 4 : rows - rows // 4, columns // 4 : columns - columns // 4]
    around = (lightness.sum() - middle.sum()) / max(1, lightness.size - middle.size)
    return Light(
        mean=mean,
        spread=spread,
        key="dark" if mean < 32 else "bright" if mean > 72 else "medium",
        contrast="low" if spread < 40 else "high" if spread > 80 else "moderate",
        backlit=bool(float(np.median(middle)) < 35 and around > 55 and float(around) - float(middle.mean()) > 25),
        black_share=float((lightness < 4).mean()),
        white_share=float((lightness > 98).mean()),
        colourfulness=float(np.hypot(lab[..., 1], lab[..., 2]).mean()),
        warmth=float(lab[..., 2].mean()),
    )


def see_sharpness(luma: NDArray[np.uint8]) -> Sharpness:
    """How much of the difference between neighbours survives another blurring.

    A crisp picture loses most of it, a smeared one hardly any. The idea of measuring blur by re-blurring is Crété and
    others, 2007 ("The blur effect"); here only the steepest fifth of the pixels vote, so that empty sky does not.
    """
    grey = central(luma, 640).astype(np.float32)
    across, down = blur_along(grey), blur_along(grey.T)
    noise = noise_of(grey)
    known = [value for value in (across, down) if value is not None]
    if not known:
        return Sharpness(blur=0.0, verdict="undetermined", noise=noise)
    blur = min(known) if len(known) == 1 else sum(known) / 2
    motion = None
    if across is not None and down is not None and abs(across - down) > 0.16 and max(across, down) > BLURRED:
        motion = "sideways" if across > down else "up and down"
    verdict = "blurred" if blur > BLURRED or motion else "slightly soft" if blur > SOFT else "sharp"
    return Sharpness(blur=float(blur), verdict=verdict, motion=motion, noise=noise)


def central(luma: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    rows, columns = luma.shape
    top, left = max(0, (rows - side) // 2), max(0, (columns - side) // 2)
    return luma[top : top + side, left : left + side]


def blur_along(grey: Floats) -> float | None:
    step = np.abs(np.diff(grey, axis=1))[:, 4:-4]
    if step.size == 0 or step.max() < EDGE_MIN:
        return None
    sums = np.cumsum(np.pad(grey, ((0, 0), (1, 0))), axis=1)
    smooth = (sums[:, 9:] - sums[:, :-9]) / 9
    smooth_step = np.abs(np.diff(smooth, axis=1))
    step = step[:, : smooth_step.shape[1]]
    voters = step >= max(EDGE_MIN / 2, float(np.percentile(step, 80)))
    before = float(step[voters].sum())
    lost = float(np.maximum(0, step - smooth_step)[voters].sum())
    return 1 - lost / before if before > 0 else None


def noise_of(grey: Floats) -> float:
    """Standard deviation of pixel noise in grey levels (Immerkær, 1996), as a median so that edges do not count."""
    if min(grey.shape) < 3:
        return 0.0
    inner = grey[1:-1, 1:-1] * 4
    inner = inner - 2 * (grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:])
    inner = inner + grey[:-2, :-2] + grey[:-2, 2:] + grey[2:, :-2] + grey[2:, 2:]
    return float(np.median(np.abs(inner)) / 6 / 0.6745)
