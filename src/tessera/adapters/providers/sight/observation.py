"""What is seen in one picture. Shares and places are fractions of the displayed picture, 0 to 1."""

import msgspec


class SightLimits(msgspec.Struct, frozen=True, kw_only=True):
    """How much work a picture from a stranger may cause.

    `pixels_max` is checked from the header, before anything is decoded. `memory_bytes_max` is the address space of a
    worker process and `seconds_max` the time one picture may take in it. With a `text_characters_max` of 0 nothing is
    read.
    """

    bytes_max: int = 50_000_000
    pixels_max: int = 50_000_000
    memory_bytes_max: int = 1_500_000_000
    seconds_max: float = 20.0
    text_characters_max: int = 4_000


class Region(msgspec.Struct, frozen=True):
    """A box, as fractions of the picture's width and height from its top left corner."""

    left: float
    top: float
    width: float
    height: float

    @property
    def centre(self) -> tuple[float, float]:
        return self.left + self.width / 2, self.top + self.height / 2


class Swatch(msgspec.Struct, frozen=True, kw_only=True):
    """One colour of the palette: its name, the plain family it belongs to, `#rrggbb`, and its share of the picture."""

    name: str
    family: str
    hex: str
    share: float
    lightness: float
    chroma: float


class Light(msgspec.Struct, frozen=True, kw_only=True):
    """Brightness and contrast in CIE lightness (0 black, 100 white).

    `key` is dark, medium or bright; `contrast` low, moderate or high; `spread` is between the 1 % darkest and the 1 %
    brightest pixels; `colourfulness` is the mean CIELAB chroma; `warmth` the mean of b* (positive is warm).
    """

    mean: float
    spread: float
    key: str
    contrast: str
    backlit: bool
    black_share: float
    white_share: float
    colourfulness: float
    warmth: float


class Sharpness(msgspec.Struct, frozen=True, kw_only=True):
    """`blur` is 0 (crisp) to 1 (smeared); `verdict` is sharp, slightly soft, blurred or (no edges) undetermined."""

    blur: float
    verdict: str
    motion: str | None = None
    noise: float = 0.0


class Texture(msgspec.Struct, frozen=True, kw_only=True):
    """`pattern` is plain, gradient, stripes, checks, grid, noise, fine texture, smooth or mixed."""

    pattern: str
    direction: str | None = None
    repeats: int | None = None
    detail: float = 0.0


class Shape(msgspec.Struct, frozen=True, kw_only=True):
    """A simple shape: circle, ellipse, square, rectangle, triangle, polygon or line; its colour and where it is."""

    kind: str
    colour: str
    hex: str
    region: Region
    area: float


class Code(msgspec.Struct, frozen=True, kw_only=True):
    """A machine-readable code, decoded exactly. `format` is its everyday name, as in QR code or EAN-13."""

    format: str
    content: str
    region: Region


class Text(msgspec.Struct, frozen=True, kw_only=True):
    """Lines that look like writing, and what they say when a reader is installed.

    `content` is None when no reader is installed or none was needed, `` when nothing could be read.
    """

    lines: tuple[Region, ...] = ()
    share: float = 0.0
    reader: bool = False
    content: str | None = None


class Composition(msgspec.Struct, frozen=True, kw_only=True):
    """Where the eye goes: the box of what stands out, the horizon's height, symmetry, a background out of focus.

    `thirds` are the typical colours of the nine parts of the picture, row by row from the top left.
    """

    subject: Region | None
    subject_colour: str | None
    horizon: float | None
    above: str | None
    below: str | None
    symmetry_sides: float
    symmetry_ends: float
    background: str | None
    background_soft: bool
    thirds: tuple[str, ...]


class Observation(msgspec.Struct, frozen=True, kw_only=True):
    """Everything seen in one picture. `width` and `height` in pixels are as displayed; `orientation` is EXIF's, 1 to 8.

    `faces` is None when faces were not looked for, because no detector is installed.
    `kind` is photo, drawing, screenshot, document or chart; `kind_confidence` is 0 to 1.
    """

    width: int
    height: int
    format: str
    orientation: int
    size_bytes: int
    animated: bool
    greyscale: bool
    transparent_share: float
    palette: tuple[Swatch, ...]
    light: Light
    sharpness: Sharpness
    texture: Texture
    shapes: tuple[Shape, ...]
    codes: tuple[Code, ...]
    text: Text
    faces: tuple[Region, ...] | None
    kind: str
    kind_confidence: float
    composition: Composition
