"""Documents as PDF, by ReportLab: A4, a heading, the facts, the tables."""

import io
from xml.sax.saxutils import escape

from reportlab.lib import colors
from reportlab.lib.pagesizes import A4
from reportlab.lib.styles import getSampleStyleSheet
from reportlab.lib.units import mm
from reportlab.platypus import Flowable, LongTable, Paragraph, SimpleDocTemplate, Spacer, TableStyle

from tessera.domain.payments.documents import Document

_LINE = TableStyle(
    [
        ("FONTSIZE", (0, 0), (-1, -1), 8),
        ("LINEBELOW", (0, 0), (-1, 0), 0.5, colors.black),
        ("VALIGN", (0, 0), (-1, -1), "TOP"),
        ("ALIGN", (-1, 0), (-1, -1), "RIGHT"),
    ]
)
_FACTS = TableStyle([("FONTSIZE", (0, 0), (-1, -1), 9), ("VALIGN", (0, 0), (-1, -1), "TOP")])


def print_pdf(document: Document) -> bytes:
    """The document as a PDF file. Letters its fonts do not have (all but Latin-1) are shown as question marks."""
    styles = getSampleStyleSheet()
    body = styles["BodyText"].clone("cell", fontSize=8, leading=10)

    def cell(text: str) -> Paragraph:
        shown = text.encode("latin-1", "replace").decode("latin-1")
        return Paragraph(escape(shown), body)

    parts: list[Flowable] = [Paragraph(escape(document.title), styles["Title"])]
    facts = [[cell(name), cell(value)] for name, value in document.facts]
    parts.append(LongTable(facts, colWidths=[70 * mm, 100 * mm], style=_FACTS, hAlign="LEFT"))
    for title, columns, rows in document.tables:
        parts += [Spacer(1, 6 * mm), Paragraph(escape(title), styles["Heading2"])]
        cells = [[cell(text) for text in columns], *([cell(text) for text in row] for row in rows)]
        parts.append(LongTable(cells, repeatRows=1, colWidths=[170 * mm / len(columns)] * len(columns), style=_LINE))
    file = io.BytesIO()
    page = SimpleDocTemplate(file, pagesize=A4, title=document.title, author="Tessera", leftMargin=20 * mm)
    page.build(parts)
    return file.getvalue()
