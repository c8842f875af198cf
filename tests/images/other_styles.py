"""Pictures in other styles than `labelled.py` draws, to see whether the kind is still recognised.

Tables, letters, receipts, editors, terminals, web forms, boxed and area charts, doughnuts, cartoons, posters; and the
photographs as the web has them: squeezed, tiny, in 128 colours, blurred, enlarged, cut out on white, with a caption.
"""

import io
from collections.abc import Callable, Iterator

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from images.brush import Random, font, words
from images.labelled import DEMO_PHOTOS, HERE, Labelled

Drawing = tuple[Image.Image, ImageDraw.ImageDraw]


def blank(width: int, height: int, colour: str | tuple[int, int, int] = "white") -> Drawing:
    image = Image.new("RGB", (width, height), colour)
    return image, ImageDraw.Draw(image)


def table(random: Random) -> Image.Image:
    image, draw = blank(900, 1200)
    draw.text((60, 50), words(random, 3), fill=0, font=font(40))
    for row in range(22):
        draw.line((60, 140 + row * 44, 840, 140 + row * 44), fill=(120, 120, 120), width=2)
        for column in range(5 if row < 21 else 0):
            draw.text((70 + column * 156, 150 + row * 44), words(random, 1), fill=0, font=font(20))
    for column in range(6):
        x = 60 + column * 156
        draw.line((x, 140, x, 140 + 21 * 44), fill=(120, 120, 120), width=2)
    return image


def letter(random: Random) -> Image.Image:
    image, draw = blank(1000, 1400)
    for line in range(10):
        draw.text((120, 200 + line * 40), words(random, 9), fill=(20, 20, 20), font=font(24))
    return image


def full_page(random: Random) -> Image.Image:
    image, draw = blank(2480, 3508)
    for line in range(55):
        draw.text((300, 300 + line * 54), words(random, 14), fill=(20, 20, 20), font=font(36))
    return image


def receipt(random: Random) -> Image.Image:
    image, draw = blank(380, 900, (250, 250, 248))
    for line in range(26):
        price = f"{random.integers(1, 99)}.{random.integers(10, 99)}"
        draw.text((30, 40 + line * 30), words(random, 2), fill=(30, 30, 30), font=font(18))
        draw.text((300, 40 + line * 30), price, fill=(30, 30, 30), font=font(18))
    return image


def editor(random: Random) -> Image.Image:
    image, draw = blank(1280, 800, (30, 30, 30))
    draw.rectangle((0, 0, 1280, 30), fill=(60, 60, 60))
    draw.rectangle((0, 30, 220, 800), fill=(37, 37, 38))
    draw.rectangle((0, 778, 1280, 800), fill=(0, 122, 204))
    inks = [(86, 156, 214), (206, 145, 120), (212, 212, 212), (78, 201, 176)]
    for line in range(34):
        x = 280 + 24 * int(random.integers(0, 4))
        for word in words(random, int(random.integers(1, 7))).split():
            draw.text((x, 44 + line * 21), word, fill=inks[int(random.integers(4))], font=font(15))
            x += 12 * len(word)
        draw.text((235, 44 + line * 21), str(line), fill=(130, 130, 130), font=font(15))
    return image


def terminal(random: Random) -> Image.Image:
    image, draw = blank(900, 600, (0, 0, 0))
    for line in range(28):
        draw.text((8, 8 + line * 20), words(random, int(random.integers(2, 9))), fill=(0, 220, 0), font=font(15))
    return image


def web_form(random: Random) -> Image.Image:
    image, draw = blank(1366, 768)
    draw.rectangle((0, 0, 1366, 56), fill=(20, 60, 120))
    draw.text((30, 16), words(random, 2), fill="white", font=font(24))
    for row in range(6):
        draw.text((420, 110 + row * 80), words(random, 2), fill=(60, 60, 60), font=font(16))
        draw.rounded_rectangle((420, 134 + row * 80, 940, 172 + row * 80), 6, outline=(180, 180, 180))
    draw.rounded_rectangle((420, 620, 560, 664), 6, fill=(20, 90, 200))
    draw.text((450, 630), "Send", fill="white", font=font(18))
    return image


def page_with_photo(random: Random) -> Image.Image:
    image, draw = blank(1200, 800, (245, 245, 247))
    draw.rectangle((0, 0, 1200, 48), fill=(225, 225, 230))
    draw.text((20, 12), words(random, 3), fill=0, font=font(20))
    image.paste(photograph("coffee.webp").resize((480, 320)), (60, 100))
    for line in range(9):
        draw.text((580, 110 + line * 34), words(random, 7), fill=(40, 40, 40), font=font(18))
    for line in range(5):
        draw.text((60, 450 + line * 34), words(random, 12), fill=(40, 40, 40), font=font(18))
    return image


def lying_bars(random: Random) -> Image.Image:
    image, draw = blank(800, 500)
    draw.text((250, 15), words(random, 3), fill=0, font=font(24))
    draw.line((150, 60, 150, 450), fill=0, width=2)
    draw.line((150, 450, 770, 450), fill=0, width=2)
    for row in range(6):
        end = 150 + int(random.integers(100, 600))
        draw.rectangle((151, 80 + row * 62, end, 115 + row * 62), fill=(60, 120, 190))
        draw.text((50, 85 + row * 62), words(random, 1)[:9], fill=0, font=font(16))
    return image


def boxed_line(random: Random) -> Image.Image:
    image, draw = blank(640, 480)
    draw.rectangle((80, 58, 576, 427), outline=0)
    for tick in range(6):
        draw.line((80 + 99 * tick, 427, 80 + 99 * tick, 431), fill=0)
        draw.text((74 + 99 * tick, 434), str(tick), fill=0, font=font(12))
        draw.text((50, 420 - 70 * tick), str(tick), fill=0, font=font(12))
    level = np.clip(240 + np.cumsum(random.normal(0, 8, 100)), 62, 420)
    draw.line([(80 + 5 * x, float(y)) for x, y in enumerate(level)], fill=(31, 119, 180), width=2)
    return image


def area_chart(random: Random) -> Image.Image:
    image, draw = blank(900, 450)
    for row in range(6):
        draw.line((60, 50 + row * 64, 870, 50 + row * 64), fill=(215, 215, 215))
        draw.text((20, 42 + row * 64), str(100 - row * 20), fill=(90, 90, 90), font=font(14))
    level = 200 + 60 * np.sin(np.linspace(0, 6, 50) + random.uniform(0, 3))
    outline = [(60 + x * 16.5, float(y)) for x, y in enumerate(level)]
    draw.polygon([(60, 370), *outline, (868, 370)], fill=(120, 170, 230))
    for column in range(6):
        draw.text((80 + column * 150, 385), words(random, 1)[:6], fill=(90, 90, 90), font=font(14))
    return image


def doughnut(random: Random) -> Image.Image:
    image, draw = blank(600, 400)
    start = 0.0
    for fill, share in zip(
        ("#dc503c", "#3c8cdc", "#5ab45a", "#f0be28"), random.dirichlet(np.full(4, 3.0)), strict=True
    ):
        draw.pieslice((120, 60, 420, 360), start, start + 360 * share, fill=fill)
        start += 360 * share
    draw.ellipse((195, 135, 345, 285), fill="white")
    draw.text((450, 100), words(random, 1), fill=0, font=font(18))
    return image


def cartoon(random: Random) -> Image.Image:
    image, draw = blank(500, 500, (170, 220, 250))
    draw.ellipse((100, 80, 400, 420), fill=(255, 214, 170), outline=0, width=6)
    for x in (180, 280):
        draw.ellipse((x, 190, x + 40, 240), fill=0)
    draw.arc((180, 260, 320, 350), 20, 160, fill=0, width=7)
    draw.pieslice((90, 60, 410, 300), 180, 360, fill=(90, 50, 20), outline=0, width=6)
    return image


def word_mark(random: Random) -> Image.Image:
    image = Image.new("RGBA", (400, 200), (0, 0, 0, 0))
    ImageDraw.Draw(image).text((30, 50), words(random, 1).title(), fill=(200, 30, 60, 255), font=font(90))
    return image


def poster(random: Random) -> Image.Image:
    image, draw = blank(700, 1000, (20, 40, 90))
    draw.text((60, 100), words(random, 1).upper(), fill=(250, 200, 30), font=font(110))
    draw.ellipse((200, 350, 500, 650), fill=(230, 60, 60))
    draw.text((90, 800), words(random, 3), fill="white", font=font(44))
    return image


STYLES: tuple[tuple[str, Callable[[Random], Image.Image]], ...] = (
    ("document", table),
    ("document", letter),
    ("document", full_page),
    ("document", receipt),
    ("screenshot", editor),
    ("screenshot", terminal),
    ("screenshot", web_form),
    ("screenshot", page_with_photo),
    ("chart", lying_bars),
    ("chart", boxed_line),
    ("chart", area_chart),
    ("chart", doughnut),
    ("drawing", cartoon),
    ("drawing", word_mark),
    ("drawing", poster),
)


def photograph(name: str) -> Image.Image:
    path = DEMO_PHOTOS / name if (DEMO_PHOTOS / name).exists() else HERE / "photos" / name
    return Image.open(path).convert("RGB")


def treated(name: str, random: Random) -> Iterator[tuple[str, Image.Image, str]]:
    photo = photograph(name)
    yield "squeezed", photo, "JPEG"
    yield "tiny", photo.resize((96, 96 * photo.height // photo.width)), "PNG"
    yield "in 128 colours", photo.quantize(128), "GIF"
    yield "blurred", photo.filter(ImageFilter.GaussianBlur(4)), "PNG"
    yield "enlarged", photo.resize((photo.width * 3, photo.height * 3), Image.Resampling.BICUBIC), "WEBP"
    ground, oval = Image.new("RGB", (900, 700), "white"), Image.new("L", photo.size, 0)
    ImageDraw.Draw(oval).ellipse((20, 20, photo.width - 20, photo.height - 20), fill=255)
    ground.paste(photo, (150, 120), oval)
    yield "cut out on white", ground, "JPEG"
    captioned = photo.copy()
    ImageDraw.Draw(captioned).text(
        (20, 20), words(random, 2).upper(), "white", font(40), stroke_width=3, stroke_fill="black"
    )
    yield "captioned", captioned, "PNG"


def other_styles(seed: int) -> list[Labelled]:
    random = np.random.default_rng(seed)
    images = []
    for kind, make in STYLES:
        out = io.BytesIO()
        make(random).save(out, "PNG")
        images.append(Labelled(make.__name__, out.getvalue(), kind=kind))
    for name in ("astronaut.jpg", "coffee.webp", "chelsea.png", "rocket.jpg", "camera.jpg"):
        for treatment, image, file_format in treated(name, random):
            out = io.BytesIO()
            image.save(out, file_format, **({"quality": 25} if treatment == "squeezed" else {}))
            images.append(Labelled(f"{name} {treatment}", out.getvalue(), kind="photo", source=name))
    return images
