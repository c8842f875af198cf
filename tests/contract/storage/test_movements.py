"""Following a wallet by its chain: every movement once, in order, whoever made it; what cannot be found is counted."""

import asyncio
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from ledger_calls import funded, hold_order, usage_event
from tessera.adapters.storage.ledger import usage_events
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.orders import HoldOrder
from tessera.domain.money import Mode
from tessera.domain.usage_report import Movements

pytestmark = pytest.mark.anyio
Opener = Callable[..., Awaitable[LedgerStorage]]


async def held(storage: LedgerStorage, organization: str, **changes: Any) -> HoldOrder:
    order = hold_order(organization, 100, mode=Mode.LIVE, owner=storage.owner, **changes)
    await storage.hold(order)
    return order


async def moved(
    storage: LedgerStorage, organization: str, after: int | None, watched: tuple[str, ...] = ()
) -> Movements:
    return await storage.read_movements(organization, Mode.LIVE, after=after, watched=watched)


def shown(found: Movements) -> list[tuple[str, bool]]:
    return [(call.request_id, call.ended) for call in found.calls]


async def test_every_movement_is_found_once_and_in_order(storage: LedgerStorage) -> None:
    organization, other = await funded(storage, 10_000), await funded(storage, 10_000)
    start = await moved(storage, organization, None)
    assert (start.calls, start.missed, start.open_ids) == ((), 0, ())
    first, second = await held(storage, organization), await held(storage, organization)
    await held(storage, other)
    await storage.settle(usage_event(second, 70))
    await storage.add_credit(organization, Mode.LIVE, 5, kind="manual", note="for a test")
    await storage.settle(usage_event(first, 60))
    found = await moved(storage, organization, start.seq)
    assert shown(found) == [(first.id, False), (second.id, False), (second.id, True), (first.id, True)]
    assert (found.missed, found.open_ids, found.held_nanos) == (0, (), 0)
    assert found.available_nanos == 10_000 + 5 - 130
    assert [call.charge_nanos for call in found.calls] == [0, 0, 70, 60]
    assert await moved(storage, organization, found.seq) == Movements(
        seq=found.seq, calls=(), missed=0, open_ids=(), available_nanos=found.available_nanos, held_nanos=0
    )
    rest = await moved(storage, organization, found.calls[1].seq)
    assert shown(rest) == [(second.id, True), (first.id, True)]


async def test_a_long_call_is_found_among_those_that_are_watched_and_missed_else(
    storage: LedgerStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(usage_events, "NEWEST_CALLS_MAX", 2)
    monkeypatch.setattr(usage_events, "_AT_ONCE", 2)
    organization = await funded(storage, 10_000)
    long = await held(storage, organization)
    for _ in range(4):
        await storage.settle(usage_event(await held(storage, organization), 1))
    before = await moved(storage, organization, None)
    assert before.open_ids == (long.id,)
    await storage.settle(usage_event(long, 9))
    watching = await moved(storage, organization, before.seq, before.open_ids)
    assert (shown(watching), watching.missed) == ([(long.id, True)], 0)
    late = await moved(storage, organization, before.seq)
    assert (shown(late), late.missed) == ([], 1)


async def test_another_process_s_calls_are_heard(opener: Opener, tmp_path: Path, engine: str) -> None:
    here = await opener(tmp_path)
    options = {"secrets_dir": tmp_path} if engine == "postgres" else {}
    there = await opener(tmp_path / "there" if options else tmp_path, **options)
    organization = await funded(here, 10_000)
    start = await moved(here, organization, None)
    orders = await asyncio.gather(*(held(storage, organization) for storage in (here, there) * 3))
    await asyncio.gather(*(there.settle(usage_event(order, 1)) for order in orders))
    found = await moved(here, organization, start.seq)
    assert found.missed == 0
    assert sorted(shown(found)) == sorted((order.id, ended) for order in orders for ended in (False, True))
    assert [call.seq for call in found.calls] == list(range(start.seq + 1, start.seq + 13))
    await there.close()
    await here.close()


async def test_there_is_nothing_to_follow_in_no_organization(storage: LedgerStorage) -> None:
    with pytest.raises(TesseraError) as caught:
        await moved(storage, "org_none", None)
    assert caught.value.code is ErrorCode.NOT_FOUND
