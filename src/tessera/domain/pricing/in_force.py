"""The rows in force on a day: what customers pay, what the operator pays, what is left, and which rows decided it."""

from collections.abc import Iterator, Sequence
from datetime import date
from itertools import product

import msgspec

from tessera.domain.pricing.book import OperatorRow, PriceBook, Won
from tessera.domain.pricing.rows import PriceRow, Rates
from tessera.domain.request import Tier


class InForce(msgspec.Struct, frozen=True, kw_only=True):
    """What a model costs at a tier and a provider, for everybody or for the one `organization` that rows name.

    `listed` and `cost` are None for a model that the list, or neither the list nor the operator, has a row for.
    """

    model: str
    tier: Tier
    provider: str
    organization: str | None
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
    """The prices of one model: at the first provider and for the first organization, then for each other one where
    other rows decide. An organization is all that it is called; one without a name stands for everybody.
    """
    for tier in Tier:
        listed = book.list_price(model, tier, as_of=as_of) if tier in book.list_tiers(model, as_of) else None
        found: dict[tuple[str, tuple[str, ...]], tuple[Won | None, Won | None]] = {}
        for provider, organization in product(providers, organizations):
            price = book.price_won(model, tier, provider=provider, organization=organization, as_of=as_of)
            cost = book.cost_won(model, tier, provider=provider, as_of=as_of)
            found[provider, organization] = price, cost
            wider = {(providers[0], organization), (provider, organizations[0])} - {(provider, organization)}
            if price is None or any(found[place] == (price, cost) for place in wider):
                continue
            yield InForce(
                model=model,
                tier=tier,
                provider=provider,
                organization=organization[-1] if organization else None,
                listed=listed,
                price=price,
                cost=cost,
            )


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
