"""Documents as files, before anything is printed."""

import pytest

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.payments.documents import Document
from tessera.flows.money.statements import PDF_ROWS_MAX, printed

pytestmark = pytest.mark.anyio


async def test_a_document_of_very_many_rows_is_given_as_csv_and_refused_as_pdf() -> None:
    rows = (("1.00",),) * (PDF_ROWS_MAX + 1)
    document = Document(name="d", title="D", facts=(), tables=(("Movements", ("Net (USD)",), rows),))
    treasury = None  # Neither is printed.
    file = await printed(treasury, document, "csv")  # type: ignore[arg-type]
    assert file.content.count(b"1.00") == PDF_ROWS_MAX + 1
    with pytest.raises(TesseraError) as caught:
        await printed(treasury, document, "pdf")  # type: ignore[arg-type]
    assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_REQUEST, "format")
