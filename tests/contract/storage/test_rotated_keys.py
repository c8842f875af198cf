"""A key in place of another: both together never pass the budget of the first."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ledger_calls import hold_order, usage_event
from stored_people import act, acting, api_key, newcomer
from tessera.adapters.storage.ledger.people import people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.errors import TesseraError
from tessera.domain.ledger.limits import Limits, SubjectKind
from tessera.domain.ledger.orders import HoldGrant
from tessera.domain.money import Mode
from tessera.ports import Page
from tessera.ports.administration import ApiKey

pytestmark = pytest.mark.anyio

Opener = Callable[..., Awaitable[LedgerStorage]]


async def test_a_rotated_key_gets_of_a_total_budget_what_running_calls_cannot_spend(storage: LedgerStorage) -> None:
    people = people_of(storage)
    owner, organization = await newcomer(people)
    me = acting(owner, organization)
    (project,) = await people.list_projects(organization, Page(), archived=False)
    old = await people.create_api_key(me, api_key(organization, project.id), b"e" * 32)
    limits = Limits(budget_total_nanos=1_000)
    await people.set_limits(act(me, old.id), None, SubjectKind.KEY, limits, project.id)
    charged, running = (
        hold_order(organization, amount, mode=Mode.TEST, key_id=old.id, project_id=project.id, owner=storage.owner)
        for amount in (100, 600)
    )
    await storage.hold(charged)
    await storage.settle(usage_event(charged, 100))
    await storage.hold(running)
    new = await people.create_api_key(
        me, api_key(organization, project.id), b"f" * 32, in_place_of=old.id, old_ends_at=people.now()
    )
    _, meter = await people.find_meter(organization, None, SubjectKind.KEY, new.id, project.id)
    assert meter.limits == Limits(budget_total_nanos=300)
    await storage.settle(usage_event(running, 600))


async def test_calls_at_the_moment_of_a_rotation_do_not_pass_a_total_budget(opener: Opener, tmp_path: Path) -> None:
    """On one process the old key's call is decided after the rotation; on another it may be decided beside it."""
    first, second = await opener(tmp_path), await opener(tmp_path)
    people = people_of(first)
    owner, organization = await newcomer(people)
    me = acting(owner, organization)
    (project,) = await people.list_projects(organization, Page(), archived=False)
    limits = Limits(budget_total_nanos=1_000)
    for number in range(12):
        old = await people.create_api_key(me, api_key(organization, project.id), bytes([1, number]) * 16)
        await people.set_limits(act(me, old.id), None, SubjectKind.KEY, limits, project.id)
        orders = [
            hold_order(organization, 300, mode=Mode.TEST, key_id=old.id, project_id=project.id, owner=storage.owner)
            for storage in (first, second, first, second)
        ]
        before, beside, late, later = (
            storage.hold(order) for storage, order in zip((first, second, first, second), orders, strict=True)
        )
        rotating = people.create_api_key(
            me, api_key(organization, project.id), bytes([2, number]) * 16, in_place_of=old.id, old_ends_at=people.now()
        )
        answers = await asyncio.gather(before, beside, rotating, return_exceptions=True)
        new = answers[2]
        assert isinstance(new, ApiKey), new
        for refused in (late, later):
            with pytest.raises(TesseraError):
                await refused
        _, meter = await people.find_meter(organization, None, SubjectKind.KEY, old.id, project.id)
        _, now = await people.find_meter(organization, None, SubjectKind.KEY, new.id, project.id)
        assert now.limits.budget_total_nanos == 1_000 - meter.held_nanos
        await asyncio.gather(
            *(
                storage.settle(usage_event(order, 300))
                for storage, order, answer in zip((first, second), orders[:2], answers[:2], strict=True)
                if isinstance(answer, HoldGrant)
            )
        )
    await second.close()
    wrong = [check for check in await first.verify() if not check.ok]
    await first.close()
    assert wrong == []
