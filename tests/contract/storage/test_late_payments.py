"""What is paid, or comes back, to an organization after its deletion is found, so that it goes back."""

import time
from pathlib import Path

import pytest

from contract.storage.conftest import Opener
from ledger_calls import funded
from payment_events import bought, event, paid, topup_order
from tessera.adapters.storage.ledger.people import people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.money.store import SqlMoney
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.payments.news import Outcome
from tessera.domain.payments.records import Service
from tessera.domain.people.records import Act, Actor, ActorKind
from tessera.domain.people.roles import Role

pytestmark = pytest.mark.anyio
DAY_US = 86_400_000_000


async def delete(storage: LedgerStorage, organization: str) -> None:
    actor = Actor(kind=ActorKind.OPERATOR, id="operator").within(organization, Role.OWNER)
    await people_of(storage).erase_organization(Act(actor=actor, action="", object_id=organization))


@pytest.mark.parametrize("behind_s", [0, 1, 120])
async def test_a_late_payment_is_found_though_who_heard_of_it_has_a_clock_that_is_behind(
    opener: Opener, tmp_path: Path, behind_s: int
) -> None:
    now_us = [time.time_ns() // 1000]
    storage = await opener(tmp_path, clock=lambda: now_us[0])
    organization = await funded(storage, 0)
    money, order = SqlMoney(storage), topup_order(organization, 25 * NANOS_PER_USD)
    await money.create_topup(order)
    await delete(storage, organization)
    now_us[0] -= behind_s * 1_000_000
    assert (await money.take_event(event(paid(order, "pi_1")))).outcome is Outcome.APPLIED
    for untouched in (True, False):
        late = await money.list_paid_late(Service.STRIPE, Mode.LIVE, 0, untouched=untouched)
        assert [topup.id for topup in late] == [order.id]
    assert await money.list_came_back(Service.STRIPE, Mode.LIVE, 0) == ()
    await storage.close()


async def test_credit_that_a_failed_refund_gives_back_to_a_deleted_organization_is_found(
    opener: Opener, tmp_path: Path
) -> None:
    now_us = [time.time_ns() // 1000]
    storage = await opener(tmp_path, clock=lambda: now_us[0])
    organization, money = await funded(storage, 0), SqlMoney(storage)
    topup = await bought(money, organization, 25 * NANOS_PER_USD)
    refund = await money.begin_refund(topup.id, None, "given up")
    now_us[0] += DAY_US
    await delete(storage, organization)
    assert await money.list_came_back(Service.STRIPE, Mode.LIVE, 0) == ()
    await money.fail_refund(refund, "its bank does not take it")
    assert [found.id for found in await money.list_came_back(Service.STRIPE, Mode.LIVE, 0)] == [topup.id]
    for untouched in (True, False):
        assert await money.list_paid_late(Service.STRIPE, Mode.LIVE, 0, untouched=untouched) == ()
    await storage.close()
