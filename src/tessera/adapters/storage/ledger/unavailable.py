"""What the errors of a database mean to a caller."""

from tessera.domain.errors import ErrorCode, TesseraError


def unavailable(error: Exception) -> TesseraError:
    """What a caller sees when the database cannot answer: a 503 that says nothing of this machine."""
    refusal = TesseraError(
        ErrorCode.STORAGE_UNAVAILABLE,
        "The ledger cannot be reached at the moment; nothing was charged. Try again shortly.",
        retry_after_s=1,
    )
    refusal.__cause__ = error
    return refusal
