"""A document as PDF: every figure is in it, whatever stands in its texts and however long they are."""

import io

import pytest
from pypdf import PdfReader

from tessera.adapters.documents.pdf import TEXT_LENGTH_MAX, print_pdf
from tessera.domain.payments.documents import Document

COLUMNS = ("Time (UTC)", "Reference", "Note", "Total (USD)")


def pages_of(name: str = "Acme", notes: tuple[str, ...] = ("",)) -> list[str]:
    rows = tuple(("2026-11-30 12:00:00", f"crd_{number:032x}", note, "25.00") for number, note in enumerate(notes))
    document = Document(
        name="statement",
        title="Statement",
        facts=(("Organization", name), ("Closing (USD)", "12.345678901")),
        tables=(("Movements", COLUMNS, rows),),
    )
    return [page.extract_text() for page in PdfReader(io.BytesIO(print_pdf(document))).pages]


@pytest.mark.parametrize(
    "text",
    [
        "word " * 5_000,
        "w" * 20_000,
        "W" * 499,
        "\n" * 3_000 + "x",
        "a\x00\x01\x0b\x1b",
        "\ud800",
        "שלום \u202eabc",
        "",
        " ",
    ],
)
def test_no_text_keeps_a_document_from_being_printed(text: str) -> None:
    (page,) = pages_of(name=text, notes=(text,))
    assert "12.345678901" in page
    assert "25.00" in page


@pytest.mark.parametrize("text", ["<b>&amp;</b>", "</para><font", "<img src='http://127.0.0.1/'/>", "&#65;%s{}"])
def test_markup_is_text(text: str) -> None:
    (page,) = pages_of(name=text, notes=(text,))
    assert page.count(text) == 2


def test_a_long_text_is_broken_and_then_cut() -> None:
    (page,) = pages_of(notes=("0123456789" * 100,))
    assert page.replace("\n", "").count("0123456789") in range(TEXT_LENGTH_MAX // 10 - 2, TEXT_LENGTH_MAX // 10 + 1)
    assert "..." in page


def test_what_does_not_fit_a_page_goes_on_under_the_same_header() -> None:
    pages = pages_of(notes=("a note",) * 200)
    assert len(pages) > 2
    assert all("Reference" in page for page in pages)
    text = "\n".join(pages)
    assert all(f"crd_{number:032x}" in text for number in range(200))
