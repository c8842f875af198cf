"""Errors as replies: the status and object of the dialect, and the headers that say what to do."""

import msgspec

from tessera.domain.dialects.errors import STATUS, error_object
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface
from tessera.http.exchange import JSON, Exchange

_RETRY_AFTER_DEFAULT_S = {
    ErrorCode.BALANCE_RESERVED: 1,
    ErrorCode.RATE_LIMIT_EXCEEDED: 1,
    ErrorCode.CONCURRENCY_EXCEEDED: 1,
    ErrorCode.RESOURCE_UNAVAILABLE: 5,
    ErrorCode.IDEMPOTENCY_IN_PROGRESS: 1,
    ErrorCode.STORAGE_UNAVAILABLE: 1,
    ErrorCode.PAYMENTS_UNAVAILABLE: 5,
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
