"""Error objects: OpenAI's shape, with what a program needs to act."""

import pytest
from openai.types.shared import ErrorObject

from tessera.domain.dialects.errors import error_object
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_has_the_official_shape(code: ErrorCode) -> None:
    said = error_object(Surface.CHAT, TesseraError(code, "What to do.", param="messages[0]"))
    assert set(said) == {"error"}
    error = ErrorObject.model_validate(said["error"], strict=True)
    assert (error.code, error.message, error.param) == (code.value, "What to do.", "messages[0]")


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (ErrorCode.INVALID_REQUEST, "invalid_request_error"),
        (ErrorCode.UNSUPPORTED_PARAMETER, "invalid_request_error"),
        (ErrorCode.INVALID_API_KEY, "authentication_error"),
        (ErrorCode.INSUFFICIENT_BALANCE, "insufficient_quota"),
        (ErrorCode.BALANCE_RESERVED, "rate_limit_error"),
        (ErrorCode.PROVIDER_ERROR, "server_error"),
        (ErrorCode.INTERNAL_ERROR, "server_error"),
    ],
)
def test_the_type_follows_from_the_code(code: ErrorCode, kind: str) -> None:
    assert error_object(Surface.RESPONSES, TesseraError(code, "x"))["error"]["type"] == kind


def test_details_stand_beside_and_never_over_the_fields() -> None:
    details = {"required": "0.05", "output_tokens_affordable": 7, "code": "other", "message": None}
    error = error_object(Surface.CHAT, TesseraError(ErrorCode.INSUFFICIENT_BALANCE, "No money.", details=details))
    assert error["error"] == {
        "message": "No money.",
        "type": "insufficient_quota",
        "param": None,
        "code": "insufficient_balance",
        "required": "0.05",
        "output_tokens_affordable": 7,
    }
