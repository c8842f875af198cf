"""One teller a topic: what an observation says about colours, text, codes, shapes, faces, light, size and so on.

A teller gets the question too, because some ask about one colour, one shape or one place.
"""

import re
from collections.abc import Sequence

from tessera.adapters.providers.sight import sentences
from tessera.adapters.providers.sight.observation import Observation, Shape
from tessera.adapters.providers.sight.sentences import joined, percent
from tessera.adapters.providers.sight.swatches import families

FAMILIES = (
    "black",
    "white",
    "grey",
    "red",
    "orange",
    "yellow",
    "green",
    "teal",
    "blue",
    "purple",
    "pink",
    "brown",
    "beige",
)
SHAPES = ("circle", "ellipse", "square", "rectangle", "triangle", "polygon", "line")


def tell_colours(seen: Observation, asked: str) -> str:
    shares = families(seen.palette)
    named = [family for family in FAMILIES if re.search(rf"\b{family}(ish)?\b", asked)]
    if named:
        told = []
        for family in named:
            share = shares.get(family, 0.0)
            if share < 0.004:
                told.append(f"I see no {family} worth mentioning.")
            elif next(iter(shares)) == family:
                told.append(f"Yes, {family} leads, with about {percent(share)} of the picture.")
            else:
                told.append(f"There is some {family}: about {percent(share)} of the picture.")
        return " ".join([*told, sentences.colours(seen)])
    plain = joined([f"{family} {percent(share)}" for family, share in list(shares.items())[:5]])
    return f"{sentences.colours(seen)} In plain colour names: {plain}."


def tell_text(seen: Observation, _asked: str) -> str:
    told = sentences.text(seen)
    if told:
        return told
    if not seen.text.reader:
        return (
            "I see no clear lines of writing; no text reader is installed here, so small or curved ones may be missed."
        )
    return "I find no writing that I can read in it."


def tell_codes(seen: Observation, _asked: str) -> str:
    return sentences.codes(seen) or "I find no QR code or bar code that can be decoded."


def tell_shapes(seen: Observation, asked: str) -> str:
    wanted = [kind for kind in SHAPES if re.search(rf"\b{kind}(s|es)?\b", asked)]
    colour = next((family for family in FAMILIES if re.search(rf"\b{family}\b", asked)), None)
    if not wanted:
        if seen.kind in ("document", "screenshot", "chart"):
            return f"I do not look for single shapes in {sentences.KINDS[seen.kind]}."
        return sentences.shapes(seen) or "I find no simple shape with a clear outline in it."
    found = [shape for shape in seen.shapes if matches(shape, wanted, colour)]
    noun = joined([f"{colour} {kind}s" if colour else f"{kind}s" for kind in wanted], "or")
    if not found:
        return f"I find no {noun} with a clear outline. {sentences.shapes(seen)}".strip()
    listed = joined([sentences.shape_phrase(shape) for shape in found[:10]])
    return f"I count {sentences.counted(found)}: {listed}."


def matches(shape: Shape, wanted: Sequence[str], colour: str | None) -> bool:
    kinds = set(wanted) | ({"square"} if "rectangle" in wanted and "square" not in wanted else set())
    return shape.kind in kinds and (colour is None or colour in shape.colour)


def tell_faces(seen: Observation, _asked: str) -> str:
    if seen.faces is None:
        return (
            "Faces were not looked for: no face detector is installed here, so I cannot say whether there are people."
        )
    if not seen.faces:
        return "I detect no frontal face; people seen from the side or from behind would be missed."
    return sentences.faces(seen)


def tell_quality(seen: Observation, _asked: str) -> str:
    return f"{sentences.sharpness(seen)} {sentences.light(seen)}"


def tell_light(seen: Observation, _asked: str) -> str:
    return sentences.light(seen)


def tell_size(seen: Observation, _asked: str) -> str:
    megapixels = seen.width * seen.height / 1_000_000
    return (
        f"It is {seen.width} × {seen.height} pixels ({megapixels:.2f} megapixels, aspect ratio "
        f"{seen.width / seen.height:.2f}), a {seen.format.upper()} file of {seen.size_bytes:,} bytes."
    )


def tell_orientation(seen: Observation, _asked: str) -> str:
    shape = {"square": "square", "landscape": "in landscape format, wider than high"}.get(
        sentences.format_of(seen), "in portrait format, higher than wide"
    )
    turned = (
        f"The file is stored turned (EXIF orientation {seen.orientation}), and viewers should show it as I describe it."
        if seen.orientation != 1
        else "The file says nothing of being turned; I cannot tell whether what it shows stands upright."
    )
    return f"It is {shape}, {seen.width} × {seen.height} pixels. {turned}"


def tell_kind(seen: Observation, _asked: str) -> str:
    words = "It looks like" if seen.kind_confidence >= 0.7 else "My best guess is"
    return f"{words} {sentences.KINDS[seen.kind]} (confidence {seen.kind_confidence:.2f})."


def tell_texture(seen: Observation, _asked: str) -> str:
    return sentences.texture(seen)


def tell_symmetry(seen: Observation, _asked: str) -> str:
    built = seen.composition
    return sentences.symmetry(seen) or (
        f"It is not symmetrical: likeness of left and right {built.symmetry_sides:.2f}, of top and bottom "
        f"{built.symmetry_ends:.2f}, where 1 is a perfect mirror."
    )


def tell_transparency(seen: Observation, _asked: str) -> str:
    return sentences.transparency(seen) or "No part of it is transparent."


def tell_composition(seen: Observation, _asked: str) -> str:
    return sentences.composition(seen) or "Nothing stands out clearly against the rest."


def tell_places(seen: Observation, asked: str) -> str:
    rows, columns = ("upper", "middle", "lower"), ("left", "centre", "right")
    row = 0 if re.search(r"\b(top|upper)\b", asked) else 2 if re.search(r"\b(bottom|lower)\b", asked) else 1
    column = 0 if re.search(r"\bleft\b", asked) else 2 if re.search(r"\bright\b", asked) else 1
    colour = seen.composition.thirds[row * 3 + column]
    here = [shape for shape in seen.shapes if third_of(shape) == (row, column)]
    where = f"{rows[row]} {columns[column]}" if (row, column) != (1, 1) else "centre"
    told = f"The {where} of the picture is mostly {colour}."
    return f"{told} There I make out {joined([sentences.shape_phrase(shape) for shape in here[:4]])}." if here else told


def third_of(shape: Shape) -> tuple[int, int]:
    x, y = shape.region.centre
    return min(2, int(y * 3)), min(2, int(x * 3))


def tell_self(seen: Observation, _asked: str) -> str:
    return f"I am {sentences.NAME}. {sentences.opening(seen)}"


def tell_count(seen: Observation, _asked: str) -> str:
    """`How many …` of something that is no shape, face or code."""
    return "Of things I can count only simple shapes, frontal faces and machine-readable codes. " + (
        sentences.shapes(seen) or "Here I find no simple shape with a clear outline."
    )
