"""Lists of commands: everything is shown, however much there is."""

from pathlib import Path

import pytest

from payment_events import bought
from tessera.adapters.storage.money.store import SqlMoney
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.cli._options import every
from tessera.domain.money import NANOS_PER_USD

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 1_000])
async def test_every_page_of_a_list_is_read_once(tmp_path: Path, limit: int) -> None:
    storage = await SqliteStorage.open(tmp_path)
    money = SqlMoney(storage)
    assert await every(money.list_all_topups, limit=limit) == []
    organization = (await storage.create_organization("acme")).id
    made = [(await bought(money, organization, NANOS_PER_USD)).id for _ in range(4)]
    found = await every(money.list_all_topups, limit=limit)
    await storage.close()
    assert [one.id for one in found] == sorted(made, reverse=True)
