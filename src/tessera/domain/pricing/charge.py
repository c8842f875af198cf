"""The one formula of money: quantities × a price row = a charge."""

import msgspec

from tessera.domain.money import NANOS_MAX, format_price, format_usd, round_up_to_nano
from tessera.domain.pricing.rows import PriceRow, Rates
from tessera.domain.quantities import Quantities

QUANTITY_MAX = 2**53
"""The largest number every JSON reader takes for an exact integer; no call has that many tokens."""

_Unit = tuple[str, int, int]


class ChargeLine(msgspec.Struct, frozen=True, kw_only=True):
    """One kind of unit in a charge. `unit` is the name of the rate in the price row (`input`, `cached_input`, …).

    `quantity` counts each token once: the `input` line holds what is neither cached, written to cache nor priced as
    image. `nanos` is this line's share of the rounded total, so that lines add up to the charge exactly.
    """

    unit: str
    quantity: int
    price_per_million_nanos: int
    nanos: int


class Charge(msgspec.Struct, frozen=True, kw_only=True):
    """What quantities cost: nano-dollars, and the lines they are the sum of."""

    nanos: int
    lines: tuple[ChargeLine, ...]


def charge(row: PriceRow, q: Quantities) -> Charge:
    """The charge of quantities under a row: Σ quantity × rate, divided by a million and rounded up once, at the end.

    `input_tokens` decides the side of the long-context threshold, and the whole request is priced on that side.
    Raises ValueError for quantities that are negative, above 2**53, or parts that exceed their total.
    """
    lines: list[ChargeLine] = []
    unit_price_sum = 0
    nanos = 0
    for unit, quantity, rate in _priced(row, q):
        if quantity:
            unit_price_sum += quantity * rate
            so_far = round_up_to_nano(unit_price_sum)
            lines.append(ChargeLine(unit=unit, quantity=quantity, price_per_million_nanos=rate, nanos=so_far - nanos))
            nanos = so_far
    if nanos > NANOS_MAX:
        raise _too_much(nanos)
    return Charge(nanos=nanos, lines=tuple(lines))


def charge_nanos(row: PriceRow, q: Quantities) -> int:
    """What `charge` comes to, without its lines. Raises as `charge`."""
    unit_price_sum = 0
    for _, quantity, rate in _priced(row, q):
        unit_price_sum += quantity * rate
    nanos = round_up_to_nano(unit_price_sum)
    if nanos > NANOS_MAX:
        raise _too_much(nanos)
    return nanos


def charge_object(charged: Charge) -> dict[str, object]:
    """The charge as the contract's JSON: `{amount, nanos, lines: [{unit, quantity, price_per_million, nanos}]}`."""
    return {
        "amount": format_usd(charged.nanos),
        "nanos": charged.nanos,
        "lines": [
            {
                "unit": line.unit,
                "quantity": line.quantity,
                "price_per_million": format_price(line.price_per_million_nanos),
                "nanos": line.nanos,
            }
            for line in charged.lines
        ],
    }


def _too_much(nanos: int) -> ValueError:
    return ValueError(f"a charge of {nanos} nano-dollars is more than the ledger can hold")


def _priced(row: PriceRow, q: Quantities) -> list[_Unit]:
    """Every kind of unit that quantities have under a row, checked: its name, how many, the rate of a million."""
    _check(q)
    rates = row.rates_for(q.input_tokens)
    return _input_units(rates, q) + _output_units(rates, q)


def _check(q: Quantities) -> None:
    for quantity in msgspec.structs.astuple(q):
        if type(quantity) is not int or not 0 <= quantity <= QUANTITY_MAX:
            name = next(name for name in q.__struct_fields__ if getattr(q, name) is quantity)
            raise ValueError(f"{name} must be an integer between 0 and 2**53, not {quantity!r}")
    if q.cached_input_tokens + q.cache_write_tokens > q.input_tokens:
        raise ValueError("cached and cache-write tokens are part of input_tokens and cannot exceed them")
    if q.input_image_tokens > q.input_tokens:
        raise ValueError("input_image_tokens are part of input_tokens and cannot exceed them")
    if q.reasoning_tokens > q.output_tokens:
        raise ValueError("reasoning_tokens are part of output_tokens and cannot exceed them")
    if q.output_image_tokens > q.output_tokens:
        raise ValueError("output_image_tokens are part of output_tokens and cannot exceed them")


def _input_units(rates: Rates, q: Quantities) -> list[_Unit]:
    """Input split into what each token is priced as.

    Where images have their own rate, usage does not say whether cached tokens were text or image: cached and written
    tokens are taken as text as far as there is text, the rest as image.
    """
    image = q.input_image_tokens if rates.input_image is not None else 0
    text = q.input_tokens - image
    if not (image or q.cached_input_tokens or q.cache_write_tokens):
        return [("input", text, rates.input)]
    cached_rate = rates.input if rates.cached_input is None else rates.cached_input
    write_rate = rates.input if rates.cache_write is None else rates.cache_write
    cached = min(q.cached_input_tokens, text)
    written = min(q.cache_write_tokens, text - cached)
    units = [
        ("input", text - cached - written, rates.input),
        ("cached_input", cached, cached_rate),
        ("cache_write", written, write_rate),
    ]
    if rates.input_image is None:
        return units
    image_cached = q.cached_input_tokens - cached
    cached_image_rate = rates.input_image if rates.cached_input_image is None else rates.cached_input_image
    return [
        *units,
        ("input_image", image - image_cached, rates.input_image),
        ("cached_input_image", image_cached, cached_image_rate),
    ]


def _output_units(rates: Rates, q: Quantities) -> list[_Unit]:
    """Output split into text (reasoning inside it) and, where it has its own rate, image."""
    if rates.output_image is None:
        return [("output", q.output_tokens, rates.output)]
    return [
        ("output", q.output_tokens - q.output_image_tokens, rates.output),
        ("output_image", q.output_image_tokens, rates.output_image),
    ]
