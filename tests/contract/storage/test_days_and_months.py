"""Days and months that begin between hold and settle, and clocks that were ahead: every sum is its period's own."""

import asyncio
from collections.abc import AsyncIterator
from datetime import UTC, datetime
from pathlib import Path

import pytest

from contract.storage.conftest import Clock, Opener
from ledger_calls import funded, hold_order, release, usage_event
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.limits import Limits, Meter, SubjectKind, first_day_of, month_of
from tessera.domain.ledger.losses import DAY_US, LossLimits, day_of
from tessera.domain.ledger.orders import HoldOrder
from tessera.domain.money import Mode
from tessera.domain.usage_report import UsageQuery, Width
from tessera.ports import Page

pytestmark = pytest.mark.anyio

NEW_YEAR_US = int(datetime(2027, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
MINUTE_US = 60_000_000
BUDGETS = {"day": "budget_day_nanos", "month": "budget_month_nanos"}


@pytest.fixture
def clock() -> Clock:
    return Clock(NEW_YEAR_US)


@pytest.fixture
async def ledger(opener: Opener, tmp_path: Path, clock: Clock) -> AsyncIterator[LedgerStorage]:
    """An open ledger by that clock; afterwards every audit must still be right."""
    opened = await opener(tmp_path, clock=clock, limits=LossLimits(loss_max_nanos=100))
    yield opened
    wrong = [check for check in await opened.verify() if not check.ok]
    await opened.close()
    assert wrong == []


class Subject:
    """An organization with one key, called at whatever time the clock shows."""

    def __init__(self, ledger: LedgerStorage, clock: Clock, organization: str, key: str, project: str) -> None:
        self.ledger, self.clock = ledger, clock
        self.organization, self.key, self.project = organization, key, project

    @classmethod
    async def make(cls, ledger: LedgerStorage, clock: Clock, name: str = "k") -> "Subject":
        organization = await funded(ledger, 10**9)
        digest = f"{name} {organization[-24:]}".encode().ljust(32, b"\0")
        key = await ledger.create_key(
            organization, project="default", mode=Mode.LIVE, name=name, digest=digest, display="sk-tess-live-…"
        )
        return cls(ledger, clock, organization, key.id, key.project_id)

    async def limit(self, kind: str, **limits: int) -> None:
        subject = {"key": self.key, "project": self.project, "organization": self.organization}[kind]
        await self.ledger.set_limits(self.organization, Mode.LIVE, SubjectKind(kind), subject, Limits(**limits))

    def order(self, amount: int) -> HoldOrder:
        return hold_order(
            self.organization,
            amount,
            mode=Mode.LIVE,
            owner=self.ledger.owner,
            key_id=self.key,
            project_id=self.project,
            placed_at_us=self.clock.now_us,
        )

    async def hold(self, amount: int) -> HoldOrder:
        order = self.order(amount)
        await self.ledger.hold(order)
        return order

    async def settle(self, order: HoldOrder, charge: int, settled_at_us: int | None = None) -> None:
        at = self.clock.now_us if settled_at_us is None else settled_at_us
        await self.ledger.settle(usage_event(order, charge, settled_at_us=at))

    async def call(self, charge: int) -> None:
        await self.settle(await self.hold(charge), charge)

    async def refused(self, amount: int) -> ErrorCode:
        with pytest.raises(TesseraError) as caught:
            await self.ledger.hold(self.order(amount))
        return caught.value.code

    async def meters(self) -> list[Meter]:
        found = await self.ledger.list_meters(self.organization, Mode.LIVE)
        assert len(found) == 3
        return list(found)

    async def charged(self, first_day: int, end_day: int) -> int:
        query = UsageQuery(
            organization_id=self.organization,
            mode=Mode.LIVE,
            width=Width.DAY,
            start_at=first_day * 86_400,
            end_at=end_day * 86_400,
        )
        return sum(int(one.charge_nanos) for one in await self.ledger.sum_usage(query))

    async def check_meters(self) -> None:
        """Each meter says of its own day and month what the sums of usage say of them."""
        for meter in await self.meters():
            assert meter.day_nanos == await self.charged(meter.day, meter.day + 1)
            bounds = first_day_of(meter.month), first_day_of(meter.month + 1)
            assert meter.month_nanos == await self.charged(*bounds)


@pytest.fixture
async def subject(ledger: LedgerStorage, clock: Clock) -> Subject:
    return await Subject.make(ledger, clock)


@pytest.mark.parametrize("kind", list(SubjectKind))
@pytest.mark.parametrize("period", BUDGETS)
async def test_what_runs_over_midnight_is_held_against_the_new_period_and_charged_to_the_one_it_settles_in(
    subject: Subject, clock: Clock, kind: str, period: str
) -> None:
    await subject.limit(kind, **{BUDGETS[period]: 100})
    clock.now_us = NEW_YEAR_US - 1
    early, late = await subject.hold(30), await subject.hold(50)
    await subject.settle(early, 25)
    assert await subject.refused(26) is ErrorCode.BALANCE_RESERVED
    clock.now_us = NEW_YEAR_US
    assert await subject.refused(51) is ErrorCode.BALANCE_RESERVED
    beside = await subject.hold(50)
    await subject.settle(late, 40)
    await subject.settle(beside, 50)
    assert await subject.refused(11) is ErrorCode.BUDGET_EXCEEDED
    await subject.call(10)
    await subject.check_meters()
    today = day_of(NEW_YEAR_US)
    assert (await subject.charged(today - 1, today), await subject.charged(today, today + 1)) == (25, 100)
    volume = subject.ledger.read_volume
    months = [await volume(subject.organization, Mode.LIVE, month_of(NEW_YEAR_US) + more) for more in (-1, 0)]
    assert months == [25, 100]


@pytest.mark.parametrize("period", BUDGETS)
async def test_a_settlement_that_was_dated_before_midnight_and_comes_after_it_is_the_old_periods(
    subject: Subject, clock: Clock, period: str
) -> None:
    await subject.limit("key", **{BUDGETS[period]: 100})
    clock.now_us = NEW_YEAR_US - 1
    waiting = await subject.hold(70)
    clock.now_us = NEW_YEAR_US + MINUTE_US
    await subject.call(30)
    await subject.settle(waiting, 70, NEW_YEAR_US - 1)
    assert await subject.refused(71) is ErrorCode.BUDGET_EXCEEDED
    await subject.call(70)
    await subject.check_meters()
    today = day_of(NEW_YEAR_US)
    assert (await subject.charged(today - 1, today), await subject.charged(today, today + 1)) == (70, 100)


@pytest.mark.parametrize("ahead_us", [1, DAY_US, 40 * DAY_US, 3650 * DAY_US])
@pytest.mark.parametrize("kind", list(SubjectKind))
@pytest.mark.parametrize("period", BUDGETS)
async def test_a_clock_that_was_ahead_once_frees_nobody_of_a_budget(
    subject: Subject, clock: Clock, kind: str, period: str, ahead_us: int
) -> None:
    await subject.limit(kind, **{BUDGETS[period]: 100})
    clock.now_us = NEW_YEAR_US - 1
    await subject.call(60)
    running = await subject.hold(10)
    clock.now_us = NEW_YEAR_US - 1 + ahead_us
    await subject.call(7)
    clock.now_us = NEW_YEAR_US - 1
    await subject.settle(running, 10)
    assert await subject.refused(31) is ErrorCode.BUDGET_EXCEEDED
    await subject.call(30)
    assert await subject.refused(1) is ErrorCode.BUDGET_EXCEEDED
    await subject.check_meters()
    # When that time comes, what was charged then is remembered.
    clock.now_us = NEW_YEAR_US - 1 + ahead_us
    assert await subject.refused(94) is ErrorCode.BUDGET_EXCEEDED
    await subject.call(93)
    assert await subject.refused(1) is ErrorCode.BUDGET_EXCEEDED
    await subject.check_meters()


async def test_a_settlement_in_the_same_commit_as_a_hold_counts_though_a_clock_was_ahead(
    subject: Subject, clock: Clock
) -> None:
    other = Subject(subject.ledger, clock, subject.organization, "key_other", "prj_other")
    await subject.limit("organization", budget_day_nanos=100)
    running = [await subject.hold(10) for _ in range(5)] + [await other.hold(10)]
    clock.now_us += 2 * DAY_US
    await subject.call(1)
    clock.now_us -= 2 * DAY_US
    # All at once: the settlements stand before the hold in its group, and are not written when it is decided.
    settling = [one.settle(order, 10) for one, order in zip([subject] * 5 + [other], running, strict=True)]
    *_, refusal = await asyncio.gather(*settling, subject.refused(41))
    assert refusal is ErrorCode.BUDGET_EXCEEDED
    await subject.call(40)
    await other.ledger.hold(other.order(0))
    found = {
        meter.subject_id: meter.day_nanos for meter in await subject.ledger.list_meters(other.organization, Mode.LIVE)
    }
    assert found == {
        subject.key: 90,
        subject.project: 90,
        subject.organization: 100,
        "key_other": 10,
        "prj_other": 10,
    }


async def test_a_settlement_of_a_day_that_a_clock_had_seen_before_adds_to_it(subject: Subject, clock: Clock) -> None:
    clock.now_us = NEW_YEAR_US + DAY_US
    await subject.call(5)
    clock.now_us = NEW_YEAR_US
    running = await subject.hold(20)
    await subject.call(3)
    clock.now_us = NEW_YEAR_US + DAY_US
    await subject.settle(running, 20)
    assert [meter.day_nanos for meter in await subject.meters()] == [25] * 3
    assert [meter.month_nanos for meter in await subject.meters()] == [28] * 3


@pytest.mark.parametrize("ahead_us", [MINUTE_US + 1, 2 * MINUTE_US, DAY_US, 3650 * DAY_US])
async def test_a_clock_that_was_ahead_once_stops_no_key_for_longer_than_two_minutes(
    subject: Subject, clock: Clock, ahead_us: int, opener: Opener, tmp_path: Path
) -> None:
    await subject.limit("key", requests_per_minute=60)
    clock.now_us = NEW_YEAR_US + ahead_us
    await subject.call(1)
    # Another process, which knows of the clock only what is written.
    clock.now_us = NEW_YEAR_US + 2 * MINUTE_US
    other = await opener(tmp_path, clock=clock)
    beside = Subject(other, clock, subject.organization, subject.key, subject.project)
    await beside.call(1)
    await other.close()
    for _ in range(60):
        clock.now_us += 1_000_000
        await subject.call(1)


async def test_a_loss_belongs_to_the_day_it_was_settled_on_and_the_limit_to_each_day(
    subject: Subject, clock: Clock
) -> None:
    clock.now_us = NEW_YEAR_US - 1
    orders = [await subject.hold(10) for _ in range(3)]
    for order, at in zip(orders, (NEW_YEAR_US - 1, NEW_YEAR_US, NEW_YEAR_US - 1), strict=True):
        await subject.ledger.settle(release(order, loss_nanos=50, settled_at_us=at))
    await subject.call(1)
    found = await subject.ledger.list_losses(subject.organization, Mode.LIVE, Page())
    assert [(str(day.day), day.loss_nanos) for day in found] == [("2027-01-01", 50), ("2026-12-31", 100)]


@pytest.mark.parametrize("jump_us", [-31 * DAY_US, 31 * DAY_US])
async def test_a_volume_is_its_months_wherever_the_clock_was_meanwhile(
    subject: Subject, clock: Clock, jump_us: int
) -> None:
    await subject.call(20)
    clock.now_us += jump_us
    await subject.call(7)
    clock.now_us -= jump_us
    await subject.call(1)
    months = month_of(NEW_YEAR_US), month_of(NEW_YEAR_US + jump_us)
    assert [await subject.ledger.read_volume(subject.organization, Mode.LIVE, month) for month in months] == [21, 7]
