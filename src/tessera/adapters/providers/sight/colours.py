"""Colour spaces and the names of colours.

sRGB to CIELAB (D65) follows IEC 61966-2-1 and CIE 15; the difference used for naming is CIE94 with lightness weighed
at two thirds, because people name hue before depth.
"""

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

NAMED: tuple[tuple[str, str, str], ...] = (
    ("black", "black", "#000000"),
    ("near-black", "black", "#1b1b1d"),
    ("charcoal", "grey", "#3b3b3e"),
    ("dark grey", "grey", "#5a5a5c"),
    ("grey", "grey", "#808080"),
    ("silver grey", "grey", "#a6a6a8"),
    ("light grey", "grey", "#cbcbcd"),
    ("off-white", "white", "#efefec"),
    ("white", "white", "#ffffff"),
    ("ivory", "white", "#fbf6e6"),
    ("slate grey", "grey", "#66727f"),
    ("warm grey", "grey", "#8d8378"),
    ("red", "red", "#d81e1e"),
    ("bright red", "red", "#fb0a0a"),
    ("dark red", "red", "#8c1111"),
    ("maroon", "red", "#5a0f14"),
    ("crimson", "red", "#c2143c"),
    ("coral", "orange", "#f4755a"),
    ("vermilion", "red", "#e2401f"),
    ("orange", "orange", "#f88208"),
    ("dark orange", "orange", "#d8660a"),
    ("amber", "orange", "#f9ab14"),
    ("peach", "orange", "#f8c29a"),
    ("rust", "brown", "#a4431a"),
    ("yellow", "yellow", "#f7ea12"),
    ("golden yellow", "yellow", "#f0cb1c"),
    ("pale yellow", "yellow", "#f8f19c"),
    ("mustard", "yellow", "#c7a017"),
    ("olive", "green", "#777a1c"),
    ("lime green", "green", "#9fd81a"),
    ("bright green", "green", "#12e022"),
    ("green", "green", "#1f9a32"),
    ("dark green", "green", "#12551f"),
    ("pale green", "green", "#aee0a6"),
    ("sage green", "green", "#8b9d7d"),
    ("mint", "green", "#7fe0b4"),
    ("teal", "teal", "#0f8080"),
    ("dark teal", "teal", "#0d4c50"),
    ("turquoise", "teal", "#27d0c4"),
    ("cyan", "teal", "#14e4f0"),
    ("sky blue", "blue", "#74bdec"),
    ("light blue", "blue", "#aed0ee"),
    ("azure", "blue", "#1e8ae6"),
    ("blue", "blue", "#1b4fd0"),
    ("bright blue", "blue", "#1426f2"),
    ("royal blue", "blue", "#2740a8"),
    ("navy blue", "blue", "#14245c"),
    ("midnight blue", "blue", "#1b2440"),
    ("steel blue", "blue", "#4f7da6"),
    ("dusty blue", "blue", "#8aa2bc"),
    ("deep blue", "blue", "#1a24b4"),
    ("dark blue", "blue", "#181c8c"),
    ("indigo", "purple", "#4b14a6"),
    ("violet", "purple", "#8a2ee6"),
    ("purple", "purple", "#7a1f9c"),
    ("dark purple", "purple", "#451560"),
    ("lavender", "purple", "#c4aeea"),
    ("mauve", "purple", "#9c7a9c"),
    ("plum", "purple", "#6e2c5c"),
    ("magenta", "pink", "#e81cc4"),
    ("hot pink", "pink", "#f84a9c"),
    ("pink", "pink", "#f590b8"),
    ("pale pink", "pink", "#f8cfd8"),
    ("dusty pink", "pink", "#c88a94"),
    ("salmon", "pink", "#f29a8c"),
    ("brown", "brown", "#6e401c"),
    ("dark brown", "brown", "#3c2414"),
    ("reddish brown", "brown", "#7c3424"),
    ("chestnut", "brown", "#96562e"),
    ("tan", "brown", "#b98a5c"),
    ("light brown", "brown", "#a07a55"),
    ("taupe", "brown", "#7a6656"),
    ("beige", "beige", "#dcc8a6"),
    ("cream", "beige", "#f3e7c6"),
    ("sand", "beige", "#cdb58a"),
    ("greige", "beige", "#b9ad9b"),
)
"""Name, family and reference of each named colour; the references were chosen for Tessera."""


def lab_of(rgb: NDArray[np.uint8]) -> Floats:
    """CIELAB of sRGB bytes, any shape ending in 3."""
    linear = _LINEAR[rgb]
    xyz = linear @ _TO_XYZ
    cubic = np.where(xyz > 216 / 24389, np.cbrt(xyz), (24389 / 27 * xyz + 16) / 116)
    x, y, z = cubic[..., 0], cubic[..., 1], cubic[..., 2]
    return np.stack((116 * y - 16, 500 * (x - y), 200 * (y - z)), axis=-1).astype(np.float32)


def hex_of(rgb: NDArray[np.uint8]) -> str:
    return "#" + "".join(f"{int(part):02x}" for part in rgb)


def name_of(lab: Floats) -> tuple[str, str]:
    """The named colour nearest to one CIELAB value, and its family."""
    row = int(np.argmin(difference(np.asarray(lab, dtype=np.float32)[None, :], _NAMED_LAB)))
    return NAMED[row][0], NAMED[row][1]


def names_of(lab: Floats) -> list[str]:
    """The names of many CIELAB values, one a row."""
    rows = lab.reshape(-1, 1, 3)
    return [NAMED[int(index)][0] for index in difference(rows, _NAMED_LAB[None]).argmin(axis=1)]


def difference(first: Floats, second: Floats) -> Floats:
    """CIE94 between the last axes of two arrays that broadcast, lightness at two thirds."""
    light = (first[..., 0] - second[..., 0]) * (2 / 3)
    chroma_a, chroma_b = np.hypot(first[..., 1], first[..., 2]), np.hypot(second[..., 1], second[..., 2])
    mean = np.sqrt(chroma_a * chroma_b)  # The symmetric form, so that grey and coloured references are treated alike.
    chroma = chroma_a - chroma_b
    hue = np.maximum(0, (first[..., 1] - second[..., 1]) ** 2 + (first[..., 2] - second[..., 2]) ** 2 - chroma**2)
    total: Floats = light**2 + (chroma / (1 + 0.045 * mean)) ** 2 + hue / (1 + 0.015 * mean) ** 2
    return np.sqrt(total)


def _linear_table() -> Floats:
    value = np.arange(256) / 255
    return np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4).astype(np.float32)


_LINEAR = _linear_table()
_TO_XYZ = np.array(
    [
        [0.4124564 / 0.95047, 0.2126729, 0.0193339 / 1.08883],
        [0.3575761 / 0.95047, 0.7151522, 0.1191920 / 1.08883],
        [0.1804375 / 0.95047, 0.0721750, 0.9503041 / 1.08883],
    ],
    dtype=np.float32,
)
_NAMED_LAB = lab_of(np.array([[int(code[i : i + 2], 16) for i in (1, 3, 5)] for _, _, code in NAMED], dtype=np.uint8))
