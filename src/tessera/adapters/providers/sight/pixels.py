"""From bytes to pixels: checked from the header first, decoded once, upright, at the sizes the senses work on."""

import io
import warnings
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from PIL import Image, UnidentifiedImageError

from tessera.adapters.providers.sight.observation import SightLimits
from tessera.domain.errors import ErrorCode, TesseraError

Image.init()  # Decoders are registered by now, so that naming the few we accept finds them.
FORMATS = ("PNG", "JPEG", "WEBP", "GIF")  # A photograph with a gain map behind it (MPO) opens as JPEG.
SMALL_SIDE = 320
"""Longest side of the colour picture that palette, shapes and composition work on."""
LUMA_SIDE = 1600
"""Longest side of the grey picture that codes, text and sharpness work on: a 12 px letter on a 4K screen survives."""
SIDE_MIN = 16
"""Slivers and dots are stretched to this, so that no sense has to think of them."""

TRANSPOSE = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""What makes a picture upright, by EXIF orientation."""

Bytes2 = NDArray[np.uint8]
Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Picture:
    """A decoded picture, upright, transparency laid on white.

    `small` is (h, w, 3) with a longest side of `SMALL_SIDE`; `luma` is (h, w) with one of at most `LUMA_SIDE`.
    `width` and `height` are the file's own, as displayed.
    """

    width: int
    height: int
    format: str
    orientation: int
    size_bytes: int
    animated: bool
    transparent_share: float
    small: Bytes2
    luma: Bytes2


def read_picture(data: bytes, limits: SightLimits) -> Picture:
    """Decodes the first frame.

    Raises [image_too_large, unsupported_image_format, image_parse_error]; nothing else, whatever the bytes are.
    """
    if len(data) > limits.bytes_max:
        raise TesseraError(
            ErrorCode.IMAGE_TOO_LARGE,
            f"The image has {len(data):,} bytes and at most {limits.bytes_max:,} are accepted. Send a smaller file.",
        )
    image = open_header(data)
    size = image.size
    try:
        shrink(image, limits)
        check_pixels(image, limits, size)
        return decode(image, len(data), size)
    except TesseraError:
        raise
    except MemoryError as error:
        raise too_much_memory() from error
    except Exception as error:  # Decoders raise a dozen types on damaged files (OSError, SyntaxError, struct.error …).
        if "memory" in str(error):  # A progressive JPEG keeps all it has read, however far it is shrunk.
            raise too_much_memory() from error
        raise parse_error() from error


def too_much_memory() -> TesseraError:
    return TesseraError(
        ErrorCode.IMAGE_TOO_LARGE, "Decoding the image needs more memory than is allowed. Send a smaller image."
    )


def parse_error() -> TesseraError:
    return TesseraError(
        ErrorCode.IMAGE_PARSE_ERROR,
        "The image could not be decoded: it is damaged, cut short or empty. Send the whole file.",
    )


def open_header(data: bytes) -> Image.Image:
    """Reads the header only. A file of another kind is told apart from a damaged one by its first bytes."""
    if not data:
        raise parse_error()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # Our own pixel limit is checked right after this.
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except Image.DecompressionBombError as error:
        raise too_many_pixels() from error
    except UnidentifiedImageError as error:
        known = data.startswith((b"\x89PNG", b"\xff\xd8", b"GIF8")) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP")
        if known:
            raise parse_error() from error
        raise TesseraError(
            ErrorCode.UNSUPPORTED_IMAGE_FORMAT, "The image is not a PNG, JPEG, WebP or GIF. Convert it to one of these."
        ) from error
    except Exception as error:  # A damaged header can raise any of a decoder's errors.
        raise parse_error() from error


def too_many_pixels(detail: str = "") -> TesseraError:
    return TesseraError(
        ErrorCode.IMAGE_TOO_LARGE,
        f"The image has too many pixels to be decoded{detail}. Make it smaller and send it again.",
    )


def shrink(image: Image.Image, limits: SightLimits) -> None:
    """Has a JPEG decoded at the smallest half, quarter or eighth that is large enough; other formats know no such way.

    One over the pixel limit need only be as large as it is looked at.
    """
    width, height = image.size
    least = LUMA_SIDE, LUMA_SIDE
    if width * height > limits.pixels_max:
        ratio = LUMA_SIDE / max(width, height)
        least = max(1, round(width * ratio)), max(1, round(height * ratio))
    image.draft(None, least)


def check_pixels(image: Image.Image, limits: SightLimits, size: tuple[int, int]) -> None:
    """Refuses what would be decoded to too many pixels, in words of the file's own `size`."""
    width, height = image.size
    if width * height > limits.pixels_max:
        raise too_many_pixels(f": {size[0]:,} × {size[1]:,}, and at most {limits.pixels_max:,} are accepted")
    if width < 1 or height < 1:
        raise parse_error()


def orientation_of(image: Image.Image) -> int:
    """EXIF orientation, 1 when there is none or it makes no sense."""
    try:
        value = image.getexif().get(0x0112, 1)
    except Exception:  # Metadata is hostile too, and a picture is fine without it.
        return 1
    return value if isinstance(value, int) and 1 <= value <= 8 else 1


def decode(image: Image.Image, size_bytes: int, size: tuple[int, int]) -> Picture:
    orientation = orientation_of(image)
    width, height = size if orientation < 5 else (size[1], size[0])
    # An MPO is a photograph with a depth or gain map behind it, not an animation.
    animated = image.format in ("GIF", "WEBP", "PNG") and bool(getattr(image, "is_animated", False))
    name = "jpeg" if image.format == "MPO" else str(image.format).lower()
    image.load()
    flat, transparent_share = flattened(image)
    if orientation in TRANSPOSE:
        flat = flat.transpose(TRANSPOSE[orientation])
    return Picture(
        width=width,
        height=height,
        format=name,
        orientation=orientation,
        size_bytes=size_bytes,
        animated=animated,
        transparent_share=transparent_share,
        small=np.asarray(fitted(flat, SMALL_SIDE).convert("RGB")),
        luma=np.asarray(fitted(flat, LUMA_SIDE).convert("L")),
    )


def flattened(image: Image.Image) -> tuple[Image.Image, float]:
    """An RGB or L picture and the share of it that was transparent; large ones are reduced on the way."""
    if image.mode.startswith("I") or image.mode == "F":
        values = np.asarray(image).astype(np.float32)
        top = 65535.0 if values.max() > 255 else 255.0
        image = Image.fromarray((np.clip(values / top, 0, 1) * 255).astype(np.uint8))
    elif image.mode in ("1", "LAB", "HSV", "YCbCr", "CMYK"):
        image = image.convert("L" if image.mode == "1" else "RGB")
    elif "transparency" in image.info or image.mode in ("LA", "PA", "La", "RGBa"):
        image = image.convert("RGBA")
    elif image.mode == "P":
        image = image.convert("RGB")
    image = fitted(image, LUMA_SIDE)
    if image.mode != "RGBA":
        return (image if image.mode in ("L", "RGB") else image.convert("RGB")), 0.0
    alpha = np.asarray(image.getchannel("A"))
    white = Image.new("RGBA", image.size, (255, 255, 255, 255))
    white.alpha_composite(image)
    return white.convert("RGB"), float((alpha < 128).mean())


def fitted(image: Image.Image, side_max: int) -> Image.Image:
    """Shrunk so that its longest side is at most `side_max`, averaged; stretched where a side is under `SIDE_MIN`."""
    width, height = image.size
    ratio = min(1.0, side_max / max(width, height))
    size = max(SIDE_MIN, round(width * ratio)), max(SIDE_MIN, round(height * ratio))
    if size == image.size:
        return image
    if size[0] > width or size[1] > height:
        image = image.resize((min(size[0], width), min(size[1], height)), Image.Resampling.BOX)
        return image.resize(size, Image.Resampling.NEAREST)
    return image.resize(size, Image.Resampling.BOX, reducing_gap=2.0)
