"""A treasury on a real ledger, whose payment service is the stand-in of Stripe."""

import time
from collections.abc import AsyncIterator, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from ledger_calls import new_id
from payment_events import automatic_topup, event, paid, topup_order
from stripe_stand_in import LIVE_KEY, StripeStandIn
from tessera.adapters.payments.stripe.client import StripePayments
from tessera.adapters.storage.money.store import SqlMoney
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.payments.news import Outcome
from tessera.domain.payments.records import AutomaticTopUp
from tessera.flows.money.treasury import TopUpLimits, Treasury

USD = NANOS_PER_USD


@pytest.fixture
def stripe() -> Iterator[StripeStandIn]:
    with StripeStandIn() as stand_in:
        yield stand_in


@dataclass
class Till:
    """A treasury on a ledger whose clock stands `behind_s` before now."""

    treasury: Treasury
    storage: SqliteStorage
    money: SqlMoney
    stripe: StripeStandIn
    behind_s: int = 0

    def now(self) -> int:
        return int(time.time()) - self.behind_s

    async def organization(self, customer_id: str) -> str:
        """An organization that paid $5.00 by a card it saved, and tops up below $10.00 by $20.00."""
        found = await self.storage.create_organization(new_id("org of"))
        order = topup_order(found.id, 5 * USD, save_card=True)
        await self.money.create_topup(order)
        told = await self.money.take_news(event(paid(order, new_id("pi"), customer_id=customer_id)))
        assert told.outcome is Outcome.APPLIED
        await self.money.set_automatic(
            automatic_topup(found.id, threshold_nanos=10 * USD, amount_nanos=20 * USD, month_max_nanos=1_000 * USD)
        )
        return found.id

    async def available(self, organization_id: str) -> int:
        return (await self.storage.balance(organization_id, Mode.LIVE)).available_nanos // USD

    async def automatic(self, organization_id: str) -> AutomaticTopUp:
        found = await self.money.find_automatic(organization_id, Mode.LIVE)
        assert found is not None
        return found


@pytest.fixture
async def till(tmp_path: Path, stripe: StripeStandIn) -> AsyncIterator[Till]:
    made: list[Till] = []
    storage = await SqliteStorage.open(
        tmp_path, clock=lambda: (made[0].now() if made else int(time.time())) * 1_000_000
    )
    money = SqlMoney(storage)
    payments = StripePayments(Mode.LIVE, LIVE_KEY, stripe.address)
    treasury = Treasury(
        store=money,
        payments={Mode.LIVE: payments},
        webhook_secrets=(),
        digest=lambda text: text.encode(),
        random=bytes,
        make_id=new_id,
        now=lambda: made[0].now(),
        base_url=lambda: "http://127.0.0.1",
        print_pdf=lambda document: b"",
        limits=TopUpLimits(least_nanos=USD, most_nanos=1_000 * USD),
    )
    made.append(Till(treasury, storage, money, stripe))
    yield made[0]
    wrong = [check for check in await storage.verify() if not check.ok]
    await payments.close()
    await storage.close()
    assert wrong == []
