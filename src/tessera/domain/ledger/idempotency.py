"""What a repeated idempotency key gets: the rules of `docs/reference/ledger.md`, section Idempotency."""

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.orders import HoldOrder, StoredReply
from tessera.domain.ledger.resolutions import HoldState
from tessera.domain.money import Mode, format_usd

KEY_RETENTION_US = 48 * 3600 * 1_000_000
"""How long a key is remembered: twice the 24 hours that are promised."""

KEY_LENGTH_MAX = 255
IN_PROGRESS_RETRY_AFTER_S = 1


class EarlierCall(msgspec.Struct, frozen=True, kw_only=True):
    """The call that used a key before. `reply` is None while it runs, and when its body was not kept."""

    hold_id: str
    state: HoldState
    amount_nanos: int
    charge_nanos: int
    fingerprint: bytes
    placed_at_us: int
    reply: StoredReply | None


class KeyOrder(msgspec.Struct, frozen=True, kw_only=True):
    """A call that asks what its idempotency key was used for, before anything else is done for it."""

    organization_id: str
    mode: Mode
    idempotency_key: str
    fingerprint: bytes
    placed_at_us: int


def needed_key(key: str | None, what: str, does: str) -> str:
    """The key of what moves money only with one. Raises [invalid_request] for none, and for one that cannot be one."""
    if key is None or not 0 < len(key) <= KEY_LENGTH_MAX or not key.isprintable():
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            f"{what} needs an Idempotency-Key header of 1 to {KEY_LENGTH_MAX} printable characters, so that a "
            f"repeated click {does} once.",
            param="Idempotency-Key",
        )
    return key


def decide_repeat(earlier: EarlierCall, order: HoldOrder | KeyOrder) -> StoredReply | None:
    """The finished reply of the same call, or None when the key is free again: its time is over.

    Raises idempotency_mismatch for another call under the same key, and for one that finished without its reply being
    kept (it is not run again: it was paid for); idempotency_in_progress while the first one runs.
    """
    running = earlier.state in (HoldState.OPEN, HoldState.SETTLING)
    if not running and order.placed_at_us - earlier.placed_at_us > KEY_RETENTION_US:
        return None
    if earlier.fingerprint != order.fingerprint:
        raise TesseraError(
            ErrorCode.IDEMPOTENCY_MISMATCH,
            "This Idempotency-Key was used for a different request. Send the same endpoint, model and body again, or "
            "use a new key.",
            param="Idempotency-Key",
            should_retry=False,
        )
    if running:
        raise TesseraError(
            ErrorCode.IDEMPOTENCY_IN_PROGRESS,
            f"The call with this Idempotency-Key is still running as request {earlier.hold_id}. Ask again shortly.",
            param="Idempotency-Key",
            retry_after_s=IN_PROGRESS_RETRY_AFTER_S,
            details={"request_id": earlier.hold_id},
        )
    if earlier.reply is None:
        charge = format_usd(earlier.charge_nanos)
        raise TesseraError(
            ErrorCode.IDEMPOTENCY_MISMATCH,
            f"The call with this Idempotency-Key finished as request {earlier.hold_id} and was charged ${charge}, but "
            "its reply was not kept. It is not run again; use a new key for a new call.",
            param="Idempotency-Key",
            should_retry=False,
            details={
                "request_id": earlier.hold_id,
                "charge": charge,
                "charge_nanos": earlier.charge_nanos,
            },
        )
    return earlier.reply
