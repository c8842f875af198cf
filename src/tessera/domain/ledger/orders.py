"""What flows ask of the ledger, and what it answers."""

from enum import StrEnum

import msgspec

from tessera.domain.money import Mode


class StoredReply(msgspec.Struct, frozen=True, kw_only=True):
    """A finished reply kept for its idempotency key: given again, byte for byte, instead of running the call twice."""

    request_id: str
    status: int
    content_type: str
    body: bytes
    charge_nanos: int


class HoldOrder(msgspec.Struct, frozen=True, kw_only=True):
    """Asks to move `amount_nanos` from available to held for one call, before anything is sent.

    `id` is the request id and the hold's primary key. The grant lies between `amount_min_nanos` and `amount_nanos`
    (equal unless the caller asked for Fit). `idempotency_key` is scoped to organization and mode, `fingerprint` is the
    SHA-256 of endpoint and body, empty without a key. `quote` is the `Quote` as JSON, pinned for the receipt; `owner`
    the process whose heartbeat keeps the hold alive. Times are microseconds since 1970. `tokens` is what counts against
    tokens per minute: the predicted input and all the output the call may write.
    """

    id: str
    organization_id: str
    project_id: str
    key_id: str
    mode: Mode
    amount_nanos: int
    amount_min_nanos: int
    idempotency_key: str | None
    fingerprint: bytes
    endpoint: str
    model: str
    stream: bool
    quote: bytes
    owner: str
    placed_at_us: int
    tokens: int = 0


class RateLeft(msgspec.Struct, frozen=True, kw_only=True):
    """What the limits per minute still allow after a grant: (left, limit, microseconds until all is left again)."""

    requests: tuple[int, int, int] | None
    tokens: tuple[int, int, int] | None


class HoldGrant(msgspec.Struct, frozen=True, kw_only=True):
    """The answer to a hold order: what was granted, or the finished reply of the same idempotency key.

    With a reply, `granted_nanos` is what had been held for the call it answered. `rate` is None where no limit per
    minute is set.
    """

    granted_nanos: int
    replay: StoredReply | None = None
    rate: RateLeft | None = None


class Outcome(StrEnum):
    """How a call ended. Which outcome charges what is the published policy (docs/reference/who-pays.md)."""

    COMPLETED = "completed"
    CLIENT_DISCONNECTED = "client_disconnected"
    PROVIDER_ERROR = "provider_error"
    PROVIDER_TIMEOUT = "provider_timeout"
    REFUSED = "refused"
    REVOKED = "revoked"
    CANCELLED = "cancelled"
    EXPIRED = "expired"
