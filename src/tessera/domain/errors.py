"""Every way a call can be refused, by name.

`domain/dialects/errors.py` maps each code to a status and to the dialect's error object; nothing else decides a status.
"""

from collections.abc import Mapping
from enum import StrEnum


class ErrorCode(StrEnum):
    """The codes a caller can meet. Their meaning is part of the public contract and never changes."""

    INVALID_REQUEST = "invalid_request"
    UNSUPPORTED_PARAMETER = "unsupported_parameter"
    UNSUPPORTED_SERVICE_TIER = "unsupported_service_tier"
    CONTEXT_LENGTH_EXCEEDED = "context_length_exceeded"
    QUOTE_MISMATCH = "quote_mismatch"
    QUOTE_EXPIRED = "quote_expired"
    IDEMPOTENCY_MISMATCH = "idempotency_mismatch"
    INVALID_IMAGE_URL = "invalid_image_url"
    FAILED_TO_DOWNLOAD_IMAGE = "failed_to_download_image"
    INVALID_BASE64_IMAGE = "invalid_base64_image"
    UNSUPPORTED_IMAGE_FORMAT = "unsupported_image_format"
    IMAGE_TOO_LARGE = "image_too_large"
    IMAGE_PARSE_ERROR = "image_parse_error"
    TOO_MANY_IMAGES = "too_many_images"
    UNSUPPORTED_DETAIL = "unsupported_detail"
    INVALID_API_KEY = "invalid_api_key"
    NOT_SIGNED_IN = "not_signed_in"
    SIGN_IN_FAILED = "sign_in_failed"
    SECOND_FACTOR_REQUIRED = "second_factor_required"
    INSUFFICIENT_BALANCE = "insufficient_balance"
    BUDGET_EXCEEDED = "budget_exceeded"
    PRICE_OVER_LIMIT = "price_over_limit"
    PERMISSION_DENIED = "permission_denied"
    ORGANIZATION_SUSPENDED = "organization_suspended"
    MODEL_NOT_FOUND = "model_not_found"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    REQUEST_TIMEOUT = "request_timeout"
    IDEMPOTENCY_IN_PROGRESS = "idempotency_in_progress"
    REQUEST_TOO_LARGE = "request_too_large"
    BALANCE_RESERVED = "balance_reserved"
    RATE_LIMIT_EXCEEDED = "rate_limit_exceeded"
    CONCURRENCY_EXCEEDED = "concurrency_exceeded"
    RESOURCE_UNAVAILABLE = "resource_unavailable"
    PROVIDER_ERROR = "provider_error"
    PROVIDER_TIMEOUT = "provider_timeout"
    NO_DEPLOYMENT = "no_deployment"
    PROVIDER_CREDENTIAL_REJECTED = "provider_credential_rejected"
    STORAGE_UNAVAILABLE = "storage_unavailable"
    PAYMENTS_UNAVAILABLE = "payments_unavailable"
    OVERLOADED = "overloaded"
    INTERNAL_ERROR = "internal_error"


class TesseraError(Exception):
    """A refusal: a code, one plain sentence for the caller, and what a program needs to act on it.

    `param` names the field at fault as the caller wrote it (`messages[0].content[1].image_url.detail`).
    `details` are extra fields of the error object (`required`, `available`, `held`, `output_tokens_affordable`).
    `retry_after_s` becomes `Retry-After`; `should_retry` False becomes `x-should-retry: false`, set once money was
    or may have been spent, so that no client library repeats a paid call by itself.
    """

    def __init__(
        self,
        code: ErrorCode,
        message: str,
        *,
        param: str | None = None,
        retry_after_s: int | None = None,
        should_retry: bool | None = None,
        details: Mapping[str, str | int | None] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param
        self.retry_after_s = retry_after_s
        self.should_retry = should_retry
        self.details: Mapping[str, str | int | None] = details or {}
