"""What a month's calls would have been charged at other prices, against what they were. Writes nothing."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from typing import Any

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.limits import month_of
from tessera.domain.money import Mode, format_usd
from tessera.domain.repricing import CallModel, Repriced, RunningVolume, SettledCall, day_of, reprice
from tessera.flows.operator.margins import parse_day, seconds_of
from tessera.flows.operator.prices import PriceList
from tessera.ports.usage import UsageRecords

CALLS_AT_ONCE = 5_000
"""How many calls are in memory at a time."""


class PreviewAsked(msgspec.Struct, frozen=True, kw_only=True):
    """Calls settled from `start` on, up to and without `end` (UTC). With `as_of` all of them are priced as on that day,
    else each as on its own."""

    mode: Mode
    start: date
    end: date
    as_of: date | None


class Sums(msgspec.Struct):
    """What calls of one organization and model were charged and cost, and would be; in nano-dollars."""

    requests: int = 0
    charged: int = 0
    would_be_charged: int = 0
    cost: int = 0
    would_cost: int = 0
    loss: int = 0
    unpriced_requests: int = 0
    unpriced_charged: int = 0

    def add(self, other: "Sums") -> None:
        """Adds other sums to these."""
        for name in self.__struct_fields__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def asked(mode: Mode, month: str | None, as_of: str | None) -> PreviewAsked:
    """What was asked for in words: a month as in 2026-10, by default the last one over. Raises [invalid_request]."""
    if month is None:
        end = datetime.now(UTC).date().replace(day=1)
        start = (end - timedelta(days=1)).replace(day=1)
    else:
        try:
            start = parse_day(f"{month}-01", "month")
        except TesseraError:
            raise TesseraError(
                ErrorCode.INVALID_REQUEST, "month must be a month as in 2026-10.", param="month"
            ) from None
        end = (start + timedelta(days=31)).replace(day=1)
    return PreviewAsked(mode=mode, start=start, end=end, as_of=None if as_of is None else parse_day(as_of, "as_of"))


async def preview_prices(records: UsageRecords, prices: PriceList, query: PreviewAsked) -> dict[str, Any]:
    """Lines by what changes most, and their total. Raises [storage_unavailable]."""
    repricer = _Repricer(records, prices, query.as_of)
    found: dict[tuple[str, str], Sums] = {}
    async for call in _settled(records, query):
        key = call.organization_id, call.model
        sums = found.get(key)
        if sums is None:
            sums = found[key] = Sums()
        _add(sums, call, await repricer.reprice(call))
    total = Sums()
    for sums in found.values():
        total.add(sums)
    lines = sorted(found.items(), key=lambda line: (-abs(line[1].would_be_charged - line[1].charged), line[0]))
    return {
        "object": "prices_preview",
        "mode": query.mode.value,
        "start": query.start.isoformat(),
        "end": query.end.isoformat(),
        "as_of": None if query.as_of is None else query.as_of.isoformat(),
        "price_version": prices.book.version,
        "data": [
            {
                "organization_id": organization_id,
                "organization": repricer.names[organization_id][-1],
                "model": model,
                **_amounts(sums),
            }
            for (organization_id, model), sums in lines
        ],
        "total": _amounts(total),
    }


async def _settled(records: UsageRecords, query: PreviewAsked) -> AsyncIterator[SettledCall]:
    start_at, end_at = seconds_of(query.start), seconds_of(query.end)
    numbers = await records.find_numbers(query.mode, start_at, end_at)
    if numbers is None:
        return
    after, last = numbers[0] - 1, numbers[1]
    while True:
        calls = await records.list_settled(query.mode, start_at, end_at, after=after, last=last, limit=CALLS_AT_ONCE)
        for call in calls:
            yield call
        if len(calls) < CALLS_AT_ONCE:
            return
        after = calls[-1].number


class _Repricer:
    """Prices calls in the order they were placed, remembering organizations, models and volumes."""

    def __init__(self, records: UsageRecords, prices: PriceList, as_of: date | None) -> None:
        self.names: dict[str, tuple[str, ...]] = {}
        self._records = records
        self._prices = prices
        self._as_of = as_of
        self._models: dict[str, CallModel | None] = {}
        self._volumes: dict[str, RunningVolume] = {}
        self._earlier: dict[tuple[str, int], int] = {}

    async def reprice(self, call: SettledCall) -> Repriced | None:
        """What a call would be charged and cost; None where the book has no price for it."""
        names = self.names.get(call.organization_id)
        if names is None:
            names = self.names[call.organization_id] = await self._names(call.organization_id)
        if call.model not in self._models:
            self._models[call.model] = self._model(call.model)
        model = self._models[call.model]
        if model is None:
            return None
        as_of = self._as_of or day_of(call)
        if not self._prices.book.is_by_volume(names):
            return reprice(self._prices.book, call, model, names, as_of, 0)
        volume = self._volumes.setdefault(call.organization_id, RunningVolume())
        found = reprice(self._prices.book, call, model, names, as_of, await self._volume(call, volume))
        volume.add(call.settled_at_us, found.charge_nanos if found else 0)
        return found

    async def _volume(self, call: SettledCall, volume: RunningVolume) -> int:
        """The volume at the new prices; of a month before the one asked for, as it was charged."""
        month = month_of(call.placed_at_us)
        if month == month_of(call.settled_at_us):
            return volume.before(call.placed_at_us)
        place = call.organization_id, month
        if place not in self._earlier:
            self._earlier[place] = await self._records.read_volume(call.organization_id, call.mode, month)
        return self._earlier[place]

    async def _names(self, organization_id: str) -> tuple[str, ...]:
        if self._prices.find_organization is None:
            return (organization_id,)
        found = await self._prices.find_organization(organization_id)
        return (found.id, found.name)

    def _model(self, name: str) -> CallModel | None:
        if not self._prices.catalogue.has_model(name):
            return None
        model = self._prices.catalogue.model(name)
        return CallModel(model.id, model.provider)


def _add(sums: Sums, call: SettledCall, found: Repriced | None) -> None:
    sums.requests += 1
    sums.charged += call.charge_nanos
    sums.cost += call.cost_nanos
    sums.loss += call.loss_nanos
    if found is None:
        sums.unpriced_requests += 1
        sums.unpriced_charged += call.charge_nanos
    else:
        sums.would_be_charged += found.charge_nanos
        sums.would_cost += found.cost_nanos


def _amounts(sums: Sums) -> dict[str, Any]:
    amounts = {
        "charged": sums.charged,
        "would_be_charged": sums.would_be_charged,
        "difference": sums.would_be_charged - sums.charged,
        "cost": sums.cost,
        "would_cost": sums.would_cost,
        "loss": sums.loss,
        "margin": sums.charged - sums.cost - sums.loss,
        "would_be_margin": sums.would_be_charged - sums.would_cost - sums.loss,
        "unpriced_charged": sums.unpriced_charged,
    }
    shown: dict[str, Any] = {"requests": sums.requests, "unpriced_requests": sums.unpriced_requests}
    for name, nanos in amounts.items():
        shown[name], shown[f"{name}_nanos"] = format_usd(nanos), nanos
    return shown
