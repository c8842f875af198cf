"""Light, sharpness, texture, shapes, composition, codes, text and faces on pictures made for them."""

from pathlib import Path

import numpy as np
import pytest
import zxingcpp
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageDraw, ImageFilter, ImageFont

import tessera.cli
from images.pictures import encoded, plain, seen, with_shapes
from tessera.adapters.providers.sight import faces, text
from tessera.adapters.providers.sight.answers import answer
from tessera.adapters.providers.sight.look import observe
from tessera.adapters.providers.sight.observation import SightLimits
from tessera.adapters.providers.sight.swatches import dominant, families

PHOTOS = Path(tessera.cli.__file__).parent / "photos"


def photo(name: str) -> Image.Image:
    return Image.open(PHOTOS / name).convert("RGB")


def pattern(values: np.ndarray) -> Image.Image:
    return Image.fromarray(np.where(values[..., None], (20, 60, 200), (250, 250, 250)).astype(np.uint8))


GRID_X, GRID_Y = np.meshgrid(np.arange(400), np.arange(400))


def test_the_same_bytes_give_the_same_observation() -> None:
    data = (PHOTOS / "coffee.webp").read_bytes()
    assert observe(data, SightLimits()) == observe(data, SightLimits())


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 9))
def test_shares_of_colours_are_those_that_were_painted(tenths: int) -> None:
    image = plain((30, 60, 200), (200, 200))  # type: ignore[arg-type]
    image.paste((210, 30, 30), (0, 0, 200, 20 * tenths))
    shares = families(seen(image).palette)
    assert shares["red"] == pytest.approx(tenths / 10, abs=0.01)
    assert shares["blue"] == pytest.approx(1 - tenths / 10, abs=0.01)


@settings(max_examples=25, deadline=None)
@given(st.tuples(*[st.integers(0, 255)] * 3))
def test_shares_of_a_palette_add_up_to_one_at_most(rgb: tuple[int, int, int]) -> None:
    palette = seen(plain(rgb, (40, 40))).palette  # type: ignore[arg-type]
    assert sum(swatch.share for swatch in palette) == pytest.approx(1)
    assert dominant(palette).hex == "#{:02x}{:02x}{:02x}".format(*rgb)


@pytest.mark.parametrize(("level", "key"), [(10, "dark"), (120, "medium"), (240, "bright")])
def test_brightness_has_three_names(level: int, key: str) -> None:
    assert seen(plain((level,) * 3)).light.key == key  # type: ignore[arg-type]


def test_a_dark_middle_before_a_bright_surrounding_is_backlit() -> None:
    image = plain((235, 235, 230))  # type: ignore[arg-type]
    image.paste((15, 15, 20), (80, 60, 240, 180))
    assert seen(image).light.backlit
    assert not seen(plain()).light.backlit


@pytest.mark.parametrize("name", ["astronaut.jpg", "chelsea.png", "coffee.webp", "rocket.jpg"])
def test_blur_grows_with_blurring_and_is_named(name: str) -> None:
    image = photo(name)
    looks = [seen(image.filter(ImageFilter.GaussianBlur(radius))).sharpness for radius in (0, 1.5, 4)]
    assert looks[0].blur < looks[1].blur < looks[2].blur
    assert looks[0].verdict == "sharp"
    assert looks[2].verdict == "blurred"


def test_a_picture_moved_sideways_is_called_so() -> None:
    pixels = np.asarray(photo("astronaut.jpg")).astype(float)
    smeared = np.mean([np.roll(pixels, shift, axis=1) for shift in range(15)], axis=0)
    assert seen(Image.fromarray(smeared.astype(np.uint8))).sharpness.motion == "sideways"


def test_a_plain_surface_has_no_sharpness() -> None:
    assert seen(plain("teal")).sharpness.verdict == "undetermined"


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        (GRID_X % 40 < 22, ("stripes", "vertical", 10)),
        (GRID_Y % 40 < 22, ("stripes", "horizontal", 10)),
        ((GRID_X + GRID_Y) % 57 < 31, ("stripes", "diagonal", 10)),
        ((GRID_X // 40 + GRID_Y // 40) % 2 == 0, ("checks", None, 10)),
        ((GRID_X % 40 > 4) & (GRID_Y % 40 > 4), ("grid", None, 10)),
        (GRID_X < 0, ("plain", None, None)),
    ],
)
def test_patterns_are_named_with_their_direction_and_number(
    values: np.ndarray, expected: tuple[str, str | None, int | None]
) -> None:
    found = seen(pattern(values)).texture
    assert (found.pattern, found.direction, found.repeats) == expected


def test_a_gradient_and_noise_are_told_apart() -> None:
    ramp = np.broadcast_to(np.linspace(0, 255, 300)[None, :, None], (200, 300, 3)).astype(np.uint8)
    assert seen(Image.fromarray(ramp)).texture.direction == "from left to right"
    noise = np.random.default_rng(3).integers(90, 170, (300, 300, 3)).astype(np.uint8)
    assert seen(Image.fromarray(noise)).texture.pattern == "noise"


def test_shapes_are_counted_with_their_colours_and_places() -> None:
    shapes = seen(with_shapes()).shapes
    assert sorted(shape.kind for shape in shapes) == ["circle", "square", "triangle"]
    found = {shape.kind: shape for shape in shapes}
    assert "red" in found["circle"].colour
    assert "blue" in found["square"].colour
    assert "green" in found["triangle"].colour
    assert found["circle"].region.centre == pytest.approx((0.2, 0.2), abs=0.01)
    assert found["square"].region.width == pytest.approx(0.2, abs=0.01)


def test_outlines_count_as_the_shape_they_enclose() -> None:
    image = plain(size=(500, 500))
    draw = ImageDraw.Draw(image)
    draw.ellipse((50, 50, 200, 200), outline="black", width=12)
    draw.rectangle((280, 280, 450, 400), outline="red", width=12)
    draw.polygon([(330, 40), (250, 200), (420, 200)], fill="blue", outline="black", width=9)
    found = {shape.kind: shape.colour for shape in seen(image).shapes}
    assert len(seen(image).shapes) == len(found) == 3
    assert found["circle"] == "black"
    assert found["rectangle"] in ("red", "bright red")
    assert "blue" in found["triangle"]


def test_the_halves_of_a_mirrored_picture_are_found_alike() -> None:
    half = photo("chelsea.png").crop((0, 0, 200, 300))
    both = plain(size=(400, 300))
    both.paste(half, (0, 0))
    both.paste(half.transpose(Image.Transpose.FLIP_LEFT_RIGHT), (200, 0))
    assert seen(both).composition.symmetry_sides > 0.95
    assert "mirror each other" in answer([seen(both)], "Is it symmetrical?")


def test_a_horizon_is_found_where_it_was_drawn() -> None:
    image = plain((120, 180, 240), (400, 400))  # type: ignore[arg-type]
    image.paste((40, 120, 40), (0, 260, 400, 400))
    built = seen(image).composition
    assert built.horizon == pytest.approx(0.65, abs=0.03)
    assert "blue" in str(built.above)
    assert "green" in str(built.below)


CONTENTS = {
    "QRCode": ("QR code", "https://example.com/täglich?x=1"),
    "DataMatrix": ("Data Matrix", "01234 tessera"),
    "Aztec": ("Aztec code", "aztec 42"),
    "PDF417": ("PDF417", "stacked lines"),
    "EAN13": ("EAN-13", "4006381333931"),
    "EAN8": ("EAN-8", "96385074"),
    "Code128": ("Code 128", "TES-2026-11"),
    "Code39": ("Code 39", "TESSERA39"),
}


@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("quarter_turns", [0, 1, 2])
def test_codes_are_read_exactly_and_named(name: str, quarter_turns: int) -> None:
    spelled, content = CONTENTS[name]
    written = zxingcpp.create_barcode(content, getattr(zxingcpp.BarcodeFormat, name)).to_image(scale=4)
    stamp = Image.fromarray(np.array(written)).convert("RGB").rotate(90 * quarter_turns, expand=True, fillcolor="white")
    card = plain(size=(stamp.width + 120, stamp.height + 120))
    card.paste(stamp, (60, 60))
    found = seen(card).codes
    assert [(code.format, code.content) for code in found] == [(spelled, content)]
    assert found[0].region.centre == pytest.approx((0.5, 0.5), abs=0.12)


def test_lines_of_writing_are_found_and_read_where_a_reader_is_installed() -> None:
    image = plain(size=(900, 300))
    draw = ImageDraw.Draw(image)
    draw.text((60, 60), "Balance due", fill="black", font=ImageFont.load_default(48))
    draw.text((60, 160), "Invoice number 20261122", fill="black", font=ImageFont.load_default(48))
    found = seen(image)
    assert len(found.text.lines) == 2
    told = answer([found], "What does the text say?")
    if text.data_folder() is None:
        assert found.text.content is None
        assert "no text reader is installed" in told
    else:
        assert found.text.content == "Balance due\nInvoice number 20261122"
        assert "Invoice number 20261122" in told


def test_a_photograph_without_writing_yields_no_text() -> None:
    for name in ("chelsea.png", "coffee.webp", "rocket.jpg"):
        assert not seen(photo(name)).text.content


def test_faces_are_found_where_a_detector_is_installed_and_else_nobody_looked() -> None:
    found = seen(photo("astronaut.jpg"))
    told = answer([found], "How many people are there?")
    if faces.detector() is None:
        assert found.faces is None
        assert "not looked for" in told
    else:
        assert found.faces is not None
        assert len(found.faces) == 1
        assert found.faces[0].centre == pytest.approx((0.44, 0.23), abs=0.05)
        assert "one frontal face" in told
        assert [seen(photo(name)).faces for name in ("chelsea.png", "coffee.webp", "rocket.jpg")] == [()] * 3


def test_without_the_detector_the_answer_says_that_nobody_looked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(faces, "detector", lambda: None)
    assert "Faces were not looked for" in answer([seen(photo("astronaut.jpg"))], "Is there anyone?")


def test_without_the_reader_the_answer_says_that_nobody_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "data_folder", lambda: None)
    image = plain(size=(900, 300))
    ImageDraw.Draw(image).text((60, 60), "Balance due 1234", fill="black", font=ImageFont.load_default(60))
    assert "no text reader is installed" in answer([seen(image)], "Read it to me.")


def test_pictures_of_every_accepted_format_are_seen_alike() -> None:
    told = {kind: seen(with_shapes(), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF")}
    assert {found.format for found in told.values()} == {"png", "jpeg", "webp", "gif"}
    assert {tuple(sorted(shape.kind for shape in found.shapes)) for found in told.values()} == {
        ("circle", "square", "triangle")
    }


def test_encoding_helper_really_encodes() -> None:
    assert encoded(plain(), "WEBP")[8:12] == b"WEBP"
