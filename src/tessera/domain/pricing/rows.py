"""Price rows: what a million units of each kind cost, for one model, one tier and one period."""

import hashlib
from datetime import date

import msgspec

from tessera.domain.request import Tier


class Rates(msgspec.Struct, frozen=True, kw_only=True):
    """Integer nano-dollars per 1,000,000 tokens of each kind. None is "no rate of its own", never zero.

    Without `cached_input` cached tokens cost the full `input` rate; without `cache_write` writes cost `input`; without
    `input_image` image tokens are ordinary input; without `output_image` they are ordinary output. Where images have
    their own rate, `cached_input_image` is that of cached image tokens (without it: `input_image`).
    """

    input: int
    output: int
    cached_input: int | None = None
    cache_write: int | None = None
    input_image: int | None = None
    cached_input_image: int | None = None
    output_image: int | None = None

    def has(self, unit: str) -> bool:
        """Whether a kind of token has a rate of its own."""
        return getattr(self, unit) is not None

    def rate_of(self, unit: str) -> int:
        """What a million tokens of a kind cost, those without a rate of their own too. `unit` is a field's name."""
        rate: int | None = getattr(self, unit)
        if rate is not None:
            return rate
        if unit == "output_image":
            return self.output
        if unit == "cached_input_image":
            return self.rate_of("cached_input" if self.input_image is None else "input_image")
        return self.input

    def __post_init__(self) -> None:
        for name in self.__struct_fields__:
            rate = getattr(self, name)
            if rate is not None and not 0 <= rate <= RATE_MAX:
                raise ValueError(f"{name} must be between 0 and {RATE_MAX} nano-dollars per million tokens, not {rate}")


RATE_MAX = 10**15
"""$1,000,000 per million tokens: nothing sane is dearer, and the bound keeps products within wide reach of 63 bits."""


class PriceRow(msgspec.Struct, frozen=True, kw_only=True):
    """One price: `rates` for `model` at `tier`, valid from `valid_from` until the day before `valid_until`.

    Above `above_tokens` input tokens (strictly more) the whole request is at `above_rates` instead.
    `input_tokens_max` is set where the vendor prices no longer input at this tier: such a call is refused, not guessed.
    `source` names where the figures come from. `version` is a digest of everything that can change a charge.
    `rounding` is `exact`, or `down` where a discount did not come out in whole nano-dollars.
    """

    id: str
    model: str
    tier: Tier
    rates: Rates
    valid_from: date
    valid_until: date | None = None
    above_tokens: int | None = None
    above_rates: Rates | None = None
    input_tokens_max: int | None = None
    source: str = ""
    rounding: str = "exact"
    version: str = ""

    def __post_init__(self) -> None:
        if (self.above_tokens is None) != (self.above_rates is None):
            raise ValueError(f"price row {self.id}: above_tokens and above_rates belong together")

    def valid_on(self, day: date) -> bool:
        """Whether the row is in force on `day`; the period is half open."""
        return self.valid_from <= day and (self.valid_until is None or day < self.valid_until)

    def rates_for(self, input_tokens: int) -> Rates:
        """The rates of a request with that many input tokens: the whole request is on one side of the threshold."""
        if self.above_tokens is not None and self.above_rates is not None and input_tokens > self.above_tokens:
            return self.above_rates
        return self.rates


def row_version(row: PriceRow) -> str:
    """Twelve hexadecimal digits naming the row's content: the same figures give the same version, always."""
    content = msgspec.json.encode(msgspec.structs.replace(row, version="", source=""))
    return hashlib.sha256(content).hexdigest()[:12]


def discounted(row: PriceRow, basis_points: int) -> PriceRow:
    """The row with `basis_points` (1/10,000) taken off every rate; negative adds a markup.

    A rate that does not come out in whole nano-dollars is rounded down, in the customer's favour, and the row says so.
    """
    if not -1_000_000 <= basis_points <= 10_000:
        raise ValueError(f"a discount lies between -10000 and 100 percent, not {basis_points} basis points")
    if basis_points == 0:
        return row
    exact = True

    def scale(rate: int | None) -> int | None:
        nonlocal exact
        if rate is None:
            return None
        scaled, rest = divmod(rate * (10_000 - basis_points), 10_000)
        exact = exact and rest == 0
        return scaled

    def scale_all(rates: Rates) -> Rates:
        return Rates(**{name: scale(getattr(rates, name)) for name in Rates.__struct_fields__})  # type: ignore[arg-type]

    rates = scale_all(row.rates)
    above = scale_all(row.above_rates) if row.above_rates is not None else None
    return msgspec.structs.replace(
        row, rates=rates, above_rates=above, rounding=row.rounding if exact else "down", version=""
    )
