"""A month's calls at other prices, over a real ledger: per organization and model, to the nano-dollar."""

from collections.abc import AsyncIterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from ledger_calls import funded, hold_order, release, usage_event
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.catalog.catalogue import load_catalogue
from tessera.domain.errors import TesseraError
from tessera.domain.money import Mode
from tessera.domain.pricing import OperatorRow
from tessera.domain.quantities import Quantities
from tessera.domain.request import Tier
from tessera.flows.operator import preview
from tessera.flows.operator.preview import asked, preview_prices
from tessera.flows.operator.prices import PriceList

pytestmark = pytest.mark.anyio

NOVEMBER_US = 1_793_491_200_000_000
"""2026-11-01 00:00:00 UTC."""
MINUTE_US = 60_000_000
USED = Quantities(input_tokens=1_000, output_tokens=100)
LISTED = 1_000 * 2_500 + 100 * 10_000
"""What that is at gpt-4o's list price."""
CATALOGUE = load_catalogue()


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[SqliteStorage]:
    opened = await SqliteStorage.open(tmp_path)
    yield opened
    await opened.close()


async def call(storage: SqliteStorage, organization: str, at_us: int, **changes: Any) -> None:
    """A call of gpt-4o at the list price, placed then and settled a second later."""
    order = hold_order(
        organization, 10**8, model=changes.pop("model", "gpt-4o"), placed_at_us=at_us, owner=storage.owner
    )
    await storage.hold(order)
    fields = {"usage": USED, "deployment": "openai/gpt-4o", "cost_nanos": 0, "settled_at_us": at_us + 1_000_000}
    await storage.settle(usage_event(order, changes.pop("charge_nanos", LISTED), **(fields | changes)))


async def previewed(storage: SqliteStorage, *rows: OperatorRow, as_of: str | None = None) -> dict[str, Any]:
    prices = PriceList(
        catalogue=CATALOGUE,
        book=CATALOGUE.price_book(rows),
        providers={},
        find_organization=storage.find_organization,
    )
    return await preview_prices(storage, prices, asked(Mode.TEST, "2026-11", as_of))


@pytest.mark.parametrize("month", ["2026-13", "2026", "november", "2026-11-01", "2026-1"])
def test_a_month_that_is_none_is_refused(month: str) -> None:
    with pytest.raises(TesseraError, match="2026-10"):
        asked(Mode.LIVE, month, None)


def test_months_have_their_own_ends_and_the_last_one_over_is_meant() -> None:
    found = [asked(Mode.LIVE, month, None) for month in ("2026-12", "2024-02")]
    assert [(one.start, one.end) for one in found] == [
        (date(2026, 12, 1), date(2027, 1, 1)),
        (date(2024, 2, 1), date(2024, 3, 1)),
    ]
    before, last, after = datetime.now(UTC).date(), asked(Mode.LIVE, None, None), datetime.now(UTC).date()
    assert last.end in (before.replace(day=1), after.replace(day=1))
    assert last.start == (last.end - timedelta(days=1)).replace(day=1)


async def test_a_month_without_calls_is_empty(storage: SqliteStorage) -> None:
    found = await previewed(storage)
    assert (found["data"], found["total"]["charged_nanos"]) == ([], 0)


async def test_calls_are_told_apart_by_organization_and_model_and_add_up(
    storage: SqliteStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview, "CALLS_AT_ONCE", 2)
    first, second = [await funded(storage, 10**12, mode=Mode.TEST) for _ in range(2)]
    for number in range(3):
        await call(storage, first, NOVEMBER_US + number * MINUTE_US)
    await call(storage, second, NOVEMBER_US, loss_nanos=5)
    await call(storage, second, NOVEMBER_US, model="gone-model", charge_nanos=77)
    await call(storage, second, NOVEMBER_US - MINUTE_US)
    same = await previewed(storage)
    assert {(line["organization_id"], line["model"]): line["difference_nanos"] for line in same["data"]} == {
        (first, "gpt-4o"): 0,
        (second, "gpt-4o"): 0,
        (second, "gone-model"): -77,
    }
    half = await previewed(storage, OperatorRow(discount_basis_points=5_000))
    lines = {(line["organization_id"], line["model"]): line for line in half["data"]}
    changed = lines[first, "gpt-4o"]
    assert (changed["requests"], changed["charged_nanos"], changed["would_be_charged_nanos"]) == (
        3,
        3 * LISTED,
        3 * LISTED // 2,
    )
    assert lines[second, "gpt-4o"]["would_be_margin_nanos"] == LISTED // 2 - 5
    gone = lines[second, "gone-model"]
    assert (gone["unpriced_requests"], gone["unpriced_charged_nanos"], gone["would_be_charged_nanos"]) == (1, 77, 0)
    for name, value in half["total"].items():
        if name.endswith(("_nanos", "requests")):
            assert value == sum(line[name] for line in half["data"])
    assert [line["difference_nanos"] for line in half["data"]] == [-3 * LISTED // 2, -LISTED // 2, -77]


async def test_a_row_that_begins_later_counts_only_on_the_day_that_is_asked_for(storage: SqliteStorage) -> None:
    organization = await funded(storage, 10**12, mode=Mode.TEST)
    await call(storage, organization, NOVEMBER_US)
    abandoned = hold_order(organization, 5, placed_at_us=NOVEMBER_US, owner=storage.owner)
    await storage.hold(abandoned)
    await storage.settle(release(abandoned, served_tier="", deployment="", settled_at_us=NOVEMBER_US))
    later = OperatorRow(discount_basis_points=5_000, valid_from=date(2026, 12, 1))
    assert (await previewed(storage, later))["total"]["difference_nanos"] == 0
    found = await previewed(storage, later, as_of="2026-12-01")
    assert (found["as_of"], found["total"]["difference_nanos"]) == ("2026-12-01", -LISTED // 2)


async def test_volumes_run_up_at_the_new_prices_in_the_order_the_calls_were_placed(storage: SqliteStorage) -> None:
    first, second = [await funded(storage, 10**12, mode=Mode.TEST) for _ in range(2)]
    for organization, calls in ((first, 5), (second, 2)):
        for number in range(calls):
            await call(storage, organization, NOVEMBER_US + number * MINUTE_US)
    # Two at once: the second is placed before the first is settled and knows nothing of it.
    await call(storage, second, NOVEMBER_US + 2 * MINUTE_US + 10)
    await call(storage, second, NOVEMBER_US + 2 * MINUTE_US + 20)
    by_volume = OperatorRow(discount_basis_points=5_000, volume_from_nanos=3 * LISTED)
    found = await previewed(storage, by_volume)
    lines = {line["organization_id"]: line["would_be_charged_nanos"] for line in found["data"]}
    assert lines == {first: 3 * LISTED + 2 * LISTED // 2, second: 4 * LISTED}
    cheap = OperatorRow(discount_basis_points=5_000)
    both = await previewed(storage, cheap, OperatorRow(discount_basis_points=10_000, volume_from_nanos=3 * LISTED))
    assert {line["organization_id"]: line["would_be_charged_nanos"] for line in both["data"]} == {
        first: 5 * LISTED // 2,
        second: 4 * LISTED // 2,
    }


async def test_a_call_from_the_month_before_has_the_volume_that_month_was_charged(storage: SqliteStorage) -> None:
    organization = await funded(storage, 10**12, mode=Mode.TEST)
    await call(storage, organization, NOVEMBER_US - MINUTE_US)
    await call(storage, organization, NOVEMBER_US - 500_000)
    await call(storage, organization, NOVEMBER_US + MINUTE_US)
    found = await previewed(storage, OperatorRow(discount_basis_points=5_000, volume_from_nanos=LISTED))
    assert (found["total"]["requests"], found["total"]["would_be_charged_nanos"]) == (2, LISTED // 2 + LISTED)
    none = await previewed(storage, OperatorRow(discount_basis_points=5_000, volume_from_nanos=LISTED + 1))
    assert none["total"]["would_be_charged_nanos"] == 2 * LISTED


async def test_a_tier_is_priced_as_it_was_served(storage: SqliteStorage) -> None:
    organization = await funded(storage, 10**12, mode=Mode.TEST)
    await call(storage, organization, NOVEMBER_US, served_tier="priority", charge_nanos=LISTED * 17 // 10)
    flat = OperatorRow(discount_basis_points=5_000)
    assert (await previewed(storage, flat))["total"]["difference_nanos"] == 0
    priority = OperatorRow(tier=Tier.PRIORITY, discount_basis_points=10_000)
    assert (await previewed(storage, priority))["total"]["would_be_charged_nanos"] == 0
