"""Replicas and workers on one PostgreSQL, through the front door: one is killed under load, and every nano is there."""

import http.client
import json
import os
import signal
import threading
import time
import urllib.request
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from servers import TesseraServer, in_thread, running_server, tessera
from tcp_proxy import tcp_proxy
from tessera.adapters.storage.postgres import PostgresStorage
from tessera.domain.money import Mode
from tessera.ports import Balance, RequestRecord

BODY = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 40}).encode()
CALLERS = 12


@pytest.fixture
def environment(empty_database_url: str, tmp_path: Path) -> dict[str, str]:
    """Where all replicas find their database and their secrets."""
    return {"TESSERA_DATABASE_URL": empty_database_url, "TESSERA_SECRETS_DIR": str(tmp_path / "secrets")}


def started(stack: ExitStack, folder: Path, environment: Mapping[str, str], *arguments: str) -> TesseraServer:
    folder.mkdir(exist_ok=True)
    return stack.enter_context(running_server(folder, env=environment, arguments=arguments))


def new_key(environment: Mapping[str, str], folder: Path) -> tuple[str, str, str]:
    """A new organization with its test credit, and a test key of it: their ids and the key."""
    place = ("--data", str(folder), "--json")
    organization = json.loads(tessera("orgs", "create", "acme", *place, env=environment).stdout)
    key = json.loads(tessera("keys", "create", "--org", "acme", "--mode", "test", *place, env=environment).stdout)
    return organization["id"], key["id"], key["key"]


def post(address: str, key: str) -> tuple[int, str | None, bytes]:
    """A call; its status, request id and body. Raises OSError or http.client.HTTPException when it is cut off."""
    place = urlsplit(address)
    connection = http.client.HTTPConnection(place.hostname or "", place.port, timeout=30)
    try:
        headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", BODY, headers)
        reply = connection.getresponse()
        return reply.status, reply.getheader("x-request-id"), reply.read()
    finally:
        connection.close()


def eventually(holds: Callable[[], bool], *, seconds: float) -> None:
    until = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.1)


def workers_of(server: TesseraServer) -> list[int]:
    """The processes that a server with workers has started."""
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def looked_at(
    environment: Mapping[str, str], folder: Path, organization: str, requests: list[str]
) -> tuple[Balance, list[RequestRecord | None]]:
    """What the ledger says, asked of the database itself."""

    async def work() -> tuple[Balance, list[RequestRecord | None]]:
        storage = await PostgresStorage.connect(
            environment["TESSERA_DATABASE_URL"], folder, secrets_dir=Path(environment["TESSERA_SECRETS_DIR"])
        )
        try:
            found = [await storage.find_request(organization, Mode.TEST, request) for request in requests]
            return await storage.balance(organization, Mode.TEST), found
        finally:
            await storage.close()

    return in_thread(work())


def load(address: str, key: str, finished: list[str], cut: list[str], running: threading.Event) -> None:
    while running.is_set():
        try:
            status, request, _ = post(address, key)
        except (OSError, http.client.HTTPException) as error:
            cut.append(repr(error))
            time.sleep(0.02)
            continue
        assert status == 200, status
        assert request is not None
        finished.append(request)


def test_replicas_with_workers_lose_a_replica_and_a_worker_to_kill_nine_under_load_and_reconcile_to_zero(
    environment: dict[str, str], tmp_path: Path
) -> None:
    finished: list[str] = []
    cut: list[str] = []
    with ExitStack() as stack:
        pairs = ("--workers", "2")
        shapes: list[tuple[str, ...]] = [pairs, (), pairs]
        replicas = [
            started(stack, tmp_path / f"replica-{number}", environment, *shape) for number, shape in enumerate(shapes)
        ]
        organization, _, key = new_key(environment, tmp_path / "operator")
        places = [urlsplit(replica.base_url) for replica in replicas]
        proxy = stack.enter_context(tcp_proxy(*[(place.hostname or "", place.port or 0) for place in places]))
        running = threading.Event()
        running.set()
        address = f"http://127.0.0.1:{proxy.port}"
        callers = [threading.Thread(target=load, args=(address, key, finished, cut, running)) for _ in range(CALLERS)]
        for caller in callers:
            caller.start()
        eventually(lambda: len(finished) > 60, seconds=60)
        victim = replicas[1]
        victim.process.send_signal(signal.SIGKILL)
        assert victim.process.wait() == -signal.SIGKILL, "the injector fired"
        worker = workers_of(replicas[2])[0]
        os.kill(worker, signal.SIGKILL)
        eventually(lambda: worker not in workers_of(replicas[2]) and len(workers_of(replicas[2])) == 2, seconds=60)
        before = len(finished)
        eventually(lambda: len(finished) > before + 60, seconds=60)
        # As an orchestrator would: the same replica again, on the folder it left.
        started(stack, tmp_path / "replica-1", environment)
        eventually(lambda: len(finished) > before + 90, seconds=60)
        running.clear()
        for caller in callers:
            caller.join()
        balance, records = looked_at(environment, tmp_path / "operator", organization, finished)
        assert balance.held_nanos == 0, "nothing is held once nobody calls"
    assert len(cut) >= 1, "somebody was cut off"
    assert all(record is not None and record.state == "settled" for record in records)
    charged = sum(record.event.charge_nanos for record in records if record is not None and record.event is not None)
    assert 0 < charged <= balance.spent_nanos
    assert balance.available_nanos + balance.spent_nanos == 100 * 10**9
    checks = json.loads(tessera("verify", "--json", "--data", str(tmp_path / "operator"), env=environment).stdout)
    assert checks["ok"]


def test_workers_share_one_address_and_a_dead_one_is_started_again(environment: dict[str, str], tmp_path: Path) -> None:
    with ExitStack() as stack:
        server = started(stack, tmp_path / "server", environment, "--workers", "3")
        organization, key_id, key = new_key(environment, tmp_path / "operator")
        first = workers_of(server)
        assert len(first) == 3
        assert post(server.base_url, key)[0] == 200
        os.kill(first[0], signal.SIGKILL)
        eventually(lambda: len(workers_of(server)) == 3 and first[0] not in workers_of(server), seconds=20)
        for _ in range(10):
            assert post(server.base_url, key)[0] == 200
        tessera("keys", "revoke", key_id, "--data", str(tmp_path / "operator"), env=environment)
        revoked_at = time.monotonic()
        while time.monotonic() < revoked_at + 5:
            if {post(server.base_url, key)[0] for _ in range(12)} == {401}:
                break
        else:
            raise AssertionError("a revoked key was served for more than five seconds")
        with urllib.request.urlopen(f"{server.base_url}/readyz", timeout=10) as reply:
            assert reply.status == 200
        assert server.stop() == 0
        assert not any(Path(f"/proc/{pid}").exists() for pid in first)
    balance, _ = looked_at(environment, tmp_path / "operator", organization, [])
    assert balance.held_nanos == 0
