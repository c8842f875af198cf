"""A month's statement: what there was, came, went, and is. Its sums are the ledger's own, to the nano."""

import re
from datetime import UTC, date, datetime

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode

_MONTH = re.compile(r"(20[0-9]{2})-(0[1-9]|1[0-2])", re.ASCII)


class StatementLine(msgspec.Struct, frozen=True, kw_only=True):
    """One movement that changed what the customer has, or the tax paid with it. Amounts are negative for what went.

    `amount_nanos` is credit, `tax_nanos` is tax, which is never credit.
    """

    at: int
    kind: str
    reference: str
    note: str
    amount_nanos: int
    tax_nanos: int = 0

    @property
    def total_nanos(self) -> int:
        """Credit and tax together."""
        return self.amount_nanos + self.tax_nanos


class ModelUsage(msgspec.Struct, frozen=True, kw_only=True):
    """What one model's calls were charged in the month."""

    model: str
    calls: int
    input_tokens: int
    output_tokens: int
    charge_nanos: int


class Statement(msgspec.Struct, frozen=True, kw_only=True):
    """A month of one organization in one mode. `opening_nanos` and `closing_nanos` are what was available and held.

    `opening + Σ lines − Σ charges of usage = closing`, always.
    """

    organization_id: str
    organization: str
    mode: Mode
    month: str
    start: int
    end: int
    opening_nanos: int
    closing_nanos: int
    lines: tuple[StatementLine, ...]
    usage: tuple[ModelUsage, ...]

    @property
    def charged_nanos(self) -> int:
        """What the month's calls were charged, all together."""
        return sum(row.charge_nanos for row in self.usage)

    @property
    def moved_nanos(self) -> int:
        """What came as credit less what went of it, calls aside."""
        return sum(line.amount_nanos for line in self.lines)

    @property
    def tax_nanos(self) -> int:
        """What was paid as tax less what came back of it."""
        return sum(line.tax_nanos for line in self.lines)

    @property
    def adds_up(self) -> bool:
        """Whether its sums agree with each other."""
        return self.opening_nanos + self.moved_nanos - self.charged_nanos == self.closing_nanos


def month_bounds(month: str) -> tuple[int, int]:
    """When a month such as 2026-11 begins and ends, in seconds since 1970, UTC. Raises [invalid_request]."""
    match = _MONTH.fullmatch(month)
    if match is None:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, "month must be one from 2000-01 to 2099-12, written as 2026-11.", param="month"
        )
    first = date(int(match[1]), int(match[2]), 1)
    after = date(first.year + first.month // 12, first.month % 12 + 1, 1)
    return _seconds(first), _seconds(after)


def _seconds(day: date) -> int:
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())
