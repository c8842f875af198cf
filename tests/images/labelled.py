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
from PIL import Image, ImageDraw, ImageEnhance, ImageFilter, ImageFont

HERE = Path(__file__).parent
DEMO_PHOTOS = HERE.parents[1] / "src" / "tessera" / "cli" / "photos"
SEED = 2026

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


# ---- drawings ------------------------------------------------------------------------------------------------


def free_boxes(random: Random, size: tuple[int, int], count: int) -> list[tuple[int, int, int]]:
    """Up to `count` square places (left, top, side) that do not touch each other."""
    places: list[tuple[int, int, int]] = []
    for _ in range(400):
        side = between(random, min(size) // 7, min(size) // 4)
        left, top = between(random, 8, size[0] - side - 8), between(random, 8, size[1] - side - 8)
        apart = all(abs(left - a) > max(side, s) + 10 or abs(top - b) > max(side, s) + 10 for a, b, s in places)
        if apart:
            places.append((left, top, side))
        if len(places) == count:
            break
    return places


def draw_shape(draw: ImageDraw.ImageDraw, random: Random, shape: str, place: tuple[int, int, int], fill: Rgb) -> None:
    left, top, side = place
    if shape == "circle":
        draw.ellipse((left, top, left + side, top + side), fill=fill)
    elif shape == "square":
        draw.rectangle((left, top, left + side, top + side), fill=fill)
    elif shape == "rectangle":
        draw.rectangle((left, top, left + side, top + round(side * random.uniform(0.4, 0.62))), fill=fill)
    else:
        apex = left + round(side * random.uniform(0.25, 0.75))
        draw.polygon([(apex, top), (left, top + side), (left + side, top + side)], fill=fill)


def shapes_drawing(random: Random) -> tuple[Image.Image, dict[str, object]]:
    size = (between(random, 360, 900), between(random, 300, 700))
    ground = pick(random, "white", "white", "black", "yellow", "blue", "green", "grey", "pink")
    others = [name for name in COLOUR_RANGES if name not in (ground, "grey", "white", "pink", "brown")]
    scale = 3
    image = Image.new("RGB", (size[0] * scale, size[1] * scale), colour(random, ground))
    draw = ImageDraw.Draw(image)
    counts: dict[str, int] = {}
    for left, top, side in free_boxes(random, size, between(random, 2, 7)):
        shape = pick(random, "circle", "square", "rectangle", "triangle")
        fill = colour(random, pick(random, *others))
        draw_shape(draw, random, shape, (left * scale, top * scale, side * scale), fill)
        counts[shape] = counts.get(shape, 0) + 1
    return image.resize(size, Image.Resampling.LANCZOS), {"kind": "drawing", "colours": (ground,), "shapes": counts}


def scene_drawing(random: Random) -> tuple[Image.Image, dict[str, object]]:
    """A picture-book landscape: sky, plain or paler towards the ground, hill, sun, house."""
    width, height = between(random, 500, 1000), between(random, 400, 700)
    image = Image.new("RGB", (width, height), colour(random, "blue"))
    if random.random() < 0.5:
        fade = np.linspace(0, random.uniform(0.2, 0.4), height)[:, None, None]
        image = Image.fromarray((np.asarray(image) * (1 - fade) + 255 * fade).astype(np.uint8))
    draw = ImageDraw.Draw(image)
    horizon = round(height * random.uniform(0.68, 0.8))
    draw.rectangle((0, horizon, width, height), fill=colour(random, "green"))
    draw.ellipse((-width // 4, horizon - height // 8, width // 2, height), fill=colour(random, "green"))
    sun = min(width, height) // 8
    draw.ellipse((width - 3 * sun, sun // 2, width - 2 * sun, sun // 2 + sun), fill=colour(random, "yellow"))
    left, wide = between(random, width // 5, width // 2), width // 5
    draw.rectangle((left, horizon - wide // 2, left + wide, horizon + wide // 4), fill=colour(random, "red"))
    roof = [(left - 8, horizon - wide // 2), (left + wide + 8, horizon - wide // 2), (left + wide // 2, horizon - wide)]
    draw.polygon(roof, fill=colour(random, "brown"))
    return image, {"kind": "drawing", "colours": ("blue",)}


def line_drawing(random: Random) -> tuple[Image.Image, dict[str, object]]:
    """Pen strokes: smooth random curves, black on white or the other way round."""
    width, height = between(random, 400, 900), between(random, 400, 800)
    ground, pen = ("white", "black") if random.random() < 0.75 else ("black", "white")
    image = Image.new("RGB", (width * 2, height * 2), colour(random, ground))
    draw = ImageDraw.Draw(image)
    for _ in range(between(random, 5, 11)):
        turn = np.cumsum(random.normal(0, 0.25, 90)) + random.uniform(0, 6.3)
        step = min(width, height) / 20
        x = 2 * (width * random.uniform(0.2, 0.8) + np.cumsum(np.cos(turn)) * step)
        y = 2 * (height * random.uniform(0.2, 0.8) + np.cumsum(np.sin(turn)) * step)
        points = list(zip(x.tolist(), y.tolist(), strict=True))
        draw.line(points, fill=colour(random, pen), width=between(random, 5, 11), joint="curve")
    return image.resize((width, height), Image.Resampling.LANCZOS), {"kind": "drawing", "colours": (ground,)}


def pattern_drawing(random: Random) -> tuple[Image.Image, dict[str, object]]:
    """Stripes, checks, a grid or one plain colour over the whole picture."""
    size = between(random, 300, 700)
    pattern = pick(random, "stripes", "checks", "grid", "plain")
    first, second = (("blue", "white"), ("red", "yellow"), ("green", "black"))[between(random, 0, 2)]
    a, b = np.array(colour(random, first)), np.array(colour(random, second))
    period = between(random, size // 16, size // 7)
    x, y = np.meshgrid(np.arange(size), np.arange(size))
    if pattern == "stripes":
        angle = random.uniform(0, np.pi)
        # The first colour has the larger part, so that the dominant one is not a tie.
        mask = ((x * np.cos(angle) + y * np.sin(angle)) % period) < period * 0.62
    elif pattern == "checks":
        mask = ((x // period + y // period) % 2).astype(bool)
    elif pattern == "grid":
        mask = (x % period >= max(3, period // 8)) & (y % period >= max(3, period // 8))
    else:
        mask = np.ones_like(x, dtype=bool)
    image = Image.fromarray(np.where(mask[..., None], a, b).astype(np.uint8))
    right = (first, second) if pattern == "checks" else (first,)
    return image, {"kind": "drawing", "colours": right, "pattern": pattern}


# ---- charts --------------------------------------------------------------------------------------------------


def chart(random: Random) -> tuple[Image.Image, dict[str, object]]:
    width, height = between(random, 480, 1100), between(random, 360, 760)
    dark = random.random() < 0.2
    ground: Rgb = (24, 26, 32) if dark else (255, 255, 255)
    ink: Rgb = (210, 214, 220) if dark else (40, 40, 46)
    image = Image.new("RGB", (width * 2, height * 2), ground)
    draw = ImageDraw.Draw(image)
    draw.text((width // 2, 16), words(random, 3).title(), fill=ink, font=font(height // 12))
    style = pick(random, "bars", "lines", "pie", "scatter")
    if style == "pie":
        draw_pie(draw, random, (width, height), ink)
    else:
        draw_axes(draw, random, (width, height), ink, style)
    return image.resize((width, height), Image.Resampling.LANCZOS), {
        "kind": "chart",
        "colours": ("black",) if dark else ("white",),
    }


def draw_pie(draw: ImageDraw.ImageDraw, random: Random, size: tuple[int, int], ink: Rgb) -> None:
    width, height = size
    radius, centre = int(height * 0.72), (int(width * 0.8), int(height * 1.12))
    box = (centre[0] - radius, centre[1] - radius, centre[0] + radius, centre[1] + radius)
    shares = random.dirichlet(np.full(between(random, 3, 6), 3.0))
    names = ["blue", "orange", "green", "red", "purple", "brown"]
    start = float(random.uniform(0, 360))
    for index, share in enumerate(shares):
        fill = colour(random, names[index])
        draw.pieslice(box, start, start + 360 * share, fill=fill)
        start += 360 * share
        top = int(height * 0.5) + index * height // 6
        draw.rectangle((int(width * 1.62), top, int(width * 1.62) + 30, top + 30), fill=fill)
        draw.text((int(width * 1.62) + 44, top), words(random, 1), fill=ink, font=font(height // 16))


def draw_axes(draw: ImageDraw.ImageDraw, random: Random, size: tuple[int, int], ink: Rgb, style: str) -> None:
    width, height = size[0] * 2, size[1] * 2
    left, right, top, bottom = width // 8, width * 15 // 16, height // 6, height * 5 // 6
    grid = random.random() < 0.6
    for step in range(1, 5):
        y = bottom - step * (bottom - top) // 5
        if grid:
            draw.line((left, y, right, y), fill=(190, 192, 196), width=2)
        draw.text((left - 70, y - 14), str(step * 20), fill=ink, font=font(height // 34))
    draw.line((left, top, left, bottom), fill=ink, width=4)
    draw.line((left, bottom, right, bottom), fill=ink, width=4)
    count = between(random, 4, 10)
    pitch = (right - left) / (count + 0.5)
    fills = [colour(random, name) for name in ("blue", "orange", "green")]
    level = random.uniform(0.15, 0.95, (3, count))
    for index in range(count):
        x = left + (index + 0.5) * pitch
        draw.text((x - 10, bottom + 12), words(random, 1)[:4], fill=ink, font=font(height // 34))
        if style == "bars":
            draw.rectangle(
                (x - pitch * 0.3, bottom - level[0, index] * (bottom - top), x + pitch * 0.3, bottom), fills[0]
            )
    if style == "lines":
        for series in range(between(random, 1, 3)):
            points = [(left + (i + 0.5) * pitch, bottom - level[series, i] * (bottom - top)) for i in range(count)]
            draw.line(points, fill=fills[series], width=7)
    if style == "scatter":
        for x, y in zip(random.uniform(left + 20, right, 60), random.uniform(top, bottom - 20, 60), strict=True):
            draw.ellipse((x - 9, y - 9, x + 9, y + 9), fill=fills[between(random, 0, 2)])


# ---- documents -----------------------------------------------------------------------------------------------


def document(random: Random) -> tuple[Image.Image, dict[str, object]]:
    width = between(random, 600, 1100)
    height = round(width * random.uniform(1.15, 1.45))
    paper = between(random, 244, 255)
    image = Image.new("RGB", (width, height), (paper, paper, between(random, 236, 255)))
    draw = ImageDraw.Draw(image)
    margin, text_size = width // 10, width // between(random, 38, 52)
    ink = (between(random, 0, 50),) * 3
    y = margin
    draw.text((margin, y), words(random, 3).title(), fill=ink, font=font(text_size * 2))
    y += text_size * 4
    columns = 2 if random.random() < 0.3 else 1
    column_width = (width - 2 * margin) // columns - (columns - 1) * 12
    face = font(text_size)
    for column in range(columns):
        fill_column(draw, random, (margin + column * (column_width + 24), y, column_width, height - margin), face, ink)
    if random.random() < 0.4:
        image = scanned(image, random)
    return image, {"kind": "document", "colours": ("white",)}


def fill_column(
    draw: ImageDraw.ImageDraw,
    random: Random,
    box: tuple[int, int, int, int],
    face: ImageFont.FreeTypeFont | ImageFont.ImageFont,
    ink: Rgb,
) -> None:
    x, y, wide, end = box
    leading = round(float(getattr(face, "size", 12)) * random.uniform(1.3, 1.6))
    while y < end - leading:
        for index in range(between(random, 3, 8)):
            line = words(random, 18)
            while draw.textlength(line, font=face) > wide * (0.6 if index == 7 else 1):
                line = line.rsplit(" ", 1)[0]
            if y < end - leading:
                draw.text((x, y), line, fill=ink, font=face)
            y += leading
        y += leading


def scanned(image: Image.Image, random: Random) -> Image.Image:
    """As a scanner would give it: a little grey, a little noise, a little soft."""
    pixels = np.asarray(image.filter(ImageFilter.GaussianBlur(0.6))).astype(float)
    shade = np.linspace(random.uniform(0.93, 1), random.uniform(0.93, 1), pixels.shape[1])[None, :, None]
    return Image.fromarray(np.clip(pixels * shade + random.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8))


# ---- screenshots ---------------------------------------------------------------------------------------------


def screenshot(random: Random) -> tuple[Image.Image, dict[str, object]]:
    dark = random.random() < 0.35
    ground, panel, ink = (
        ((30, 32, 38), (45, 48, 56), (222, 224, 228)) if dark else ((250, 250, 251), (232, 235, 240), (35, 38, 45))
    )
    width, height = (between(random, 900, 1500), between(random, 600, 900))
    phone = random.random() < 0.3
    if phone:
        width, height = between(random, 380, 520), between(random, 800, 1050)
    image = Image.new("RGB", (width, height), ground)
    draw = ImageDraw.Draw(image)
    accent = colour(random, pick(random, "blue", "green", "purple", "orange"))
    bar = height // between(random, 14, 20)
    draw.rectangle((0, 0, width, bar), fill=accent if random.random() < 0.4 else panel)
    draw.text((bar, bar // 4), words(random, 2).title(), fill=ink, font=font(bar // 2))
    for index in range(3):
        x = width - (index + 1) * bar
        draw.ellipse((x, bar // 3, x + bar // 3, bar // 3 + bar // 3), fill=(200, 90, 80))
    left = 0 if phone else width // between(random, 4, 6)
    text = max(11, width // 80) if not phone else width // 26
    if left:
        draw.rectangle((0, bar, left, height), fill=panel)
        for index in range(between(random, 5, 12)):
            draw.text((16, bar + 20 + index * text * 2.4), words(random, 2).title(), fill=ink, font=font(text))
    fill_cards(draw, random, (left, bar, width, height), (panel, ink, accent), text)
    return image, {"kind": "screenshot", "colours": ("black", "grey") if dark else ("white",)}


def fill_cards(
    draw: ImageDraw.ImageDraw,
    random: Random,
    box: tuple[int, int, int, int],
    colours: tuple[Rgb, Rgb, Rgb],
    text: int,
) -> None:
    left, top, right, bottom = box
    panel, ink, accent = colours
    y = top + text * 2
    while y < bottom - text * 8:
        high = text * between(random, 6, 10)
        draw.rounded_rectangle((left + text * 2, y, right - text * 2, y + high), radius=text // 2, fill=panel)
        draw.text((left + text * 3, y + text * 0.6), words(random, 3).title(), fill=ink, font=font(round(text * 1.3)))
        for line in range(2):
            draw.text((left + text * 3, y + text * (2.4 + 1.5 * line)), words(random, 6), fill=ink, font=font(text))
        button = (right - text * 9, y + high - text * 2.6, right - text * 3, y + high - text * 0.6)
        draw.rounded_rectangle(button, radius=text // 2, fill=accent)
        draw.text(
            (button[0] + text, button[1] + text * 0.4), words(random, 1)[:5], fill=(255, 255, 255), font=font(text)
        )
        y += high + text * 2


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
