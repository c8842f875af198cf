"""The port `Storage`, on either database."""

import asyncio
from typing import Any

from tessera.adapters.storage.ledger import (
    accounts,
    connected,
    margins,
    reads,
    repeats,
    settled_calls,
    usage_events,
    usage_reads,
)
from tessera.adapters.storage.ledger.administering import Administering
from tessera.adapters.storage.ledger.provider_calls import list_served
from tessera.adapters.storage.ledger.unavailable import unavailable
from tessera.adapters.storage.ledger.volumes import read_volume
from tessera.domain.auth import Caller
from tessera.domain.ledger.idempotency import KeyOrder
from tessera.domain.ledger.orders import HoldGrant, HoldOrder
from tessera.domain.margins import SettledSums
from tessera.domain.money import Mode
from tessera.domain.provider_comparison import OwnCall
from tessera.domain.repricing import SettledCall
from tessera.domain.usage import UsageEvent
from tessera.domain.usage_report import Movements, UsageQuery, UsageSums, UsedCall
from tessera.ports import (
    Balance,
    LedgerEntry,
    Page,
    RequestRecord,
    SavedQuote,
)

CALLERS_CACHED_MAX = 50_000

_INSERT_QUOTE = """
INSERT INTO quote (
    id, organization_id, mode, model, max_nanos, price_version, created_at_us, expires_at_us, body
) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT (id) DO NOTHING
"""

_OPERATOR = ""
"""Whose turn the reports over all organizations take."""

_NOTHING_WAITS = "SELECT count(*) FROM wallet WHERE id = 0"


class LedgerStorage(Administering):
    """The ledger, accounts, keys and quotes of one database."""

    async def find_caller(self, digest: bytes) -> Caller | None:
        """Cached; a key revoked by another process is refused within a second."""
        caller = self._callers.get(digest)
        if caller is not None and (caller.ends_at is None or caller.ends_at * 1_000_000 > self._clock()):
            return caller
        generation = self._generation
        caller = await self._read_for_call(reads.find_caller, digest, self._clock() // 1_000_000)
        # A revocation that was committed meanwhile has changed the generation: what was read may be stale.
        if caller is not None and generation == self._generation:
            if len(self._callers) >= CALLERS_CACHED_MAX:
                self._callers.clear()
            self._callers[digest] = caller
        return caller

    async def find_cut_keys(self, key_ids: tuple[str, ...]) -> frozenset[str]:
        return await self._read(accounts.find_cut_keys, key_ids)

    async def hold(self, order: HoldOrder) -> HoldGrant:
        """See the port. Who is cancelled, or refused because it has waited too long, leaves no hold behind."""
        writer = self._running()
        granting = writer.order(order)
        timer = granting.get_loop().call_later(connected.ANSWER_SECONDS_MAX, _refuse, granting)
        try:
            grant: HoldGrant = await granting
        except asyncio.CancelledError:
            if not granting.cancelled() and granting.exception() is None:
                writer.give_back(order, granting.result())
            raise
        finally:
            timer.cancel()
        return grant

    async def settle(self, event: UsageEvent) -> None:
        """See the port. Raises [internal_error] for a settlement its hold refuses (expired, settled differently,
        charge above hold); that settlement is kept for reconciliation."""
        await self._running().order(event)

    async def find_repeat(self, order: KeyOrder) -> HoldGrant | None:
        return await self._read_for_call(repeats.find_repeat, order)

    async def find_request(self, organization_id: str, mode: Mode, request_id: str) -> RequestRecord | None:
        return await self._read(reads.find_request, organization_id, mode, request_id, self._committer.outbox.waiting)

    async def list_requests(self, organization_id: str, mode: Mode, page: Page) -> tuple[RequestRecord, ...]:
        return await self._read(reads.list_requests, organization_id, mode, page, self._committer.outbox.waiting)

    async def balance(self, organization_id: str, mode: Mode) -> Balance:
        return await self._read(reads.balance, organization_id, mode)

    async def list_entries(self, organization_id: str, mode: Mode, page: Page) -> tuple[LedgerEntry, ...]:
        return await self._read(reads.list_entries, organization_id, mode, page)

    async def save_quote(self, quote: SavedQuote) -> None:
        whose = (quote.id, quote.organization_id, quote.mode.value, quote.model)
        terms = (quote.max_nanos, quote.price_version, quote.created_at_us, quote.expires_at_us, quote.body)
        await self._change(lambda connection, _: connection.execute(_INSERT_QUOTE, whose + terms))

    async def find_quote(self, organization_id: str, mode: Mode, quote_id: str) -> SavedQuote | None:
        return await self._read_for_call(reads.find_quote, organization_id, mode, quote_id)

    async def sum_usage(self, query: UsageQuery, *, rows_max: int | None = None) -> tuple[UsageSums, ...]:
        return await self._report(query.organization_id, usage_reads.sum_usage, query, rows_max)

    async def sum_settled(self, mode: Mode, start_at: int, end_at: int) -> tuple[SettledSums, ...]:
        return await self._report(_OPERATOR, margins.sum_settled, mode, start_at, end_at)

    async def read_volume(self, organization_id: str, mode: Mode, month: int) -> int:
        return await self._read_for_call(read_volume, organization_id, mode, month)

    async def find_numbers(self, mode: Mode, start_at: int, end_at: int) -> tuple[int, int] | None:
        return await self._report(_OPERATOR, settled_calls.find_numbers, mode, start_at, end_at)

    async def list_settled(
        self, mode: Mode, start_at: int, end_at: int, *, after: int, last: int, limit: int
    ) -> tuple[SettledCall, ...]:
        return await self._report(_OPERATOR, settled_calls.list_settled, mode, start_at, end_at, after, last, limit)

    async def list_served(self, provider: str, start_at: int, end_at: int) -> tuple[OwnCall, ...]:
        return await self._report(_OPERATOR, list_served, provider, start_at, end_at)

    async def list_used(
        self, organization_id: str, mode: Mode, start_at: int, end_at: int, *, after: str, limit: int
    ) -> tuple[UsedCall, ...]:
        asked = (organization_id, mode, start_at, end_at, after, limit)
        return await self._report(organization_id, usage_reads.list_used, *asked)

    async def read_movements(
        self, organization_id: str, mode: Mode, *, after: int | None, watched: tuple[str, ...], after_alert: int = 0
    ) -> Movements:
        return await self._read(usage_events.read_movements, organization_id, mode, after, watched, after_alert)

    async def ready(self) -> bool:
        """Whether a write transaction can begin: the disk, the lock and the schema are there."""
        if self._writer is None:
            return False
        try:
            await self._change(lambda connection, _: connection.execute(_NOTHING_WAITS).fetchone())
        except Exception:
            return False
        return True


def _refuse(granting: "asyncio.Future[Any]") -> None:
    """Ends the wait for a hold. One that is granted all the same finds nobody, and is given back (decision 0082)."""
    if not granting.done():
        granting.set_exception(unavailable(TimeoutError("the database does not answer")))
