"""Receipts and statements as documents: what they say, apart from how they are printed."""

import csv
import io
from datetime import UTC, datetime

import msgspec

from tessera.domain.money import format_usd
from tessera.domain.payments.records import TopUp
from tessera.domain.payments.statements import Statement

_FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")
"""What a spreadsheet takes for the beginning of a formula, in full width too."""


class Document(msgspec.Struct, frozen=True, kw_only=True):
    """A title, facts by their names, and tables of text with a header each. `name` is what its file is called."""

    name: str
    title: str
    facts: tuple[tuple[str, str], ...]
    tables: tuple[tuple[str, tuple[str, ...], tuple[tuple[str, ...], ...]], ...] = ()


def receipt_document(topup: TopUp, organization: str) -> Document:
    """The receipt of a top-up that was paid."""
    facts = [
        ("Receipt", topup.id),
        ("Organization", organization),
        ("Organization id", topup.organization_id),
        ("Mode", topup.mode.value),
        ("Paid", _time(topup.paid_at or 0)),
        ("Paid by", f"{topup.service.value}, payment {topup.payment_id}"),
        ("Net, credited (USD)", format_usd(topup.amount_nanos)),
        ("Tax (USD)", format_usd(topup.tax_nanos)),
        ("Total (USD)", format_usd(topup.total_nanos)),
    ]
    if topup.refunded_nanos:
        facts.append(("Refunded (USD)", format_usd(topup.refunded_nanos)))
    if topup.disputed_nanos:
        facts.append(("Disputed (USD)", format_usd(topup.disputed_nanos)))
    if topup.returned_tax_nanos:
        facts.append(("Tax in refunds and disputes (USD)", format_usd(topup.returned_tax_nanos)))
    return Document(name=f"receipt-{topup.id}", title="Receipt: prepaid credit", facts=tuple(facts))


def statement_document(statement: Statement) -> Document:
    """The statement of a month; amounts are exact."""
    movements = tuple(
        (
            *(_time(line.at), line.kind.replace("_", " "), line.reference, line.note),
            *(format_usd(nanos) for nanos in (line.amount_nanos, line.tax_nanos, line.total_nanos)),
        )
        for line in statement.lines
    )
    usage = tuple(
        (row.model, str(row.calls), str(row.input_tokens), str(row.output_tokens), format_usd(row.charge_nanos))
        for row in statement.usage
    )
    return Document(
        name=f"statement-{statement.mode}-{statement.month}",
        title=f"Statement {statement.month}",
        facts=(
            ("Organization", statement.organization),
            ("Organization id", statement.organization_id),
            ("Mode", statement.mode.value),
            ("From (UTC)", _time(statement.start)),
            ("Until (UTC)", _time(statement.end)),
            ("Balance at the beginning (USD)", format_usd(statement.opening_nanos)),
            ("Credits, refunds and other movements (USD)", format_usd(statement.moved_nanos)),
            ("Charged for calls (USD)", format_usd(statement.charged_nanos)),
            ("Balance at the end (USD)", format_usd(statement.closing_nanos)),
            ("Tax paid, less tax returned (USD)", format_usd(statement.tax_nanos)),
            ("Movements and tax together (USD)", format_usd(statement.moved_nanos + statement.tax_nanos)),
        ),
        tables=(
            (
                "Movements",
                ("Time (UTC)", "Kind", "Reference", "Note", "Net (USD)", "Tax (USD)", "Total (USD)"),
                movements,
            ),
            ("Calls", ("Model", "Calls", "Input tokens", "Output tokens", "Charged (USD)"), usage),
        ),
    )


def to_csv(document: Document) -> bytes:
    """The document as comma-separated values in UTF-8: the facts, then each table after an empty line.

    No cell can be taken for a formula by a spreadsheet (ASVS 1.2.10), negative amounts aside, which are numbers.
    """
    text = io.StringIO()
    writer = csv.writer(text)
    writer.writerows([name, _cell(value)] for name, value in document.facts)
    for title, columns, rows in document.tables:
        writer.writerow([])
        writer.writerow([title])
        writer.writerow(columns)
        writer.writerows([_cell(value) for value in row] for row in rows)
    return text.getvalue().encode()


def _cell(value: str) -> str:
    is_number = value.removeprefix("-").replace(".", "", 1).isdecimal()
    return f"'{value}" if value.startswith(_FORMULA) and not is_number else value


def _time(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S")
