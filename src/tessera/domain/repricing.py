"""Calls of the past at the prices of a book: what each would have been charged and cost, by the one formula."""

import heapq
from datetime import UTC, date, datetime

import msgspec

from tessera.domain.errors import TesseraError
from tessera.domain.ledger.limits import month_of
from tessera.domain.margins import provider_of
from tessera.domain.money import Mode
from tessera.domain.pricing.book import PriceBook
from tessera.domain.pricing.charge import charge
from tessera.domain.quantities import Quantities
from tessera.domain.request import Tier


class SettledCall(msgspec.Struct, frozen=True, kw_only=True):
    """What a usage event says of what a call used and was charged. `model` is the id or alias the caller named;
    `number` orders calls as they were placed; `tier` is the one that served, empty for a call that none served."""

    number: int
    organization_id: str
    mode: Mode
    model: str
    deployment: str
    tier: str
    usage: Quantities
    charge_nanos: int
    waived_nanos: int
    cost_nanos: int
    loss_nanos: int
    placed_at_us: int
    settled_at_us: int


class Repriced(msgspec.Struct, frozen=True):
    """What a call would be charged and cost, in nano-dollars."""

    charge_nanos: int
    cost_nanos: int


class CallModel(msgspec.Struct, frozen=True):
    """A model that a call named: its id, and its own provider, whose prices test calls pay."""

    id: str
    provider: str


def day_of(call: SettledCall) -> date:
    """The UTC day a call was placed on: the day its price is of."""
    return datetime.fromtimestamp(call.placed_at_us // 1_000_000, UTC).date()


def reprice(
    book: PriceBook,
    call: SettledCall,
    model: CallModel,
    organization: tuple[str, ...],
    as_of: date,
    volume_nanos: int,
) -> Repriced | None:
    """A call at a book's prices; None where the book has none for it.

    A call whose usage went past its hold was charged the hold: it is charged the same part of its new price. What the
    provider costs is not bounded so, and test calls cost nothing.
    """
    if call.usage == _NOTHING:
        return Repriced(0, 0)
    tier, served_by = Tier(call.tier), provider_of(call.deployment)
    provider = model.provider if call.mode is Mode.TEST else served_by
    try:
        row = book.price(
            model.id, tier, provider=provider, organization=organization, as_of=as_of, volume_nanos=volume_nanos
        )
    except TesseraError:
        return None
    price = charge(row, call.usage)
    charged = price.nanos
    if call.waived_nanos:
        charged = charged * call.charge_nanos // (call.charge_nanos + call.waived_nanos)
    if call.mode is Mode.TEST or not served_by:
        return Repriced(charged, 0)
    try:
        cost_row = book.cost(model.id, tier, provider=served_by, as_of=as_of)
    except TesseraError:
        return Repriced(charged, 0)
    return Repriced(charged, (price if cost_row.version == row.version else charge(cost_row, call.usage)).nanos)


_NOTHING = Quantities()


class RunningVolume:
    """An organization's volume in one month as calls go by in the order they were placed, at the new prices.

    A call counts from the moment it was settled; who waits for that is held in memory, as many as ran at once.
    """

    def __init__(self) -> None:
        self._waiting: list[tuple[int, int]] = []
        self._month = 0
        self._nanos = 0

    def before(self, placed_at_us: int) -> int:
        """What was charged in its month when a call was placed, in nano-dollars."""
        while self._waiting and self._waiting[0][0] <= placed_at_us:
            settled_at_us, nanos = heapq.heappop(self._waiting)
            month = month_of(settled_at_us)
            if month > self._month:
                self._month, self._nanos = month, 0
            if month == self._month:
                self._nanos += nanos
        return self._nanos if month_of(placed_at_us) == self._month else 0

    def add(self, settled_at_us: int, charge_nanos: int) -> None:
        """Counts a call from the moment it was settled."""
        heapq.heappush(self._waiting, (settled_at_us, charge_nanos))
