"""The one table from error code to HTTP status."""

import msgspec

from tessera.domain.dialects.errors import error_object
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface
from tessera.http.exchange import JSON, Exchange

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
    ErrorCode.OVERLOADED: 503,
}

_RETRY_AFTER_DEFAULT_S = {
    ErrorCode.BALANCE_RESERVED: 1,
    ErrorCode.RATE_LIMIT_EXCEEDED: 1,
    ErrorCode.CONCURRENCY_EXCEEDED: 1,
    ErrorCode.RESOURCE_UNAVAILABLE: 5,
    ErrorCode.IDEMPOTENCY_IN_PROGRESS: 1,
    ErrorCode.STORAGE_UNAVAILABLE: 1,
    ErrorCode.OVERLOADED: 1,
}
_CLOSES = {ErrorCode.REQUEST_TIMEOUT, ErrorCode.REQUEST_TOO_LARGE}


async def reply_error(exchange: Exchange, error: TesseraError, surface: Surface = Surface.CHAT) -> None:
    """Answers with an error in the dialect of `surface`, if the head has not been sent yet."""
    retry_after_s = error.retry_after_s
    if retry_after_s is None:
        retry_after_s = _RETRY_AFTER_DEFAULT_S.get(error.code)
    headers = [JSON]
    if retry_after_s is not None:
        headers.append((b"retry-after", str(retry_after_s).encode()))
    if error.should_retry is not None:
        headers.append((b"x-should-retry", b"true" if error.should_retry else b"false"))
    if error.code is ErrorCode.INVALID_API_KEY:
        headers.append((b"www-authenticate", b"Bearer"))
    if error.code in _CLOSES:
        # What is left of the body is not read: the connection cannot carry another request.
        headers.append((b"connection", b"close"))
    await exchange.reply(STATUS[error.code], msgspec.json.encode(error_object(surface, error)), headers)
