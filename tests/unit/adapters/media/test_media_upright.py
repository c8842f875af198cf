"""Turning upright and converting: the pixels end up where a viewer shows them, and the tag is gone."""

import asyncio
import io

import pytest
from PIL import Image, ImageOps

import image_files as files
from tessera.adapters.media.conversion import Converter
from tessera.adapters.media.header import probe_header
from tessera.adapters.media.upright import convert, upright
from tessera.domain.errors import ErrorCode, TesseraError


def corners(data: bytes) -> list[tuple[int, ...]]:
    """The four corners' colours, coarse enough for lossy formats, as a viewer shows them."""
    with Image.open(io.BytesIO(data)) as image:
        shown = ImageOps.exif_transpose(image).convert("RGB")
    right, bottom = shown.width - 5, shown.height - 5
    places = [(4, 4), (right, 4), (4, bottom), (right, bottom)]
    return [tuple(round(value / 255) for value in shown.getpixel(place)) for place in places]  # type: ignore[union-attr, arg-type]


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(2, 9))
def test_pixels_are_turned_and_the_tag_is_gone(kind: str, orientation: int) -> None:
    data = files.saved(kind, exif=files.exif(orientation, make="Canon"))
    turned = upright(data)
    header, before = probe_header(turned, complete=True), probe_header(data, complete=True)
    assert header.format == kind.lower()
    assert header.orientation == 1
    assert header.displayed == before.displayed
    assert corners(turned) == corners(data)
    with Image.open(io.BytesIO(turned)) as image:
        assert not dict(image.getexif())


@pytest.mark.parametrize("mode", ["L", "RGBA", "P", "1", "I;16"])
def test_each_kind_of_pixel_survives(mode: str) -> None:
    data = files.saved("PNG", files.picture(mode=mode), exif=files.exif(6))
    assert corners(upright(data)) == corners(data)
    assert probe_header(upright(data), complete=True).displayed == (64, 96)


def test_the_colour_profile_is_kept() -> None:
    data = files.saved("JPEG", exif=files.exif(3), icc_profile=b"profile" * 9)
    with Image.open(io.BytesIO(upright(data))) as image:
        assert image.info["icc_profile"] == b"profile" * 9


def test_a_phones_photo_is_turned() -> None:
    assert probe_header(upright(files.phone_photo()), complete=True).displayed == (64, 96)


@pytest.mark.parametrize("data", [files.saved("PNG"), files.saved("JPEG", exif=files.exif(1)), files.saved("GIF")])
def test_what_stands_upright_is_returned_as_it_is(data: bytes) -> None:
    assert upright(data) is data


def test_pixels_are_limited_before_they_are_decoded() -> None:
    data = files.saved("PNG", exif=files.exif(6))
    assert upright(data, pixels_max=96 * 64)
    with pytest.raises(TesseraError) as caught:
        upright(data, pixels_max=96 * 64 - 1)
    assert caught.value.code is ErrorCode.IMAGE_TOO_LARGE


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_a_file_that_ends_early_is_refused(kind: str) -> None:
    data = files.saved(kind, files.picture(600, 400).effect_spread(50), exif=files.exif(6))
    with pytest.raises(TesseraError) as caught:
        upright(data[: len(data) // 2])
    assert caught.value.code is ErrorCode.IMAGE_PARSE_ERROR


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
def test_an_avif_is_turned_once_and_never_twice(orientation: int) -> None:
    data = files.saved("AVIF", exif=files.exif(orientation), quality=90)
    made = convert(data)
    assert made.format == "jpeg"
    assert (made.width, made.height) == ((64, 96) if orientation >= 5 else (96, 64))
    assert corners(made.content) == corners(files.saved("PNG", exif=files.exif(orientation)))
    assert probe_header(made.content, complete=True).orientation == 1


def test_transparency_is_kept_in_a_png() -> None:
    half = files.picture(mode="RGBA")
    half.putalpha(128)
    made = convert(files.saved("AVIF", half))
    assert made.format == "png"
    with Image.open(io.BytesIO(made.content)) as image:
        assert image.mode == "RGBA"


@pytest.mark.anyio
async def test_a_heic_is_converted_in_a_process_of_its_own() -> None:
    made = await Converter(1_000_000).convert(files.heic(), "p")
    assert (made.format, made.width, made.height) == ("jpeg", 96, 64)
    assert corners(made.content) == corners(files.saved("PNG"))


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("data", "pixels_max", "code"),
    [
        (files.heic(), 96 * 64 - 1, ErrorCode.IMAGE_TOO_LARGE),
        (files.heic()[:300], 1_000_000, ErrorCode.IMAGE_PARSE_ERROR),
        (files.heic()[:40] + bytes(500), 1_000_000, ErrorCode.IMAGE_PARSE_ERROR),
        (files.saved("AVIF")[:200], 1_000_000, ErrorCode.IMAGE_PARSE_ERROR),
        (files.animated("AVIF"), 1_000_000, ErrorCode.UNSUPPORTED_IMAGE_FORMAT),
        (b"no image", 1_000_000, ErrorCode.IMAGE_PARSE_ERROR),
    ],
)
async def test_what_cannot_be_converted_is_refused_by_name(data: bytes, pixels_max: int, code: ErrorCode) -> None:
    with pytest.raises(TesseraError) as caught:
        await Converter(pixels_max).convert(data, "p")
    assert (caught.value.code, caught.value.param) == (code, "p")


class Slow(Converter):
    """A converter whose children have begun and do not end."""

    begun = 0

    async def _run(self, data: bytes) -> bytes:
        self.begun += 1
        await asyncio.Event().wait()
        return data


@pytest.mark.anyio
@pytest.mark.parametrize(
    "rest",
    [
        b"",
        bytes(500),
        b"\0\0\0\x20meta" + bytes(20),
        b"\0\0\0\x0cmeta" + bytes(4),
        b"\0\0\0\1mdat" + bytes(7) + b"\x11" + bytes(500),
        b"\0\0\0\0mdat" + bytes(500),
        b"\0\0\0\1mdat" + b"\xff" * 8 + bytes(500),
        b"\0\0\0\x08free" * 1_000_000 + b"\0\0\0\x20meta" + bytes(24),
    ],
    ids=[
        "nothing",
        "zeros",
        "cut off",
        "empty",
        "a long box",
        "a box to the end",
        "a box past the end",
        "a million boxes",
    ],
)
async def test_a_file_without_a_whole_box_of_images_starts_no_process(rest: bytes) -> None:
    converter = Slow(1_000_000)
    with pytest.raises(TesseraError, match="cut off or says of no image") as caught:
        await converter.convert(b"\0\0\0\x18ftypheic\0\0\0\0heicmiaf" + rest, "p")
    assert (caught.value.code, caught.value.param, converter.begun) == (ErrorCode.IMAGE_PARSE_ERROR, "p", 0)


@pytest.mark.anyio
async def test_a_queue_of_images_to_convert_that_is_long_takes_no_more() -> None:
    converter = Slow(1_000_000)
    waiting = [asyncio.ensure_future(converter.convert(files.heic(), "p")) for _ in range(64)]
    await asyncio.sleep(0)
    with pytest.raises(TesseraError) as caught:
        await converter.convert(files.heic(), "p")
    assert (caught.value.code, converter.begun) == (ErrorCode.OVERLOADED, 2)
    for one in waiting:
        one.cancel()
    await asyncio.gather(*waiting, return_exceptions=True)
    last = asyncio.ensure_future(converter.convert(files.heic(), "p"))
    await asyncio.sleep(0)
    assert converter.begun == 3
    last.cancel()
