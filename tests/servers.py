"""A real `tessera serve` in a process of its own, for tests that come in through the front door.

    def test_something(server: TesseraServer) -> None:
        account = server.account(credit="5.00", mode="live")
        httpx-or-any-client(server.base_url, account.key)

`server` is one server for all tests of a worker process; each test makes accounts of its own. A test that needs other
settings starts its own: `with running_server(tmp_path, config=...) as server`.
"""

import asyncio
import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import urllib.request
from collections.abc import Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TextIO, TypeVar

import pytest

import nursery
from made_ledgers import lay_ledger
from tessera.adapters.storage.sqlite.connection import DATABASE_FILE
from tessera.bootstrap import issue_key, open_storage
from tessera.domain.money import Mode, parse_usd
from tessera.ports.administration import Check
from tessera.settings import load_settings

T = TypeVar("T")
Running = subprocess.Popen[str] | nursery.Process
START_SECONDS_MAX = 60
STOP_SECONDS_MAX = 45


@dataclass(frozen=True)
class Account:
    """An organization with a key."""

    organization_id: str
    organization: str
    key_id: str
    key: str
    mode: str


@dataclass
class TesseraServer:
    """A server that answers at `base_url` (without `/v1`), with its data in `data_dir`."""

    base_url: str
    data_dir: Path
    process: Running
    log: Path
    environment: Mapping[str, str]
    started: Mapping[str, Any] = field(default_factory=dict)
    _made: int = field(default=0)

    @property
    def api(self) -> str:
        """What a client library calls its base URL."""
        return f"{self.base_url}/v1"

    def account(self, *, credit: str | None = None, mode: str = "test", name: str | None = None) -> Account:
        """A new organization with a key of that mode, and credit of that mode beside what it starts with."""
        self._made += 1
        name = name or f"org-{os.getpid()}-{self._made}"

        async def work() -> Account:
            settings = load_settings({}, data_dir=self.data_dir)
            async with open_storage(settings) as opened:
                made = await opened.storage.create_organization(name)
                if credit is not None:
                    await opened.storage.add_credit(
                        made.id, Mode(mode), parse_usd(credit), kind="manual", note="for a test"
                    )
                key, stored = await issue_key(opened, made.id, project="default", mode=Mode(mode), name="test")
                return Account(made.id, made.name, stored.id, key, mode)

        return in_thread(work())

    def tessera(self, *arguments: str, check: bool = True) -> subprocess.CompletedProcess[str]:
        """Runs a `tessera` command on this server's data, beside the server."""
        return tessera(*arguments, "--data", str(self.data_dir), check=check)

    def verify(self) -> None:
        """Fails when the audit of the ledger finds anything, as `tessera verify` does."""
        assert (self.data_dir / DATABASE_FILE).exists()

        async def work() -> list[Check]:
            async with open_storage(load_settings({}, data_dir=self.data_dir)) as opened:
                return [check for check in await opened.storage.verify() if not check.ok]

        assert in_thread(work()) == []

    def stop(self) -> int:
        """Asks the server to end and waits for it; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(STOP_SECONDS_MAX)


def tessera(
    *arguments: str, check: bool = True, env: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs the `tessera` command."""
    result = nursery.run(arguments, {**clean_environment(), **(env or {})}, seconds=110)
    if check:
        assert result.returncode == 0, result.stdout + result.stderr
    return result


def clean_environment() -> dict[str, str]:
    """This process's environment without what would change a server's settings."""
    dropped = ("TESSERA_", "OPENAI_", "ANTHROPIC_", "GEMINI_")
    return {name: value for name, value in os.environ.items() if not name.startswith(dropped)}


@contextlib.contextmanager
def running_server(
    folder: Path,
    *,
    config: str = "",
    env: Mapping[str, str] | None = None,
    arguments: tuple[str, ...] = (),
    data_dir: Path | None = None,
    fresh: bool = False,
) -> Iterator[TesseraServer]:
    """Starts a server on a free port with its data under `folder`, waits until it is ready, stops it at the end.

    An embedded ledger that is not there yet has today's schema from the beginning. `fresh` is for a test of what a
    server reads and keeps: it then begins with nothing imported.
    """
    data_dir = data_dir or folder / "data"
    config_file = folder / "tessera.toml"
    config_file.write_text(config)
    log = folder / "server.log"
    environment = {**clean_environment(), **(env or {})}
    if "database =" not in config and "TESSERA_DATABASE_URL" not in environment:
        lay_ledger(data_dir)
    command = ("serve", "--port", "0", "--json", *arguments, "--config", str(config_file), "--data", str(data_dir))
    # What an interpreter or its loader reads when it starts needs one that starts.
    fresh = fresh or any(name.startswith(("LD_", "PYTHON")) for name in env or {})
    with log.open("a") as log_file:
        process = _fresh(command, environment, log_file) if fresh else _forked(command, environment, log_file)
    try:
        started = _started(process, log)
        base_url = started["listen"]
        with urllib.request.urlopen(f"{base_url}/readyz", timeout=10) as reply:
            assert reply.status == 200
        yield TesseraServer(base_url, data_dir, process, log, environment, started)
    finally:
        if process.poll() is None:
            process.send_signal(signal.SIGTERM)
        try:
            process.wait(STOP_SECONDS_MAX)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise
        finally:
            assert process.stdout is not None
            process.stdout.close()


def _fresh(command: tuple[str, ...], environment: Mapping[str, str], log: TextIO) -> "subprocess.Popen[str]":
    return subprocess.Popen(
        [sys.executable, "-m", "tessera", *command], stdout=subprocess.PIPE, stderr=log, text=True, env=environment
    )


def _forked(command: tuple[str, ...], environment: Mapping[str, str], log: TextIO) -> nursery.Process:
    hears, prints = os.pipe()
    try:
        process = nursery.Process(command, environment, prints, log.fileno())
    finally:
        os.close(prints)
    process.stdout = os.fdopen(hears, encoding="utf-8")
    return process


def _started(process: Running, log: Path) -> dict[str, Any]:
    """What a server prints once it answers: its address among it."""
    timer = threading.Timer(START_SECONDS_MAX, process.kill)
    timer.start()
    try:
        assert process.stdout is not None
        line = process.stdout.readline()
    finally:
        timer.cancel()
    assert line, f"the server did not start:\n{log.read_text()}"
    printed: dict[str, Any] = json.loads(line)
    return printed


def in_thread(work: Coroutine[Any, Any, T]) -> T:
    """Runs asynchronous work from synchronous and asynchronous tests alike."""
    results: list[T] = []
    failures: list[BaseException] = []

    def target() -> None:
        try:
            results.append(asyncio.run(work))
        except BaseException as error:
            failures.append(error)

    thread = threading.Thread(target=target)
    thread.start()
    thread.join()
    if failures:
        raise failures[0]
    return results[0]


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[TesseraServer]:
    """One server for all tests of this worker process. When it stops, its ledger must be whole."""
    with running_server(tmp_path_factory.mktemp("server")) as started:
        yield started
        started.verify()
