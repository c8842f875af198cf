"""Faces, by the detector that OpenCV 4 ships (the `faces` extra); nothing is known of who they are.

OpenCV 5 ships none. Of the cascades tried (docs/decisions/0031), `haarcascade_frontalface_alt` found every face and
nothing else.
"""

from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tessera.adapters.providers.sight.observation import Region

SIDE = 512
CASCADE = "haarcascade_frontalface_alt.xml"
NEIGHBOURS_MIN = 6


@cache
def detector() -> Any:
    """OpenCV and its cascade, None when they are not installed."""
    try:
        import cv2  # An extra: looked for once, when first needed.
    except ImportError:
        return None
    folder = Path(getattr(getattr(cv2, "data", None), "haarcascades", ""))
    if not hasattr(cv2, "CascadeClassifier") or not (folder / CASCADE).is_file():
        return None
    cv2.setNumThreads(1)
    cascade = cv2.CascadeClassifier(str(folder / CASCADE))
    return None if cascade.empty() else cascade


def see_faces(luma: NDArray[np.uint8]) -> tuple[Region, ...] | None:
    """Frontal faces from left to right; None when no detector is installed, so that nobody looked."""
    cascade = detector()
    if cascade is None:
        return None
    image = Image.fromarray(luma)
    image.thumbnail((SIDE, SIDE), Image.Resampling.BOX)
    rows, columns = image.height, image.width
    side_min = max(24, min(rows, columns) // 16)
    if min(rows, columns) < side_min:
        return ()
    found = cascade.detectMultiScale(
        np.ascontiguousarray(np.asarray(image)),
        scaleFactor=1.15,
        minNeighbors=NEIGHBOURS_MIN,
        minSize=(side_min, side_min),
    )
    boxes = sorted(tuple(int(value) for value in box) for box in found)
    return tuple(Region(x / columns, y / rows, wide / columns, high / rows) for x, y, wide, high in boxes)
