"""Limits decided in the hold's commit: exact under concurrency, counted from the first call on, seen at once."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ledger_calls import funded, hold_order, release, usage_event
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.limits import Limits, Meter, SubjectKind
from tessera.domain.ledger.orders import HoldGrant, HoldOrder
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio

Opener = Callable[..., Awaitable[LedgerStorage]]


async def key_of(storage: LedgerStorage, organization: str, name: str = "k") -> tuple[str, str]:
    """A new key's id and its project's."""
    digest = name.encode().ljust(32, b"\0")
    key = await storage.create_key(
        organization, project="default", mode=Mode.LIVE, name=name, digest=digest, display="sk-tess-live-…"
    )
    return key.id, key.project_id


def call(storage: LedgerStorage, organization: str, key: tuple[str, str], amount: int, **changes: object) -> HoldOrder:
    return hold_order(
        organization, amount, mode=Mode.LIVE, owner=storage.owner, key_id=key[0], project_id=key[1], **changes
    )


async def refused(storage: LedgerStorage, order: HoldOrder) -> TesseraError:
    with pytest.raises(TesseraError) as caught:
        await storage.hold(order)
    return caught.value


async def meters(storage: LedgerStorage, organization: str) -> dict[tuple[str, str], Meter]:
    return {(m.kind.value, m.subject_id): m for m in await storage.list_meters(organization, Mode.LIVE)}


async def test_another_organizations_key_and_a_key_of_the_other_mode_cannot_be_limited(storage: LedgerStorage) -> None:
    organization, other = await funded(storage, 100), await funded(storage, 100)
    key, _ = await key_of(storage, organization)
    for owner, mode, kind, subject in (
        (other, Mode.LIVE, SubjectKind.KEY, key),
        (organization, Mode.TEST, SubjectKind.KEY, key),
        (organization, Mode.LIVE, SubjectKind.PROJECT, "prj_none"),
        (organization, Mode.LIVE, SubjectKind.ORGANIZATION, other),
    ):
        with pytest.raises(TesseraError) as caught:
            await storage.set_limits(owner, mode, kind, subject, Limits(concurrent_max=1))
        assert caught.value.code is ErrorCode.NOT_FOUND


async def test_a_meter_counts_from_the_first_call_and_a_budget_set_later_knows_what_was_spent(
    storage: LedgerStorage,
) -> None:
    organization = await funded(storage, 1_000)
    key = await key_of(storage, organization)
    for _ in range(3):
        order = call(storage, organization, key, 50)
        await storage.hold(order)
        await storage.settle(usage_event(order, 30))
    waiting = call(storage, organization, key, 7)
    await storage.hold(waiting)
    found = await meters(storage, organization)
    assert set(found) == {("key", key[0]), ("project", key[1]), ("organization", organization)}
    assert {(m.spent_nanos, m.month_nanos, m.day_nanos, m.held_nanos, m.open_calls) for m in found.values()} == {
        (90, 90, 90, 7, 1)
    }
    await storage.set_limits(organization, Mode.LIVE, SubjectKind.PROJECT, key[1], Limits(budget_month_nanos=100))
    error = await refused(storage, call(storage, organization, key, 11))
    assert error.code is ErrorCode.BUDGET_EXCEEDED
    assert error.details["scope"] == "project"
    assert (await refused(storage, call(storage, organization, key, 4))).code is ErrorCode.BALANCE_RESERVED
    await storage.settle(release(waiting))
    assert (await storage.hold(call(storage, organization, key, 10))).granted_nanos == 10


async def test_a_limit_binds_the_very_next_call_and_lifting_it_frees_the_one_after(storage: LedgerStorage) -> None:
    organization = await funded(storage, 1_000)
    key = await key_of(storage, organization)
    await storage.hold(call(storage, organization, key, 1))
    await storage.set_limits(organization, Mode.LIVE, SubjectKind.KEY, key[0], Limits(concurrent_max=1))
    error = await refused(storage, call(storage, organization, key, 1))
    assert error.code is ErrorCode.CONCURRENCY_EXCEEDED
    other = await key_of(storage, organization, "other")
    await storage.hold(call(storage, organization, other, 1))
    await storage.set_limits(organization, Mode.LIVE, SubjectKind.KEY, key[0], Limits())
    await storage.hold(call(storage, organization, key, 1))


async def test_a_hundred_calls_at_once_pass_exactly_what_the_budget_affords(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100_000)
    keys = [await key_of(storage, organization, f"k{number}") for number in range(4)]
    await storage.set_limits(
        organization, Mode.LIVE, SubjectKind.ORGANIZATION, organization, Limits(budget_day_nanos=370)
    )
    orders = [call(storage, organization, keys[number % 4], 10) for number in range(100)]
    answers = await asyncio.gather(*map(storage.hold, orders), return_exceptions=True)
    granted = [order for order, answer in zip(orders, answers, strict=True) if isinstance(answer, HoldGrant)]
    assert len(granted) == 37
    assert {error.code for error in answers if isinstance(error, TesseraError)} == {ErrorCode.BALANCE_RESERVED}
    await asyncio.gather(*(storage.settle(usage_event(order, 10)) for order in granted))
    error = await refused(storage, call(storage, organization, keys[0], 1))
    assert error.code is ErrorCode.BUDGET_EXCEEDED


async def test_a_grant_says_what_is_left_of_the_minute(storage: LedgerStorage) -> None:
    organization = await funded(storage, 1_000)
    key = await key_of(storage, organization)
    assert (await storage.hold(call(storage, organization, key, 1))).rate is None
    limits = Limits(requests_per_minute=2, tokens_per_minute=600)
    await storage.set_limits(organization, Mode.LIVE, SubjectKind.KEY, key[0], limits)
    grant = await storage.hold(call(storage, organization, key, 1, tokens=200))
    assert grant.rate is not None
    assert grant.rate.requests is not None
    assert grant.rate.requests[:2] == (1, 2)
    assert grant.rate.tokens is not None
    assert grant.rate.tokens[:2] == (400, 600)
    await storage.hold(call(storage, organization, key, 1, tokens=200))
    error = await refused(storage, call(storage, organization, key, 1))
    assert error.code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert error.retry_after_s is not None


async def test_meters_and_limits_outlive_the_process(opener: Opener, tmp_path: Path) -> None:
    first = await opener(tmp_path)
    organization = await funded(first, 1_000)
    key = await key_of(first, organization)
    await first.set_limits(organization, Mode.LIVE, SubjectKind.KEY, key[0], Limits(budget_total_nanos=100))
    order = call(first, organization, key, 60)
    await first.hold(order)
    await first.settle(usage_event(order, 60))
    before = await meters(first, organization)
    await first.close()
    second = await opener(tmp_path)
    assert await meters(second, organization) == before
    assert (await refused(second, call(second, organization, key, 41))).code is ErrorCode.BUDGET_EXCEEDED
    await second.hold(call(second, organization, key, 40))
    wrong = [check for check in await second.verify() if not check.ok]
    await second.close()
    assert wrong == []


@pytest.mark.parametrize("limits", [Limits(requests_per_minute=1), Limits(tokens_per_minute=100)])
async def test_what_was_asked_in_a_minute_outlives_the_process(opener: Opener, tmp_path: Path, limits: Limits) -> None:
    first = await opener(tmp_path)
    organization = await funded(first, 1_000)
    key = await key_of(first, organization)
    await first.set_limits(organization, Mode.LIVE, SubjectKind.KEY, key[0], limits)
    await first.hold(call(first, organization, key, 1, tokens=100))
    await first.close()
    second = await opener(tmp_path)
    error = await refused(second, call(second, organization, key, 1, tokens=100))
    await second.close()
    assert error.code is ErrorCode.RATE_LIMIT_EXCEEDED


async def test_two_processes_on_one_database_keep_one_budget(opener: Opener, tmp_path: Path) -> None:
    first, second = await opener(tmp_path), await opener(tmp_path)
    organization = await funded(first, 100_000)
    key = await key_of(first, organization)
    await first.set_limits(organization, Mode.LIVE, SubjectKind.KEY, key[0], Limits(budget_total_nanos=500))
    orders = [(storage, call(storage, organization, key, 10)) for storage in (first, second) for _ in range(60)]
    answers = await asyncio.gather(*(storage.hold(order) for storage, order in orders), return_exceptions=True)
    granted = [pair for pair, answer in zip(orders, answers, strict=True) if isinstance(answer, HoldGrant)]
    assert len(granted) == 50
    await asyncio.gather(*(storage.settle(usage_event(order, 9)) for storage, order in granted))
    spent = (await meters(second, organization))["key", key[0]]
    assert (spent.spent_nanos, spent.held_nanos, spent.open_calls) == (450, 0, 0)
    wrong = [check for check in await first.verify() if not check.ok]
    await first.close()
    await second.close()
    assert wrong == []
