"""Months, amounts and files of money in and out."""

import csv
import io
from datetime import UTC, datetime

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tessera.domain.errors import TesseraError
from tessera.domain.money import NANOS_PER_USD, format_usd
from tessera.domain.payments.documents import Document, to_csv
from tessera.domain.payments.records import cents_of, parse_payment
from tessera.domain.payments.statements import month_bounds


@given(year=st.integers(2000, 2098), month=st.integers(1, 12))
def test_months_follow_each_other_without_a_gap(year: int, month: int) -> None:
    start, end = month_bounds(f"{year}-{month:02d}")
    after = f"{year + month // 12}-{month % 12 + 1:02d}"
    assert month_bounds(after)[0] == end
    assert datetime.fromtimestamp(start, UTC) == datetime(year, month, 1, tzinfo=UTC)


@given(cents=st.integers(500, 1_000_000))
def test_whole_cents_are_read_exactly(cents: int) -> None:
    nanos = cents * 10_000_000
    read = parse_payment(format_usd(nanos), param="amount", least_nanos=5 * NANOS_PER_USD, most_nanos=10**13)
    assert (read, cents_of(read)) == (nanos, cents)


@given(text=st.text(max_size=20))
def test_what_is_no_amount_is_refused_by_name(text: str) -> None:
    refused = None
    try:
        read = parse_payment(text, param="amount", least_nanos=5 * NANOS_PER_USD, most_nanos=10**13)
        assert 5 * NANOS_PER_USD <= read <= 10**13
    except TesseraError as error:
        refused = error.param
    assert refused in (None, "amount")


@given(value=st.text(st.characters(exclude_categories=("Cs",), exclude_characters="\0\r"), max_size=30))
@example(value="\n=1+1")
@example(value="\uff1dHYPERLINK(1)")
def test_no_cell_is_a_formula_and_none_is_lost(value: str) -> None:
    document = Document(name="d", title="D", facts=(("fact", value),), tables=(("T", ("column",), ((value,),)),))
    rows = list(csv.reader(io.StringIO(to_csv(document).decode(), newline="")))
    for shown in (rows[0][1], rows[-1][0] if rows[-1] else ""):
        assert shown in (value, f"'{value}")
        number = shown.removeprefix("-").replace(".", "", 1).isdecimal()
        assert number or not shown.startswith(tuple("=+-@\t\n\uff1d\uff0b\uff0d\uff20"))


@pytest.mark.parametrize("month", ["", "2026", "2026-1", "2026-00", "2026-13", "1999-01", "2026-01-01", "２０２６-01"])
def test_what_is_no_month_is_refused(month: str) -> None:
    with pytest.raises(TesseraError, match="from 2000-01 to 2099-12"):
        month_bounds(month)
