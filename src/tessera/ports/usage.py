"""What flows that report usage need of the system of record."""

from typing import Protocol

from tessera.domain.margins import SettledSums
from tessera.domain.money import Mode
from tessera.domain.provider_comparison import BilledCost, BilledUsage, OwnCall
from tessera.domain.repricing import SettledCall
from tessera.domain.usage_report import Movements, UsageQuery, UsageSums, UsedCall


class UsageRecords(Protocol):
    """Usage as it was settled, never estimated. Every verb raises [storage_unavailable]."""

    async def sum_usage(self, query: UsageQuery, *, rows_max: int | None = None) -> tuple[UsageSums, ...]:
        """Sums, newest bucket first, within a bucket in the order of their groups; buckets without calls are left out.

        With `rows_max` at least that many of the first rows, if there are so many, and whole buckets.
        """
        ...

    async def list_used(
        self, organization_id: str, mode: Mode, start_at: int, end_at: int, *, after: str, limit: int
    ) -> tuple[UsedCall, ...]:
        """Calls settled in [start_at, end_at), seconds since 1970, by their ids, which sort by when they came, from the
        one after `after` on."""
        ...

    async def read_movements(
        self, organization_id: str, mode: Mode, *, after: int | None, watched: tuple[str, ...], after_alert: int = 0
    ) -> Movements:
        """What moved after a place in the chain, and the alerts raised after the one with number `after_alert` at that
        place; with None only where the chain is now.

        Calls in `watched` are looked at whenever they were placed, others if they are among the newest. Raises
        [not_found].
        """
        ...

    async def sum_settled(self, mode: Mode, start_at: int, end_at: int) -> tuple[SettledSums, ...]:
        """What all organizations were charged and what it cost, of calls settled, charges given back and payments' fees
        booked in [start_at, end_at), seconds since 1970, by UTC day."""
        ...

    async def read_volume(self, organization_id: str, mode: Mode, month: int) -> int:
        """Nano-dollars that an organization was charged for calls settled in a UTC month, counted from the year 0."""
        ...

    async def find_numbers(self, mode: Mode, start_at: int, end_at: int) -> tuple[int, int] | None:
        """Between which numbers all calls settled in [start_at, end_at) are, first and last; None if there are none."""
        ...

    async def list_settled(
        self, mode: Mode, start_at: int, end_at: int, *, after: int, last: int, limit: int
    ) -> tuple[SettledCall, ...]:
        """Calls of all organizations settled in [start_at, end_at), seconds since 1970, by their number, from the one
        after `after` on up to `last`."""
        ...

    async def list_served(self, provider: str, start_at: int, end_at: int) -> tuple[OwnCall, ...]:
        """Live calls that a provider served, settled in [start_at, end_at), seconds since 1970."""
        ...


class ProviderBooks(Protocol):
    """What a provider says it served and billed in [start_at, end_at), seconds since 1970. Raises [provider_error]."""

    async def read_usage(self, start_at: int, end_at: int) -> tuple[BilledUsage, ...]:
        """What it counted, by minute and model."""
        ...

    async def read_costs(self, start_at: int, end_at: int) -> tuple[BilledCost, ...]:
        """What it billed, by UTC day and model."""
        ...
