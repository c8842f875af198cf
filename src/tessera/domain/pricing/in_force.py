"""The rows in force on a day: what customers pay, what the operator pays, what is left, and which rows decided it."""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import product

import msgspec

from tessera.domain.pricing.book import OperatorRow, PriceBook, Won
from tessera.domain.pricing.rows import PriceRow, Rates
from tessera.domain.request import Tier


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs at a tier and a provider, for everybody or for the one `organization` that rows name, once its
    charges of the month have reached `volume_from_nanos`.

    `listed` and `cost` are None for a model that the list, or neither the list nor the operator, has a row for.
    """

    model: str
    tier: Tier
    provider: str
    organization: str | None
    volume_from_nanos: int
    listed: PriceRow | None
    price: Won
    cost: Won | None


class Margin(msgspec.Struct, frozen=True):
    """What is left of each unit's price, in nano-dollars per million, of requests above `above_tokens` input tokens."""

    above_tokens: int
    rates: dict[str, int]


def in_force(
    book: PriceBook,
    model: str,
    as_of: date,
    *,
    providers: Sequence[str],
    organizations: Sequence[tuple[str, ...]] = ((),),
) -> Iterator[InForce]:
    """The prices of one model: at the first provider, for the first organization and without volume, then for each
    other one and from each volume where other rows decide. An organization is all that it is called; one without a
    name stands for everybody.
    """
    for tier in Tier:
        listed = book.list_price(model, tier, as_of=as_of) if tier in book.list_tiers(model, as_of) else None
        found: dict[tuple[int, int, int], tuple[Won | None, Won | None]] = {}
        for place in product(range(len(providers)), range(len(organizations)), range(len(book.volume_steps))):
            provider, organization = providers[place[0]], organizations[place[1]]
            volume = book.volume_steps[place[2]]
            price = book.price_won(
                model, tier, provider=provider, organization=organization, as_of=as_of, volume_nanos=volume
            )
            cost = book.cost_won(model, tier, provider=provider, as_of=as_of)
            found[place] = price, cost
            if price is None or any(found[wider] == (price, cost) for wider in _wider(*place)):
                continue
            yield InForce(
                model=model,
                tier=tier,
                provider=provider,
                organization=organization[-1] if organization else None,
                volume_from_nanos=volume,
                listed=listed,
                price=price,
                cost=cost,
            )


def _wider(provider: int, organization: int, step: int) -> Iterator[tuple[int, int, int]]:
    """The places that say the same of more calls: of the first provider, the first organization, the step below."""
    if provider:
        yield 0, organization, step
    if organization:
        yield provider, 0, step
    if step:
        yield provider, organization, step - 1


def margins(price: PriceRow, cost: PriceRow) -> tuple[Margin, ...]:
    """Price less cost of every unit that either has a rate for; once more above each long-context threshold."""
    thresholds = {row.above_tokens for row in (price, cost) if row.above_tokens is not None}
    found = []
    for above in (0, *sorted(thresholds)):
        paid, billed = price.rates_for(above + 1), cost.rates_for(above + 1)
        units = [unit for unit in Rates.__struct_fields__ if paid.has(unit) or billed.has(unit)]
        found.append(Margin(above, {unit: paid.rate_of(unit) - billed.rate_of(unit) for unit in units}))
    return tuple(found)


def validity(won: Won, rows: tuple[OperatorRow, ...]) -> tuple[date | None, date | None]:
    """The first day of a row in force and the day after its last: a discount holds no longer than what it is off."""
    first, until = won.row.valid_from, won.row.valid_until
    if won.place is not None:
        row = rows[won.place]
        first = max(first, row.valid_from)
        until = min(filter(None, (until, row.valid_until)), default=None)
    return (None if first == date.min else first), until
