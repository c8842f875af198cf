"""F21: kill -9 under load loses no acknowledged settlement and leaves nothing held."""

import signal
import subprocess
import sys
from pathlib import Path

import pytest

from ledger_calls import faults, funded
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.money import Mode
from tessera.ports import Page

LOAD = Path(__file__).with_name("ledger_load.py")


@pytest.mark.anyio
@pytest.mark.parametrize(("callers", "settlements"), [(1, 5), (1, 60), (16, 1), (16, 200), (64, 700)])
async def test_kill_nine_loses_no_acknowledged_settlement(tmp_path: Path, callers: int, settlements: int) -> None:
    storage = await SqliteStorage.open(tmp_path)
    organization = await funded(storage, 10**12)
    await storage.close()

    load = subprocess.Popen(  # noqa: ASYNC220
        [sys.executable, str(LOAD), str(tmp_path), organization, str(callers)], stdout=subprocess.PIPE, text=True
    )
    assert load.stdout is not None
    acknowledged = [load.stdout.readline() for _ in range(settlements)]
    load.send_signal(signal.SIGKILL)
    acknowledged += load.stdout.readlines()
    load.stdout.close()
    assert load.wait() == -signal.SIGKILL, "the injector fired"

    charges = dict(line.split() for line in acknowledged if line.endswith("\n"))
    assert len(charges) >= settlements
    storage = await SqliteStorage.open(tmp_path)
    assert faults(await storage.verify()) == {}
    for request_id, charge in charges.items():
        record = await storage.find_request(organization, Mode.LIVE, request_id)
        assert record is not None
        assert record.event is not None
        assert (record.state, record.event.charge_nanos) == ("settled", int(charge))
    balance = await storage.balance(organization, Mode.LIVE)
    assert balance.held_nanos == 0, "orphans are resolved when the folder is opened again"
    assert balance.spent_nanos >= sum(map(int, charges.values()))
    assert balance.available_nanos + balance.spent_nanos == 10**12
    states = {r.state for r in await storage.list_requests(organization, Mode.LIVE, Page(limit=1000))}
    assert states <= {"settled", "expired"}
    await storage.close()
