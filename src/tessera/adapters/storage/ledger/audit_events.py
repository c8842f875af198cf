"""Audits what calls were charged, by recomputing it from the stored receipt with integers only."""

import sqlite3
from collections.abc import Iterator

import msgspec

from tessera.domain.money import NANOS_PER_USD, parse_usd, round_up_to_nano

_EVENTS = """
SELECT hold.id, event.charge_nanos, waived_nanos, charge FROM usage_event AS event
JOIN hold ON hold.number = event.hold_number
"""

_QUOTES = """
SELECT hold.id, hold.amount_nanos, asked_nanos, charge_nanos, quote FROM hold
JOIN hold_quote ON hold_number = number
"""


class _Line(msgspec.Struct, frozen=True):
    quantity: int
    price_per_million: str


class _Charge(msgspec.Struct, frozen=True):
    amount: str
    nanos: int
    lines: tuple[_Line, ...]


class _Quote(msgspec.Struct, frozen=True):
    max_nanos: int | None = None


_decode_charge = msgspec.json.Decoder(_Charge).decode
_decode_quote = msgspec.json.Decoder(_Quote).decode


def event_faults(connection: sqlite3.Connection) -> Iterator[str]:
    """Usage events whose charge is not what their own lines cost (invariant I6)."""
    for hold_id, charge_nanos, waived_nanos, receipt in connection.execute(_EVENTS):
        try:
            charge = _decode_charge(receipt)
            unit_price_sum = sum(line.quantity * _nanos(line.price_per_million) for line in charge.lines)
            amount_nanos = parse_usd(charge.amount)
        except (msgspec.DecodeError, ValueError) as error:
            yield f"the charge of {hold_id} cannot be read: {error}"
            continue
        price = round_up_to_nano(unit_price_sum)
        if not charge_nanos == charge.nanos == amount_nanos:
            yield f"{hold_id} was charged {charge_nanos}, its receipt says {charge.nanos} ({charge.amount})"
        elif charge_nanos + waived_nanos != price:
            yield f"{hold_id} was charged {charge_nanos} and waived {waived_nanos}, its lines cost {price}"


def quote_faults(connection: sqlite3.Connection) -> Iterator[str]:
    """Holds or charges above the maximum their caller was quoted (invariant I4)."""
    for hold_id, amount_nanos, asked_nanos, charge_nanos, body in connection.execute(_QUOTES):
        try:
            quote = _decode_quote(body)
        except msgspec.DecodeError as error:
            yield f"the quote of {hold_id} cannot be read: {error}"
            continue
        quoted = asked_nanos if quote.max_nanos is None else quote.max_nanos
        if max(amount_nanos, charge_nanos) > quoted:
            yield f"{hold_id} held {amount_nanos} and was charged {charge_nanos}, above its quote of {quoted}"


def _nanos(price: str) -> int:
    """Nano-dollars of a price per million, whose whole part may be longer than an amount's."""
    whole, _, decimals = price.partition(".")
    if not (whole.isascii() and whole.isdecimal()) or len(decimals) > 9 or (decimals and not decimals.isdecimal()):
        raise ValueError(f"{price!r} is not a price")
    return int(whole) * NANOS_PER_USD + int(decimals.ljust(9, "0"))
