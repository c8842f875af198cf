"""Calls of a period page by page, as they were settled, the same on every database."""

import pytest

from ledger_calls import funded, hold_order, usage_event
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.money import Mode
from tessera.domain.quantities import Quantities
from tessera.domain.repricing import SettledCall

pytestmark = pytest.mark.anyio

DAY = 1_795_305_600
"""2026-11-22 00:00:00 UTC."""


async def test_a_page_has_what_the_events_of_the_period_and_mode_say_in_the_order_of_their_calls(
    storage: LedgerStorage,
) -> None:
    organization = await funded(storage, 10**14, mode=Mode.TEST)
    used = Quantities(
        input_tokens=90, cached_input_tokens=7, cache_write_tokens=6, input_image_tokens=5, output_tokens=40,
        reasoning_tokens=3, output_image_tokens=2,
    )  # fmt: skip
    for at in (DAY - 1, DAY, DAY + 9, DAY + 86_399, DAY + 86_400):
        order = hold_order(organization, 5000, model="gpt-4o", placed_at_us=at * 1_000_000 - 5, owner=storage.owner)
        await storage.hold(order)
        await storage.settle(
            usage_event(
                order, 130, deployment="openai/gpt-4o", served_tier="flex", usage=used, waived_nanos=4, cost_nanos=70,
                loss_nanos=1, settled_at_us=at * 1_000_000,
            )
        )  # fmt: skip
    numbers = await storage.find_numbers(Mode.TEST, DAY, DAY + 86_400)
    assert numbers is not None
    after, pages = numbers[0] - 1, []
    while page := await storage.list_settled(Mode.TEST, DAY, DAY + 86_400, after=after, last=numbers[1], limit=2):
        pages.append(page)
        after = page[-1].number
    assert [len(page) for page in pages] == [2, 1]
    found = [call for page in pages for call in page]
    assert [call.settled_at_us // 1_000_000 for call in found] == [DAY, DAY + 9, DAY + 86_399]
    assert found[0] == SettledCall(
        number=numbers[0],
        organization_id=organization,
        mode=Mode.TEST,
        model="gpt-4o",
        deployment="openai/gpt-4o",
        tier="flex",
        usage=used,
        charge_nanos=130,
        waived_nanos=4,
        cost_nanos=70,
        loss_nanos=1,
        placed_at_us=DAY * 1_000_000 - 5,
        settled_at_us=DAY * 1_000_000,
    )
    assert await storage.find_numbers(Mode.LIVE, DAY, DAY + 86_400) is None
    assert await storage.find_numbers(Mode.TEST, DAY + 2 * 86_400, DAY + 3 * 86_400) is None
