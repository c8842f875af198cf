"""What the ledger could not settle by itself: an operator settles it with the provider."""

import msgspec

from tessera.domain.money import Mode


class RefusedSettlement(msgspec.Struct, frozen=True, kw_only=True):
    """A settlement its hold did not take, kept: what it would have charged, and what the provider bills for the call.

    `state` is what became of the hold. Times are seconds since 1970.
    """

    request_id: str
    organization_id: str
    mode: Mode
    reason: str
    state: str
    outcome: str
    deployment: str
    charge_nanos: int
    cost_nanos: int
    refused_at: int


class QuarantinedUsage(msgspec.Struct, frozen=True, kw_only=True):
    """A call that was charged by our own count, because what its provider reported could not be true."""

    request_id: str
    organization_id: str
    mode: Mode
    model: str
    deployment: str
    charge_nanos: int
    cost_nanos: int
    settled_at: int


class Reconciliation(msgspec.Struct, frozen=True, kw_only=True):
    """What an operator has to settle with a provider, newest first."""

    refused_settlements: tuple[RefusedSettlement, ...]
    quarantined_usage: tuple[QuarantinedUsage, ...]
