"""OpenAI's error object."""

from typing import Any

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface

_TYPES = {
    ErrorCode.INVALID_API_KEY: "authentication_error",
    ErrorCode.NOT_SIGNED_IN: "authentication_error",
    ErrorCode.SIGN_IN_FAILED: "authentication_error",
    ErrorCode.SECOND_FACTOR_REQUIRED: "authentication_error",
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

_OWN = frozenset({"message", "type", "param", "code"})


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
