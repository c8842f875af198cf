"""A receipt's arithmetic, done again by a script that knows nothing but integers and the printed figures."""

from typing import Any


def nanos(amount: str) -> int:
    """Nano-dollars of a decimal string in USD."""
    whole, _, rest = amount.partition(".")
    return int(whole) * 10**9 + int(rest.ljust(9, "0") or 0)


def recompute(charge: dict[str, Any]) -> int:
    """The charge from its lines: one division by a million, rounded up once."""
    total = sum(line["quantity"] * nanos(line["price_per_million"]) for line in charge["lines"])
    return -(-total // 1_000_000)


def assert_sound(receipt: dict[str, Any]) -> None:
    """All a receipt promises: the charge recomputes, stays within the quote, and every entry has its other side."""
    charge = receipt["charge"]
    assert recompute(charge) == charge["nanos"] + receipt["waived_nanos"]
    assert nanos(charge["amount"]) == charge["nanos"]
    assert sum(line["nanos"] for line in charge["lines"]) == charge["nanos"] + receipt["waived_nanos"]
    assert charge["nanos"] <= receipt["quote"]["price"]["max_nanos"]
    assert sum(entry["amount_nanos"] for entry in receipt["entries"]) == 0
