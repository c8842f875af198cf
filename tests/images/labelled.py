"""The labelled images `sight` is measured on: most are drawn here from a seed, the photographs are named and labelled.

An image's labels are what was drawn, never what the engine said. Colours are drawn from hue ranges that people name
alike, so that a label is not a matter of taste. Another seed gives another set of the same make.
"""

import io
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import zxingcpp
from PIL import Image, ImageEnhance

from images.brush import Random, between, pick, words
from images.drawings import chart, line_drawing, pattern_drawing, scene_drawing, shapes_drawing
from images.pages import document, screenshot

HERE = Path(__file__).parent
DEMO_PHOTOS = HERE.parents[1] / "src" / "tessera" / "cli" / "photos"
SEED = 2026


@dataclass(frozen=True)
class Labelled:
    """An image and what is true of it. None means: not labelled, so not measured."""

    name: str
    data: bytes
    kind: str | None = None
    colours: tuple[str, ...] | None = None
    """The names that would be right for the dominant colour."""
    codes: tuple[str, ...] | None = None
    shapes: dict[str, int] | None = None
    pattern: str | None = None
    source: str = field(default="drawn")


def encoded(image: Image.Image, random: Random) -> bytes:
    """The file, in a format drawn by lot: lossless, or with the losses files from the web have."""
    out = io.BytesIO()
    kind = int(random.integers(4))
    if kind <= 1:
        image.save(out, "PNG")
    elif kind == 2:
        image.convert("RGB").save(out, "JPEG", quality=int(random.integers(72, 96)))
    else:
        image.convert("RGB").save(out, "WEBP", quality=int(random.integers(70, 96)))
    return out.getvalue()


# ---- codes ---------------------------------------------------------------------------------------------------


def code(random: Random, format_name: str) -> tuple[Image.Image, dict[str, object]]:
    """One code of the given format somewhere on a plain light card."""
    digits = "".join(str(digit) for digit in random.integers(0, 10, 12))
    if format_name == "EAN13":
        check = -sum(int(d) * (3 if i % 2 else 1) for i, d in enumerate(digits)) % 10
        content = digits + str(check)
    elif format_name == "Code128":
        content = f"TES-{digits[:7]}"
    else:
        content = f"https://example.com/{words(random, 2).replace(' ', '/')}?n={digits[:4]}"
    written = zxingcpp.create_barcode(content, getattr(zxingcpp.BarcodeFormat, format_name)).to_image(scale=1)
    stamp = Image.fromarray(np.array(written))
    scale = between(random, 2, 3) if format_name in ("EAN13", "Code128") else between(random, 4, 7)
    stamp = stamp.resize((stamp.width * scale, stamp.height * scale), Image.Resampling.NEAREST)
    card = Image.new(
        "RGB", (stamp.width + between(random, 60, 400), stamp.height + between(random, 60, 300)), (250, 250, 246)
    )
    card.paste(
        stamp,
        (between(random, 20, card.width - stamp.width - 20), between(random, 20, card.height - stamp.height - 20)),
    )
    return card, {"codes": (content,)}


# ---- photographs ---------------------------------------------------------------------------------------------


def photographs(random: Random) -> Iterator[Labelled]:
    """Each named photograph as it is, and a view of it: cropped, mirrored, lighter or darker, smaller, saved again."""
    labels = tomllib.loads((HERE / "labels.toml").read_text(encoding="utf-8"))
    for row in labels["photo"]:
        path = (DEMO_PHOTOS if row.get("demo") else HERE / "photos") / row["file"]
        data = path.read_bytes()
        colours = tuple(row["colours"])
        yield Labelled(row["file"], data, kind=row["kind"], colours=colours, source=row["file"])
        if not row.get("views", True):
            continue
        image = Image.open(io.BytesIO(data)).convert("RGB")
        share = random.uniform(0.8, 0.95)
        left, top = (round(side * (1 - share) * random.random()) for side in image.size)
        view = image.crop((left, top, left + round(image.width * share), top + round(image.height * share)))
        if random.random() < 0.5:
            view = view.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
        view = ImageEnhance.Brightness(view).enhance(random.uniform(0.85, 1.15))
        zoom = random.uniform(0.7, 1.4)
        view = view.resize((round(view.width * zoom), round(view.height * zoom)), Image.Resampling.LANCZOS)
        out = io.BytesIO()
        view.save(out, pick(random, "JPEG", "WEBP", "PNG"), quality=between(random, 75, 95))
        yield Labelled(f"view of {row['file']}", out.getvalue(), kind=row["kind"], colours=colours, source=row["file"])


MADE: tuple[tuple[str, int, Callable[[Random], tuple[Image.Image, dict[str, object]]]], ...] = (
    ("shapes", 10, shapes_drawing),
    ("scene", 4, scene_drawing),
    ("lines", 4, line_drawing),
    ("pattern", 8, pattern_drawing),
    ("chart", 12, chart),
    ("document", 10, document),
    ("screenshot", 10, screenshot),
    ("QR code", 4, lambda random: code(random, "QRCode")),
    ("EAN-13", 3, lambda random: code(random, "EAN13")),
    ("Code 128", 3, lambda random: code(random, "Code128")),
    ("Data Matrix", 3, lambda random: code(random, "DataMatrix")),
)


def labelled_images(seed: int = SEED) -> list[Labelled]:
    """The whole set for one seed."""
    images: list[Labelled] = []
    for number, (name, count, make) in enumerate(MADE):
        for index in range(count):
            random = np.random.default_rng([seed, number, index])
            image, labels = make(random)
            images.append(Labelled(f"{name} {index}", encoded(image, random), **labels))  # type: ignore[arg-type]
    images.extend(photographs(np.random.default_rng([seed, 99])))
    return images
