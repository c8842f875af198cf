"""What every made image is drawn with: chance, colours people name alike, made-up words."""

import numpy as np
from PIL import ImageFont

Rgb = tuple[int, int, int]
Random = np.random.Generator

# Hue in degrees, saturation and lightness in percent: ranges within which people agree on the name.
COLOUR_RANGES: dict[str, tuple[tuple[int, int], tuple[int, int], tuple[int, int]]] = {
    "red": ((-6, 6), (75, 100), (40, 52)),
    "orange": ((24, 36), (85, 100), (47, 55)),
    "yellow": ((52, 60), (85, 100), (48, 60)),
    "green": ((105, 140), (50, 100), (25, 50)),
    "blue": ((212, 240), (65, 100), (35, 58)),
    "purple": ((272, 288), (45, 90), (28, 50)),
    "pink": ((325, 345), (75, 100), (68, 80)),
    "brown": ((20, 30), (45, 75), (20, 32)),
    "grey": ((0, 360), (0, 4), (40, 65)),
    "black": ((0, 360), (0, 5), (0, 7)),
    "white": ((0, 360), (0, 3), (97, 100)),
}


def colour(random: Random, name: str) -> Rgb:
    hue, saturation, lightness = (float(random.uniform(*edges)) for edges in COLOUR_RANGES[name])
    chroma = (1 - abs(2 * lightness / 100 - 1)) * saturation / 100
    sector = (hue % 360) / 60
    second = chroma * (1 - abs(sector % 2 - 1))
    low = lightness / 100 - chroma / 2
    mixed = [
        (chroma, second, 0.0),
        (second, chroma, 0.0),
        (0.0, chroma, second),
        (0.0, second, chroma),
        (second, 0.0, chroma),
        (chroma, 0.0, second),
    ][int(sector) % 6]
    red, green, blue = (round(255 * (part + low)) for part in mixed)
    return red, green, blue


def words(random: Random, count: int) -> str:
    """Made-up words: text-shaped, in no language."""
    onsets, vowels, ends = ["st", "tr", "pl", *"bdfgklmnprstv"], "aeiou", ["", "n", "r", "s", "l", "nd"]
    made = []
    for _ in range(count):
        syllables = int(random.integers(1, 4))
        made.append("".join(onsets[random.integers(16)] + vowels[random.integers(5)] for _ in range(syllables)))
        made[-1] += ends[random.integers(6)]
    return " ".join(made)


def font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    return ImageFont.load_default(size)


def pick(random: Random, *names: str) -> str:
    return names[int(random.integers(len(names)))]


def between(random: Random, low: int, high: int) -> int:
    return int(random.integers(low, high + 1))
