"""What is true of a picture, under the names people give to properties of a schema."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tessera.adapters.providers.sight import sentences
from tessera.adapters.providers.sight.observation import Code, Observation, Region, Shape, Swatch
from tessera.adapters.providers.sight.swatches import dominant


@dataclass(frozen=True)
class Fact:
    """One truth in several forms, best first.

    `values` may be given as they are, `synonyms` only where an enum asks for one. `items` are the facts of a list
    (None: it is not a list), `rows` the object forms. `prose` may be shortened to fit.
    """

    values: tuple[Any, ...] = ()
    synonyms: tuple[Any, ...] = ()
    items: tuple["Fact", ...] | None = None
    rows: tuple[Mapping[str, "Fact"], ...] = field(default=())
    prose: bool = False


KIND_SYNONYMS = {
    "photo": ("photograph", "photography", "natural", "photographic", "image"),
    "drawing": ("illustration", "graphic", "graphics", "art", "artwork", "clipart", "cartoon", "diagram", "logo"),
    "screenshot": ("screen", "screen capture", "ui"),
    "document": ("text", "scan", "page", "scanned document"),
    "chart": ("graph", "plot", "diagram", "infographic"),
}
KEY_SYNONYMS = {
    "dark": ("low", "low key", "dim", "underexposed"),
    "medium": ("normal", "mid", "moderate", "balanced", "average", "well lit", "good"),
    "bright": ("high", "light", "high key", "well lit"),
}
SHARPNESS_SYNONYMS = {
    "sharp": ("crisp", "in focus", "high", "good", "clear", "excellent"),
    "slightly soft": ("soft", "medium", "moderate", "fair", "acceptable", "slightly blurry"),
    "blurred": ("blurry", "out of focus", "low", "poor", "bad"),
    "undetermined": ("unknown", "n/a", "none"),
}
FAMILY_SYNONYMS = {
    "teal": ("cyan", "turquoise", "blue-green", "green", "blue"),
    "beige": ("cream", "tan", "brown", "white", "yellow"),
    "purple": ("violet",),
    "pink": ("magenta", "rose"),
    "grey": ("gray", "silver"),
    "yellow": ("gold",),
    "brown": ("tan",),
}
COUNTED = re.compile(
    r"^(?:num|number_of|n|count_of|total)?_?(circle|ellipse|square|rectangle|triangle|polygon|line)s?(?:_count)?$"
)


def facts_for(observations: Sequence[Observation], name: str) -> Fact | None:
    """What is true under a plain name (lower case, snake case, American spelling), None when nothing is known."""
    first = observations[0]
    if name in DESCRIPTIONS:
        full = "\n\n".join(sentences.description(seen) for seen in observations)
        short = "; ".join(sentences.caption(seen) for seen in observations)
        return Fact(values=(short, full) if name in CAPTIONS else (full,), prose=True)
    if name in TEXTS:
        return text_fact(observations)
    shape = COUNTED.match(name)
    if shape:
        if first.kind not in ("photo", "drawing"):
            return None
        count = sum(1 for found in first.shapes if found.kind == shape.group(1))
        return Fact(values=(count, count > 0))
    knower = KNOWN.get(name)
    return knower(first) if knower else None


def text_fact(observations: Sequence[Observation]) -> Fact | None:
    """What is written; unknown when there seems to be writing and no reader is installed."""
    if any(seen.text.lines and seen.text.content is None for seen in observations):
        return None
    content = "\n\n".join(seen.text.content for seen in observations if seen.text.content)
    lines = tuple(Fact(values=(line,), prose=True) for line in content.splitlines() if line)
    return Fact(values=(content,), items=lines, prose=True)


def swatch_fact(swatch: Swatch) -> Fact:
    percentage = round(swatch.share * 100, 1)
    names = (swatch.name, swatch.family, swatch.hex, swatch.hex.upper())
    row = {
        "name": Fact(values=names, synonyms=FAMILY_SYNONYMS.get(swatch.family, ())),
        "color": Fact(values=names, synonyms=FAMILY_SYNONYMS.get(swatch.family, ())),
        "family": Fact(values=(swatch.family,)),
        "hex": Fact(values=(swatch.hex, swatch.hex.upper())),
        "share": Fact(values=(round(swatch.share, 4), percentage)),
        "percentage": Fact(values=(percentage, round(percentage))),
        "percent": Fact(values=(percentage, round(percentage))),
        "proportion": Fact(values=(round(swatch.share, 4),)),
    }
    row |= {"hex_code": row["hex"], "code": row["hex"], "value": row["hex"]}
    return Fact(values=names, synonyms=FAMILY_SYNONYMS.get(swatch.family, ()), rows=(row,))


def main_color(seen: Observation) -> Fact:
    return swatch_fact(dominant(seen.palette))


def color_list(seen: Observation) -> Fact:
    main = dominant(seen.palette)
    others = [swatch for swatch in seen.palette if swatch is not main and swatch.share >= 0.01]
    items = tuple(swatch_fact(swatch) for swatch in (main, *others)[:8])
    return Fact(values=(", ".join(swatch.name for swatch in (main, *others)[:8]),), items=items)


def hex_color(seen: Observation) -> Fact:
    code = dominant(seen.palette).hex
    return Fact(values=(code, code.upper(), code[1:]))


def background(seen: Observation) -> Fact | None:
    name = seen.composition.background
    return Fact(values=(name,), synonyms=tuple(name.split())) if name else None


def level(words: Mapping[str, Sequence[str]], word: str, hundredths: float) -> Fact:
    """A word for a level, or the level itself where a number is asked: of 100, or of 1 where that is the limit."""
    numbers = (round(hundredths, 1), round(hundredths), round(hundredths / 100, 3))
    return Fact(values=(word, *numbers), synonyms=tuple(words.get(word, ())))


def contrast(seen: Observation) -> Fact:
    words = {"low": ("flat",), "moderate": ("medium", "normal", "average"), "high": ("strong",)}
    return level(words, seen.light.contrast, min(100.0, seen.light.spread))


def sharpness(seen: Observation) -> Fact:
    return level(SHARPNESS_SYNONYMS, seen.sharpness.verdict, 100 * (1 - seen.sharpness.blur))


def is_blurred(seen: Observation) -> Fact:
    blurred = seen.sharpness.verdict == "blurred"
    return Fact(values=(blurred, round(seen.sharpness.blur, 3), seen.sharpness.verdict))


def is_sharp(seen: Observation) -> Fact:
    return Fact(values=(seen.sharpness.verdict == "sharp", seen.sharpness.verdict))


def kind(seen: Observation) -> Fact:
    return Fact(values=(seen.kind,), synonyms=KIND_SYNONYMS[seen.kind])


def kind_of_enum(seen: Observation) -> Fact:
    """`type` and `category` are often of the thing shown: only an enum of kinds of picture shows that they are not."""
    return Fact(synonyms=(seen.kind, *KIND_SYNONYMS[seen.kind]))


def orientation(seen: Observation) -> Fact:
    words = {"landscape": ("horizontal",), "portrait": ("vertical",), "square": ("landscape", "horizontal")}
    shape = sentences.format_of(seen)
    return Fact(values=(shape, seen.orientation), synonyms=words[shape])


def aspect_ratio(seen: Observation) -> Fact:
    common = math.gcd(seen.width, seen.height)
    exact = f"{seen.width // common}:{seen.height // common}"
    return Fact(values=(round(seen.width / seen.height, 4), exact))


def file_format(seen: Observation) -> Fact:
    names = (seen.format, seen.format.upper(), f"image/{seen.format}")
    return Fact(values=names, synonyms=("jpg",) if seen.format == "jpeg" else ())


def mime_type(seen: Observation) -> Fact:
    return Fact(values=(f"image/{seen.format}",))


def face_count(seen: Observation) -> Fact | None:
    """Unknown when nobody looked."""
    if seen.faces is None:
        return None
    rows = tuple(region_row(face) for face in seen.faces)
    return Fact(values=(len(seen.faces), bool(seen.faces)), items=tuple(Fact(rows=(row,)) for row in rows))


def has_faces(seen: Observation) -> Fact | None:
    return None if seen.faces is None else Fact(values=(bool(seen.faces), len(seen.faces)))


def region_row(box: Region) -> dict[str, Fact]:
    numbers = {"left": box.left, "top": box.top, "x": box.left, "y": box.top, "width": box.width, "height": box.height}
    row = {name: Fact(values=(round(value, 4),)) for name, value in numbers.items()}
    row["position"] = row["location"] = row["place"] = Fact(values=(sentences.place(box),))
    return row


def code_row(code: Code) -> dict[str, Fact]:
    content = Fact(values=(code.content,))
    row = {name: content for name in ("content", "value", "data", "text", "payload")}
    spelled = Fact(values=(code.format,), synonyms=(code.format.replace("-", ""), code.format.replace(" code", "")))
    return region_row(code.region) | row | {"format": spelled, "type": spelled, "symbology": spelled}


def code_list(seen: Observation) -> Fact:
    items = tuple(Fact(values=(code.content,), rows=(code_row(code),)) for code in seen.codes)
    first = (seen.codes[0].content,) if seen.codes else ()
    return Fact(values=(*first, len(items), bool(items)), items=items, rows=items[0].rows if items else ())


def one_code(wanted: str) -> Callable[[Observation], Fact]:
    def know(seen: Observation) -> Fact:
        found = [code for code in seen.codes if (code.format in MATRIX) == (wanted == "matrix")]
        items = tuple(Fact(values=(code.content,), rows=(code_row(code),)) for code in found)
        first = (found[0].content,) if found else ()
        return Fact(values=(*first, bool(found), len(found)), items=items, rows=items[0].rows if items else ())

    return know


MATRIX = frozenset({"QR code", "Micro QR code", "rMQR code", "Data Matrix", "Aztec code"})


def shape_list(seen: Observation) -> Fact | None:
    if seen.kind not in ("photo", "drawing"):
        return None
    items = tuple(shape_fact(shape) for shape in seen.shapes)
    return Fact(values=(sentences.counted(seen.shapes) if items else "none", len(items), bool(items)), items=items)


def shape_fact(shape: Shape) -> Fact:
    kinds = Fact(values=(shape.kind,), synonyms=("oval",) if shape.kind == "ellipse" else ())
    colors = Fact(values=(shape.colour, shape.hex), synonyms=tuple(shape.colour.split()))
    row = region_row(shape.region) | {"shape": kinds, "kind": kinds, "type": kinds, "name": kinds, "color": colors}
    row |= {"hex": Fact(values=(shape.hex,)), "area": Fact(values=(round(shape.area, 4),))}
    return Fact(values=(shape.kind,), synonyms=kinds.synonyms, rows=(row,))


def drawn_objects(seen: Observation) -> Fact | None:
    """Objects cannot be named; the shapes of a drawing are all there is in it."""
    return shape_list(seen) if seen.kind == "drawing" and seen.shapes else None


def has_text(seen: Observation) -> Fact:
    written = (
        bool(seen.text.content) if seen.text.reader else len(seen.text.lines) >= (4 if seen.kind == "photo" else 1)
    )
    return Fact(values=(written,), synonyms=("yes" if written else "no",))


def truth(tell: Callable[[Observation], bool]) -> Callable[[Observation], Fact]:
    def know(seen: Observation) -> Fact:
        told = tell(seen)
        return Fact(values=(told,), synonyms=("yes", "true") if told else ("no", "false"))

    return know


def value(tell: Callable[[Observation], Any]) -> Callable[[Observation], Fact]:
    return lambda seen: Fact(values=(tell(seen),))


def under(knower: Callable[[Observation], Fact | None], names: str) -> dict[str, Callable[[Observation], Fact | None]]:
    return dict.fromkeys(names.split(), knower)


CAPTIONS = frozenset(("caption", "title", "short_description", "alt", "alt_text", "alternative_text", "image_title"))
DESCRIPTIONS = CAPTIONS | {"description", "summary", "details", "long_description", "image_description", "overview"}
TEXTS = frozenset(("text", "ocr", "ocr_text", "text_content", "extracted_text", "transcription", "visible_text"))
KNOWN: dict[str, Callable[[Observation], Fact | None]] = {
    **under(main_color, "color dominant_color main_color primary_color leading_color base_color"),
    **under(color_list, "colors palette color_palette dominant_colors main_colors hues"),
    **under(hex_color, "hex color_hex hex_color hex_code dominant_color_hex dominant_hex"),
    **under(background, "background background_color"),
    **under(
        lambda seen: level(KEY_SYNONYMS, seen.light.key, seen.light.mean), "brightness lightness lighting exposure"
    ),
    **under(contrast, "contrast"),
    **under(sharpness, "sharpness focus clarity image_quality quality"),
    **under(is_blurred, "blur blurry blurred is_blurry is_blurred out_of_focus blurriness"),
    **under(is_sharp, "sharp is_sharp in_focus"),
    **under(
        kind, "kind image_kind image_type picture_type kind_of_picture picture_kind image_category media_type medium"
    ),
    **under(kind_of_enum, "type category classification class label"),
    **under(orientation, "orientation image_orientation layout"),
    **under(aspect_ratio, "aspect_ratio aspect ratio"),
    **under(file_format, "format file_format image_format file_type"),
    **under(mime_type, "mime_type mime content_type"),
    **under(
        face_count, "faces face_count people_count number_of_people num_people num_faces number_of_faces people persons"
    ),
    **under(has_faces, "has_faces has_face has_people contains_people contains_faces people_present face_detected"),
    **under(code_list, "codes barcodes qr_codes code_contents code_count barcode_count"),
    **under(one_code("matrix"), "qr qr_code qr_content qr_text has_qr has_qr_code contains_qr_code"),
    **under(one_code("bars"), "barcode bar_code barcode_value ean gtin upc has_barcode contains_barcode"),
    **under(shape_list, "shapes shape_count num_shapes number_of_shapes geometric_shapes"),
    **under(drawn_objects, "objects object_count"),
    **under(has_text, "has_text contains_text text_present text_visible is_text"),
    **under(value(lambda seen: seen.texture.pattern), "pattern texture surface"),
    **under(value(lambda seen: seen.width), "width image_width width_px width_pixels"),
    **under(value(lambda seen: seen.height), "height image_height height_px height_pixels"),
    **under(value(lambda seen: f"{seen.width}x{seen.height}"), "resolution dimensions image_size"),
    **under(value(lambda seen: round(seen.width * seen.height / 1e6, 3)), "megapixels"),
    **under(value(lambda seen: seen.size_bytes), "size_bytes file_size file_size_bytes bytes"),
    **under(truth(lambda seen: seen.greyscale), "grayscale is_grayscale monochrome is_monochrome black_and_white"),
    **under(
        truth(lambda seen: seen.transparent_share > 0.005), "transparent has_transparency is_transparent has_alpha"
    ),
    **under(truth(lambda seen: seen.animated), "animated is_animated"),
    **under(truth(lambda seen: seen.light.key == "dark"), "is_dark dark underexposed"),
    **under(truth(lambda seen: seen.light.key == "bright"), "is_bright bright"),
    **under(truth(lambda seen: seen.light.backlit), "backlit is_backlit"),
    **under(
        truth(lambda seen: seen.composition.symmetry_sides > 0.85), "symmetrical is_symmetrical symmetric symmetry"
    ),
    **under(truth(lambda seen: seen.kind == "photo"), "is_photo is_photograph"),
    **under(truth(lambda seen: seen.kind == "drawing"), "is_drawing is_illustration is_graphic"),
    **under(truth(lambda seen: seen.kind == "screenshot"), "is_screenshot"),
    **under(truth(lambda seen: seen.kind == "document"), "is_document"),
    **under(truth(lambda seen: seen.kind == "chart"), "is_chart is_graph"),
}
