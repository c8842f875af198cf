"""F20 in combinations: nothing can be written at a hold, a settle, to the outbox, at a checkpoint, to the witness; and
what comes back when there is space again.

The limit on file size of a process stands in for a full disk: with 0, no file can grow at all.
"""

import asyncio
import subprocess
import sys
from pathlib import Path

import pytest

from ledger_calls import faults, funded
from tessera.adapters.storage.ledger.outbox import FOLDER, RESERVE_BYTES, RESERVE_FILE
from tessera.adapters.storage.ledger.witness import read_witness
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio

_BEGINNING = """
import asyncio, resource, sys
sys.path.insert(0, sys.argv[3])
from pathlib import Path
from ledger_calls import eventually, faults, hold_order, usage_event
from tessera.adapters.storage.ledger import connected, writer
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.errors import TesseraError
from tessera.domain.money import Mode

writer.AGAIN_EVERY_S = connected.RETRY_EVERY_S = connected.SWEEP_EVERY_S = 0.05
folder, organization = Path(sys.argv[1]), sys.argv[2]
reserve, outbox = folder / "outbox" / "reserve", folder / "outbox"

def files_grow_to(size):
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, resource.RLIM_INFINITY))

def order(storage, **changes):
    return hold_order(organization, 10, mode=Mode.LIVE, owner=storage.owner, **changes)

async def refused(storage, holds):
    for _ in range(holds):
        try:
            await storage.hold(order(storage))
        except TesseraError as error:
            assert error.code == "storage_unavailable", error
        else:
            raise SystemExit("the injector did not fire")

async def spent(storage, nanos):
    async def is_so():
        return (await storage.balance(organization, Mode.LIVE)).spent_nanos == nanos
    await eventually(is_so)

async def main():
    storage = await SqliteStorage.open(folder)
    orders = [order(storage) for _ in range(20)]
    for one in orders:
        await storage.hold(one)
    await storage.balance(organization, Mode.LIVE)
"""
_ENDING = """
    await storage.close()

asyncio.run(main())
"""

SCENES = {
    # The reserve is given up for the outbox, and kept aside again afterwards: the disk may be full a second time.
    "twice": (
        """
    for number in range(2):
        files_grow_to(16_384)  # the database's log is longer, the outbox shorter
        await refused(storage, 5)
        reserve.unlink()  # as `Outbox.add` does when the disk does not take its lines
        for one in orders[number * 10 : number * 10 + 10]:
            await storage.settle(usage_event(one, 3))
        assert list(outbox.glob("*.jsonl")), "the injector fired"
        files_grow_to(resource.RLIM_INFINITY)
        await spent(storage, 30 * (number + 1))
        async def kept():
            return reserve.exists() and reserve.stat().st_size == 1024 * 1024 and not list(outbox.glob("*.jsonl"))
        await eventually(kept)
""",
        60,
    ),
    # Nothing can be written anywhere: settlements are answered only once there is space.
    "nothing": (
        """
    files_grow_to(0)
    await refused(storage, 5)
    settling = [asyncio.create_task(storage.settle(usage_event(one, 3))) for one in orders]
    await asyncio.wait(settling, timeout=1)
    assert not any(task.done() for task in settling), "answered, but nowhere durable"
    assert (await storage.balance(organization, Mode.LIVE)).held_nanos == 200
    files_grow_to(resource.RLIM_INFINITY)
    await asyncio.gather(*settling)
    await spent(storage, 60)
    await storage.hold(order(storage))
""",
        60,
    ),
    # The log cannot be moved into the file any more: what fits behind it is taken, then holds are refused.
    "checkpoint": (
        """
    size = 5_000_000
    files_grow_to(size)
    refusals = 0
    for _ in range(150):
        one = order(storage, quote=b'{"note":"' + b"q" * 100_000 + b'"}')
        try:
            await storage.hold(one)
        except TesseraError as error:
            assert error.code == "storage_unavailable", error
            refusals += 1
        else:
            await storage.settle(usage_event(one, 0, cost_nanos=0))
    database = (folder / "tessera.db").stat().st_size
    assert refusals and size - 200_000 < database <= size, "the injector fired at a checkpoint"
    for one in orders:
        await storage.settle(usage_event(one, 3))
    files_grow_to(resource.RLIM_INFINITY)
    await spent(storage, 60)
    await storage.hold(order(storage))
""",
        60,
    ),
    # The witness cannot be put in its place: calls go on, nothing of it is left, and it is written when it can be.
    "witness": (
        """
    witness = folder / "checkpoints.json"
    while not witness.is_dir():
        witness.unlink(missing_ok=True)
        try:
            witness.mkdir()
        except FileExistsError:
            pass  # a sweep in between has written it
    try:
        await storage.sweep()
    except OSError:
        pass
    else:
        raise SystemExit("the injector did not fire")
    for one in orders:
        await storage.settle(usage_event(one, 3))
    assert not list(folder.glob(".checkpoints.json-*")), "a half-written one was left"
    witness.rmdir()
    await storage.sweep()
    assert witness.is_file()
""",
        60,
    ),
}


@pytest.mark.parametrize("scene", SCENES)
async def test_f20_a_full_disk_loses_no_settlement_and_everything_comes_back_with_the_space(
    tmp_path: Path, scene: str
) -> None:
    work, charged = SCENES[scene]
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 100_000)
    await storage.close()
    done = await asyncio.to_thread(
        subprocess.run,
        [
            sys.executable,
            "-c",
            _BEGINNING + work + _ENDING,
            str(tmp_path),
            organization,
            str(Path(__file__).parents[2]),
        ],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert (tmp_path / FOLDER / RESERVE_FILE).stat().st_size == RESERVE_BYTES
    storage = await SqliteStorage.open(tmp_path)
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, balance.held_nanos, balance.spent_nanos) == (100_000 - charged, 0, charged)
    assert faults(await storage.verify()) == {}
    heads = read_witness(tmp_path, storage.secrets.checkpoint_key)
    assert not isinstance(heads, str)
    await storage.close()
