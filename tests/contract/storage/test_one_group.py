"""Calls that end in one commit: each counts in its own minute, day, key and project, in whatever order they come."""

from collections import Counter
from pathlib import Path

import pytest

from contract.storage.conftest import Clock, Opener
from ledger_calls import commit_together, faults, funded, hold_order, usage_event
from tessera.adapters.storage.ledger import meters
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.ledger.limits import SubjectKind, first_day_of, month_of
from tessera.domain.ledger.losses import DAY_US
from tessera.domain.ledger.orders import HoldOrder
from tessera.domain.money import Mode
from tessera.domain.usage_report import UsageQuery, Width

pytestmark = pytest.mark.anyio

MIDNIGHT_US = first_day_of(month_of(1_800_000_000_000_000)) * DAY_US
SECONDS_AFTER = (-3_600, -61, -1, 0, 59, 60, 3_600)
"""When calls end, from the midnight at which a month begins."""
KEYS = (("prj_1", "key_1"), ("prj_1", "key_2"), ("prj_2", "key_3"))


def calls(storage: LedgerStorage, organization: str, clock: Clock) -> list[HoldOrder]:
    return [
        hold_order(
            organization,
            2**21,
            mode=Mode.LIVE,
            owner=storage.owner,
            project_id=project,
            key_id=key,
            placed_at_us=clock.now_us,
        )
        for _ in SECONDS_AFTER
        for project, key in KEYS
    ]


@pytest.mark.parametrize("latest_first", [False, True])
async def test_calls_that_are_settled_together_are_each_counted_where_they_belong(
    opener: Opener, tmp_path: Path, latest_first: bool
) -> None:
    clock = Clock(MIDNIGHT_US - 7_200_000_000)
    storage = await opener(tmp_path, clock=clock)
    organization, other = await funded(storage, 10**9), await funded(storage, 10**9)
    orders, others = calls(storage, organization, clock), calls(storage, other, clock)
    await commit_together(storage, orders + others)
    # No two sums of charges are the same.
    charged = {order.id: 2**place for place, order in enumerate(orders)}
    ended = {order.id: SECONDS_AFTER[place // len(KEYS)] for place, order in enumerate(orders)}
    events = [
        usage_event(order, charged[order.id], settled_at_us=MIDNIGHT_US + ended[order.id] * 1_000_000)
        for order in orders
    ]
    if latest_first:
        events.reverse()
    clock.wait(4 * 3_600)
    # A key's first call of the new day comes after those of another were written.
    first = {order.id for order in orders if order.key_id == KEYS[0][1]}
    beside = [usage_event(order, 1, settled_at_us=MIDNIGHT_US) for order in others]
    for group in (
        [event for event in events if event.hold_id in first],
        [*beside, *(event for event in events if event.hold_id not in first)],
    ):
        assert await commit_together(storage, group) == [None] * len(group)

    for width in Width:
        expected: Counter[int] = Counter()
        for order in orders:
            at_s = MIDNIGHT_US // 1_000_000 + ended[order.id]
            expected[at_s // width.seconds * width.seconds] += charged[order.id]
        report = await storage.sum_usage(
            UsageQuery(organization_id=organization, mode=Mode.LIVE, width=width, start_at=0, end_at=2**40)
        )
        assert {row.start_at: row.charge_nanos for row in report} == expected
    today = [order for order in orders if ended[order.id] >= 0]
    for meter in await storage.list_meters(organization, Mode.LIVE):
        own = {
            SubjectKind.KEY: "key_id",
            SubjectKind.PROJECT: "project_id",
            SubjectKind.ORGANIZATION: "organization_id",
        }
        mine = [order for order in orders if getattr(order, own[meter.kind]) == meter.subject_id]
        assert meter.spent_nanos == sum(charged[order.id] for order in mine)
        assert meter.day_nanos == meter.month_nanos == sum(charged[order.id] for order in mine if order in today)
    assert faults(await storage.verify()) == {}
    await storage.close()


async def test_however_few_meters_are_remembered_each_call_is_counted(
    storage: LedgerStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(meters, "METERS_KEPT_MAX", 2)
    organization = await funded(storage, 10**9)
    orders = calls(storage, organization, Clock(MIDNIGHT_US))
    await commit_together(storage, orders)
    for order in orders:
        await storage.settle(usage_event(order, 5))
        book = storage._committer.books._books[organization, Mode.LIVE]
        assert (book.meters, book.metered) == ({}, {})
    found = {meter.subject_id: meter.spent_nanos for meter in await storage.list_meters(organization, Mode.LIVE)}
    assert found == {
        **dict.fromkeys(("key_1", "key_2", "key_3", "prj_2"), 35),
        "prj_1": 70,
        organization: 105,
    }
