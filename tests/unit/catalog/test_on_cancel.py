"""What providers bill for answers that are not read to their end: dated, sourced rows under the operator's choice."""

from datetime import date

import pytest

from tessera.catalog.on_cancel import OnCancelRow, OnCancelRules, packaged_on_cancel, read_on_cancel
from tessera.domain.request import Surface
from tessera.domain.usage import OnCancel

ROW = """
[[row]]
provider = "acme"
surfaces = ["chat"]
on_cancel = "stops_billing"
valid_from = 2026-01-01
source = "acme.example/docs"
"""


def rules(*rows: OnCancelRow, **chosen: OnCancel) -> OnCancelRules:
    return OnCancelRules(rows or read_on_cancel(ROW), chosen)


@pytest.mark.parametrize(
    "text",
    [
        "[[row]]",
        ROW.replace("stops_billing", "sometimes"),
        ROW.replace('"chat"', ""),
        ROW.replace("acme.example/docs", " "),
        ROW + ROW,
        ROW + "since = 1",
    ],
)
def test_a_row_that_breaks_its_schema_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="on_cancel"):
        read_on_cancel(text)


def test_a_provider_is_unknown_before_its_row_begins_and_where_none_is() -> None:
    assert rules().find("acme", Surface.CHAT, date(2025, 12, 31)) is OnCancel.UNKNOWN
    assert rules().find("acme", Surface.CHAT, date(2026, 1, 1)) is OnCancel.STOPS_BILLING
    assert rules().find("acme", Surface.RESPONSES, date(2026, 1, 1)) is OnCancel.UNKNOWN
    assert rules().find("other", Surface.CHAT, date(2026, 1, 1)) is OnCancel.UNKNOWN


def test_the_latest_row_that_has_begun_holds() -> None:
    later = read_on_cancel(ROW.replace("2026-01-01", "2026-06-01").replace("stops_billing", "bills_in_full"))
    both = rules(*later, *read_on_cancel(ROW))
    assert both.find("acme", Surface.CHAT, date(2026, 5, 31)) is OnCancel.STOPS_BILLING
    assert both.find("acme", Surface.CHAT, date(2026, 6, 1)) is OnCancel.BILLS_IN_FULL


def test_the_operators_choice_stands_over_every_row() -> None:
    chosen = rules(acme=OnCancel.UNKNOWN, other=OnCancel.BILLS_IN_FULL)
    assert chosen.find("acme", Surface.CHAT, date(2026, 1, 1)) is OnCancel.UNKNOWN
    assert chosen.find("other", Surface.RESPONSES, date(2026, 1, 1)) is OnCancel.BILLS_IN_FULL


def test_every_packaged_row_is_dated_and_sourced() -> None:
    rows = packaged_on_cancel()
    assert {row.provider for row in rows} >= {"openai", "sight", "sandbox"}
    assert all(row.source and row.valid_from <= date(2026, 11, 22) for row in rows)
