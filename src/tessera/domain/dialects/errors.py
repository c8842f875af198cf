"""OpenAI's error object, both ways: ours for callers, a provider's for us."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface

_TYPES = {
    ErrorCode.INVALID_API_KEY: "authentication_error",
    ErrorCode.PERMISSION_DENIED: "permission_error",
    ErrorCode.ORGANIZATION_SUSPENDED: "permission_error",
    ErrorCode.MODEL_NOT_FOUND: "not_found_error",
    ErrorCode.NOT_FOUND: "not_found_error",
    ErrorCode.INSUFFICIENT_BALANCE: "insufficient_quota",
    ErrorCode.BUDGET_EXCEEDED: "insufficient_quota",
    ErrorCode.PRICE_OVER_LIMIT: "insufficient_quota",
    ErrorCode.BALANCE_RESERVED: "rate_limit_error",
    ErrorCode.RATE_LIMIT_EXCEEDED: "rate_limit_error",
    ErrorCode.CONCURRENCY_EXCEEDED: "rate_limit_error",
    ErrorCode.RESOURCE_UNAVAILABLE: "rate_limit_error",
    ErrorCode.PROVIDER_ERROR: "server_error",
    ErrorCode.PROVIDER_TIMEOUT: "server_error",
    ErrorCode.NO_DEPLOYMENT: "server_error",
    ErrorCode.PROVIDER_CREDENTIAL_REJECTED: "server_error",
    ErrorCode.STORAGE_UNAVAILABLE: "server_error",
    ErrorCode.OVERLOADED: "server_error",
    ErrorCode.INTERNAL_ERROR: "server_error",
}
"""OpenAI's `type` by code. Every code that is not here is the caller's to mend: `invalid_request_error`."""


def error_object(_: Surface, error: TesseraError) -> dict[str, Any]:
    """`{"error": {message, type, param, code, …details}}`. Chat and responses share OpenAI's one shape."""
    return {
        "error": {
            "message": error.message,
            "type": _TYPES.get(error.code, "invalid_request_error"),
            "param": error.param,
            "code": error.code.value,
            **{name: value for name, value in error.details.items() if name not in _OWN},
        }
    }


_OWN = frozenset({"message", "type", "param", "code"})

_PASSED_400 = {
    "context_length_exceeded": ErrorCode.CONTEXT_LENGTH_EXCEEDED,
    "string_above_max_length": ErrorCode.INVALID_REQUEST,
    "unsupported_parameter": ErrorCode.UNSUPPORTED_PARAMETER,
    "invalid_image_url": ErrorCode.INVALID_IMAGE_URL,
    "failed_to_download_image": ErrorCode.FAILED_TO_DOWNLOAD_IMAGE,
    "invalid_base64_image": ErrorCode.INVALID_BASE64_IMAGE,
    "invalid_image": ErrorCode.IMAGE_PARSE_ERROR,
    "invalid_image_format": ErrorCode.UNSUPPORTED_IMAGE_FORMAT,
    "unsupported_image_media_type": ErrorCode.UNSUPPORTED_IMAGE_FORMAT,
    "image_too_large": ErrorCode.IMAGE_TOO_LARGE,
    "image_file_too_large": ErrorCode.IMAGE_TOO_LARGE,
    "image_parse_error": ErrorCode.IMAGE_PARSE_ERROR,
    "empty_image_file": ErrorCode.IMAGE_PARSE_ERROR,
}
_MESSAGE_MAX = 2000
_RETRY_AFTER_MAX_S = 3600


def provider_refusal(status: int, raw: bytes, headers: Mapping[str, str] | None = None) -> TesseraError:
    """What a provider's HTTP error means to our caller, decided on status and code, never on message text.

    Only a 400, 413 or 422 is the caller's own mistake and keeps the provider's message and field. A refused credential,
    an empty operator's account or a missing model at the provider are the operator's, and show nothing of the reply.
    """
    said = _said(raw)
    code = said.get("code") or said.get("type")
    wait_s = _retry_after(headers or {})
    if status in (400, 413, 422):
        message = said.get("message")
        text = message if isinstance(message, str) and message else "The provider refused the request."
        param = said.get("param")
        return TesseraError(
            _PASSED_400.get(code, ErrorCode.INVALID_REQUEST) if isinstance(code, str) else ErrorCode.INVALID_REQUEST,
            text[:_MESSAGE_MAX],
            param=param[:200] if isinstance(param, str) else None,
        )
    if status in (401, 402, 403):
        return TesseraError(
            ErrorCode.PROVIDER_CREDENTIAL_REJECTED,
            "The provider refused this server's credential. The operator has been told; nothing was charged.",
        )
    if status == 404:
        return TesseraError(
            ErrorCode.NO_DEPLOYMENT, "The provider does not serve this model at present. Nothing was charged."
        )
    if status == 429 and code == "resource_unavailable":
        return TesseraError(
            ErrorCode.RESOURCE_UNAVAILABLE,
            "The provider has no flex capacity now. Try again later, or use the default tier. Nothing was charged.",
            retry_after_s=wait_s,
        )
    if status == 429 and code in _OPERATOR_QUOTA:
        return TesseraError(
            ErrorCode.PROVIDER_CREDENTIAL_REJECTED,
            "This server's account at the provider is used up. The operator has been told; nothing was charged.",
        )
    if status in (429, 503):
        return TesseraError(
            ErrorCode.OVERLOADED, "The provider is overloaded. Try again. Nothing was charged.", retry_after_s=wait_s
        )
    if status in (408, 504):
        return TesseraError(ErrorCode.PROVIDER_TIMEOUT, "The provider did not answer in time. Nothing was charged.")
    return TesseraError(ErrorCode.PROVIDER_ERROR, f"The provider failed with status {status}. Nothing was charged.")


_OPERATOR_QUOTA = frozenset(
    {
        "insufficient_quota",
        "credit_balance_exhausted",
        "organization_spend_limit_exceeded",
        "billing_hard_limit_reached",
    }
)


def _said(raw: bytes) -> dict[str, Any]:
    """The error object of a reply: OpenAI's, or the flat or textual ones of compatible servers."""
    try:
        decoded = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return {}
    if not isinstance(decoded, dict):
        return {}
    said = decoded.get("error", decoded)
    if isinstance(said, str):
        return {"message": said}
    return said if isinstance(said, dict) else {}


def _retry_after(headers: Mapping[str, str]) -> int | None:
    for name, value in headers.items():
        if name.lower() == "retry-after" and value.isascii() and value.isdigit() and len(value) < 10:
            return min(int(value), _RETRY_AFTER_MAX_S)
    return None
