"""What an organization was charged in a month, the same on every database."""

from datetime import UTC, datetime

import pytest

from ledger_calls import funded, hold_order, release, usage_event
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.ledger.limits import month_of
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio

DECEMBER_US = int(datetime(2026, 12, 1, tzinfo=UTC).timestamp()) * 1_000_000
OCTOBER, NOVEMBER, DECEMBER, JANUARY = range(month_of(DECEMBER_US) - 2, month_of(DECEMBER_US) + 2)


async def charged(storage: LedgerStorage, organization: str, settled_at_us: int, charge_nanos: int) -> None:
    order = hold_order(organization, charge_nanos, placed_at_us=settled_at_us - 1, owner=storage.owner)
    await storage.hold(order)
    await storage.settle(usage_event(order, charge_nanos, settled_at_us=settled_at_us))


async def test_an_organization_nobody_knows_and_one_that_never_called_have_no_volume(storage: LedgerStorage) -> None:
    organization = await funded(storage, 0)
    assert await storage.read_volume(organization, Mode.TEST, DECEMBER) == 0
    assert await storage.read_volume("org_unknown", Mode.TEST, DECEMBER) == 0


async def test_a_volume_is_what_was_settled_in_the_utc_month_and_mode(storage: LedgerStorage) -> None:
    organization, other = [await funded(storage, 10**12, mode=Mode.TEST) for _ in range(2)]
    await charged(storage, organization, DECEMBER_US - 1, 100)
    assert await storage.read_volume(organization, Mode.TEST, NOVEMBER) == 100
    assert await storage.read_volume(organization, Mode.TEST, DECEMBER) == 0
    await charged(storage, organization, DECEMBER_US, 20)
    await charged(storage, organization, DECEMBER_US + 1, 3)
    await charged(storage, other, DECEMBER_US, 1000)
    running = hold_order(organization, 5000, placed_at_us=DECEMBER_US + 2, owner=storage.owner)
    await storage.hold(running)
    volumes = [
        await storage.read_volume(organization, Mode.TEST, month) for month in (OCTOBER, NOVEMBER, DECEMBER, JANUARY)
    ]
    await storage.settle(release(running))
    assert volumes == [0, 100, 23, 0]
    assert all(type(volume) is int for volume in volumes)
    assert await storage.read_volume(organization, Mode.LIVE, DECEMBER) == 0
    assert await storage.read_volume(other, Mode.TEST, DECEMBER) == 1000


async def test_a_settlement_that_comes_late_counts_in_its_own_month(storage: LedgerStorage) -> None:
    organization = await funded(storage, 10**12, mode=Mode.TEST)
    await charged(storage, organization, DECEMBER_US, 20)
    await charged(storage, organization, DECEMBER_US - 5, 7)
    assert [await storage.read_volume(organization, Mode.TEST, month) for month in (NOVEMBER, DECEMBER)] == [7, 20]
