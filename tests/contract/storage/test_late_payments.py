"""What is paid to an organization after its deletion is found, so that it goes back, whatever the clocks say."""

import time
from pathlib import Path

import pytest

from contract.storage.conftest import Opener
from ledger_calls import funded
from payment_events import event, paid, topup_order
from tessera.adapters.storage.ledger.people import people_of
from tessera.adapters.storage.money.store import SqlMoney
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.payments.news import Outcome
from tessera.domain.payments.records import Service
from tessera.domain.people.records import Act, Actor, ActorKind
from tessera.domain.people.roles import Role

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("behind_s", [0, 1, 120])
async def test_a_late_payment_is_found_though_who_heard_of_it_has_a_clock_that_is_behind(
    opener: Opener, tmp_path: Path, behind_s: int
) -> None:
    now_us = [time.time_ns() // 1000]
    storage = await opener(tmp_path, clock=lambda: now_us[0])
    organization = await funded(storage, 0)
    money, order = SqlMoney(storage), topup_order(organization, 25 * NANOS_PER_USD)
    await money.create_topup(order)
    actor = Actor(kind=ActorKind.OPERATOR, id="operator").within(organization, Role.OWNER)
    await people_of(storage).erase_organization(Act(actor=actor, action="", object_id=organization))
    now_us[0] -= behind_s * 1_000_000
    assert (await money.take_event(event(paid(order, "pi_1")))).outcome is Outcome.APPLIED
    for untouched in (True, False):
        late = await money.list_paid_late(Service.STRIPE, Mode.LIVE, 0, untouched=untouched)
        assert [topup.id for topup in late] == [order.id]
    await storage.close()
