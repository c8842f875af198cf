"""An observation in plain English, sense by sense, in whole sentences. Nothing here looks at pixels."""

from collections.abc import Sequence

from tessera.adapters.providers.sight.observation import Code, Observation, Region, Shape
from tessera.adapters.providers.sight.swatches import dominant

NAME = "Tessera sight, a classical image analyser, not a language model"
KINDS = {
    "photo": "a photograph",
    "drawing": "a drawing or flat graphic",
    "screenshot": "a screenshot",
    "document": "a document page",
    "chart": "a chart",
}
NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def percent(share: float) -> str:
    return f"{share * 100:.0f} %" if share >= 0.095 else f"{share * 100:.1f} %"


def number(count: int) -> str:
    return NUMBERS[count] if count < len(NUMBERS) else str(count)


def plural(count: int, noun: str) -> str:
    if count == 1:
        return f"{number(count)} {noun}"
    return f"{number(count)} {noun}es" if noun.endswith("x") else f"{number(count)} {noun}s"


def joined(parts: Sequence[str], last: str = "and") -> str:
    if len(parts) < 2:
        return "".join(parts)
    return f"{', '.join(parts[:-1])} {last} {parts[-1]}"


def a(noun: str) -> str:
    return f"an {noun}" if noun[0].lower() in "aeio" or noun.startswith("8") else f"a {noun}"


def place(box: Region) -> str:
    """Where a box lies, in thirds of the picture: `in the upper left`, `in the centre`, `across the bottom`."""
    x, y = box.centre
    row = "upper" if y < 1 / 3 else "lower" if y > 2 / 3 else "middle"
    column = "left" if x < 1 / 3 else "right" if x > 2 / 3 else "centre"
    if box.width > 0.8 and box.height > 0.8:
        return "over the whole picture"
    if box.width > 0.75:
        return {"upper": "across the top", "middle": "across the middle", "lower": "across the bottom"}[row]
    if box.height > 0.75:
        return {"left": "along the left side", "centre": "down the middle", "right": "along the right side"}[column]
    if row == "middle":
        return "in the centre" if column == "centre" else f"in the middle on the {column}"
    return f"in the {row} {column}"


def format_of(seen: Observation) -> str:
    ratio = seen.width / seen.height
    return "square" if 0.97 < ratio < 1.03 else "landscape" if ratio > 1 else "portrait"


def opening(seen: Observation) -> str:
    sure = "looks like" if seen.kind_confidence >= 0.7 else "is probably"
    shape = {"square": "square", "landscape": "in landscape format", "portrait": "in portrait format"}[format_of(seen)]
    text = f"This {sure} {KINDS[seen.kind]}, {seen.width} × {seen.height} pixels, {shape}."
    if seen.orientation != 1:
        text += f" The file is stored turned (EXIF orientation {seen.orientation}); I looked at it upright."
    if seen.animated:
        text += " It is animated; I looked at its first frame only."
    return text


def transparency(seen: Observation) -> str:
    if seen.transparent_share >= 0.995:
        return "It is entirely transparent, so there is nothing to see."
    if seen.transparent_share > 0.005:
        return f"About {percent(seen.transparent_share)} of it is transparent, which I looked at on white."
    return ""


def colours(seen: Observation) -> str:
    main = dominant(seen.palette)
    others = [swatch for swatch in seen.palette if swatch is not main and swatch.share >= 0.02][:4]
    lead = f"{main.name} ({main.hex}, {percent(main.share)})"
    if seen.greyscale and seen.light.colourfulness < 1.5 and len(seen.palette) > 1:
        text = f"It is in black, white and grey only: mostly {lead}"
    elif not others:
        return f"It is almost entirely {lead}."
    else:
        text = f"{'The main colour is' if main.share > 0.25 else 'Colours are spread out, led by'} {lead}"
    rest = joined([f"{swatch.name} ({percent(swatch.share)})" for swatch in others])
    return f"{text}, with {rest}." if rest else f"{text}."


def light(seen: Observation) -> str:
    lit = seen.light
    key = {"dark": "dark overall", "medium": "of medium brightness", "bright": "bright overall"}[lit.key]
    text = f"It is {key} (mean lightness {lit.mean:.0f} of 100) with {lit.contrast} contrast"
    if seen.kind == "photo" and not seen.greyscale and lit.colourfulness > 8 and abs(lit.warmth) > 6:
        text += f" and {'warm' if lit.warmth > 0 else 'cool'} tones"
    if lit.backlit and seen.kind == "photo":
        text += "; the middle is much darker than its surroundings, as against the light"
    if seen.kind == "photo" and lit.white_share > 0.08:
        text += f"; {percent(lit.white_share)} is burnt out to white"
    if seen.kind == "photo" and lit.black_share > 0.12:
        text += f"; {percent(lit.black_share)} is nearly pure black"
    return text + "."


def sharpness(seen: Observation) -> str:
    focus = seen.sharpness
    if focus.verdict == "undetermined":
        return "There are no edges in it by which sharpness could be judged."
    measured = f"(blur {focus.blur:.2f} on a scale from 0, crisp, to 1, smeared)"
    if focus.motion:
        return f"It is blurred {focus.motion}, as when the camera or the subject moved {measured}."
    text = f"Its edges are {focus.verdict} {measured}"
    return text + (", and there is visible grain or noise." if focus.noise > 6 and seen.kind == "photo" else ".")


def texture(seen: Observation) -> str:
    found = seen.texture
    if found.pattern == "stripes":
        return f"The picture is filled with {found.direction} stripes, about {found.repeats} of each tone."
    if found.pattern in ("checks", "grid"):
        what = "a checked pattern" if found.pattern == "checks" else "a regular grid"
        return f"The picture is filled with {what}, about {found.repeats} cells from side to side."
    if found.pattern == "gradient":
        return f"It is one smooth transition of tone, {found.direction}."
    fixed = {
        "plain": "It is a plain surface without any pattern.",
        "noise": "It is filled with random noise, grain by grain.",
        "fine texture": "Fine, irregular texture fills the whole picture, with no calm area.",
        "smooth": "Most of it is smooth, with little detail.",
        "mixed": f"Detail fills about {percent(found.detail)} of it; the rest is smooth.",
    }
    return fixed[found.pattern]


def composition(seen: Observation) -> str:
    built, parts = seen.composition, []
    uniform = seen.texture.repeats is not None or seen.texture.pattern in ("plain", "fine texture", "noise", "gradient")
    if built.subject is not None and not uniform:
        area = built.subject.width * built.subject.height
        parts.append(
            f"What stands out most is {a(f'{built.subject_colour} area')} {place(built.subject)}, "
            f"in a box of about {percent(area)} of the picture."
        )
    if built.background and seen.kind in ("photo", "drawing") and not uniform:
        soft = " and out of focus" if built.background_soft and seen.kind == "photo" else ""
        parts.append(f"The rim of the picture is calm and {built.background}{soft}.")
    elif built.background_soft and seen.kind == "photo":
        parts.append("What surrounds it has far less fine detail, as a background out of focus would.")
    if built.horizon is not None and seen.kind in ("photo", "drawing") and built.above != built.below:
        parts.append(
            f"A level edge runs across at {percent(built.horizon)} from the top, {built.above} above and "
            f"{built.below} below, perhaps a horizon."
        )
    if seen.kind in ("photo", "drawing") and not uniform:
        parts += [] if built.background or built.horizon is not None else [bands(seen)]
        parts.append(symmetry(seen))
    return " ".join(part for part in parts if part)


def bands(seen: Observation) -> str:
    """The typical colours of the upper, middle and lower third."""
    rows = [seen.composition.thirds[start : start + 3] for start in (0, 3, 6)]
    names = [joined(list(dict.fromkeys(row))[:2]) for row in rows]
    if len(set(names)) == 1:
        return ""
    return f"The upper third is mainly {names[0]}, the middle {names[1]}, the lower third {names[2]}."


def symmetry(seen: Observation) -> str:
    sides, ends = seen.composition.symmetry_sides, seen.composition.symmetry_ends
    if sides > 0.85 and ends > 0.85:
        return "It is nearly symmetrical, left to right and top to bottom."
    if sides > 0.85:
        return "Its left and right halves nearly mirror each other."
    return "Its upper and lower halves nearly mirror each other." if ends > 0.85 else ""


def shape_phrase(shape: Shape) -> str:
    side = max(shape.region.width, shape.region.height)
    size = "large" if side > 0.4 else "small" if side < 0.12 else "medium-sized"
    return f"a {size} {shape.colour} {shape.kind} {place(shape.region)}"


def counted(shapes: Sequence[Shape]) -> str:
    kinds = sorted({shape.kind for shape in shapes})
    counts = {kind: sum(1 for shape in shapes if shape.kind == kind) for kind in kinds}
    ordered = sorted(kinds, key=lambda kind: (-counts[kind], kind))
    return joined([plural(counts[kind], kind) for kind in ordered])


def shapes(seen: Observation) -> str:
    if not seen.shapes or seen.texture.repeats:
        return ""
    listed = joined([shape_phrase(shape) for shape in seen.shapes[:6]])
    drawn = "I make out" if seen.kind == "drawing" else "Areas of one colour have the outline of"
    if len(seen.shapes) == 1:
        return f"{drawn} {listed}."
    more = ", the largest being" if len(seen.shapes) > 6 else ":"
    return f"{drawn} {counted(seen.shapes)}{more} {listed}."


def codes(seen: Observation) -> str:
    return " ".join(code_sentence(code) for code in seen.codes)


def code_sentence(code: Code) -> str:
    return f"There is {a(code.format)} {place(code.region)}; it reads “{code.content}”."


def faces(seen: Observation) -> str:
    """What was found; silent where nobody looked, unless asked (`answers.py`)."""
    if not seen.faces:
        return ""
    where = joined([place(face) for face in seen.faces[:6]])
    noun = "face" if len(seen.faces) == 1 else "faces"
    return f"I detect {number(len(seen.faces))} frontal {noun}, {where}; I cannot tell whose."


def text(seen: Observation) -> str:
    """What is written; of a photograph's doubtful marks nothing is said unless they could be read."""
    written = seen.text
    if written.content:
        lines = written.content.splitlines()
        if len(lines) == 1:
            return f"It reads “{lines[0]}”."
        shown = "\n".join(lines)
        return f"The writing in it, as read by optical character recognition ({len(lines)} lines):\n{shown}\n"
    if not written.lines or (seen.kind == "photo" and (written.reader or len(written.lines) < 4)):
        return ""
    marks = f"About {plural(len(written.lines), 'line')} of what looks like writing"
    where = f"covering {percent(written.share)} of it"
    if written.reader:
        return f"{marks}, {where}, could not be read with confidence."
    return f"{marks}, {where}, can be seen; no text reader is installed here, so I have not read it."


def limits(seen: Sequence[Observation]) -> str:
    shown, it_means = ("these pictures", "they mean") if len(seen) > 1 else ("it", "it means")
    return (
        f"I am {NAME}: I measure what is visible, and cannot name the things in {shown}, say who anyone is, or tell "
        f"what {it_means}."
    )


def description(seen: Observation) -> str:
    """Everything worth saying about one picture, without the closing words about what cannot be known."""
    if seen.transparent_share >= 0.995:
        return f"{opening(seen)} {transparency(seen)}"
    quiet = seen.kind in ("document", "chart", "screenshot")
    parts = [opening(seen), transparency(seen), colours(seen), light(seen)]
    parts += [codes(seen), faces(seen)]
    parts += [] if quiet else [composition(seen), shapes(seen), texture(seen)]
    parts += [sharpness(seen) if seen.texture.pattern != "plain" else "", text(seen)]
    return " ".join(part for part in parts if part).replace("\n ", "\n").strip()


def caption(seen: Observation) -> str:
    """One line, as for an alternative text."""
    if seen.transparent_share >= 0.995:
        return f"A fully transparent picture of {seen.width} × {seen.height} pixels"
    names = list(dict.fromkeys([dominant(seen.palette).name, *(swatch.name for swatch in seen.palette)]))[:2]
    start = {
        "photo": "Photograph",
        "drawing": "Drawing",
        "screenshot": "Screenshot",
        "document": "Document",
        "chart": "Chart",
    }
    text = f"{start[seen.kind]} in {joined(names)}"
    if seen.codes:
        text += f" with {a(seen.codes[0].format)}"
    elif seen.faces:
        text += f" with {plural(len(seen.faces), 'face')}"
    elif seen.shapes and seen.kind == "drawing":
        text += f" with {counted(seen.shapes)}"
    elif seen.composition.subject is not None and seen.kind == "photo":
        text += f", {a(f'{seen.composition.subject_colour} subject')} {place(seen.composition.subject)}"
    return f"{text}, {seen.light.key} and {seen.sharpness.verdict}" if seen.kind == "photo" else text


def signature(seen: Observation) -> str:
    """The measures one answer rests on, so that a short answer still tells which picture it was about."""
    leading = ", ".join(f"{swatch.name} {swatch.hex} {swatch.share * 100:.1f} %" for swatch in seen.palette[:3])
    return f"Measured: {seen.width} × {seen.height} {seen.kind}, {leading}, mean lightness {seen.light.mean:.1f}."
