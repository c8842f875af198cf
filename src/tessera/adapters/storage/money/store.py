"""The port `MoneyStore` on any database that keeps the ledger."""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import msgspec

from tessera.adapters.storage.ledger.people import LedgerSteps, people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.money import automatic, closed, events, fees, refunds, statements, topups, vouchers
from tessera.adapters.storage.money.adjustments import Desk
from tessera.adapters.storage.people.audit_log import record
from tessera.domain.money import Mode
from tessera.domain.payments.news import PaymentEvent, Verdict
from tessera.domain.payments.records import (
    AutomaticTopUp,
    ChargeRefund,
    PaymentRefund,
    Service,
    TopUp,
    TopUpOrder,
    Voucher,
)
from tessera.domain.payments.statements import Statement, month_bounds
from tessera.domain.people.records import Act
from tessera.ports import Lot, Page

P = ParamSpec("P")
T = TypeVar("T")

_COMPARED = "SELECT compared_at FROM payment_comparison WHERE service = ? AND mode = ?"
_COMPARE = """
INSERT INTO payment_comparison (service, mode, compared_at, found) VALUES (?, ?, ?, ?)
ON CONFLICT (service, mode) DO UPDATE SET compared_at = excluded.compared_at, found = excluded.found
"""


class SqlMoney:
    """Money in and out in the same database as the ledger, through the same writer."""

    def __init__(self, storage: LedgerStorage) -> None:
        self._storage = storage
        self._people = people_of(storage)
        self._steps = LedgerSteps(storage)

    # ---- top-ups and what services tell of them -------------------------------------------------------------------

    async def create_topup(self, order: TopUpOrder, act: Act | None = None) -> tuple[TopUp, bool]:
        def create(desk: Desk) -> tuple[TopUp, bool]:
            topup, repeated = topups.create_topup(desk, order)
            if not repeated:
                self._record(desk, act)
            return topup, repeated

        return await self._change(create)

    async def open_topup(self, topup_id: str, session_id: str, url: str | None) -> TopUp:
        return await self._change(topups.open_topup, topup_id, session_id, url)

    async def find_topup(self, organization_id: str, mode: Mode, topup_id: str) -> TopUp | None:
        return await self._storage._read(topups.own_topup, organization_id, mode, topup_id)

    async def list_topups(self, organization_id: str, mode: Mode, page: Page) -> tuple[TopUp, ...]:
        return await self._storage._read(topups.list_topups, organization_id, mode, page)

    async def list_all_topups(self, page: Page) -> tuple[TopUp, ...]:
        return await self._storage._read(topups.list_all_topups, page)

    async def list_paid(self, service: Service, mode: Mode, since: int) -> tuple[TopUp, ...]:
        return await self._storage._read(topups.list_paid, service, mode, since)

    async def list_left_open(self, service: Service, mode: Mode) -> tuple[TopUp, ...]:
        return await self._storage._read(closed.list_left_open, service, mode)

    async def list_paid_late(self, service: Service, mode: Mode, since: int, *, untouched: bool) -> tuple[TopUp, ...]:
        return await self._storage._read(
            lambda connection: closed.list_paid_late(connection, service, mode, since, untouched=untouched)
        )

    async def list_came_back(self, service: Service, mode: Mode, since: int) -> tuple[TopUp, ...]:
        return await self._storage._read(closed.list_came_back, service, mode, since)

    async def take_event(self, event: PaymentEvent) -> Verdict:
        return await self._change(events.take_event, event)

    async def take_news(self, event: PaymentEvent) -> Verdict:
        return await self._change(events.decide, event)

    # ---- fees ------------------------------------------------------------------------------------------------------

    async def list_fee_due(self, service: Service, mode: Mode) -> tuple[TopUp, ...]:
        now = self._storage._clock() // 1_000_000
        return await self._storage._read(topups.list_fee_due, service, mode, now)

    async def postpone_fee(self, topup: TopUp, at: int | None) -> None:
        await self._change(topups.postpone_fee, topup, at)

    async def list_fees(self, service: Service, mode: Mode, since: int) -> tuple[tuple[str, str, int], ...]:
        return await self._storage._read(fees.list_fees, service, mode, since)

    # ---- refunds --------------------------------------------------------------------------------------------------

    async def refund_call(
        self, request_id: str, amount_nanos: int | None, note: str, act: Act | None = None
    ) -> ChargeRefund:
        def refund(desk: Desk) -> ChargeRefund:
            found = refunds.refund_call(desk, request_id, amount_nanos, note)
            self._record(desk, act, scope=found.organization_id, amount_nanos=found.amount_nanos)
            return found

        return await self._change(refund)

    async def begin_refund(
        self, topup_id: str, amount_nanos: int | None, note: str, act: Act | None = None
    ) -> PaymentRefund:
        def begin(desk: Desk) -> PaymentRefund:
            found = refunds.begin_refund(desk, topup_id, amount_nanos, note)
            self._record(desk, act, scope=found.topup.organization_id, amount_nanos=found.amount_nanos)
            return found

        return await self._change(begin)

    async def fail_refund(self, refund: PaymentRefund, reason: str) -> None:
        await self._change(refunds.fail_refund, refund, reason)

    async def applied_refunds(self, service: Service, mode: Mode, since: int) -> tuple[tuple[str, str, int], ...]:
        return await self._storage._read(refunds.applied_refunds, service, mode, since)

    # ---- vouchers -------------------------------------------------------------------------------------------------

    async def create_voucher(self, voucher: Voucher, digest: str, act: Act | None = None) -> Voucher:
        def create(desk: Desk) -> Voucher:
            self._record(desk, act)
            return vouchers.create_voucher(desk, voucher, digest)

        return await self._change(create)

    async def list_vouchers(self, page: Page) -> tuple[Voucher, ...]:
        return await self._storage._read(vouchers.list_vouchers, page)

    async def revoke_voucher(self, voucher_id: str, act: Act | None = None) -> Voucher:
        def revoke(desk: Desk) -> Voucher:
            self._record(desk, act)
            return vouchers.revoke_voucher(desk, voucher_id)

        return await self._change(revoke)

    async def redeem_voucher(self, organization_id: str, mode: Mode, digest: str, act: Act | None = None) -> Lot:
        def redeem(desk: Desk) -> Lot:
            lot = vouchers.redeem_voucher(desk, organization_id, mode, digest)
            self._record(desk, act, object_id=lot.id, amount_nanos=lot.amount_nanos)
            return lot

        return await self._change(redeem)

    # ---- automatic top-up -----------------------------------------------------------------------------------------

    async def find_automatic(self, organization_id: str, mode: Mode) -> AutomaticTopUp | None:
        return await self._storage._read(automatic.find_automatic, organization_id, mode)

    async def set_automatic(self, wanted: AutomaticTopUp, act: Act | None = None) -> AutomaticTopUp:
        def set_it(desk: Desk) -> AutomaticTopUp:
            self._record(desk, act)
            return automatic.set_automatic(desk, wanted)

        return await self._change(set_it)

    async def list_due(self) -> tuple[tuple[str, Mode], ...]:
        return await self._storage._read(automatic.list_due, self._storage._clock() // 1_000_000)

    async def list_started(self) -> tuple[TopUp, ...]:
        return await self._storage._read(automatic.list_started)

    async def start_automatic(self, organization_id: str, mode: Mode, *, taxed: bool) -> tuple[TopUp, str] | None:
        return await self._change(automatic.start_automatic, organization_id, mode, taxed)

    # ---- statements and comparisons -------------------------------------------------------------------------------

    async def organization_name(self, organization_id: str) -> str:
        return (await self._storage.find_organization(organization_id)).name

    async def read_statement(self, organization_id: str, mode: Mode, month: str) -> Statement:
        asked = (organization_id, mode, month, *month_bounds(month))
        return await self._storage._report(organization_id, statements.read_statement, *asked)

    async def compared_at(self, service: Service, mode: Mode) -> int:
        return await self._storage._read(_compared_at, service, mode)

    async def note_comparison(self, service: Service, mode: Mode, found: str) -> None:
        await self._change(_note_comparison, service, mode, found)

    # ---- inside ---------------------------------------------------------------------------------------------------

    def _record(
        self,
        desk: Desk,
        act: Act | None,
        *,
        scope: str | None = None,
        object_id: str | None = None,
        amount_nanos: int | None = None,
    ) -> None:
        """Writes an act to the audit log in the same commit, with what only the change itself knows."""
        if act is None:
            return
        details = {**act.details, **({} if amount_nanos is None else {"amount_nanos": amount_nanos})}
        known = msgspec.structs.replace(
            act, scope=scope or act.scope, object_id=object_id or act.object_id, details=details
        )
        self._steps._run(desk.connection, desk.books, record(self._people, known))

    async def _change(self, work: Callable[Concatenate[Desk, P], T], /, *args: P.args, **kwargs: P.kwargs) -> T:
        """Runs a change in one commit of the ledger's writer."""
        storage = self._storage

        def change(connection: Any, books: Any) -> T:
            return work(Desk(connection, books, storage._clock(), storage._make_id), *args, **kwargs)

        return await storage._change(change)


def _compared_at(connection: Any, service: Service, mode: Mode) -> int:
    row = connection.execute(_COMPARED, (service.value, mode.value)).fetchone()
    return 0 if row is None else int(row[0])


def _note_comparison(desk: Desk, service: Service, mode: Mode, found: str) -> None:
    desk.connection.execute(_COMPARE, (service.value, mode.value, desk.now, found))
