"""Receipts and monthly statements, as JSON, CSV and PDF: the same figures, the ledger's own."""

import asyncio
from typing import Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import format_usd
from tessera.domain.payments.documents import Document, receipt_document, to_csv
from tessera.domain.payments.records import TopUpState
from tessera.domain.payments.statements import Statement, StatementLine
from tessera.flows.money.topups import find_topup
from tessera.flows.money.treasury import Owner, Treasury

CSV, PDF = "text/csv", "application/pdf"
FORMATS = ("json", "csv", "pdf")
PDF_ROWS_MAX = 2_000
"""Printing takes the processor about a millisecond for each row."""


class Printed(msgspec.Struct, frozen=True, kw_only=True):
    """A file: its content type, its name and its bytes."""

    content_type: str
    name: str
    content: bytes


async def read_receipt(treasury: Treasury, owner: Owner, topup_id: str) -> Document:
    """The receipt of a payment. Raises [not_found], [invalid_request] for a top-up that was not paid."""
    topup = await find_topup(treasury, owner, topup_id)
    if topup.state is not TopUpState.PAID:
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"The top-up {topup.id} was not paid: there is no receipt.")
    organization = await treasury.store.organization_name(owner.organization_id)
    return receipt_document(topup, organization)


async def read_statement(treasury: Treasury, owner: Owner, month: str) -> Statement:
    """A month's statement. Raises [invalid_request] for a month that is none, or has not begun."""
    statement = await treasury.store.read_statement(owner.organization_id, owner.mode, month)
    if statement.start > treasury.now():
        raise TesseraError(ErrorCode.INVALID_REQUEST, "This month has not begun.", param="month")
    if not statement.adds_up:
        raise TesseraError(ErrorCode.INTERNAL_ERROR, "This statement does not add up; run tessera verify.")
    return statement


async def printed(treasury: Treasury, document: Document, kind: str) -> Printed:
    """A document as a CSV or PDF file; one PDF at a time. Raises [invalid_request] for one with too many rows."""
    if kind == "csv":
        return Printed(content_type=CSV, name=f"{document.name}.csv", content=to_csv(document))
    rows = sum(len(table_rows) for _, _, table_rows in document.tables)
    if rows > PDF_ROWS_MAX:
        text = f"This document has {rows} rows, and a PDF at most {PDF_ROWS_MAX}. Ask for format=csv."
        raise TesseraError(ErrorCode.INVALID_REQUEST, text, param="format")
    async with treasury.printing:
        content = await asyncio.to_thread(treasury.print_pdf, document)
    return Printed(content_type=PDF, name=f"{document.name}.pdf", content=content)


def check_format(kind: str) -> None:
    """Raises [invalid_request] for what documents are not given as."""
    if kind not in FORMATS:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "format must be json, csv or pdf.", param="format")


def receipt_object(document: Document) -> dict[str, Any]:
    """A receipt as JSON."""
    return {"object": "receipt", "title": document.title, "facts": dict(document.facts)}


def statement_object(statement: Statement) -> dict[str, Any]:
    """A statement as JSON."""
    return {
        "object": "statement",
        "organization": statement.organization_id,
        "mode": statement.mode,
        "month": statement.month,
        "opening": format_usd(statement.opening_nanos),
        "opening_nanos": statement.opening_nanos,
        "charged": format_usd(statement.charged_nanos),
        "charged_nanos": statement.charged_nanos,
        "closing": format_usd(statement.closing_nanos),
        "closing_nanos": statement.closing_nanos,
        "tax": format_usd(statement.tax_nanos),
        "tax_nanos": statement.tax_nanos,
        "movements": [_line_object(line) for line in statement.lines],
        "usage": [{**msgspec.structs.asdict(row), "charge": format_usd(row.charge_nanos)} for row in statement.usage],
    }


def _line_object(line: StatementLine) -> dict[str, Any]:
    return {
        **msgspec.structs.asdict(line),
        "amount": format_usd(line.amount_nanos),
        "tax": format_usd(line.tax_nanos),
        "total": format_usd(line.total_nanos),
        "total_nanos": line.total_nanos,
    }
