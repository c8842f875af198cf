"""Reports of usage: exact sums of what the ledger charged, by time and by what calls are told apart by."""

import asyncio
import itertools
import threading
from collections import defaultdict
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ledger_calls import funded, hold_order, release, usage_event
from tessera.adapters.storage.ledger import usage_reads
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.postgres.migrations import migrations as postgres_migrations
from tessera.adapters.storage.sqlite.migrations import _statements
from tessera.adapters.storage.sqlite.migrations import migrations as sqlite_migrations
from tessera.domain.ledger.orders import HoldOrder
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities
from tessera.domain.usage import UsageEvent
from tessera.domain.usage_report import Dimension, UsageQuery, UsageSums, Width
from tessera.ports import Page, RequestRecord

pytestmark = pytest.mark.anyio

Opener = Callable[..., Awaitable[LedgerStorage]]

NOON = 1_795_348_800
"""2026-11-22 12:00:00 UTC."""
TOKENS = st.integers(0, 10**9)
CALLS = st.lists(
    st.fixed_dictionaries(
        {
            "at_us": st.integers(-2 * 86_400_000_000, 2 * 86_400_000_000),
            "model": st.sampled_from(("gpt-5.2-pro", "gpt-4o")),
            "project": st.sampled_from(("prj_1", "prj_2")),
            "key": st.sampled_from(("key_1", "key_2")),
            "tier": st.sampled_from(("default", "flex", "")),
            "endpoint": st.sampled_from(("/v1/chat/completions", "/v1/responses")),
            "charge": st.integers(0, 10**12),
            "cost": st.integers(0, 10**12),
            "tokens": st.tuples(*[TOKENS] * 7),
        }
    ),
    max_size=12,
)
PARTS = (
    "input_tokens",
    "cached_input_tokens",
    "cache_write_tokens",
    "input_image_tokens",
    "output_tokens",
    "reasoning_tokens",
    "output_image_tokens",
)


def query(organization: str, **changes: Any) -> UsageQuery:
    fields: dict[str, Any] = {
        "organization_id": organization,
        "mode": Mode.LIVE,
        "width": Width.DAY,
        "start_at": 0,
        "end_at": 2**40,
    }
    return UsageQuery(**(fields | changes))


async def used(storage: LedgerStorage, organization: str, at_us: int, charge: int, **changes: Any) -> UsageEvent:
    """One settled call."""
    tier = changes.pop("served_tier", "default")
    usage = changes.pop("usage", Quantities(input_tokens=charge))
    cost = changes.pop("cost_nanos", 3)
    order = hold_order(organization, 10**12, mode=Mode.LIVE, owner=storage.owner, placed_at_us=at_us, **changes)
    await storage.hold(order)
    event = usage_event(order, charge, settled_at_us=at_us, served_tier=tier, usage=usage, cost_nanos=cost)
    await storage.settle(event)
    return event


async def records(storage: LedgerStorage, organization: str) -> tuple[RequestRecord, ...]:
    return await storage.list_requests(organization, Mode.LIVE, Page(limit=1000))


def dimension_of(record: RequestRecord, dimension: Dimension) -> str | None:
    assert record.event is not None
    found: dict[Dimension, str | None] = {
        Dimension.MODEL: record.hold.model,
        Dimension.PROJECT: record.hold.project_id,
        Dimension.KEY: record.hold.key_id,
        Dimension.MEMBER: None,
        Dimension.TIER: record.event.served_tier,
        Dimension.ENDPOINT: record.hold.endpoint,
    }
    return found[dimension]


def added(
    ledger: tuple[RequestRecord, ...], asked: UsageQuery
) -> dict[tuple[int, tuple[str | None, ...]], tuple[int, ...]]:
    """The report, added up call by call."""
    sums: dict[Any, list[int]] = defaultdict(lambda: [0] * 10)
    for record in ledger:
        event = record.event
        assert event is not None
        start = event.settled_at_us // (asked.width.seconds * 1_000_000) * asked.width.seconds
        kept = all(dimension_of(record, one) in wanted for one, wanted in asked.only.items())
        if asked.start_at <= start < asked.end_at and kept:
            row = sums[start, tuple(dimension_of(record, one) for one in asked.by)]
            tokens = [getattr(event.usage, part) for part in PARTS]
            for index, value in enumerate([1, *tokens, event.charge_nanos, event.cost_nanos]):
                row[index] += value
    return {place: tuple(row) for place, row in sums.items()}


def shown(report: tuple[UsageSums, ...]) -> dict[tuple[int, tuple[str | None, ...]], tuple[int, ...]]:
    rows = {
        (row.start_at, row.group): (
            row.requests,
            *(getattr(row.usage, part) for part in PARTS),
            row.charge_nanos,
            row.cost_nanos,
        )
        for row in report
    }
    assert len(rows) == len(report)
    return rows


async def opened(opener: Opener, folder: Path) -> LedgerStorage:
    return await opener(folder)


def test_every_report_is_the_sum_of_the_ledger_to_the_nano(opener: Opener, tmp_path: Path) -> None:
    with asyncio.Runner() as runner:
        storage = runner.run(opened(opener, tmp_path))

        async def check(calls: list[dict[str, Any]], asked: dict[str, Any]) -> None:
            organization = await funded(storage, 10**14)
            await asyncio.gather(
                *(
                    used(
                        storage,
                        organization,
                        NOON * 1_000_000 + call["at_us"],
                        call["charge"],
                        model=call["model"],
                        project_id=call["project"],
                        key_id=call["key"],
                        endpoint=call["endpoint"],
                        served_tier=call["tier"],
                        cost_nanos=call["cost"],
                        usage=Quantities(**dict(zip(PARTS, call["tokens"], strict=True))),
                    )
                    for call in calls
                )
            )
            ledger = await records(storage, organization)
            report = await storage.sum_usage(query(organization, **asked))
            assert shown(report) == added(ledger, query(organization, **asked))
            whole = await storage.sum_usage(query(organization))
            spent = (await storage.balance(organization, Mode.LIVE)).spent_nanos
            assert sum(row.charge_nanos for row in whole) == spent == sum(call["charge"] for call in calls)

        dimensions = st.lists(st.sampled_from(Dimension), unique=True).map(tuple)
        questions = st.fixed_dictionaries(
            {
                "width": st.sampled_from(Width),
                "by": dimensions,
                "start_at": st.sampled_from((0, NOON - 86_400, NOON)),
                "end_at": st.sampled_from((NOON + 60, 2**40)),
                "only": st.sampled_from(({}, {Dimension.MODEL: ("gpt-4o", "none")}, {Dimension.TIER: ("",)})),
            }
        )

        @settings(max_examples=40)
        @given(CALLS, questions)
        def holds(calls: list[dict[str, Any]], asked: dict[str, Any]) -> None:
            runner.run(check(calls, asked))

        holds()
        wrong = [found for found in runner.run(storage.verify()) if not found.ok]
        runner.run(storage.close())
    assert wrong == []


async def test_a_report_is_of_one_organization_and_mode(storage: LedgerStorage) -> None:
    organization, other = await funded(storage, 10**13), await funded(storage, 10**13)
    await used(storage, organization, NOON * 1_000_000, 5)
    test = hold_order(organization, 7, owner=storage.owner)
    await storage.hold(test)
    await storage.settle(usage_event(test, 7))
    assert [row.charge_nanos for row in await storage.sum_usage(query(organization))] == [5]
    assert [row.charge_nanos for row in await storage.sum_usage(query(organization, mode=Mode.TEST))] == [7]
    assert await storage.sum_usage(query(other)) == ()
    assert await storage.sum_usage(query("org_none")) == ()


async def test_what_runs_is_not_usage_yet_and_what_failed_counts_as_a_request(storage: LedgerStorage) -> None:
    organization = await funded(storage, 1_000)
    running, failing = (hold_order(organization, 10, mode=Mode.LIVE, owner=storage.owner) for _ in range(2))
    await storage.hold(running)
    await storage.hold(failing)
    assert await storage.sum_usage(query(organization)) == ()
    await storage.settle(release(failing, loss_nanos=9))
    (row,) = await storage.sum_usage(query(organization))
    assert (row.requests, row.charge_nanos, row.cost_nanos) == (1, 0, 0)
    await storage.settle(usage_event(running, 10))


async def test_a_settlement_that_is_repeated_or_refused_counts_once_or_not_at_all(storage: LedgerStorage) -> None:
    organization = await funded(storage, 10**13)
    event = await used(storage, organization, NOON * 1_000_000, 5)
    await storage.settle(event)
    with pytest.raises(Exception, match="refused"):
        await storage.settle(usage_event(_again(event), 6))
    (row,) = await storage.sum_usage(query(organization))
    assert (row.requests, row.charge_nanos) == (1, 5)


def _again(event: UsageEvent) -> HoldOrder:
    return hold_order(event.organization_id, 10**12, mode=event.mode, id=event.hold_id)


async def test_the_newest_rows_come_with_whole_buckets(storage: LedgerStorage) -> None:
    organization = await funded(storage, 10**14)
    for minute, model in itertools.product(range(5), ("a", "b")):
        await used(storage, organization, (NOON + 60 * minute) * 1_000_000, 1, model=model)
    asked = query(organization, width=Width.MINUTE, by=(Dimension.MODEL,))
    rows = await storage.sum_usage(asked, rows_max=3)
    assert len(rows) >= 3
    assert rows == (await storage.sum_usage(asked))[: len(rows)]
    assert [(row.start_at, row.group) for row in rows[:2]] == [(NOON + 240, ("a",)), (NOON + 240, ("b",))]
    only = query(organization, width=Width.MINUTE, only={Dimension.MODEL: ("b",)})
    assert [row.start_at for row in await storage.sum_usage(only, rows_max=1)] == [NOON + 240]


async def test_calls_are_listed_for_export_by_when_they_were_settled(storage: LedgerStorage) -> None:
    organization, other = await funded(storage, 10**14), await funded(storage, 10**14)
    events = []
    for second in (0, 10, 86_399, 86_400, 200_000):
        events.append(await used(storage, organization, (NOON + second) * 1_000_000, second))
        await used(storage, other, (NOON + second) * 1_000_000, 1)
    first = await storage.list_used(organization, Mode.LIVE, NOON + 10, NOON + 86_401, after="", limit=2)
    rest = await storage.list_used(
        organization, Mode.LIVE, NOON + 10, NOON + 86_401, after=first[-1].request_id, limit=1000
    )
    assert [call.request_id for call in (*first, *rest)] == [event.hold_id for event in events[1:4]]
    assert [call.charge_nanos for call in (*first, *rest)] == [10, 86_399, 86_400]
    assert await storage.list_used(organization, Mode.LIVE, NOON - 86_400, NOON, after="", limit=9) == ()
    assert await storage.list_used("org_none", Mode.LIVE, 0, 2**40, after="", limit=9) == ()


async def test_usage_from_before_there_were_sums_is_added_up_by_the_migration(
    storage: LedgerStorage, engine: str
) -> None:
    organization = await funded(storage, 10**14)
    for second in (0, 59, 60, 3_600, 90_000):
        await used(storage, organization, (NOON + second) * 1_000_000, second, served_tier="flex")
    asked = query(organization, by=(Dimension.TIER, Dimension.KEY), width=Width.MINUTE)
    before = await storage.sum_usage(asked)
    migrations = postgres_migrations() if engine == "postgres" else sqlite_migrations()
    (script,) = (script for _, script in migrations if "CREATE TABLE usage_sum" in script)

    def again(connection: Any, _: Any) -> None:
        for statement in ("DROP TABLE usage_sum", "DROP TABLE usage_series", *_statements(script)):
            connection.execute(statement)

    await storage._change(again)
    assert await storage.sum_usage(asked) == before
    assert [check.name for check in await storage.verify() if not check.ok] == []
    await used(storage, organization, NOON * 1_000_000, 7, served_tier="flex")
    (row,) = await storage.sum_usage(query(organization, width=Width.DAY, end_at=NOON))
    assert (row.requests, row.charge_nanos) == (5, 59 + 60 + 3_600 + 7)


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE usage_sum SET requests = requests + 1 WHERE width_s = 60",
        "UPDATE usage_sum SET charge_nanos = charge_nanos - 1 WHERE width_s = 3600",
        "DELETE FROM usage_sum WHERE width_s = 86400",
        "UPDATE usage_series SET tier = 'flex'",
        "INSERT INTO usage_sum SELECT wallet_id, width_s, start_at + 86400, series_id, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,"
        " 1 FROM usage_sum WHERE width_s = 60",
    ],
)
async def test_sums_that_were_edited_are_found(opener: Opener, tmp_path: Path, damage: str) -> None:
    storage = await opener(tmp_path)
    await used(storage, await funded(storage, 10**13), NOON * 1_000_000, 5)
    await storage._change(lambda connection, _: connection.execute(damage))
    found = {check.name: check.detail for check in await storage.verify() if not check.ok}
    await storage.close()
    assert set(found) == {"usage-equals-events"}
    assert "wallet " in found["usage-equals-events"]


async def test_one_organizations_reports_hold_up_neither_calls_nor_the_reports_of_others(
    storage: LedgerStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    greedy, other = await funded(storage, 10), await funded(storage, 10)
    begun, go_on = threading.Semaphore(0), threading.Event()
    sum_usage = usage_reads.sum_usage

    def slow(connection: Any, asked: UsageQuery, rows_max: int | None) -> tuple[UsageSums, ...]:
        if asked.organization_id == greedy:
            begun.release()
            assert go_on.wait(60)
        return sum_usage(connection, asked, rows_max)

    monkeypatch.setattr(usage_reads, "sum_usage", slow)
    reports = [asyncio.create_task(storage.sum_usage(query(greedy))) for _ in range(6)]
    try:
        assert await asyncio.to_thread(begun.acquire, timeout=60)
        async with asyncio.timeout(30):
            assert await storage.sum_usage(query(other)) == ()
            await storage.balance(other, Mode.LIVE)
            await storage.balance(greedy, Mode.LIVE)
        assert not begun.acquire(blocking=False), "a second report of the same organization began beside the first"
        reports[0].cancel()
        reports[1].cancel()
        await asyncio.sleep(0)
        assert not begun.acquire(blocking=False)
    finally:
        go_on.set()
    ended = await asyncio.gather(*reports, return_exceptions=True)
    assert [one for one in ended if not isinstance(one, asyncio.CancelledError)] == [()] * 4
