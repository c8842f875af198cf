"""A suspension is decided on what it is when it is written, whoever else writes it at the same moment."""

import psycopg
import pytest

from faults.storage.postgres.conftest import Replica, begun
from ledger_calls import funded, hold_order, release, usage_event
from payment_events import bought, claimed, event
from tessera.adapters.storage.money.store import SqlMoney
from tessera.adapters.storage.postgres import PostgresStorage
from tessera.domain.ledger.losses import LossLimits, SuspensionReason
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.payments.news import Claimed, Outcome
from tessera.domain.payments.records import ClaimKind

pytestmark = pytest.mark.anyio
USD = NANOS_PER_USD

_SUSPEND = "UPDATE organization SET suspended = 1, suspended_for = 'operator' WHERE id = %s"


async def spent(storage: PostgresStorage) -> str:
    """An organization that paid $25 and spent it."""
    organization = await funded(storage, 0)
    await bought(SqlMoney(storage), organization, 25 * USD, "pi_1")
    order = hold_order(organization, 25 * USD, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    await storage.settle(usage_event(order, 25 * USD))
    return organization


def disputed(**changes: object) -> Claimed:
    """A dispute of all that was paid."""
    return claimed(ClaimKind.DISPUTE, "pi_1", 2500, claim_id="dp_1", **changes)


async def reason(storage: PostgresStorage, organization: str) -> str | None:
    return (await storage.find_organization(organization)).suspended_for


async def test_a_dispute_that_is_won_does_not_lift_what_an_operator_said_at_the_same_moment(
    replica: Replica, database_url: str
) -> None:
    storage = await replica()
    money = SqlMoney(storage)
    organization = await spent(storage)
    await money.take_event(event(disputed()))
    assert await reason(storage, organization) == SuspensionReason.DISPUTE
    with psycopg.connect(database_url) as operator:
        operator.execute(_SUSPEND, (organization,))
        told = await begun(database_url, money.take_event(event(disputed(reversed=True))))
        operator.commit()
    assert (await told).outcome is Outcome.APPLIED
    assert await reason(storage, organization) == SuspensionReason.OPERATOR


async def test_a_dispute_does_not_stand_in_for_what_an_operator_said_at_the_same_moment(
    replica: Replica, database_url: str
) -> None:
    """Otherwise the operator's suspension would end when the dispute is won."""
    storage = await replica()
    money = SqlMoney(storage)
    organization = await spent(storage)
    with psycopg.connect(database_url) as operator:
        operator.execute(_SUSPEND, (organization,))
        told = await begun(database_url, money.take_event(event(disputed())))
        operator.commit()
    assert (await told).outcome is Outcome.APPLIED
    assert await reason(storage, organization) == SuspensionReason.OPERATOR
    await money.take_event(event(disputed(reversed=True)))
    assert await reason(storage, organization) == SuspensionReason.OPERATOR


async def test_losses_do_not_stand_in_for_what_an_operator_said_at_the_same_moment(
    replica: Replica, database_url: str
) -> None:
    storage = await replica(limits=LossLimits(loss_max_nanos=10))
    organization = await funded(storage, 100)
    order = hold_order(organization, 20, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    with psycopg.connect(database_url) as operator:
        operator.execute(_SUSPEND, (organization,))
        settled = await begun(database_url, storage.settle(release(order, loss_nanos=11)))
        operator.commit()
    await settled
    assert await reason(storage, organization) == SuspensionReason.OPERATOR
