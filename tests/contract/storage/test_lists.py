"""Lists page from newest to oldest, each row once."""

import pytest

from ledger_calls import funded, hold_order, new_id, usage_event
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.orders import HoldOrder
from tessera.domain.money import Mode
from tessera.ports import LedgerEntry, Page, SavedQuote

pytestmark = pytest.mark.anyio


async def calls(storage: LedgerStorage, organization: str, number: int) -> list[HoldOrder]:
    """Calls a millisecond apart, the last left open, with credit in between."""
    orders = []
    for step in range(number):
        order = hold_order(organization, step, mode=Mode.LIVE)
        await storage.hold(order)
        if step < number - 1:
            await storage.settle(usage_event(order, step // 2))
        if step % 3 == 0:
            await storage.add_credit(organization, Mode.LIVE, 1, kind="manual", note=f"step {step}")
        orders.append(order)
    return orders


async def test_an_empty_ledger_lists_nothing(storage: LedgerStorage) -> None:
    organization = await funded(storage, 0)
    assert await storage.list_entries(organization, Mode.LIVE, Page()) == ()
    assert await storage.list_requests(organization, Mode.LIVE, Page()) == ()
    assert await storage.list_entries("org_nobody", Mode.LIVE, Page()) == ()


@pytest.mark.parametrize("limit", [1, 2, 3, 7, 100])
async def test_requests_page_newest_first(storage: LedgerStorage, limit: int) -> None:
    organization = await funded(storage, 1000)
    orders = await calls(storage, organization, 7)
    seen: list[str] = []
    after = None
    while page := await storage.list_requests(organization, Mode.LIVE, Page(limit=limit, after=after)):
        assert len(page) <= limit
        seen += [record.hold.id for record in page]
        after = seen[-1]
    assert seen == sorted((order.id for order in orders), reverse=True)


@pytest.mark.parametrize("limit", [1, 2, 3, 5, 8, 100])
async def test_entries_page_newest_first_and_sum_to_zero(storage: LedgerStorage, limit: int) -> None:
    organization = await funded(storage, 1000)
    orders = await calls(storage, organization, 9)
    seen: list[LedgerEntry] = []
    after = None
    while page := await storage.list_entries(organization, Mode.LIVE, Page(limit=limit, after=after)):
        assert len(page) <= limit
        seen += page
        after = seen[-1].id
    ids = [entry.id for entry in seen]
    assert len(ids) == len(set(ids))
    times = [entry.transfer_id.partition(".")[0].partition("_")[2] for entry in seen]
    assert times == sorted(times, reverse=True)
    assert sum(entry.amount_nanos for entry in seen) == 0
    balance = await storage.balance(organization, Mode.LIVE)
    assert sum(e.amount_nanos for e in seen if e.account == "available") == balance.available_nanos
    assert sum(e.amount_nanos for e in seen if e.account == "held") == balance.held_nanos == 8
    assert {e.request_id for e in seen if e.request_id} == {order.id for order in orders}


@pytest.mark.parametrize("cursor", ["", "zzz", "req_", "req_0", "~", "req_%", "crd_ffffffff.available"])
async def test_a_cursor_that_is_in_no_list_is_refused(storage: LedgerStorage, cursor: str) -> None:
    organization = await funded(storage, 1000)
    await calls(storage, organization, 2)
    for read in (storage.list_requests, storage.list_entries):
        with pytest.raises(TesseraError) as caught:
            await read(organization, Mode.LIVE, Page(after=cursor))
        assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_REQUEST, "after")


async def test_a_cursor_of_another_list_is_refused_like_one_that_never_was(storage: LedgerStorage) -> None:
    organization, other = await funded(storage, 1000), await funded(storage, 1000)
    orders = await calls(storage, organization, 2)
    entries = await storage.list_entries(organization, Mode.LIVE, Page())
    strange = [
        storage.list_requests(other, Mode.LIVE, Page(after=orders[0].id)),
        storage.list_requests(organization, Mode.TEST, Page(after=orders[0].id)),
        storage.list_requests(organization, Mode.LIVE, Page(after=entries[0].id)),
        storage.list_entries(other, Mode.LIVE, Page(after=entries[0].id)),
        storage.list_entries(organization, Mode.TEST, Page(after=entries[0].id)),
        storage.list_entries(organization, Mode.LIVE, Page(after=orders[0].id)),
    ]
    for reading in strange:
        with pytest.raises(TesseraError) as caught:
            await reading
        assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_REQUEST, "after")


async def test_the_last_row_of_a_list_is_followed_by_an_empty_page(storage: LedgerStorage) -> None:
    organization = await funded(storage, 1000)
    orders = await calls(storage, organization, 2)
    entries = await storage.list_entries(organization, Mode.LIVE, Page())
    assert await storage.list_requests(organization, Mode.LIVE, Page(after=orders[0].id)) == ()
    assert await storage.list_entries(organization, Mode.LIVE, Page(after=entries[-1].id)) == ()


async def test_lists_show_one_organization_and_mode(storage: LedgerStorage) -> None:
    organization, other = await funded(storage, 100), await funded(storage, 100)
    order = hold_order(organization, 10, mode=Mode.LIVE)
    await storage.hold(order)
    for owner, mode in ((other, Mode.LIVE), (organization, Mode.TEST)):
        assert await storage.list_requests(owner, mode, Page()) == ()
        assert await storage.find_request(owner, mode, order.id) is None
        assert all(e.request_id is None for e in await storage.list_entries(owner, mode, Page()))


async def test_a_quote_is_found_by_its_organization_and_mode_only(storage: LedgerStorage) -> None:
    organization, other = await funded(storage, 0), await funded(storage, 0)
    quote = SavedQuote(
        id=new_id("quote"),
        organization_id=organization,
        mode=Mode.LIVE,
        model="gpt-4o",
        max_nanos=5,
        price_version="v",
        created_at_us=1,
        expires_at_us=hold_order("", 0).placed_at_us + 10**9,
        body=b'{"id":"x"}',
    )
    await storage.save_quote(quote)
    assert await storage.find_quote(organization, Mode.LIVE, quote.id) == quote
    assert await storage.find_quote(organization, Mode.TEST, quote.id) is None
    assert await storage.find_quote(other, Mode.LIVE, quote.id) is None
