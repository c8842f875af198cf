"""Documents as PDF, by ReportLab: A4, a heading, the facts, the tables."""

import io
from collections.abc import Sequence
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.pdfbase.pdfmetrics import stringWidth
from reportlab.platypus import Flowable, LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

from tessera.domain.payments.documents import Document

TEXT_LENGTH_MAX = 500
"""How much of a text is shown: a row that is higher than a page cannot be printed."""

_WIDTH = 170 * mm
_FACT_WIDTHS = (70 * mm, 100 * mm)
_PADDING = 12
_ROUNDING = 0.01
_FONT, _SIZE = "Helvetica", 8

Rows = Sequence[Sequence[str]]

_LINE = TableStyle(
    [
        ("FONTSIZE", (0, 0), (-1, -1), _SIZE),
        ("LEADING", (0, 0), (-1, -1), 10),
        ("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("ALIGN", (-1, 0), (-1, -1), "RIGHT"),
    ]
)
_FACTS = TableStyle(
    [
        ("FONTSIZE", (0, 0), (-1, -1), _SIZE),
        ("LEADING", (0, 0), (-1, -1), 10),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
    ]
)


def print_pdf(document: Document) -> bytes:
    """The document as a PDF file. Letters its fonts do not have (all but Latin-1) are shown as question marks, texts
    beyond `TEXT_LENGTH_MAX` cut."""
    styles = getSampleStyleSheet()
    parts: list[Flowable] = [Paragraph(escape(document.title), styles["Title"])]
    facts = _cells(document.facts, _FACT_WIDTHS)
    parts.append(LongTable(facts, colWidths=_FACT_WIDTHS, style=_FACTS, hAlign="LEFT"))
    for title, columns, rows in document.tables:
        parts += [Spacer(1, 6 * mm), Paragraph(escape(title), styles["Heading2"])]
        widths = _widths((columns, *rows))
        parts.append(LongTable(_cells((columns, *rows), widths), repeatRows=1, colWidths=widths, style=_LINE))
    file = io.BytesIO()
    page = SimpleDocTemplate(file, pagesize=A4, title=document.title, author="Tessera", leftMargin=20 * mm)
    page.build(parts)
    return file.getvalue()


def _cells(rows: Rows, widths: Sequence[float]) -> list[list[str]]:
    """Texts, broken into lines: laying each out as a paragraph would take a hundred times as long, and read markup."""
    return [[_broken(_shown(text), width) for text, width in zip(row, widths, strict=True)] for row in rows]


def _widths(rows: Rows) -> list[float]:
    """Columns as wide as their texts where there is room; the widest share what the others leave."""
    wanted = [max(_width(_shown(text)) for text in column) + _PADDING for column in zip(*rows, strict=True)]
    widths = [0.0] * len(wanted)
    left = _WIDTH
    for done, column in enumerate(sorted(range(len(wanted)), key=wanted.__getitem__)):
        widths[column] = min(wanted[column], left / (len(wanted) - done))
        left -= widths[column]
    return widths


def _shown(text: str) -> str:
    cut = text if len(text) <= TEXT_LENGTH_MAX else f"{text[: TEXT_LENGTH_MAX - 3]}..."
    return " ".join(cut.encode("latin-1", "replace").decode("latin-1").split())


def _broken(text: str, width: float) -> str:
    """A text in lines that fit: between words, and within one where it is too long."""
    room = width - _PADDING + _ROUNDING
    if _width(text) <= room:
        return text
    lines = [""]
    for word in text.split(" "):
        longer = f"{lines[-1]} {word}".lstrip()
        if _width(longer) <= room:
            lines[-1] = longer
            continue
        lines.append("")
        for letter in word:
            if lines[-1] and _width(lines[-1] + letter) > room:
                lines.append("")
            lines[-1] += letter
    return "\n".join(line for line in lines if line)


def _width(text: str) -> float:
    width: float = stringWidth(text, _FONT, _SIZE)
    return width
