"""What all organizations were charged and what it cost, the same on every database."""

import pytest

from ledger_calls import funded, hold_order, release, usage_event
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.margins import MarginSums
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio

DAY = 1_795_305_600
"""2026-11-22 00:00:00 UTC."""


async def test_sums_are_those_of_the_events_by_day_organization_model_and_deployment(storage: LedgerStorage) -> None:
    first, second = [await funded(storage, 10**14, mode=Mode.TEST) for _ in range(2)]
    planted = (
        (first, "gpt-4o", "openai/gpt-4o", DAY, 100, {"cost_nanos": 70, "waived_nanos": 5}),
        (first, "gpt-4o", "openai/gpt-4o", DAY + 86_399, 10, {"cost_nanos": 20}),
        (first, "gpt-4o", "local/vlm", DAY, 1, {"cost_nanos": 0}),
        (second, "gpt-4o", "openai/gpt-4o", DAY, 7, {"cost_nanos": 2**40}),
        (first, "gpt-4o", "openai/gpt-4o", DAY - 1, 1000, {}),
        (first, "gpt-4o", "openai/gpt-4o", DAY + 86_400, 1000, {}),
    )
    for organization, model, deployment, at, charge, changes in planted:
        order = hold_order(organization, 5000, model=model, placed_at_us=at * 1_000_000)
        await storage.hold(order)
        await storage.settle(
            usage_event(order, charge, deployment=deployment, settled_at_us=at * 1_000_000 + 9, **changes)
        )
    lost = hold_order(second, 50, model="gpt-4o", placed_at_us=DAY * 1_000_000)
    await storage.hold(lost)
    await storage.settle(release(lost, deployment="openai/gpt-4o", settled_at_us=DAY * 1_000_000, loss_nanos=11))
    found = await storage.sum_settled(Mode.TEST, DAY, DAY + 86_400)
    expected = {
        (first, "openai/gpt-4o"): (2, 110, 5, 90, 0),
        (first, "local/vlm"): (1, 1, 0, 0, 0),
        (second, "openai/gpt-4o"): (2, 7, 0, 2**40, 11),
    }
    assert {row.day for row in found} == {DAY // 86_400}
    assert {(row.organization_id, row.deployment): row.sums for row in found} == {
        place: MarginSums(
            requests=sums[0], charge_nanos=sums[1], waived_nanos=sums[2], cost_nanos=sums[3], loss_nanos=sums[4]
        )
        for place, sums in expected.items()
    }
    assert all(type(row.sums.charge_nanos) is int for row in found)
    assert await storage.sum_settled(Mode.LIVE, DAY, DAY + 86_400) == ()
    assert await storage.sum_settled(Mode.TEST, DAY + 2 * 86_400, DAY + 3 * 86_400) == ()
