"""An organization that is deleted on one replica while another hears of its money."""

import asyncio

import psycopg
import pytest

from faults.storage.postgres.conftest import Replica, begun, deadlocks
from ledger_calls import funded
from payment_events import event, paid, topup_order
from stored_people import api_key
from tessera.adapters.storage.ledger.people import people_of
from tessera.adapters.storage.money.store import SqlMoney
from tessera.adapters.storage.postgres import PostgresStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.limits import Limits, SubjectKind
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.payments.news import Outcome
from tessera.domain.people.records import Act, Actor, ActorKind
from tessera.domain.people.roles import Role
from tessera.ports import Page
from tessera.ports.administration import ApiKey

pytestmark = pytest.mark.anyio


async def delete(storage: PostgresStorage, organization: str) -> None:
    actor = Actor(kind=ActorKind.OPERATOR, id="operator").within(organization, Role.OWNER)
    await people_of(storage).erase_organization(Act(actor=actor, action="", object_id=organization))


async def test_an_organization_is_not_deleted_while_another_replica_credits_its_payment(
    replica: Replica, database_url: str
) -> None:
    one, two = await replica(), await replica()
    organization = await funded(one, 0)
    money, order = SqlMoney(one), topup_order(organization, 25 * NANOS_PER_USD)
    await money.create_topup(order)
    with psycopg.connect(database_url) as elsewhere:
        # The payment is credited as far as its top-up's row, with its wallet locked.
        elsewhere.execute("SELECT 1 FROM topup WHERE id = %s FOR UPDATE", (order.id,))
        told = await begun(database_url, money.take_event(event(paid(order, "pi_1"))))
        deleting = await begun(database_url, delete(two, organization), waiting=2)
        elsewhere.commit()
    assert (await told).outcome is Outcome.APPLIED
    (answer,) = await asyncio.gather(deleting, return_exceptions=True)
    assert isinstance(answer, TesseraError), "deleted with $25 of a customer's money"
    assert "live money" in answer.message
    assert (await two.balance(organization, Mode.LIVE)).available_nanos == 25 * NANOS_PER_USD


async def test_a_key_is_rotated_beside_the_deletion_of_its_organization_without_a_deadlock(
    replica: Replica, database_url: str
) -> None:
    one, two = await replica(), await replica()
    people = people_of(one)
    for number in range(10):
        organization = await funded(one, 0)
        (project,) = await people.list_projects(organization, Page(), archived=False)
        actor = Actor(kind=ActorKind.OPERATOR, id="operator").within(organization, Role.OWNER)
        old, new = api_key(organization, project.id), api_key(organization, project.id)
        await people.create_api_key(actor, old, bytes([1, number]) * 16)
        limited = Act(actor=actor, action="", object_id=old.id)
        await people.set_limits(limited, None, SubjectKind.KEY, Limits(budget_total_nanos=1), project.id)
        rotating = people.create_api_key(actor, new, bytes([2, number]) * 16, in_place_of=old.id)
        rotated, deleted = await asyncio.gather(rotating, delete(two, organization), return_exceptions=True)
        assert deleted is None
        assert isinstance(rotated, ApiKey | TesseraError)
        assert isinstance(rotated, ApiKey) or rotated.code is ErrorCode.NOT_FOUND
        assert await one.find_caller(bytes([2, number]) * 16) is None
    assert deadlocks(database_url) == 0
