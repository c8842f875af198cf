"""What the errors of a database mean to a caller."""

from tessera.domain.errors import ErrorCode, TesseraError


def taken_over() -> TesseraError:
    """What a caller sees of a process whose database a newer Tessera has migrated: another serves, or soon will."""
    return TesseraError(
        ErrorCode.STORAGE_UNAVAILABLE,
        "A newer version of this gateway has taken over; this process begins nothing any more. Try again shortly.",
        retry_after_s=1,
    )


def unavailable(error: Exception) -> TesseraError:
    """What a caller sees when the database cannot answer: a 503 that says nothing of this machine."""
    refusal = TesseraError(
        ErrorCode.STORAGE_UNAVAILABLE,
        "The ledger cannot be reached at the moment; nothing was charged. Try again shortly.",
        retry_after_s=1,
    )
    refusal.__cause__ = error
    return refusal
