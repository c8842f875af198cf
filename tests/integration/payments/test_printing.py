"""Documents as files."""

import pytest

from integration.payments.conftest import Till
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.payments.documents import Document
from tessera.flows.money.statements import PDF_ROWS_MAX, printed

pytestmark = pytest.mark.anyio


async def test_a_document_of_very_many_rows_is_given_as_csv_and_refused_as_pdf(till: Till) -> None:
    rows = (("1.00",),) * (PDF_ROWS_MAX + 1)
    document = Document(name="d", title="D", facts=(), tables=(("Movements", ("Net (USD)",), rows),))
    file = await printed(till.treasury, document, "csv")
    assert file.content.count(b"1.00") == PDF_ROWS_MAX + 1
    with pytest.raises(TesseraError) as caught:
        await printed(till.treasury, document, "pdf")
    assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_REQUEST, "format")
