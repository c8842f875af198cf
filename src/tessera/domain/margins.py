"""Margins: what customers were charged against what providers bill the operator, in exact integers."""

from collections.abc import Iterable
from datetime import UTC, date, datetime
from enum import StrEnum

import msgspec


class MarginGroup(StrEnum):
    """What margins can be told apart by."""

    ORGANIZATION = "organization"
    MODEL = "model"
    PROVIDER = "provider"


class Period(StrEnum):
    """How much time one margin covers: all that was asked for, or each day or month of it (UTC)."""

    ALL = "all"
    DAY = "day"
    MONTH = "month"


class MarginSums(msgspec.Struct, frozen=True, kw_only=True):
    """Exact sums over usage events. `cost_nanos` is the provider's bill for what customers pay, `loss_nanos` for what
    none of them pays, `waived_nanos` what measured usage would have cost customers beyond their holds. `refund_nanos`
    is what was given back of charges, whenever they were charged. `fee_nanos` is what payment services kept: it belongs
    to no call."""

    requests: int
    charge_nanos: int
    waived_nanos: int
    cost_nanos: int
    loss_nanos: int
    refund_nanos: int = 0
    fee_nanos: int = 0

    @property
    def margin_nanos(self) -> int:
        """What is left of the charges; below zero where providers bill more than customers paid."""
        return self.charge_nanos - self.refund_nanos - self.cost_nanos - self.loss_nanos - self.fee_nanos

    def __add__(self, other: "MarginSums") -> "MarginSums":
        return MarginSums(
            requests=self.requests + other.requests,
            charge_nanos=self.charge_nanos + other.charge_nanos,
            waived_nanos=self.waived_nanos + other.waived_nanos,
            cost_nanos=self.cost_nanos + other.cost_nanos,
            loss_nanos=self.loss_nanos + other.loss_nanos,
            refund_nanos=self.refund_nanos + other.refund_nanos,
            fee_nanos=self.fee_nanos + other.fee_nanos,
        )


class SettledSums(msgspec.Struct, frozen=True, kw_only=True):
    """The sums of one day (days since 1970), organization, model and deployment, as the ledger adds them up.

    Fees are of no model and no deployment: both are empty.
    """

    day: int
    organization_id: str
    model: str
    deployment: str
    sums: MarginSums


class Margin(msgspec.Struct, frozen=True, kw_only=True):
    """One line of a report. What was not asked to be told apart is None; so is the provider of calls none served."""

    start: date | None
    organization_id: str | None
    model: str | None
    provider: str | None
    sums: MarginSums


def margins_of(rows: Iterable[SettledSums], by: Iterable[MarginGroup], per: Period) -> tuple[Margin, ...]:
    """Adds days up to what was asked for: by time, then by what brought most."""
    chosen = frozenset(by)
    added: dict[tuple[date | None, str | None, str | None, str | None], MarginSums] = {}
    for row in rows:
        key = (
            _start(row.day, per),
            row.organization_id if MarginGroup.ORGANIZATION in chosen else None,
            (row.model or None) if MarginGroup.MODEL in chosen else None,
            (provider_of(row.deployment) or None) if MarginGroup.PROVIDER in chosen else None,
        )
        added[key] = added[key] + row.sums if key in added else row.sums
    found = [
        Margin(start=start, organization_id=organization, model=model, provider=provider, sums=sums)
        for (start, organization, model, provider), sums in added.items()
    ]
    found.sort(key=_order)
    return tuple(found)


def provider_of(deployment: str) -> str:
    """The provider in a deployment's name, `provider/model`; empty when no deployment served."""
    return deployment.partition("/")[0]


def _start(day: int, per: Period) -> date | None:
    if per is Period.ALL:
        return None
    found = datetime.fromtimestamp(day * 86_400, UTC).date()
    return found if per is Period.DAY else found.replace(day=1)


def _order(margin: Margin) -> tuple[date, int, str, str, str]:
    names = (margin.organization_id or "", margin.model or "", margin.provider or "")
    return (margin.start or date.min, -margin.sums.margin_nanos, *names)
