"""A provider's error answer in our words: which code the caller sees, and whether another deployment may do better."""

import re
from collections.abc import Mapping
from email.utils import parsedate_to_datetime
from typing import Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError

_MESSAGE_LENGTH_MAX = 300
_MESSAGE_READ_MAX = 10_000
"""Of a provider's message: what is in it is the provider's choice and, where it quotes the request, the caller's."""
_RETRY_AFTER_S_MAX = 3600
_SECRETS = re.compile(
    r"https?://\S+|\bsk[-_][\w*.-]+|\b(?:org|proj|key|user|acct)[-_][\w*.-]{4,}|(?<![\w.-])[\w.-]++@[\w.-]+|\b\d{1,3}(?:\.\d{1,3}){3}(?::\d+)?\b"
)
_KEPT_CODES = {
    "context_length_exceeded": ErrorCode.CONTEXT_LENGTH_EXCEEDED,
    "unsupported_parameter": ErrorCode.UNSUPPORTED_PARAMETER,
    "invalid_image_url": ErrorCode.INVALID_IMAGE_URL,
    "invalid_base64_image": ErrorCode.INVALID_BASE64_IMAGE,
    "image_parse_error": ErrorCode.IMAGE_PARSE_ERROR,
    "image_too_large": ErrorCode.IMAGE_TOO_LARGE,
}
_NO_MONEY_CODES = {"insufficient_quota", "credit_balance_exhausted", "organization_spend_limit_exceeded"}


class _Error(msgspec.Struct):
    message: str = ""
    code: str | int | None = None
    type: str | None = None
    param: str | None = None


class _ErrorBody(msgspec.Struct):
    """OpenAI's shape, and those of servers that say it all at the top (SGLang, Mistral, FastAPI's `detail`)."""

    error: _Error | str | None = None
    message: Any = None
    detail: Any = None
    code: Any = None
    type: Any = None
    param: Any = None


def read_refusal(status: int, headers: Mapping[str, str], body: bytes, *, flex: bool) -> tuple[TesseraError, bool]:
    """The caller's error for a provider's error status, and whether to fall back to another deployment.

    `headers` are lower-case. A provider's refusal of our own credential is never shown as the caller's (faults F5); its
    message is passed on only where the request itself is at fault, without addresses, keys or account names.
    """
    error = _read(body)
    code = str(error.code or error.type or "")
    retry_after_s = _retry_after_s(headers)
    if status in (401, 402, 403) or code in _NO_MONEY_CODES:
        return TesseraError(
            ErrorCode.PROVIDER_CREDENTIAL_REJECTED,
            "The provider does not accept this server's own credential for it. Your key is fine; tell the operator.",
        ), True
    if status == 429 and (code == "resource_unavailable" or flex):
        return TesseraError(
            ErrorCode.RESOURCE_UNAVAILABLE,
            "The provider has no flex capacity right now; nothing was charged. Try later or use the default tier.",
            retry_after_s=retry_after_s,
        ), True
    if status == 429:
        return TesseraError(
            ErrorCode.RATE_LIMIT_EXCEEDED,
            "The provider is limiting this server's rate; nothing was charged.",
            retry_after_s=retry_after_s or 1,
        ), True
    if status in (503, 529):
        return TesseraError(
            ErrorCode.OVERLOADED, "The provider is overloaded; nothing was charged.", retry_after_s=retry_after_s or 1
        ), True
    if status in (400, 409, 413, 415, 422):
        message = stripped(error.message)
        return TesseraError(
            _KEPT_CODES.get(code, ErrorCode.INVALID_REQUEST),
            f"The provider refused the request: {message}" if message else "The provider refused the request.",
            param=error.param,
        ), False
    return TesseraError(ErrorCode.PROVIDER_ERROR, f"The provider failed (status {status}); nothing was charged."), True


def stripped(message: str) -> str:
    """A provider's own words as a caller may read them: without addresses, keys or account names, and not too many."""
    return _SECRETS.sub("…", message[:_MESSAGE_READ_MAX])[:_MESSAGE_LENGTH_MAX]


def _read(body: bytes) -> _Error:
    try:
        said = msgspec.json.decode(body, type=_ErrorBody)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return _Error()
    if isinstance(said.error, _Error):
        return said.error
    message = next((text for text in (said.error, said.message, said.detail) if isinstance(text, str)), "")
    code, kind, param = (given if isinstance(given, str) else None for given in (said.code, said.type, said.param))
    return _Error(message=message, code=code, type=kind, param=param)


def _retry_after_s(headers: Mapping[str, str]) -> int | None:
    """Seconds or a date (RFC 9110, 10.2.3); a date is held against the provider's own clock, which `Date` tells."""
    value = headers.get("retry-after", "").strip()
    if value.isdecimal() and len(value) < 9:
        return min(int(value), _RETRY_AFTER_S_MAX)
    until, now = _time(value), _time(headers.get("date", ""))
    return None if until is None or now is None else min(max(0, until - now), _RETRY_AFTER_S_MAX)


def _time(date: str) -> int | None:
    """Seconds since 1970; None for what is no date."""
    try:
        return int(parsedate_to_datetime(date).timestamp())
    except (ValueError, OverflowError):
        return None
