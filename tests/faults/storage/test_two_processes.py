"""Commands beside a running server: two processes, one file."""

import asyncio
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest

from ledger_calls import database, eventually, faults, funded, hold_order, usage_event
from tessera.adapters.storage.sqlite import SqliteStorage, load_secrets
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode

pytestmark = pytest.mark.anyio

COMMAND = """
import asyncio, sys
from pathlib import Path
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.money import Mode

async def main():
    storage = await SqliteStorage.open(Path(sys.argv[1]))
    if sys.argv[2] == "revoke":
        await storage.revoke_key(sys.argv[3])
    else:
        for _ in range(int(sys.argv[4])):
            await storage.add_credit(sys.argv[3], Mode.LIVE, 10, kind="manual", note="")
    await storage.close()

asyncio.run(main())
"""


async def command(*arguments: str) -> None:
    process = await asyncio.create_subprocess_exec(sys.executable, "-c", COMMAND, *arguments)
    assert await process.wait() == 0


async def test_f28_a_key_revoked_by_another_process_is_refused_within_five_seconds(tmp_path: Path) -> None:
    server = await SqliteStorage.open(tmp_path)
    organization = await funded(server, 0)
    key = await server.create_key(
        organization, project="default", mode=Mode.LIVE, name="", digest=b"d" * 32, display="sk"
    )
    assert await server.find_caller(b"d" * 32) is not None
    await command(str(tmp_path), "revoke", key.id)
    revoked = time.monotonic()

    async def refused() -> bool:
        return await server.find_caller(b"d" * 32) is None

    await eventually(refused, seconds=5)
    assert time.monotonic() - revoked < 5
    await server.close()


async def test_f28_a_look_up_on_its_way_does_not_bring_a_revoked_key_back(tmp_path: Path) -> None:
    server = await SqliteStorage.open(tmp_path)
    organization = await funded(server, 0)
    for number in range(30):
        digest = bytes([number]) * 32
        key = await server.create_key(
            organization, project="default", mode=Mode.LIVE, name="", digest=digest, display="sk"
        )
        looking = [asyncio.ensure_future(server.find_caller(digest)) for _ in range(4)]
        await server.revoke_key(key.id)
        await asyncio.gather(*looking)
        assert await server.find_caller(digest) is None
    await server.close()


async def test_credit_added_by_another_process_can_be_spent_at_once(tmp_path: Path) -> None:
    server = await SqliteStorage.open(tmp_path)
    organization = await funded(server, 5)
    with pytest.raises(TesseraError):
        await server.hold(hold_order(organization, 15, mode=Mode.LIVE, owner=server.owner))
    await command(str(tmp_path), "credit", organization, "1")
    order = hold_order(organization, 15, mode=Mode.LIVE, owner=server.owner)
    assert (await server.hold(order)).granted_nanos == 15
    await server.settle(usage_event(order, 15))
    await server.close()


async def test_calls_and_commands_on_one_wallet_never_undo_each_other(tmp_path: Path) -> None:
    """T6: while the server charges, another process adds credit; nothing of either is lost."""
    server = await SqliteStorage.open(tmp_path)
    organization = await funded(server, 1000)
    charged = 0
    running = True

    async def caller() -> None:
        nonlocal charged
        while running:
            order = hold_order(organization, 3, mode=Mode.LIVE, owner=server.owner)
            try:
                await server.hold(order)
            except TesseraError as error:
                if error.code not in (ErrorCode.INSUFFICIENT_BALANCE, ErrorCode.BALANCE_RESERVED):
                    raise
                await asyncio.sleep(0.001)
                continue
            await server.settle(usage_event(order, 1))
            charged += 1

    callers = [asyncio.ensure_future(caller()) for _ in range(8)]
    await asyncio.gather(*(command(str(tmp_path), "credit", organization, "40") for _ in range(2)))
    running = False
    await asyncio.gather(*callers)
    balance = await server.balance(organization, Mode.LIVE)
    assert balance.spent_nanos == charged > 0
    assert balance.available_nanos == 1000 + 2 * 40 * 10 - charged
    assert faults(await server.verify()) == {}
    await server.close()


async def test_two_processes_on_one_balance_pay_exactly_what_it_has(tmp_path: Path) -> None:
    one, two = await SqliteStorage.open(tmp_path), await SqliteStorage.open(tmp_path)
    organization = await funded(one, 137)
    orders = [
        (storage, hold_order(organization, 1, mode=Mode.LIVE, owner=storage.owner)) for storage in (one, two) * 150
    ]
    answers = await asyncio.gather(*(storage.hold(order) for storage, order in orders), return_exceptions=True)
    assert sum(not isinstance(answer, Exception) for answer in answers) == 137
    codes = {answer.code for answer in answers if isinstance(answer, TesseraError)}
    assert codes == {ErrorCode.BALANCE_RESERVED}
    assert (await one.balance(organization, Mode.LIVE)).held_nanos == 137
    await one.close()
    await two.close()


async def test_an_audit_beside_a_running_server_raises_no_false_alarm(tmp_path: Path) -> None:
    """Witness, locks and rows move on while the audit reads its snapshot."""
    server, command_line = await SqliteStorage.open(tmp_path), await SqliteStorage.open(tmp_path)
    organization = await funded(server, 10**9)
    running = True

    async def caller() -> None:
        while running:
            order = hold_order(organization, 3, mode=Mode.LIVE, owner=server.owner)
            await server.hold(order)
            await server.settle(usage_event(order, 1))

    async def sweeper() -> None:
        while running:
            await asyncio.gather(server.sweep(), command_line.sweep())

    work = [asyncio.ensure_future(caller()) for _ in range(8)] + [asyncio.ensure_future(sweeper())]
    for _ in range(12):
        assert faults(await command_line.verify()) == {}
    running = False
    await asyncio.gather(*work)
    await command_line.close()
    await server.close()


async def test_a_suspension_written_by_another_process_is_obeyed(tmp_path: Path) -> None:
    server = await SqliteStorage.open(tmp_path)
    organization = await funded(server, 100)
    running = hold_order(organization, 10, mode=Mode.LIVE, owner=server.owner)
    await server.hold(running)
    other = sqlite3.connect(database(tmp_path))
    other.execute("UPDATE organization SET suspended = 1 WHERE id = ?", (organization,))
    other.commit()
    other.close()
    with pytest.raises(TesseraError) as caught:
        await server.hold(hold_order(organization, 10, mode=Mode.LIVE, owner=server.owner))
    assert caught.value.code is ErrorCode.ORGANIZATION_SUSPENDED
    await server.settle(usage_event(running, 10))
    assert (await server.find_organization(organization)).suspended
    await server.close()


def test_processes_that_start_together_share_their_secrets_and_schema(tmp_path: Path) -> None:
    code = (
        "import asyncio, sys; from pathlib import Path; from tessera.adapters.storage.sqlite import SqliteStorage\n"
        "async def main():\n"
        "    storage = await SqliteStorage.open(Path(sys.argv[1]))\n"
        "    print(storage.secrets.pepper.hex(), storage.secrets.checkpoint_key.hex())\n"
        "    await storage.close()\n"
        "asyncio.run(main())"
    )
    folder = tmp_path / "data"
    processes = [
        subprocess.Popen([sys.executable, "-c", code, str(folder)], stdout=subprocess.PIPE, text=True) for _ in range(4)
    ]
    printed = {process.communicate(timeout=60)[0] for process in processes}
    assert [process.returncode for process in processes] == [0] * 4
    secrets = load_secrets(folder)
    assert printed == {f"{secrets.pepper.hex()} {secrets.checkpoint_key.hex()}\n"}
    assert {(folder / name).stat().st_mode & 0o777 for name in ("pepper", "checkpoint-key", "tessera.db")} == {0o600}
    assert folder.stat().st_mode & 0o777 == 0o700
    assert len(secrets.pepper) == len(secrets.checkpoint_key) == 32
    assert secrets.pepper != secrets.checkpoint_key
    assert secrets.pepper.hex() not in repr(secrets)


def test_a_damaged_secret_is_refused_and_not_replaced(tmp_path: Path) -> None:
    load_secrets(tmp_path)
    (tmp_path / "pepper").write_bytes(b"short")
    with pytest.raises(TesseraError, match="backup"):
        load_secrets(tmp_path)
    assert (tmp_path / "pepper").read_bytes() == b"short"
