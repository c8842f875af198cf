"""Documents and screenshots, each with what was drawn."""

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from images.brush import Random, Rgb, between, colour, font, pick, words


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
