"""Drawings and charts, each with what was drawn."""

import numpy as np
from PIL import Image, ImageDraw

from images.brush import COLOUR_RANGES, Random, Rgb, between, colour, font, pick, words


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
