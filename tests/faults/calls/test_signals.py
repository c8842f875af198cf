"""Signals to a server and those beside it (F21, F34): stopped and continued, asked twice to end, its parent killed."""

import contextlib
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_calls import live_server, settled, start, until
from live_calls import CREDENTIAL, Live
from raw_http import ask, dial, listen, request
from scripted_provider import chat_events, chat_reply, hang, sse_reply
from servers import TesseraServer, clean_environment, running_server, tessera

HELLO = json.dumps({"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}).encode()


def receipts(live: Live, base_url: str) -> list[dict[str, object]]:
    heard = ask(base_url, request("GET", "/v1/requests", live.account.key))
    found: list[dict[str, object]] = json.loads(heard.data.partition(b"\r\n\r\n")[2])["data"]
    return found


def test_f21_a_server_that_is_stopped_keeps_its_holds_and_charges_once_when_it_goes_on(tmp_path: Path) -> None:
    """Its lock is held by the kernel for as long as it exists, however long it does nothing."""
    (tmp_path / "beside").mkdir()
    with live_server(tmp_path) as live:
        live.first.script(sse_reply(chat_events(["word "] * 30), delay_s=0.1), chat_reply())
        with start(live, stream=True) as stream:
            assert stream.recv(100)
            live.server.process.send_signal(signal.SIGSTOP)
            try:
                config = (tmp_path / "tessera.toml").read_text()
                env = {"LOCAL_KEY": CREDENTIAL}
                with running_server(
                    tmp_path / "beside", config=config, env=env, data_dir=live.server.data_dir
                ) as other:
                    assert live.server.tessera("orgs", "list").returncode == 0
                    asked = request("POST", "/v1/chat/completions", live.account.key, HELLO)
                    assert ask(other.base_url, asked).status == 200
                    states = sorted(str(one["status"]) for one in receipts(live, other.base_url))
                    assert states == ["open", "settled"], "who sweeps beside it leaves its hold alone"
            finally:
                live.server.process.send_signal(signal.SIGCONT)
            assert b"[DONE]" in listen(stream, linger_s=20).data
        assert settled(live)["status"] == "settled"
        found = receipts(live, live.server.base_url)
        assert [(one["status"], one["outcome"]) for one in found] == [("settled", "completed")] * 2
        assert json.loads(live.server.tessera("reconcile", "--json").stdout)["refused_settlements"] == []


@pytest.mark.parametrize("numbers", [(signal.SIGTERM, signal.SIGTERM), (signal.SIGINT, signal.SIGTERM)])
def test_f34_a_second_signal_cuts_what_still_runs_and_settles_it(
    tmp_path: Path, numbers: tuple[signal.Signals, ...]
) -> None:
    with live_server(tmp_path, "drain_seconds_max = 100\n") as live:
        live.first.script(sse_reply(chat_events(["word "] * 2000), delay_s=0.1), hang())
        stream = start(live, stream=True)
        assert stream.recv(100)
        silent = start(live)
        until(lambda: len(live.first.received) == 2)
        for number in numbers:
            live.server.process.send_signal(number)
            time.sleep(0.3)
        heard = listen(stream, linger_s=20).data
        assert b'"finish_reason":"error"' in heard
        assert b"[DONE]" not in heard
        assert listen(silent, linger_s=20).status == 503
        assert live.server.process.wait(30) == 0
        live.server.verify()
        log = live.server.log.read_text()
    assert "Traceback" not in log
    folder = tmp_path / "again"
    folder.mkdir()
    with running_server(folder, data_dir=live.server.data_dir) as again:
        assert [one["outcome"] for one in receipts(live, again.base_url)] == ["cancelled"] * 2
        again.verify()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_f34_a_signal_at_any_moment_of_a_start_ends_it_and_spoils_nothing(
    tmp_path: Path, number: signal.Signals
) -> None:
    data = tmp_path / "data"
    for wait_s in (0.05, 0.3, 0.6, 0.9, 1.2):
        process = subprocess.Popen(
            [sys.executable, "-m", "tessera", "serve", "--port", "0", "--json", "--data", str(data)],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=clean_environment(),
            # Tests that were started in the background ignore interrupts, and so would the server until it listens.
            preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
        )
        time.sleep(wait_s)
        process.send_signal(number)
        _, told = process.communicate(timeout=60)
        assert process.returncode in (0, 1, -number, 128 + number), told
        # An interrupt while the interpreter itself begins is Python's to tell of.
        assert number == signal.SIGINT or b"Traceback" not in told, told.decode()
    with running_server(tmp_path, data_dir=data) as server:
        server.verify()


@pytest.mark.parametrize("outlives", [False, True])
def test_f34_a_closed_terminal_ends_a_server_in_order_unless_it_was_started_to_outlive_it(
    tmp_path: Path, outlives: bool
) -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN if outlives else signal.SIG_DFL)
    try:
        with running_server(tmp_path, fresh=True) as server:
            server.process.send_signal(signal.SIGHUP)
            if outlives:
                assert ask(server.base_url, request("GET", "/healthz", "")).status == 200
                assert server.stop() == 0
            else:
                assert server.process.wait(30) == 0
                assert "Stopping: calls in flight may end first" in server.log.read_text()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_f34_a_server_that_was_started_without_standard_streams_ends_in_order(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    command = (sys.executable, "-m", "tessera", "serve", "--port", str(port), "--data", str(tmp_path / "data"))
    closing = 'exec "$@" <&- >&- 2>&-'
    server = subprocess.Popen(["sh", "-c", closing, "sh", *command], env=clean_environment())
    try:
        until(lambda: answers(port), seconds=60)
        server.terminate()
        assert server.wait(30) == 0
    finally:
        server.kill()
        server.wait()


def answers(port: int) -> bool:
    with contextlib.suppress(OSError):
        return ask(f"http://127.0.0.1:{port}", request("GET", "/readyz")).status == 200
    return False


def test_two_servers_on_one_data_folder_share_its_ledger(tmp_path: Path) -> None:
    with running_server(tmp_path) as first:
        account = first.account()
        folder = tmp_path / "second"
        folder.mkdir()
        asked = request("POST", "/v1/chat/completions", account.key, HELLO)
        with running_server(folder, data_dir=first.data_dir) as second:
            assert {ask(one.base_url, asked).status for one in (first, second, first, second)} == {200}
            second.process.kill()
            second.process.wait()
        assert ask(first.base_url, asked).status == 200
        first.verify()
    assert first.process.wait() == 0


def processes_of(pid: int) -> list[int]:
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


@pytest.fixture
def working(tmp_path: Path, empty_database_url: str) -> Iterator[tuple[TesseraServer, list[int], str]]:
    """A server with two workers, their processes, and a test key."""
    env = {"TESSERA_DATABASE_URL": empty_database_url, "TESSERA_SECRETS_DIR": str(tmp_path / "secrets")}
    with running_server(tmp_path, env=env, arguments=("--workers", "2")) as server:
        pid = server.process.pid
        workers = [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
        assert len(workers) == 2
        place = ("--data", str(tmp_path / "operator"), "--json")
        tessera("orgs", "create", "acme", *place, env=env)
        made = tessera("keys", "create", "--org", "acme", "--mode", "test", *place, env=env)
        yield server, workers, json.loads(made.stdout)["key"]
        assert json.loads(tessera("verify", *place, env=env).stdout)["ok"]


def slow_call(server: TesseraServer, key: str, delay_ms: int) -> socket.socket:
    """A call that has been sent and is answered so much later."""
    connection = dial(server.base_url)
    slow = f"Tessera-Sandbox-Fault: delay_ms={delay_ms}"
    connection.sendall(request("POST", "/v1/chat/completions", key, HELLO, slow))
    time.sleep(0.5)
    return connection


def gone(processes: list[int]) -> bool:
    return not any(Path(f"/proc/{pid}").exists() for pid in processes)


def test_f21_workers_whose_parent_is_killed_end_their_calls_and_themselves(
    working: tuple[TesseraServer, list[int], str],
) -> None:
    server, workers, key = working
    with slow_call(server, key, 1500) as connection:
        os.kill(server.process.pid, signal.SIGKILL)
        assert server.process.wait() == -signal.SIGKILL
        assert listen(connection, linger_s=20).status == 200, "a call that runs is not cut by the end of the parent"
    until(lambda: gone(workers), seconds=30)
    with pytest.raises(OSError, match="refused"):
        dial(server.base_url)


def test_f34_a_signal_to_every_process_at_once_cuts_no_call(working: tuple[TesseraServer, list[int], str]) -> None:
    """As a service manager stops a service: the parent passes on what has reached its workers already."""
    server, workers, key = working
    with slow_call(server, key, 2500) as connection:
        for pid in (server.process.pid, *workers):
            # A worker without a call may have ended by the parent's word alone.
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
            time.sleep(0.2)  # two that wait to be taken are one
        assert listen(connection, linger_s=20).status == 200
    assert server.process.wait(30) == 0
    assert gone(workers)


def test_f34_a_second_signal_to_the_parent_cuts_what_its_workers_still_do(
    working: tuple[TesseraServer, list[int], str],
) -> None:
    server, workers, key = working
    with slow_call(server, key, 60_000) as connection:
        for _ in range(2):
            server.process.send_signal(signal.SIGTERM)
            time.sleep(0.3)
        assert listen(connection, linger_s=20).status == 503
    assert server.process.wait(30) == 0
    assert gone(workers)
