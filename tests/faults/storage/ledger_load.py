"""Runs calls against a data folder until it is killed; prints each settlement once it was acknowledged.

python ledger_load.py DATA_DIR ORGANIZATION CALLERS
"""

import asyncio
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from ledger_calls import hold_order, usage_event
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.money import Mode


async def caller(storage: SqliteStorage, organization: str) -> None:
    charge = 0
    while True:
        charge = (charge + 7) % 1000
        order = hold_order(organization, 1000, mode=Mode.LIVE, owner=storage.owner)
        await storage.hold(order)
        await storage.settle(usage_event(order, charge))
        sys.stdout.write(f"{order.id} {charge}\n")
        sys.stdout.flush()


async def main() -> None:
    storage = await SqliteStorage.open(Path(sys.argv[1]))
    async with asyncio.TaskGroup() as group:
        for _ in range(int(sys.argv[3])):
            group.create_task(caller(storage, sys.argv[2]))


asyncio.run(main())
