"""Money is a signed 64-bit integer of nano-dollars (1 USD = 1,000,000,000); a price is nanos per 1,000,000 units.

Always holds: no float; amounts are parsed exactly or refused; there is one rounding, up, with one name.
"""

import re
from enum import StrEnum
from functools import lru_cache

NANOS_PER_USD = 1_000_000_000
NANOS_MAX = 2**63 - 1
UNITS_PER_PRICE = 1_000_000


class Mode(StrEnum):
    """The two kinds of money, never mixed: live pays providers, test is served by the sandbox from test credit."""

    LIVE = "live"
    TEST = "test"


_AMOUNT = re.compile(r"([0-9]{1,10})(?:\.([0-9]{1,9}))?", re.ASCII)


def parse_usd(text: str) -> int:
    """Nano-dollars of a decimal string such as `5`, `5.00` or `0.000000001`.

    Raises ValueError for anything else: signs, exponents, blanks, a tenth decimal, an amount beyond 63 bits.
    """
    match = _AMOUNT.fullmatch(text)
    if match is None:
        raise ValueError(f"{text!r} is not an amount in USD: write digits with up to nine decimals, as in 5.00")
    nanos = int(match[1]) * NANOS_PER_USD + int((match[2] or "").ljust(9, "0"))
    if nanos > NANOS_MAX:
        raise ValueError(f"{text!r} is more than the ledger can hold")
    return nanos


@lru_cache(maxsize=1024)
def format_usd(nanos: int) -> str:
    """An amount as an exact decimal string with at least two decimals: 26460000 is `0.02646`, 5·10⁹ is `5.00`."""
    sign = "-" if nanos < 0 else ""
    whole, rest = divmod(abs(nanos), NANOS_PER_USD)
    decimals = f"{rest:09d}".rstrip("0").ljust(2, "0")
    return f"{sign}{whole}.{decimals}"


@lru_cache(maxsize=1024)
def format_price(nanos_per_million: int) -> str:
    """A price per million as the shortest exact decimal string: 14,700,000,000 is `14.7`, 21·10⁹ is `21`."""
    whole, rest = divmod(nanos_per_million, NANOS_PER_USD)
    return f"{whole}.{rest:09d}".rstrip("0").rstrip(".") if rest else str(whole)


def round_up_to_nano(unit_price_sum: int) -> int:
    """The one rounding of money: Σ units × price per million, divided once by a million, up to whole nanos."""
    return -(-unit_price_sum // UNITS_PER_PRICE)
