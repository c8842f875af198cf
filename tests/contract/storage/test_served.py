"""The live calls a provider served, the same on every database."""

import msgspec
import pytest

from ledger_calls import funded, hold_order, usage_event
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.ledger.orders import Outcome
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities

pytestmark = pytest.mark.anyio

DAY = 1_795_305_600
"""2026-11-22 00:00:00 UTC."""


async def test_live_calls_of_one_provider_and_day_are_listed(storage: LedgerStorage) -> None:
    organization = await funded(storage, 10**12)
    found = {}
    for deployment, at, mode in (
        ("openai/gpt-4o", DAY, Mode.LIVE),
        ("openai/org/model", DAY + 86_399, Mode.LIVE),
        ("openai-eu/gpt-4o", DAY, Mode.LIVE),
        ("openai/gpt-4o", DAY + 86_400, Mode.LIVE),
        ("openai/gpt-4o", DAY, Mode.TEST),
    ):
        order = hold_order(organization, 500, mode=mode, placed_at_us=at * 1_000_000)
        await storage.hold(order)
        event = usage_event(
            order, 100, deployment=deployment, settled_at_us=at * 1_000_000, cost_nanos=70, loss_nanos=2
        )
        await storage.settle(event)
        found[deployment, at, mode] = order.id
    failed = hold_order(organization, 500, mode=Mode.LIVE, placed_at_us=DAY * 1_000_000)
    await storage.hold(failed)
    event = usage_event(failed, 0, deployment="openai/gpt-4o", settled_at_us=DAY * 1_000_000)
    await storage.settle(msgspec.structs.replace(event, usage=Quantities(), outcome=Outcome.PROVIDER_ERROR))
    cut = hold_order(organization, 500, mode=Mode.LIVE, placed_at_us=(DAY + 43_200) * 1_000_000)
    await storage.hold(cut)
    await storage.settle(
        msgspec.structs.replace(
            event, hold_id=cut.id, cost_nanos=0, loss_nanos=9, deployment="openai/cut", settled_at_us=cut.placed_at_us
        )
    )
    calls = await storage.list_served("openai", DAY, DAY + 86_400)
    assert [(call.model, call.cost_nanos) for call in calls if call.request_id == cut.id] == [("cut", 9)]
    calls = tuple(call for call in calls if call.request_id != cut.id)
    assert [(call.request_id, call.model, call.at) for call in calls] == [
        (found["openai/gpt-4o", DAY, Mode.LIVE], "gpt-4o", DAY),
        (found["openai/org/model", DAY + 86_399, Mode.LIVE], "org/model", DAY + 86_399),
    ]
    assert {(call.input_tokens, call.charge_nanos, call.cost_nanos) for call in calls} == {(100, 100, 72)}
    later = await storage.list_served("openai", DAY + 60, DAY + 86_460)
    assert [call.at for call in later if call.model != "cut"] == [DAY + 86_399, DAY + 86_400]
    assert await storage.list_served("openai", DAY + 86_400 * 9, DAY + 86_400 * 10) == ()
