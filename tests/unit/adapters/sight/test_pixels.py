"""Decoding, and every way a file can be hostile."""

import io
import struct
import tracemalloc
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from images.pictures import encoded, plain, with_shapes
from tessera.adapters.providers.sight.answers import answer
from tessera.adapters.providers.sight.look import observe
from tessera.adapters.providers.sight.observation import SightLimits
from tessera.adapters.providers.sight.pixels import LUMA_SIDE, SMALL_SIDE, TRANSPOSE, read_picture
from tessera.domain.errors import ErrorCode, TesseraError

LIMITS = SightLimits()


def png_claiming(width: int, height: int) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    head = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")
    )


def refused(data: bytes, limits: SightLimits = LIMITS) -> ErrorCode:
    with pytest.raises(TesseraError) as caught:
        observe(data, limits)
    return caught.value.code


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"", id="empty"),
        pytest.param(encoded(plain())[:60], id="cut PNG"),
        pytest.param(encoded(with_shapes(), "JPEG")[:900], id="cut JPEG"),
        pytest.param(encoded(with_shapes(), "WEBP")[:200], id="cut WebP"),
        pytest.param(b"\x89PNG\r\n\x1a\n", id="only a signature"),
        pytest.param(b"RIFF\x10\x00\x00\x00WEBPVP8 ", id="only a RIFF header"),
        pytest.param(b"GIF89a\x00\x00\x00\x00", id="a GIF of no size"),
    ],
)
def test_damaged_files_are_parse_errors(data: bytes) -> None:
    assert refused(data) is ErrorCode.IMAGE_PARSE_ERROR


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(b"<svg xmlns='http://www.w3.org/2000/svg'/>", id="SVG"),
        pytest.param(b"%PDF-1.7", id="PDF"),
        pytest.param(encoded(plain(), "BMP"), id="BMP"),
        pytest.param(encoded(plain(), "TIFF"), id="TIFF"),
        pytest.param(b"hello", id="text"),
    ],
)
def test_other_formats_are_unsupported(data: bytes) -> None:
    assert refused(data) is ErrorCode.UNSUPPORTED_IMAGE_FORMAT


@pytest.mark.parametrize(("width", "height"), [(60_000, 60_000), (8_000, 6_251), (2_147_483_647, 2_147_483_647)])
def test_a_bomb_is_refused_from_its_header_without_memory(width: int, height: int) -> None:
    tracemalloc.start()
    try:
        assert refused(png_claiming(width, height)) is ErrorCode.IMAGE_TOO_LARGE
        assert tracemalloc.get_traced_memory()[1] < 10_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("size", [(4000, 1000), (1000, 4000), (3999, 999)])
def test_a_jpeg_over_the_pixel_limit_is_shrunk_while_it_is_decoded(size: tuple[int, int]) -> None:
    picture = read_picture(encoded(plain(size=size), "JPEG"), SightLimits(pixels_max=1_000_000))
    assert (picture.width, picture.height) == size
    assert max(picture.luma.shape) == LUMA_SIDE


def test_a_jpeg_that_is_too_large_even_when_shrunk_is_refused() -> None:
    assert (
        refused(encoded(plain(size=(4000, 1000)), "JPEG"), SightLimits(pixels_max=900_000)) is ErrorCode.IMAGE_TOO_LARGE
    )


def test_other_formats_over_the_pixel_limit_are_refused() -> None:
    for name in ("PNG", "WEBP", "GIF"):
        picture = encoded(plain(size=(1000, 1001)), name)
        assert refused(picture, SightLimits(pixels_max=1_000_000)) is ErrorCode.IMAGE_TOO_LARGE


def test_a_file_over_the_byte_limit_is_refused() -> None:
    assert refused(encoded(plain()), SightLimits(bytes_max=100)) is ErrorCode.IMAGE_TOO_LARGE


def test_exactly_the_pixel_limit_is_accepted() -> None:
    observe(encoded(plain(size=(100, 100))), SightLimits(pixels_max=10_000))
    assert refused(encoded(plain(size=(100, 101))), SightLimits(pixels_max=10_000)) is ErrorCode.IMAGE_TOO_LARGE


@pytest.mark.parametrize("size", [(1, 1), (1, 5000), (5000, 1), (2, 3), (17, 16)])
@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA", "I;16", "CMYK"])
def test_slivers_and_dots_of_every_mode_are_described(size: tuple[int, int], mode: str) -> None:
    image = Image.new(mode, size)
    data = encoded(image, "JPEG" if mode == "CMYK" else "PNG")
    told = answer([observe(data, LIMITS)], "Describe it.")
    assert f"{size[0]} × {size[1]}" in told


def test_sixteen_bit_grey_keeps_its_brightness() -> None:
    image = Image.fromarray(np.full((50, 50), 52_000, dtype=np.uint16))
    assert observe(encoded(image), LIMITS).light.mean == pytest.approx(81, abs=2)


def test_cmyk_is_shown_in_its_colours() -> None:
    image = Image.new("CMYK", (50, 50), (0, 255, 255, 0))
    assert observe(encoded(image, "JPEG"), LIMITS).palette[0].family == "red"


def test_an_animation_is_judged_by_its_first_frame_and_says_so() -> None:
    frames = [plain("red"), plain("blue"), plain("green")]
    for file_format in ("GIF", "WEBP", "PNG"):
        seen = observe(encoded(frames[0], file_format, save_all=True, append_images=frames[1:]), LIMITS)
        assert seen.animated
        assert seen.palette[0].family == "red"


def test_a_fully_transparent_picture_is_called_so() -> None:
    seen = observe(encoded(Image.new("RGBA", (64, 64), (255, 0, 0, 0))), LIMITS)
    assert seen.transparent_share == 1
    assert "entirely transparent" in answer([seen], "What is this?")


def test_transparent_parts_lie_on_white() -> None:
    image = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    image.paste((255, 0, 0, 255), (0, 0, 64, 16))
    seen = observe(encoded(image), LIMITS)
    assert seen.transparent_share == pytest.approx(0.75)
    assert seen.palette[0].family == "white"


@pytest.mark.parametrize("orientation", range(1, 9))
def test_all_eight_orientations_of_one_photo_look_alike(orientation: int) -> None:
    upright = with_shapes().crop((0, 0, 600, 500))
    back = {5: 5, 6: 8, 7: 7, 8: 6}.get(orientation, orientation)
    stored = upright.transpose(TRANSPOSE[back]) if orientation > 1 else upright
    exif = Image.Exif()
    exif[0x0112] = orientation
    seen = observe(encoded(stored, "PNG", exif=exif), LIMITS)
    assert (seen.width, seen.height, seen.orientation) == (600, 500, orientation)
    assert [shape.kind for shape in seen.shapes][:2] == ["square", "circle"]
    on_the_left = {shape.kind: shape.region.centre[0] < 0.5 for shape in seen.shapes}
    assert (on_the_left["circle"], on_the_left["square"]) == (True, False)


@pytest.mark.parametrize(
    ("field_type", "count", "value"),
    [
        pytest.param(3, 1, b"\0\0", id="0"),
        pytest.param(3, 1, b"\x09\0", id="9"),
        pytest.param(3, 1, b"\xff\xff", id="65535"),
        pytest.param(3, 2, b"\x06\0\x06\0", id="two values"),
        pytest.param(3, 0, b"", id="no value"),
        pytest.param(2, 2, b"6\0", id="text"),
        pytest.param(5, 1, b"\xff\xff\xff\xff", id="a fraction at an address outside the file"),
        pytest.param(99, 1, b"\x06\0", id="an unknown type"),
    ],
)
def test_an_orientation_that_makes_no_sense_is_no_error(field_type: int, count: int, value: bytes) -> None:
    entry = struct.pack("<HHI", 0x0112, field_type, count) + value.ljust(4, b"\0")
    exif = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<H", 1) + entry + b"\0\0\0\0"
    assert observe(encoded(plain(), "JPEG", exif=exif), LIMITS).orientation in range(1, 9)


@pytest.mark.parametrize("exif", [b"", b"Exif\0\0", b"Exif\0\0II*\0\xff\xff\xff\xff", b"Exif\0\0" + b"\xff" * 400])
def test_metadata_of_noise_is_no_error(exif: bytes) -> None:
    assert observe(encoded(plain(), "JPEG", exif=exif), LIMITS).orientation == 1


def test_large_pictures_are_shrunk_before_they_are_looked_at() -> None:
    picture = read_picture(encoded(plain(size=(4000, 1000)), "JPEG"), LIMITS)
    assert (picture.width, picture.height) == (4000, 1000)
    assert max(picture.luma.shape) <= LUMA_SIDE
    assert picture.small.shape == (SMALL_SIDE // 4, SMALL_SIDE, 3)


BASES = [encoded(with_shapes().resize((60, 60)), kind) for kind in ("PNG", "JPEG", "WEBP", "GIF")]


@settings(max_examples=80, deadline=None)
@given(
    st.sampled_from(BASES),
    st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=8),
    st.integers(0, 2000),
)
def test_a_tampered_file_is_seen_or_refused_and_never_anything_else(
    base: bytes, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(base)
    for place, value in changes:
        data[place % len(data)] = value
    try:
        observe(bytes(data[: max(cut, 1)]), SightLimits(text_characters_max=0))
    except TesseraError as error:
        assert error.code in {  # noqa: PT017 (both outcomes are right)
            ErrorCode.IMAGE_PARSE_ERROR,
            ErrorCode.IMAGE_TOO_LARGE,
            ErrorCode.UNSUPPORTED_IMAGE_FORMAT,
        }


def test_a_compressed_text_bomb_in_the_metadata_is_no_unexpected_error() -> None:
    from PIL.PngImagePlugin import PngInfo

    info = PngInfo()
    info.add_text("Comment", "a" * 80_000_000, zip=True)
    out = io.BytesIO()
    plain().save(out, "PNG", pnginfo=info)
    assert refused(out.getvalue()) is ErrorCode.IMAGE_PARSE_ERROR
