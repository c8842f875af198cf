"""Image files for tests: real ones by Pillow, and hostile ones byte by byte."""

import io
import struct
import zlib
from pathlib import Path

from PIL import Image, ImageDraw

PHOTOS = Path(__file__).parent / "images" / "photos"


def picture(width: int = 96, height: int = 64, mode: str = "RGB") -> Image.Image:
    """A picture with a different colour in each quarter, so that a turn shows."""
    image = Image.new("RGB", (width, height), "white")
    draw = ImageDraw.Draw(image)
    draw.rectangle((0, 0, width // 2 - 1, height // 2 - 1), fill="red")
    draw.rectangle((width // 2, 0, width - 1, height // 2 - 1), fill="lime")
    draw.rectangle((0, height // 2, width // 2 - 1, height - 1), fill="blue")
    return image.convert(mode)


def exif(orientation: int | None = None, *, make: str = "", lens: str = "", description: str = "") -> Image.Exif:
    """EXIF as a camera writes it."""
    tags = Image.Exif()
    if orientation is not None:
        tags[0x0112] = orientation
    if make:
        tags[0x010F] = make
    if description:
        tags[0x010E] = description
    if lens:
        tags.get_ifd(0x8769)[0xA434] = lens
    return tags


def saved(kind: str = "PNG", image: Image.Image | None = None, **options: object) -> bytes:
    """A picture as a file of this kind."""
    target = io.BytesIO()
    (image or picture()).save(target, format=kind, **options)
    return target.getvalue()


def animated(kind: str) -> bytes:
    """Two frames, one after the other."""
    return saved(kind, save_all=True, append_images=[picture().rotate(180)], duration=100)


def phone_photo() -> bytes:
    """A JPEG of two frames that are not shown one after the other (MPO), turned by EXIF."""
    return saved("MPO", save_all=True, append_images=[picture(48, 32, "L")], exif=exif(6, make="Phone"))


def heic() -> bytes:
    """A real HEIC: there is no encoder here, so it is one that was made once (96 × 64, four colours)."""
    return (Path(__file__).parent / "images" / "four_colours.heic").read_bytes()


def png_chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def png_claiming(width: int, height: int, *before_data: bytes, bits: int = 8, colour: int = 2) -> bytes:
    """A PNG of a few bytes that claims any size."""
    head = struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0)
    return b"".join(
        (
            b"\x89PNG\r\n\x1a\n",
            png_chunk(b"IHDR", head),
            *before_data,
            png_chunk(b"IDAT", zlib.compress(bytes(64))),
            png_chunk(b"IEND", b""),
        )
    )


def jpeg_segment(marker: int, data: bytes) -> bytes:
    return b"\xff" + bytes((marker,)) + struct.pack(">H", len(data) + 2) + data


def jpeg_claiming(width: int, height: int, *before_size: bytes, after_size: bytes = b"", marker: int = 0xC0) -> bytes:
    """A JPEG header that claims any size."""
    size = struct.pack(">BHHB", 8, height, width, 3) + b"\1\x22\0\2\x11\1\3\x11\1"
    scan = jpeg_segment(0xDA, b"\3\1\0\2\x11\3\x11\0\x3f\0")
    return b"\xff\xd8" + b"".join(before_size) + jpeg_segment(marker, size) + after_size + scan + b"\0\xff\xd9"


def exif_block(orientation: int, *, kind: int = 3, count: int = 1, order: str = "<", offset: int = 8) -> bytes:
    """A TIFF structure with one entry, as wrong as wished."""
    mark = b"II*\0" if order == "<" else b"MM\0*"
    value = struct.pack(order + {1: "B3x", 3: "H2x", 4: "I"}.get(kind, "I"), orientation)
    entry = struct.pack(order + "HHHI", 1, 0x0112, kind, count) + value + bytes(4)
    return mark + struct.pack(order + "I", offset) + entry


def webp_claiming(width: int, height: int) -> bytes:
    """A lossless WebP of a few bytes that claims any size up to 16,384."""
    frame = b"\x2f" + struct.pack("<I", width - 1 | height - 1 << 14) + bytes(5)
    chunk = b"VP8L" + struct.pack("<I", len(frame)) + frame
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def gif_claiming(width: int, height: int, image: tuple[int, int] | None = None) -> bytes:
    """A GIF of a few bytes that claims any size for its screen and its first image."""
    place = struct.pack("<HHHHB", 0, 0, *(image or (width, height)), 0)
    return b"GIF89a" + struct.pack("<HHBBB", width, height, 0, 0, 0) + b"\x2c" + place + b"\2\2\x4c\1\0;"
