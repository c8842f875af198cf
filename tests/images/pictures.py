"""Small pictures for the tests of sight."""

import io
from typing import Any

from PIL import Image, ImageDraw

from tessera.adapters.providers.sight.look import observe
from tessera.adapters.providers.sight.observation import Observation, SightLimits


def encoded(image: Image.Image, file_format: str = "PNG", **options: Any) -> bytes:
    out = io.BytesIO()
    image.save(out, file_format, **options)
    return out.getvalue()


def seen(image: Image.Image, file_format: str = "PNG", **options: Any) -> Observation:
    return observe(encoded(image, file_format, **options), SightLimits())


def plain(colour: str = "white", size: tuple[int, int] = (320, 240), mode: str = "RGB") -> Image.Image:
    return Image.new(mode, size, colour)


def with_shapes() -> Image.Image:
    """On white: a red circle upper left, a blue square upper right, a green triangle lower left."""
    image = plain(size=(600, 600))
    draw = ImageDraw.Draw(image)
    draw.ellipse((60, 60, 180, 180), fill=(216, 20, 20))
    draw.rectangle((420, 60, 540, 180), fill=(20, 50, 210))
    draw.polygon([(120, 420), (60, 540), (180, 540)], fill=(20, 140, 40))
    return image
