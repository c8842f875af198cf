"""What a call used, and the one record it leaves behind."""

from enum import StrEnum

import msgspec

from tessera.domain.ledger.orders import Outcome, StoredReply
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities


class UsageSource(StrEnum):
    """Who counted: the provider's own usage object, our count of what was delivered, or nobody (nothing delivered)."""

    PROVIDER = "provider"
    LOCAL = "local"
    NONE = "none"


class Attempt(msgspec.Struct, frozen=True, kw_only=True):
    """One try at one deployment. `status` is the provider's HTTP status, None if none came; `error` our own code."""

    deployment: str
    status: int | None
    error: str | None
    started_at: int
    duration_ms: int


class UsageEvent(msgspec.Struct, frozen=True, kw_only=True):
    """The settlement of one hold and everything its receipt needs; written once, in the settle's commit.

    `charge_nanos` ≤ the hold; what measured usage would have cost beyond it is `waived_nanos` and is never charged.
    `charge` is the charge with its lines as JSON. `cost_nanos` is what the provider bills the operator, `loss_nanos`
    the provider's cost that no customer pays. `reply` is kept only when the caller sent an idempotency key.
    """

    hold_id: str
    organization_id: str
    mode: Mode
    outcome: Outcome
    status: int
    deployment: str
    served_tier: str
    price_version: str
    usage: Quantities
    usage_source: UsageSource
    predicted_input_tokens: int
    predicted_image_tokens: int
    charge_nanos: int
    waived_nanos: int
    cost_nanos: int
    loss_nanos: int
    charge: bytes
    attempts: tuple[Attempt, ...]
    settled_at_us: int
    latency_ms: int
    first_byte_ms: int | None
    reply: StoredReply | None = None
