"""Volumes are read from the ledger at most every five seconds, once for all who ask, and not at all without need."""

import asyncio
from collections.abc import AsyncIterator
from datetime import date
from pathlib import Path

import pytest

from ledger_calls import funded, hold_order, usage_event
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.auth import Caller
from tessera.domain.errors import TesseraError
from tessera.domain.ledger.limits import month_number
from tessera.domain.money import Mode
from tessera.domain.pricing import OperatorRow, PriceBook
from tessera.flows.volumes import VOLUME_SECONDS, VOLUMES_KEPT_MAX, Volumes, read_volume

pytestmark = pytest.mark.anyio

AT_US = 1_795_305_600_000_000
DAY = date(2026, 11, 22)
NOVEMBER = month_number(DAY)
BY_VOLUME = PriceBook([], [OperatorRow(discount_basis_points=1, volume_from_nanos=1)])


class CountedStorage(SqliteStorage):
    """A real ledger that counts how often a volume is read of it."""

    reads = 0

    async def read_volume(self, organization_id: str, mode: Mode, month: int) -> int:
        self.reads += 1
        return await super().read_volume(organization_id, mode, month)


@pytest.fixture
async def storage(tmp_path: Path) -> AsyncIterator[CountedStorage]:
    opened = await CountedStorage.open(tmp_path)
    yield opened
    await opened.close()


async def charge(storage: LedgerStorage, organization: str, nanos: int) -> None:
    order = hold_order(organization, nanos, placed_at_us=AT_US, owner=storage.owner)
    await storage.hold(order)
    await storage.settle(usage_event(order, nanos))


async def test_no_volume_is_read_for_whose_prices_do_not_depend_on_it(storage: CountedStorage) -> None:
    caller = Caller(organization_id="org_1", project_id="prj_1", key_id="key_1", mode=Mode.TEST, organization="bolt")
    for rows in ([], [OperatorRow(organization="acme", discount_basis_points=1, volume_from_nanos=1)]):
        assert await read_volume(Volumes(), storage, PriceBook([], rows), caller, DAY, 0) is None
    assert storage.reads == 0
    assert (await read_volume(Volumes(), storage, BY_VOLUME, caller, DAY, 0), storage.reads) == (0, 1)


async def test_a_volume_is_at_most_five_seconds_old(storage: CountedStorage) -> None:
    organization = await funded(storage, 10**6, mode=Mode.TEST)
    volumes, place = Volumes(), (organization, Mode.TEST, NOVEMBER)
    assert await volumes.read(storage, place, 0) == 0
    await charge(storage, organization, 70)
    last_ms = VOLUME_SECONDS * 1000 - 1
    assert (await volumes.read(storage, place, last_ms), storage.reads) == (0, 1)
    assert (await volumes.read(storage, place, last_ms + 1), storage.reads) == (70, 2)
    assert (await volumes.read(storage, (organization, Mode.TEST, NOVEMBER + 1), last_ms), storage.reads) == (0, 3)


async def test_however_many_ask_at_once_one_reads_and_who_leaves_takes_it_from_nobody(storage: CountedStorage) -> None:
    organization = await funded(storage, 10**6, mode=Mode.TEST)
    await charge(storage, organization, 70)
    volumes, place = Volumes(), (organization, Mode.TEST, NOVEMBER)
    asking = [asyncio.create_task(volumes.read(storage, place, 0)) for _ in range(50)]
    await asyncio.sleep(0)
    asking[0].cancel()
    found = await asyncio.gather(*asking, return_exceptions=True)
    assert isinstance(found[0], asyncio.CancelledError)
    assert (found[1:], storage.reads) == ([70] * 49, 1)


async def test_a_reading_that_fails_is_told_to_all_and_tried_again_by_the_next(storage: CountedStorage) -> None:
    organization = await funded(storage, 10**6, mode=Mode.TEST)
    volumes, place = Volumes(), (organization, Mode.TEST, NOVEMBER)
    await storage.close()
    for _ in range(2):
        found = await asyncio.gather(*(volumes.read(storage, place, 0) for _ in range(3)), return_exceptions=True)
        assert all(isinstance(error, TesseraError) and error.code == "storage_unavailable" for error in found)
    assert storage.reads == 2


async def test_what_is_remembered_has_an_end(storage: CountedStorage) -> None:
    volumes = Volumes(known={(str(number), Mode.TEST, NOVEMBER): (0, 0) for number in range(VOLUMES_KEPT_MAX)})
    await volumes.read(storage, ("org_1", Mode.TEST, NOVEMBER), 0)
    assert len(volumes.known) == 1
