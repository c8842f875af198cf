"""Files of usage: exact, and made in memory that does not grow with them."""

import csv
import io

import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities
from tessera.domain.usage_report import UsedCall
from tessera.flows.usage.files import COLUMNS, FORMATS, GROUP_ROWS, CsvFile, ParquetFile, check_format


def call(number: int, charge: int = 0, model: str = "gpt-4o", at_us: int = 1_795_348_800_000_000) -> UsedCall:
    return UsedCall(
        request_id=f"req_{number}",
        mode=Mode.LIVE,
        project_id="prj_1",
        key_id="key_1",
        member_id=None,
        model=model,
        endpoint="/v1/chat/completions",
        tier="default",
        outcome="completed",
        status=200,
        deployment="openai/gpt-4o",
        usage=Quantities(input_tokens=number),
        usage_source="provider",
        charge_nanos=charge,
        waived_nanos=0,
        placed_at_us=at_us,
        settled_at_us=at_us,
        latency_ms=5,
    )


@given(st.lists(st.tuples(st.integers(0, 2**63 - 1), st.text(), st.integers(0, 2**52)), max_size=5))
def test_what_is_written_is_read_again(rows: list[tuple[int, str, int]]) -> None:
    calls = [call(number, charge, model, at_us) for number, (charge, model, at_us) in enumerate(rows)]
    text, table = CsvFile(), ParquetFile()
    written = (text.add(calls) + text.end()).decode()
    found = list(csv.DictReader(io.StringIO(written, newline="")))
    typed = pyarrow.parquet.read_table(io.BytesIO(table.add(calls) + table.end())).to_pylist()
    assert [int(row["charge_nanos"]) for row in found] == [row["charge_nanos"] for row in typed]
    assert [(row["charge_nanos"], row["model"]) for row in typed] == [(charge, model) for charge, model, _ in rows]
    assert [row["model"] for row in found] == [model for _, model, _ in rows]
    assert [int(row["charge"] * 10**9) for row in typed] == [charge for charge, _, _ in rows]


def test_parquet_goes_out_group_by_group() -> None:
    file = ParquetFile()
    pieces = [file.add([call(number) for number in range(first, first + 2_000)]) for first in range(0, 50_000, 2_000)]
    last = file.end()
    assert sum(1 for piece in pieces if len(piece) > 4) == 50_000 // GROUP_ROWS
    table = pyarrow.parquet.ParquetFile(io.BytesIO(b"".join(pieces) + last))
    assert table.num_row_groups == 5
    assert table.metadata.num_rows == 50_000


@pytest.mark.parametrize("name", FORMATS)
def test_a_file_without_calls_has_its_columns(name: str) -> None:
    check_format(name)
    file = FORMATS[name]()
    content = file.add([]) + file.end()
    if name == "csv":
        assert content.decode() == ",".join(COLUMNS) + "\r\n"
    else:
        assert pyarrow.parquet.read_table(io.BytesIO(content)).column_names == list(COLUMNS)


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(TesseraError) as caught:
        check_format("xlsx")
    assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_REQUEST, "format")
