"""Sizes, orientation and frames from headers, compared with two libraries, and refusals that say what to do."""

import io
import zlib
from pathlib import Path

import imagesize
import pytest
from PIL import Image, ImageOps

import image_files as files
from image_files import PHOTOS
from tessera.adapters.media.formats import Header
from tessera.adapters.media.header import probe_header
from tessera.adapters.media.source import NeedBytesError
from tessera.domain.errors import ErrorCode, TesseraError

KINDS: dict[str, bytes] = {
    "png": files.saved("PNG"),
    "png-grey-16": files.saved("PNG", files.picture().convert("I;16")),
    "png-palette": files.saved("PNG", files.picture().convert("P")),
    "png-alpha": files.saved("PNG", files.picture(mode="RGBA")),
    "png-dpi": files.saved("PNG", dpi=(300, 300)),
    "jpeg": files.saved("JPEG"),
    "jpeg-progressive": files.saved("JPEG", progressive=True),
    "jpeg-grey": files.saved("JPEG", files.picture(mode="L")),
    "jpeg-cmyk": files.saved("JPEG", files.picture(mode="CMYK")),
    "jpeg-profile": files.saved("JPEG", icc_profile=bytes(300_000)),
    "webp-lossy": files.saved("WEBP"),
    "webp-lossless": files.saved("WEBP", lossless=True),
    "webp-alpha": files.saved("WEBP", files.picture(mode="LA").convert("RGBA").rotate(45)),
    "webp-profile": files.saved("WEBP", icc_profile=bytes(3_001)),
    "gif": files.saved("GIF"),
    "mpo": files.phone_photo(),
}


def refused(data: bytes) -> TesseraError:
    with pytest.raises(TesseraError) as caught:
        probe_header(data, complete=True, param="images[0]")
    assert caught.value.param == "images[0]"
    return caught.value


def outcome(data: bytes, *, complete: bool) -> Header | ErrorCode | int:
    """What came of a probe: a header, a refusal's code, or how many bytes were asked for."""
    try:
        return probe_header(data, complete=complete)
    except NeedBytesError as more:
        return more.size
    except TesseraError as error:
        return error.code


@pytest.mark.parametrize("name", KINDS)
def test_the_size_is_what_a_decoder_sees(name: str) -> None:
    data = KINDS[name]
    header = probe_header(data, complete=True)
    with Image.open(io.BytesIO(data)) as image:
        assert (header.width, header.height) == image.size
        assert header.displayed == ImageOps.exif_transpose(image).size
    assert header.displayed == imagesize.get(io.BytesIO(data))
    assert header.frames == 1


@pytest.mark.parametrize("path", sorted(PHOTOS.glob("*.*")), ids=lambda path: path.name)
def test_the_size_of_real_photographs_is_right(path: Path) -> None:
    if path.suffix == ".md":
        return
    header = probe_header(path.read_bytes(), complete=True)
    with Image.open(path) as image:
        assert (header.width, header.height) == image.size


@pytest.mark.parametrize("name", ["mpo", "jpeg-grey"])
def test_a_view_is_read_like_bytes(name: str) -> None:
    assert probe_header(memoryview(KINDS[name]), complete=True) == probe_header(KINDS[name], complete=True)


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP"])
def test_each_orientation_gives_the_size_as_displayed(kind: str, orientation: int) -> None:
    header = probe_header(files.saved(kind, exif=files.exif(orientation)), complete=True)
    assert header.orientation == orientation
    assert header.displayed == ((64, 96) if orientation >= 5 else (96, 64))


@pytest.mark.parametrize("size", [(1, 1), (1, 9000), (16_383, 2), (65_535, 1)])
def test_extreme_sizes_are_exact(size: tuple[int, int]) -> None:
    for data in (files.png_claiming(*size), files.jpeg_claiming(*size)):
        header = probe_header(data, complete=True)
        assert (header.width, header.height) == size


def test_a_header_claims_what_it_likes_and_nothing_is_decoded() -> None:
    header = probe_header(files.png_claiming(60_000, 60_000), complete=True)
    assert (header.width, header.height) == (60_000, 60_000)


@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("kind", [1, 3, 4])
def test_orientation_is_read_in_each_byte_order_and_integer_type(order: str, kind: int) -> None:
    block = files.exif_block(8, kind=kind, order=order)
    header = probe_header(files.jpeg_claiming(40, 30, files.jpeg_segment(0xE1, b"Exif\0\0" + block)), complete=True)
    assert header.displayed == (30, 40)


@pytest.mark.parametrize(
    "block",
    [
        files.exif_block(0),
        files.exif_block(9),
        files.exif_block(65_535),
        files.exif_block(6, kind=2),
        files.exif_block(6, kind=5),
        files.exif_block(6, count=0),
        files.exif_block(6, count=2**32 - 1),
        files.exif_block(6, offset=0),
        files.exif_block(6, offset=2**32 - 1),
        files.exif_block(6)[:13],
        files.exif_block(6)[:20],
        b"II*\0" + b"\xff" * 40,
        b"XX*\0" + bytes(40),
        b"",
    ],
)
def test_impossible_exif_means_upright(block: bytes) -> None:
    for data in (
        files.jpeg_claiming(40, 30, files.jpeg_segment(0xE1, b"Exif\0\0" + block)),
        files.png_claiming(40, 30, files.png_chunk(b"eXIf", block)),
    ):
        header = probe_header(data, complete=True)
        assert (header.orientation, header.displayed) == (1, (40, 30))


def test_exif_counts_behind_300_kb_of_other_metadata_and_behind_the_size() -> None:
    turned = files.jpeg_segment(0xE1, b"Exif\0\0" + files.exif_block(6))
    padding = [files.jpeg_segment(0xE2, bytes(65_000))] * 5
    assert probe_header(files.jpeg_claiming(40, 30, *padding, turned), complete=True).displayed == (30, 40)
    assert probe_header(files.jpeg_claiming(40, 30, after_size=turned), complete=True).displayed == (30, 40)


def test_the_first_exif_wins() -> None:
    both = [files.jpeg_segment(0xE1, b"Exif\0\0" + files.exif_block(value)) for value in (6, 3)]
    assert probe_header(files.jpeg_claiming(40, 30, *both), complete=True).orientation == 6


def test_padding_and_lone_markers_between_segments_are_gone_over() -> None:
    assert probe_header(files.jpeg_claiming(40, 30, b"\xff\xff\xff", b"\xff\x01"), complete=True).width == 40


def hidden(mark: bytes) -> bytes:
    """A small JPEG behind a larger one that stands where the segment of an odd marker would be."""
    larger = files.saved("JPEG", files.picture(960, 640))[2:]
    return b"\xff\xd8" + mark + (len(larger) + 2).to_bytes(2, "big") + larger + files.saved("JPEG")[2:]


@pytest.mark.parametrize(
    "data",
    [hidden(b"\xff\0"), hidden(b"\xff\xff\0"), files.saved()[:33] + files.saved("PNG", files.picture(960, 640))[8:]],
    ids=["jpeg-stuffed-byte", "jpeg-stuffed-byte-behind-padding", "png-two-heads"],
)
def test_a_file_that_a_decoder_shows_larger_than_it_says_first_is_refused(data: bytes) -> None:
    with Image.open(io.BytesIO(data)) as image:
        image.load()
        assert image.size == (960, 640)
    assert refused(data).code is ErrorCode.IMAGE_PARSE_ERROR


def test_a_camera_its_lens_and_a_description_are_read() -> None:
    data = files.saved("JPEG", exif=files.exif(make="Canon", lens="8-15mm Fisheye", description="Chest X-ray"))
    header = probe_header(data, complete=True)
    assert header.exif.camera.split() == ["canon", "8-15mm", "fisheye"]
    assert header.exif.description == "chest x-ray"


@pytest.mark.parametrize("form", [b'GPano:ProjectionType="equirectangular"', b"<GPano:ProjectionType>equirectangular<"])
def test_a_panorama_says_so_in_each_format(form: bytes) -> None:
    packet = b"<x:xmpmeta><rdf:Description " + form + b"/></x:xmpmeta>"
    jpeg = files.jpeg_claiming(40, 20, files.jpeg_segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + packet))
    png = files.png_claiming(40, 20, files.png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + packet))
    for data in (jpeg, png, files.saved("WEBP", xmp=packet), files.saved("JPEG", xmp=packet)):
        assert probe_header(data, complete=True).projection == "equirectangular"


def test_a_compressed_packet_is_not_inflated() -> None:
    packet = zlib.compress(b'GPano:ProjectionType="equirectangular"' + bytes(10_000_000))
    chunk = files.png_chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + packet)
    assert probe_header(files.png_claiming(40, 20, chunk), complete=True).projection == ""


@pytest.mark.parametrize("kind", ["GIF", "WEBP"])
def test_an_animation_is_refused(kind: str) -> None:
    error = refused(files.animated(kind))
    assert error.code is ErrorCode.UNSUPPORTED_IMAGE_FORMAT
    assert "animated" in error.message
    assert "one frame" in error.message


def test_an_animated_png_counts_as_its_still_image() -> None:
    header = probe_header(files.animated("PNG"), complete=True)
    assert (header.width, header.height, header.frames) == (96, 64, 2)


def test_a_gif_may_have_twice_as_many_full_blocks_as_short_ones() -> None:
    head = files.gif_claiming(10, 10)[:-5]
    full, short = b"\xff" + bytes(255), b"\xfe" + bytes(254)
    for blocks in (full * 199_999, short * 99_999):
        assert probe_header(head + blocks + b"\0;", complete=True).frames == 1
    for blocks in (full * 200_000, short * 100_000):
        with pytest.raises(TesseraError) as caught:
            probe_header(head + blocks + b"\0;", complete=True)
        assert caught.value.code is ErrorCode.IMAGE_PARSE_ERROR


def test_a_gif_is_as_large_as_a_decoder_makes_it() -> None:
    data = files.gif_claiming(10, 10, (400, 300))
    with Image.open(io.BytesIO(data)) as image:
        assert image.size == (400, 300)
    assert probe_header(data, complete=True).displayed == (400, 300)


@pytest.mark.parametrize(
    ("start", "name"),
    [
        (files.saved("BMP"), "BMP"),
        (files.saved("TIFF"), "TIFF"),
        (files.saved("ICO", files.picture(32, 32)), "icon"),
        (files.saved("PPM"), "Netpbm"),
        (b"%PDF-1.7\n", "PDF"),
        (b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>', "SVG"),
        (b"  <!DOCTYPE html><html><body>404</body></html>", "HTML"),
        (b"<rss/>", "XML"),
        (bytes(128) + b"DICM" + bytes(100), "DICOM"),
        (bytes(344) + b"n+1\0" + bytes(100), "NIfTI"),
        (b'{"error": "not found"}', "JSON"),
        (b"Not found", "text"),
        (b"PK\x03\x04" + bytes(30), "ZIP"),
        (b"\x1f\x8b\x08" + bytes(30), "gzip"),
        (b"8BPS" + bytes(30), "Photoshop"),
        (b"\0\0\0\x18ftypmp42" + bytes(30), "video"),
        (b"RIFF\0\0\0\0AVI " + bytes(30), "video"),
        (b"\0\0\0\x0cJXL \r\n\x87\n" + bytes(30), "JPEG XL"),
        (bytes(range(200, 250)), "unknown kind"),
    ],
)
def test_another_file_is_named_and_refused(start: bytes, name: str) -> None:
    error = refused(start)
    assert error.code is ErrorCode.UNSUPPORTED_IMAGE_FORMAT
    assert name in error.message
    assert "PNG, JPEG, WebP" in error.message


@pytest.mark.parametrize(("data", "name"), [(files.heic(), "HEIC"), (files.saved("AVIF"), "AVIF")])
def test_heic_and_avif_are_refused_with_two_ways_out(data: bytes, name: str) -> None:
    error = refused(data)
    assert error.code is ErrorCode.UNSUPPORTED_IMAGE_FORMAT
    assert name in error.message
    assert "Convert it" in error.message
    assert "`heif` extra" in error.message


@pytest.mark.parametrize(
    "data",
    [
        b"",
        files.png_claiming(0, 10),
        files.png_claiming(10, 0),
        files.png_claiming(2**31, 10),
        files.png_claiming(10, 10, colour=5),
        files.png_claiming(10, 10, bits=3),
        files.jpeg_claiming(0, 10),
        files.jpeg_claiming(10, 0),
        files.jpeg_claiming(10, 10, marker=0xC3),
        files.jpeg_claiming(10, 10, files.jpeg_segment(0xC0, b"\x08\0\1\0\1\1\1\x11\0")),
        b"\xff\xd8\xff\xe0\0\0" + bytes(50),
        b"\xff\xd8\xff\xe0\0\1" + bytes(50),
        b"\xff\xd8\xff\xd9" + bytes(50),
        b"\xff\xd8" + files.jpeg_segment(0xE0, bytes(14)) + b"junk" * 9,
        files.gif_claiming(0, 0, (0, 0)),
        b"GIF89a\x0a\0\x0a\0\0\0\0;",
        b"GIF89a\x0a\0\x0a\0\0\0\0\x99" + bytes(9),
        b"RIFF\x20\0\0\0WEBPVP8 \x0a\0\0\0\1\0\0\x9d\1\x2a\1\0\1\0",
        b"RIFF\x20\0\0\0WEBPVP8L\x0a\0\0\0\x2e\0\0\0\0\0\0\0\0\0",
        b"RIFF\x20\0\0\0WEBPJUNK\x0a\0\0\0" + bytes(20),
    ],
)
def test_a_file_that_breaks_its_formats_rules_is_refused(data: bytes) -> None:
    assert refused(data).code is ErrorCode.IMAGE_PARSE_ERROR


def test_a_webp_whose_canvas_and_image_differ_is_refused() -> None:
    data = bytearray(files.saved("WEBP", exif=files.exif(1)))
    assert data[12:16] == b"VP8X"
    data[24:27] = (8_000).to_bytes(3, "little")
    assert refused(bytes(data)).code is ErrorCode.IMAGE_PARSE_ERROR


@pytest.mark.parametrize("name", [name for name in KINDS if not name.startswith("gif")])
def test_a_file_cut_anywhere_in_its_header_is_refused_or_waited_for(name: str) -> None:
    data = KINDS[name]
    whole = probe_header(data, complete=True)
    for length in range(min(len(data), 1_200)):
        assert outcome(data[:length], complete=True) in (whole, ErrorCode.IMAGE_PARSE_ERROR)
        waited_for = outcome(data[:length], complete=False)
        assert waited_for == whole or (isinstance(waited_for, int) and waited_for > length)


def test_a_gif_cut_anywhere_is_refused_or_waited_for() -> None:
    data = KINDS["gif"]
    for length in range(len(data)):
        with pytest.raises(NeedBytesError):
            probe_header(data[:length], complete=False)
    assert probe_header(data[:-1], complete=True).displayed == (96, 64)
    assert refused(data[:-5]).code is ErrorCode.IMAGE_PARSE_ERROR


@pytest.mark.parametrize("tail", [b"<html>", b"PK\x03\x04" + bytes(50), files.saved("GIF"), b"%PDF-1.4"])
def test_what_follows_an_image_does_not_change_what_it_is(tail: bytes) -> None:
    assert probe_header(files.saved("PNG") + tail, complete=True).format == "png"
    assert probe_header(files.saved("JPEG") + tail, complete=True).format == "jpeg"


def test_an_image_behind_other_bytes_is_no_image() -> None:
    assert refused(b"<html>" + files.saved("PNG")).code is ErrorCode.UNSUPPORTED_IMAGE_FORMAT
