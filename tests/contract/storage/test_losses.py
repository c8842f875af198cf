"""What nobody pays for: added up per organization and day in the settle's commit, bounded, lifted by the operator."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import date, timedelta
from pathlib import Path

import msgspec
import pytest

from contract.storage.conftest import Opener
from ledger_calls import database, funded, hold_order, release, usage_event
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.losses import DAY_US, LossLimits
from tessera.domain.ledger.orders import HoldOrder, Outcome
from tessera.domain.money import Mode
from tessera.domain.usage import UsageEvent
from tessera.ports import Page
from tessera.ports.administration import LossDay

pytestmark = pytest.mark.anyio
LIMITS = LossLimits(loss_max_nanos=100, left_calls_max=2, left_loss_max_nanos=50)


Opened = Callable[[], Awaitable[LedgerStorage]]


@pytest.fixture
def opened(opener: Opener, tmp_path: Path) -> Opened:
    """Opens the database under test with limits that a test reaches."""
    return lambda: opener(tmp_path, limits=LIMITS)


async def held(storage: LedgerStorage, organization: str, **changes: object) -> HoldOrder:
    order = hold_order(organization, 100, mode=Mode.LIVE, owner=storage.owner, **changes)
    await storage.hold(order)
    return order


async def lose(storage: LedgerStorage, organization: str, loss: int) -> UsageEvent:
    event = release(await held(storage, organization), loss_nanos=loss)
    await storage.settle(event)
    return event


async def leave(storage: LedgerStorage, order: HoldOrder, loss: int, charge: int) -> UsageEvent:
    """A call whose client left before any output: free at a loss, or charged."""
    left = Outcome.CLIENT_DISCONNECTED
    charged = usage_event(order, charge, outcome=left)
    free = b'{"amount":"0.00","nanos":0,"lines":[],"policy":"left-before-output"}'
    event = release(order, outcome=left, loss_nanos=loss, charge=free, past_allowance=charged)
    await storage.settle(event)
    return event


async def suspended(storage: LedgerStorage, organization: str) -> TesseraError:
    with pytest.raises(TesseraError) as caught:
        await held(storage, organization)
    assert caught.value.code is ErrorCode.ORGANIZATION_SUSPENDED
    return caught.value


async def days(storage: LedgerStorage, organization: str) -> tuple[LossDay, ...]:
    return await storage.list_losses(organization, Mode.LIVE, Page())


async def whole(storage: LedgerStorage) -> None:
    wrong = [check for check in await storage.verify() if not check.ok]
    await storage.close()
    assert wrong == []


async def test_losses_add_up_to_the_nano_and_only_past_the_limit_is_an_organization_suspended(opened: Opened) -> None:
    storage = await opened()
    organization, other = await funded(storage, 1_000), await funded(storage, 1_000)
    await lose(storage, organization, 99)
    await lose(storage, organization, 1)
    await held(storage, organization)
    await lose(storage, organization, 1)
    error = await suspended(storage, organization)
    assert error.details["reason"] == "loss"
    assert "without being paid" in error.message
    assert [day.loss_nanos for day in await days(storage, organization)] == [101]
    assert (await storage.find_organization(organization)).suspended_for == "loss"
    await held(storage, other)
    await whole(storage)


async def test_test_money_is_refused_too_while_an_organization_is_suspended(opened: Opened) -> None:
    storage = await opened()
    organization = await funded(storage, 1_000)
    await storage.hold(hold_order(organization, 10, owner=storage.owner))
    await lose(storage, organization, 101)
    with pytest.raises(TesseraError) as caught:
        await storage.hold(hold_order(organization, 10, owner=storage.owner))
    assert caught.value.code is ErrorCode.ORGANIZATION_SUSPENDED
    await whole(storage)


async def test_the_same_event_again_is_not_lost_twice(opened: Opened) -> None:
    storage = await opened()
    organization = await funded(storage, 1_000)
    event = await lose(storage, organization, 60)
    await asyncio.gather(storage.settle(event), storage.settle(event))
    assert [day.loss_nanos for day in await days(storage, organization)] == [60]
    await whole(storage)


async def test_a_loss_that_its_hold_refuses_does_not_count(opened: Opened) -> None:
    storage = await opened()
    organization = await funded(storage, 1_000)
    order = await held(storage, organization)
    with pytest.raises(TesseraError):
        await storage.settle(usage_event(order, 101, loss_nanos=101))
    assert await days(storage, organization) == ()
    await whole(storage)


async def test_every_day_has_a_limit_of_its_own(opened: Opened) -> None:
    storage = await opened()
    organization = await funded(storage, 1_000)
    for later in (0, 1, 2):
        order = await held(storage, organization)
        await storage.settle(release(order, loss_nanos=60, settled_at_us=(20_000 + later) * DAY_US))
    await held(storage, organization)
    newest = date(1970, 1, 1) + timedelta(days=20_002)
    assert [(day.day, day.loss_nanos) for day in await days(storage, organization)] == [
        (newest - timedelta(days=back), 60) for back in (0, 1, 2)
    ]
    older = await storage.list_losses(organization, Mode.LIVE, Page(after=newest.isoformat(), limit=1))
    assert [day.day for day in older] == [newest - timedelta(days=1)]
    await whole(storage)


async def test_calls_that_run_when_an_organization_is_suspended_settle_and_add_to_the_loss(opened: Opened) -> None:
    storage = await opened()
    organization = await funded(storage, 1_000)
    running = [await held(storage, organization) for _ in range(3)]
    await asyncio.gather(*(storage.settle(release(order, loss_nanos=70)) for order in running))
    assert [day.loss_nanos for day in await days(storage, organization)] == [210]
    await suspended(storage, organization)
    await whole(storage)


async def test_a_resumed_organization_may_lose_the_days_limit_once_more(opened: Opened) -> None:
    storage = await opened()
    organization = await funded(storage, 1_000)
    await lose(storage, organization, 130)
    await suspended(storage, organization)
    assert not (await storage.resume_organization(organization)).suspended
    await lose(storage, organization, 100)
    last = await held(storage, organization)
    await storage.settle(release(last, loss_nanos=1))
    await suspended(storage, organization)
    (day,) = await days(storage, organization)
    assert (day.loss_nanos, day.forgiven_nanos) == (231, 130)
    await whole(storage)


async def test_an_operator_suspends_and_resumes(opened: Opened) -> None:
    storage = await opened()
    organization = await funded(storage, 1_000)
    running = await held(storage, organization)
    assert (await storage.suspend_organization(organization)).suspended_for == "operator"
    error = await suspended(storage, organization)
    assert error.details["reason"] == "operator"
    await storage.settle(usage_event(running, 10))
    await storage.resume_organization(organization)
    await held(storage, organization)
    for change in (storage.suspend_organization, storage.resume_organization):
        with pytest.raises(TesseraError) as caught:
            await change("org_nobody")
        assert caught.value.code is ErrorCode.NOT_FOUND
    await whole(storage)


async def test_a_suspension_is_known_after_a_restart(opened: Opened) -> None:
    storage = await opened()
    organization = await funded(storage, 1_000)
    await lose(storage, organization, 101)
    await storage.close()
    storage = await opened()
    await suspended(storage, organization)
    await whole(storage)


async def test_leaving_is_free_up_to_the_bound_and_charged_past_it_however_many_leave_at_once(opened: Opened) -> None:
    storage = await opened()
    organization = await funded(storage, 1_000)
    orders = [await held(storage, organization) for _ in range(5)]
    await asyncio.gather(*(leave(storage, order, 7, 9) for order in orders))
    (day,) = await days(storage, organization)
    assert (day.left_calls, day.left_loss_nanos, day.loss_nanos) == (2, 14, 14)
    assert (await storage.balance(organization, Mode.LIVE)).spent_nanos == 3 * 9
    await whole(storage)


async def test_leaving_is_free_up_to_the_bound_when_they_leave_one_after_the_other(opened: Opened) -> None:
    storage = await opened()
    organization = await funded(storage, 1_000)
    for loss in (3, 5, 7):
        await leave(storage, await held(storage, organization), loss, 9)
    (day,) = await days(storage, organization)
    assert (day.left_calls, day.left_loss_nanos, day.loss_nanos) == (2, 8, 8)
    assert (await storage.balance(organization, Mode.LIVE)).spent_nanos == 9
    await whole(storage)


async def test_one_costly_leave_is_past_the_bound_by_itself(opened: Opened) -> None:
    storage = await opened()
    organization = await funded(storage, 1_000)
    event = await leave(storage, await held(storage, organization), 51, 60)
    record = await storage.find_request(organization, Mode.LIVE, event.hold_id)
    assert record is not None
    assert record.event == event.past_allowance
    assert await days(storage, organization) == ()
    await storage.settle(event)
    assert event.past_allowance is not None
    await storage.settle(event.past_allowance)
    with pytest.raises(TesseraError):
        await storage.settle(msgspec.structs.replace(event, past_allowance=None))
    await storage.close()


async def test_a_call_whose_process_died_may_have_cost_its_input(opened: Opened) -> None:
    quote = json.dumps({"input_predicted_nanos": 30}).encode()
    storage = await opened()
    organization = await funded(storage, 1_000)
    await held(storage, organization, quote=quote)
    await storage.hold(hold_order(organization, 5, owner=storage.owner, quote=quote))
    gone = storage._committer
    gone.lease.drop()
    gone._registered = False
    after = await opened()
    await after.sweep()
    assert [day.loss_nanos for day in await days(after, organization)] == [30]
    assert (await after.balance(organization, Mode.LIVE)).held_nanos == 0
    await whole(after)
    await storage.close()


async def test_nothing_is_written_of_losses_while_there_is_none(tmp_path: Path) -> None:
    storage = await SqliteStorage.open(tmp_path, limits=LIMITS)
    organization = await funded(storage, 1_000)
    said: list[str] = []
    await storage._writer_call(lambda: storage._committer.connection().set_trace_callback(said.append))
    order = await held(storage, organization)
    await storage.settle(usage_event(order, 10))
    assert any("INSERT INTO usage_event" in sql for sql in said)
    assert not any("loss_day" in sql for sql in said)
    await lose(storage, organization, 1)
    assert any("loss_day" in sql for sql in said)
    assert database(tmp_path).exists()
    await whole(storage)
