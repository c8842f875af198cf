"""The price book: which row is in force for a model, a tier, a provider, an organization and a day."""

import hashlib
from bisect import bisect_right
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from itertools import chain, pairwise

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.pricing.rows import PriceRow, Rates, discounted, row_version
from tessera.domain.request import Tier

ANSWERS_KEPT_MAX = 10_000
"""How many questions a book remembers the row for: every call asks one of a few."""

_Asked = tuple[str, Tier, str | None, tuple[str, ...], date, int]
"""Model, tier, provider, what the organization is called, the day, and the step its volume has reached."""


class OperatorRow(msgspec.Struct, frozen=True, kw_only=True):
    """A row the operator wrote: `[[price]]` (what customers pay) or `[[cost]]` (what the operator pays).

    Any of `model`, `provider`, `organization` narrows it; None applies to all. Either `rates` (absolute, undiscounted)
    or `discount_basis_points` off the list (negative: markup). `organization` is an id or a name. `volume_from_nanos`
    is for whoever's volume, what it was charged in the month so far, has reached that. The narrowest row wins:
    organization before model before provider; among equals the one with the highest volume, then the one that became
    valid last, then the one written last.
    """

    model: str | None = None
    provider: str | None = None
    organization: str | None = None
    tier: Tier = Tier.DEFAULT
    rates: Rates | None = None
    above_tokens: int | None = None
    above_rates: Rates | None = None
    discount_basis_points: int | None = None
    valid_from: date = date.min
    valid_until: date | None = None
    volume_from_nanos: int = 0

    def __post_init__(self) -> None:
        if self.volume_from_nanos < 0:
            raise ValueError("a volume begins at 0 or more")
        if (self.rates is None) == (self.discount_basis_points is None):
            raise ValueError("a price row needs either its rates (input, output) or a discount, and not both")
        if (self.above_tokens is None) != (self.above_rates is None):
            raise ValueError("above needs both tokens and rates")
        if self.rates is not None and self.model is None:
            raise ValueError("a price row with rates needs the model they are for")

    def applies(self, query: "_Query", tier: Tier) -> bool:
        """Whether the row speaks about this question; a discount also needs a list row, which the book checks."""
        return (
            self.tier == tier
            and self.model in (None, query.model, query.canonical)
            and self.provider in (None, query.provider)
            and (self.organization is None or self.organization in query.organization)
            and self.volume_from_nanos <= query.volume_nanos
            and self.valid_from <= query.as_of
            and (self.valid_until is None or query.as_of < self.valid_until)
        )


class _Query(msgspec.Struct, frozen=True):
    """Whose price is asked: a model under both its names, the narrowing facts and the day.

    `organization` holds what the organization is called: its id, its name, both or nothing. `volume_nanos` is what it
    was charged in the month, or the step below that: rows tell no volumes between two steps apart.
    """

    model: str
    canonical: str
    provider: str | None
    organization: tuple[str, ...]
    as_of: date
    volume_nanos: int = 0


class Won(msgspec.Struct, frozen=True):
    """The row in force, and which of the operator's rows made it: its place among them, None where none applies."""

    row: PriceRow
    place: int | None


class PriceBook:
    """List prices, the operator's rows over them, and the discount off the list.

    `canonical` maps dated ids and aliases to the model whose rows they share. Nothing is ever guessed: a model, tier
    or day without a row is refused. `version` names the whole content: equal books have equal versions.
    `knows_volumes` says that some price depends on a volume.
    """

    def __init__(
        self,
        list_rows: Iterable[PriceRow],
        price_rows: Sequence[OperatorRow] = (),
        cost_rows: Sequence[OperatorRow] = (),
        *,
        discount_basis_points: int = 0,
        canonical: Mapping[str, str] | None = None,
    ) -> None:
        """Raises ValueError when two list rows of one model and tier overlap, and for a cost by volume."""
        if any(row.volume_from_nanos for row in cost_rows):
            raise ValueError("what a provider costs does not depend on what a customer was charged")
        self._canonical = dict(canonical or {})
        self._list: dict[tuple[str, Tier], list[PriceRow]] = {}
        for row in list_rows:
            self._list.setdefault((row.model, row.tier), []).append(_stamped(row))
        for rows in self._list.values():
            rows.sort(key=lambda row: row.valid_from)
            _refuse_overlap(rows)
        self.price_rows = tuple(price_rows)
        self.cost_rows = tuple(cost_rows)
        self.discount_basis_points = discount_basis_points
        self._volume_rows = tuple(row for row in self.price_rows if row.volume_from_nanos)
        self.volume_steps = (0, *sorted({row.volume_from_nanos for row in self._volume_rows}))
        self.knows_volumes = bool(self._volume_rows)
        self._list_view = _View((), 0)
        self._price_view = _View(self.price_rows, discount_basis_points)
        self._cost_view = _View(self.cost_rows, 0)
        self.version = self._digest()
        self._priced: dict[_Asked, PriceRow] = {}
        self._costed: dict[_Asked, PriceRow] = {}

    def price(
        self,
        model_id: str,
        tier: Tier,
        *,
        provider: str | None = None,
        organization: tuple[str, ...] = (),
        as_of: date,
        volume_nanos: int = 0,
    ) -> PriceRow:
        """The customer's row: the operator's `[[price]]` row if one applies, else the list row less the discount.

        `organization` is what the customer is called: id and name. `volume_nanos` is what it was charged in the month;
        it counts where `is_by_volume`.

        Raises [unsupported_service_tier] naming the tiers that have a price, [model_not_found] when the model has none.
        """
        asked = (model_id, tier, provider, organization, as_of, self._step(volume_nanos))
        return self._priced.get(asked) or self._look_up(self._price_view, self._priced, asked)

    def cost(self, model_id: str, tier: Tier, *, provider: str | None = None, as_of: date) -> PriceRow:
        """What the provider charges the operator: a `[[cost]]` row if one applies, else the list row.

        Raises as `price`.
        """
        asked = (model_id, tier, provider, (), as_of, 0)
        return self._costed.get(asked) or self._look_up(self._cost_view, self._costed, asked)

    def _look_up(self, view: "_View", answers: dict[_Asked, PriceRow], asked: _Asked) -> PriceRow:
        model_id, tier, provider, organization, as_of, step = asked
        row = self._resolve(view, self._query(model_id, provider, organization, as_of, step), tier)
        if len(answers) >= ANSWERS_KEPT_MAX:
            answers.clear()
        answers[asked] = row
        return row

    def list_price(self, model_id: str, tier: Tier, *, as_of: date) -> PriceRow:
        """The vendor's list row, whatever the operator wrote. Raises as `price`."""
        return self._resolve(self._list_view, self._query(model_id, None, (), as_of), tier)

    def price_won(
        self,
        model_id: str,
        tier: Tier,
        *,
        provider: str | None = None,
        organization: tuple[str, ...] = (),
        as_of: date,
        volume_nanos: int = 0,
    ) -> Won | None:
        """The row `price` gives and what made it; None where it would refuse."""
        return self._find(self._price_view, self._query(model_id, provider, organization, as_of, volume_nanos), tier)

    def cost_won(self, model_id: str, tier: Tier, *, provider: str | None = None, as_of: date) -> Won | None:
        """The row `cost` gives and what made it; None where it would refuse."""
        return self._find(self._cost_view, self._query(model_id, provider, (), as_of), tier)

    def is_by_volume(self, organization: tuple[str, ...]) -> bool:
        """Whether any price of an organization, by all that it is called, depends on its volume."""
        if not self._volume_rows:
            return False
        return any(row.organization is None or row.organization in organization for row in self._volume_rows)

    def tiers(
        self,
        model_id: str,
        as_of: date,
        *,
        provider: str | None = None,
        organization: tuple[str, ...] = (),
        volume_nanos: int = 0,
    ) -> tuple[Tier, ...]:
        """The tiers a customer has a price for on that day, `default` first."""
        return self._tiers(self._price_view, self._query(model_id, provider, organization, as_of, volume_nanos))

    def list_tiers(self, model_id: str, as_of: date) -> tuple[Tier, ...]:
        """The tiers the vendor's list prices on that day."""
        return self._tiers(self._list_view, self._query(model_id, None, (), as_of))

    def _step(self, volume_nanos: int) -> int:
        """The highest step that a volume has reached: how many answers there are to remember does not grow with it."""
        if not volume_nanos or not self.knows_volumes:
            return 0
        return self.volume_steps[bisect_right(self.volume_steps, volume_nanos) - 1]

    def _query(
        self, model_id: str, provider: str | None, organization: tuple[str, ...], as_of: date, volume_nanos: int = 0
    ) -> _Query:
        canonical = self._canonical.get(model_id, model_id)
        return _Query(model_id, canonical, provider, organization, as_of, volume_nanos)

    def _tiers(self, view: "_View", query: _Query) -> tuple[Tier, ...]:
        return tuple(tier for tier in Tier if self._find(view, query, tier) is not None)

    def _resolve(self, view: "_View", query: _Query, tier: Tier) -> PriceRow:
        won = self._find(view, query, tier)
        if won is not None:
            return won.row
        priced = self._tiers(view, query)
        if priced:
            raise TesseraError(
                ErrorCode.UNSUPPORTED_SERVICE_TIER,
                f"{query.model} has no price for the {tier} tier on {query.as_of}. "
                f"Tiers with a price: {', '.join(priced)}.",
                param="service_tier",
            )
        raise TesseraError(
            ErrorCode.MODEL_NOT_FOUND,
            f"{query.model} has no price on {query.as_of} and is disabled until the operator enters one "
            "(a [[price]] row in tessera.toml).",
            param="model",
        )

    def _find(self, view: "_View", query: _Query, tier: Tier) -> Won | None:
        listed = self._list_row(query, tier)
        best = view.narrowest(query, tier, listed=listed is not None) if view.rows else None
        if best is None:
            return None if listed is None else Won(view.discounted(listed, view.discount_basis_points), None)
        if view.rows[best].rates is not None:
            return Won(view.row(best, query), best)
        assert listed is not None
        return Won(view.discounted(listed, view.rows[best].discount_basis_points or 0), best)

    def _list_row(self, query: _Query, tier: Tier) -> PriceRow | None:
        rows = self._list.get((query.canonical, tier), ())
        return next((row for row in rows if row.valid_on(query.as_of)), None)

    def _digest(self) -> str:
        digest = hashlib.sha256()
        for row in chain.from_iterable(self._list[key] for key in sorted(self._list)):
            digest.update(row.version.encode())
        for view in (self._price_view, self._cost_view):
            digest.update(msgspec.json.encode((view.rows, view.discount_basis_points)))
        return f"book-{digest.hexdigest()[:12]}"


class _View:
    """One reading of the list: an operator's rows over it and a discount off the rest, with resolved rows kept."""

    def __init__(self, rows: tuple[OperatorRow, ...], discount_basis_points: int) -> None:
        self.rows = rows
        self.discount_basis_points = discount_basis_points
        self._discounted: dict[tuple[str, int], PriceRow] = {}
        self._operator: dict[tuple[int, str], PriceRow] = {}

    def narrowest(self, query: _Query, tier: Tier, *, listed: bool) -> int | None:
        """The index of the narrowest row that applies, or None; a discount applies only where there is a list row."""
        best: tuple[bool, int, bool, int, date, int] | None = None
        for index, row in enumerate(self.rows):
            if not row.applies(query, tier) or (row.rates is None and not listed):
                continue
            exactness = 0 if row.model is None else 2 if row.model == query.model else 1
            narrowness = (row.organization is not None, exactness, row.provider is not None)
            rank = (*narrowness, row.volume_from_nanos, row.valid_from, index)
            if best is None or rank > best:
                best = rank
        return None if best is None else best[-1]

    def row(self, index: int, query: _Query) -> PriceRow:
        """An operator's row with rates as a price row of the asked model."""
        found = self._operator.get((index, query.model))
        if found is None:
            source = self.rows[index]
            assert source.rates is not None
            found = self._operator[index, query.model] = _stamped(
                PriceRow(
                    id=f"operator.{index}.{source.model}.{source.tier}.{source.valid_from.isoformat()}",
                    model=query.model,
                    tier=source.tier,
                    rates=source.rates,
                    above_tokens=source.above_tokens,
                    above_rates=source.above_rates,
                    valid_from=source.valid_from,
                    valid_until=source.valid_until,
                    source="operator's configuration",
                )
            )
        return found

    def discounted(self, row: PriceRow, basis_points: int) -> PriceRow:
        """The list row less a discount."""
        found = self._discounted.get((row.version, basis_points))
        if found is None:
            found = self._discounted[row.version, basis_points] = _stamped(discounted(row, basis_points))
        return found


def _stamped(row: PriceRow) -> PriceRow:
    return msgspec.structs.replace(row, version=row_version(row))


def _refuse_overlap(rows: list[PriceRow]) -> None:
    for earlier, later in pairwise(rows):
        if earlier.valid_until is None or earlier.valid_until > later.valid_from:
            raise ValueError(f"price rows {earlier.id} and {later.id} overlap")
