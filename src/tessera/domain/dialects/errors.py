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
    ErrorCode.PAYMENTS_UNAVAILABLE: "server_error",
    ErrorCode.OVERLOADED: "server_error",
    ErrorCode.INTERNAL_ERROR: "server_error",
}
"""OpenAI's `type` by code. Every code that is not here is the caller's to mend: `invalid_request_error`."""

STATUS: dict[ErrorCode, int] = {
    ErrorCode.INVALID_REQUEST: 400,
    ErrorCode.UNSUPPORTED_PARAMETER: 400,
    ErrorCode.UNSUPPORTED_SERVICE_TIER: 400,
    ErrorCode.CONTEXT_LENGTH_EXCEEDED: 400,
    ErrorCode.QUOTE_MISMATCH: 400,
    ErrorCode.QUOTE_EXPIRED: 400,
    ErrorCode.IDEMPOTENCY_MISMATCH: 400,
    ErrorCode.INVALID_IMAGE_URL: 400,
    ErrorCode.FAILED_TO_DOWNLOAD_IMAGE: 400,
    ErrorCode.INVALID_BASE64_IMAGE: 400,
    ErrorCode.UNSUPPORTED_IMAGE_FORMAT: 400,
    ErrorCode.IMAGE_TOO_LARGE: 400,
    ErrorCode.IMAGE_PARSE_ERROR: 400,
    ErrorCode.TOO_MANY_IMAGES: 400,
    ErrorCode.UNSUPPORTED_DETAIL: 400,
    ErrorCode.INVALID_API_KEY: 401,
    ErrorCode.NOT_SIGNED_IN: 401,
    ErrorCode.SIGN_IN_FAILED: 401,
    ErrorCode.SECOND_FACTOR_REQUIRED: 401,
    ErrorCode.INSUFFICIENT_BALANCE: 402,
    ErrorCode.BUDGET_EXCEEDED: 402,
    ErrorCode.PRICE_OVER_LIMIT: 402,
    ErrorCode.PERMISSION_DENIED: 403,
    ErrorCode.ORGANIZATION_SUSPENDED: 403,
    ErrorCode.MODEL_NOT_FOUND: 404,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.METHOD_NOT_ALLOWED: 405,
    ErrorCode.REQUEST_TIMEOUT: 408,
    ErrorCode.IDEMPOTENCY_IN_PROGRESS: 409,
    ErrorCode.REQUEST_TOO_LARGE: 413,
    ErrorCode.BALANCE_RESERVED: 429,
    ErrorCode.RATE_LIMIT_EXCEEDED: 429,
    ErrorCode.CONCURRENCY_EXCEEDED: 429,
    ErrorCode.RESOURCE_UNAVAILABLE: 429,
    ErrorCode.INTERNAL_ERROR: 500,
    ErrorCode.PROVIDER_ERROR: 502,
    ErrorCode.PROVIDER_TIMEOUT: 504,
    ErrorCode.NO_DEPLOYMENT: 503,
    ErrorCode.PROVIDER_CREDENTIAL_REJECTED: 503,
    ErrorCode.STORAGE_UNAVAILABLE: 503,
    ErrorCode.PAYMENTS_UNAVAILABLE: 503,
    ErrorCode.OVERLOADED: 503,
}
"""The one table from error code to HTTP status."""

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
