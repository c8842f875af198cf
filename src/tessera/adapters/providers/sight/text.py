"""Writing: where lines of it seem to be, and, when a reader is installed, what they say.

The reader is Tesseract through tesserocr (the `ocr` extra) with Debian's language data; without either, the answer
says that the text was not read.
"""

import os
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from tessera.adapters.providers.sight.components import find_regions
from tessera.adapters.providers.sight.observation import Region, Text

EDGE_MIN = 36
"""Grey levels between two neighbours that count as a stroke's edge."""
CELL = 6
"""Width in pixels of the cells edges are gathered in: strokes of one word fall into neighbouring cells."""
CONFIDENCE_MIN = 55
READER_SIDE = 1600


def see_text(luma: NDArray[np.uint8], characters_max: int, *, codes: tuple[Region, ...] = ()) -> Text:
    lines = tuple(line for line in find_lines(luma) if not any(inside(line, code) for code in codes))
    share = sum(line.width * line.height for line in lines)
    reader = data_folder() is not None
    content = read(luma, characters_max) if reader and lines and characters_max else None
    return Text(lines=lines, share=float(min(share, 1.0)), reader=reader, content=content)


def inside(line: Region, code: Region) -> bool:
    x, y = line.centre
    margin = 0.03
    across = code.left - margin <= x <= code.left + code.width + margin
    return across and code.top - margin <= y <= code.top + code.height + margin


def find_lines(luma: NDArray[np.uint8]) -> tuple[Region, ...]:
    """Boxes that look like lines of writing: long, low, full of upright edges, with calm rows above and below.

    Run-length smearing (Wong, Casey and Wahl, 1982): edges closer than a word's gap are joined, and what is joined is
    judged by its height, its length and how densely it is filled.
    """
    grey = luma.astype(np.int16)
    edges = np.abs(np.diff(grey, axis=1)) > EDGE_MIN
    rows, columns = edges.shape
    cells = columns // CELL
    if cells < 4:
        return ()
    counts = edges[:, : cells * CELL].reshape(rows, cells, CELL).sum(axis=2)
    marked = counts > 0
    smeared = marked.copy()
    for gap in (1, 2):  # A gap of up to two cells between marked ones is a space between words.
        smeared[:, gap:-gap] |= marked[:, : -2 * gap] & marked[:, 2 * gap :]
    smeared &= ~between_lines(counts)
    regions = find_regions(smeared.astype(np.int64))
    height, width = regions.bottom - regions.top, (regions.right - regions.left) * CELL
    fits = (regions.value == 1) & (height >= 5) & (height <= max(12, min(90, rows // 8)))
    fits &= (width >= 2.2 * height) & (width >= 18) & (regions.area * CELL >= 0.42 * height * width)
    found = []
    for index in np.flatnonzero(fits):
        left, top, right, bottom = (
            int(edge[index]) for edge in (regions.left, regions.top, regions.right, regions.bottom)
        )
        span = slice(left * CELL, right * CELL)
        calm = has_ground(luma[max(0, top - 3) : bottom + 3, span])
        if calm and is_writing(counts[top:bottom, left:right], edges[top:bottom, span]):
            found.append(
                Region(left * CELL / columns, top / rows, (right - left) * CELL / columns, (bottom - top) / rows)
            )
    return tuple(found[:400])


def between_lines(counts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Cells in rows that hold little against the rows around them: descenders and dots that would join two lines."""
    span = 12
    sums = np.cumsum(np.pad(counts, ((0, 0), (span + 1, span))), axis=1)
    density = sums[:, 2 * span + 1 :] - sums[:, : -2 * span - 1]
    nearby = density
    for step in (1, 2, 4):  # Maximum over 7 rows above and below, by doubling.
        padded = np.pad(nearby, ((step, step), (0, 0)), mode="edge")
        nearby = np.maximum(np.maximum(padded[: -2 * step], padded[2 * step :]), nearby)
    sparse: NDArray[np.bool_] = density < 0.3 * nearby
    return sparse


def is_writing(counts: NDArray[np.int64], edges: NDArray[np.bool_]) -> bool:
    """Strokes: every few pixels an edge, in most columns, and not one long straight contour."""
    per_row = edges.sum(axis=1)
    height, width = edges.shape
    typical = float(np.percentile(per_row, 70))
    spacing = width / max(typical, 1)
    filled = float((counts.sum(axis=0) > 0).mean())
    return 1.1 < spacing < 1.6 * height + 6 and filled > 0.6 and typical >= 9


def has_ground(box: NDArray[np.uint8]) -> bool:
    """Writing stands on one tone: two neighbouring sixteenths of the grey scale hold a third of the box."""
    shares = np.bincount(box.ravel() >> 4, minlength=16) / box.size
    return float((shares[:-1] + shares[1:]).max()) > 0.34


@cache
def data_folder() -> str | None:
    """The folder with Tesseract's English data, None when the reader or the data is not installed."""
    try:
        import tesserocr  # noqa: F401 (an extra: looked for once, when first needed)
    except ImportError:
        return None
    named = os.environ.get("TESSDATA_PREFIX")
    places = [Path(named)] if named else []
    places += sorted(Path("/usr/share/tesseract-ocr").glob("*/tessdata"), reverse=True)
    places += [Path("/usr/share/tessdata"), Path("/usr/local/share/tessdata")]
    return next((str(place) for place in places if (place / "eng.traineddata").is_file()), None)


def read(luma: NDArray[np.uint8], characters_max: int) -> str:
    """What Tesseract reads with some confidence, line by line; `` when that is nothing."""
    import tesserocr

    grey = luma
    if grey.mean() < 110:  # Tesseract expects dark writing on light ground.
        grey = 255 - grey
    image = Image.fromarray(np.ascontiguousarray(grey))
    if max(image.size) < 900:
        image = image.resize((image.width * 2, image.height * 2), Image.Resampling.BICUBIC)
    with tesserocr.PyTessBaseAPI(path=data_folder(), lang="eng") as reader:
        reader.SetVariable("debug_file", os.devnull)
        reader.SetImage(image)
        reader.Recognize()
        lines = []
        for line in tesserocr.iterate_level(reader.GetIterator() or (), tesserocr.RIL.TEXTLINE):
            kept = line.GetUTF8Text(tesserocr.RIL.TEXTLINE) if line.Confidence(tesserocr.RIL.TEXTLINE) else ""
            if kept and line.Confidence(tesserocr.RIL.TEXTLINE) >= CONFIDENCE_MIN:
                lines.append(" ".join(kept.split()))
    content = "\n".join(line for line in lines if any(letter.isalnum() for letter in line))
    return content[:characters_max]
