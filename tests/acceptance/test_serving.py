"""The server as a process: bounds on request heads, and stopping without losing a call."""

import contextlib
import http.client
import json
import signal
import socket
import threading
import time
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from servers import TesseraServer, running_server
from tessera.server.connection import IGNORED_BYTES_MAX


def connect(server: TesseraServer) -> socket.socket:
    parts = urlsplit(server.base_url)
    assert parts.hostname is not None
    return socket.create_connection((parts.hostname, parts.port or 80), timeout=20)


def read_to_end(connection: socket.socket) -> bytes:
    pieces = []
    while piece := connection.recv(65_536):
        pieces.append(piece)
    return b"".join(pieces)


@pytest.mark.parametrize("beginning", [b"", b"GET / HTTP/1.1\r\nHost: a\r\n", b"GET /health"])
def test_a_head_that_never_ends_is_cut_in_time(tmp_path: Path, beginning: bytes) -> None:
    with running_server(tmp_path, config="[limits]\nheaders_seconds_max = 1\n") as server, connect(server) as slow:
        slow.sendall(beginning)
        started = time.monotonic()
        assert read_to_end(slow).startswith(b"HTTP/1.1 408 ")
        assert time.monotonic() - started < 10


def test_a_head_that_drips_gets_no_more_time_than_one_that_stands_still(tmp_path: Path) -> None:
    with running_server(tmp_path, config="[limits]\nheaders_seconds_max = 1\n") as server, connect(server) as slow:
        slow.sendall(b"GET /healthz HTTP/1.1\r\n")
        started = time.monotonic()
        with contextlib.suppress(OSError):
            while time.monotonic() - started < 20:
                slow.sendall(b"X-Drip: 1\r\n")
                time.sleep(0.1)
        assert time.monotonic() - started < 10


def test_a_head_without_end_is_refused_before_it_fills_memory(server: TesseraServer) -> None:
    with connect(server) as endless:
        endless.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n")
        endless.settimeout(2)
        sent = 0
        # It is answered 431 after 64 KiB; what still comes is thrown away, so that the answer is heard, up to a bound.
        taken_max = IGNORED_BYTES_MAX + 1024 * 1024 + sum(map(kernel_holds_max, ("tcp_rmem", "tcp_wmem")))
        with contextlib.suppress(OSError):
            while sent < taken_max:
                sent += endless.send(b"X-Long: " + b"a" * 8000 + b"\r\n")
        assert sent < taken_max


def kernel_holds_max(setting: str) -> int:
    """The most bytes that the kernel keeps of what is under way at one end of a connection."""
    return int(Path("/proc/sys/net/ipv4", setting).read_text().split()[2])


def test_connections_are_kept_and_the_next_head_has_its_time_again(server: TesseraServer) -> None:
    connection = http.client.HTTPConnection(server.base_url.removeprefix("http://"), timeout=10)
    for _ in range(3):
        connection.request("GET", "/healthz")
        with connection.getresponse() as reply:
            assert (reply.status, json.loads(reply.read())) == (200, {"status": "ok"})
        time.sleep(0.1)
    connection.close()


def test_the_server_tells_nobody_what_it_is_made_of(server: TesseraServer) -> None:
    connection = http.client.HTTPConnection(server.base_url.removeprefix("http://"), timeout=10)
    connection.request("GET", "/healthz")
    with connection.getresponse() as reply:
        assert reply.headers["server"] is None
    connection.close()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_call_in_flight_ends_before_the_server_does(tmp_path: Path, number: signal.Signals) -> None:
    with running_server(tmp_path) as server:
        account = server.account()
        connection = http.client.HTTPConnection(server.base_url.removeprefix("http://"), timeout=30)
        body = json.dumps({"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "hello"}]})
        headers = {
            "Authorization": f"Bearer {account.key}",
            "Content-Type": "application/json",
            "Tessera-Sandbox-Fault": "delay_ms=1500",
        }
        connection.request("POST", "/v1/chat/completions", body, headers)
        threading.Timer(0.5, server.process.send_signal, [number]).start()
        with connection.getresponse() as reply:
            answer = json.loads(reply.read())
        assert reply.status == 200, answer
        assert answer["usage"]["charge_nanos"] > 0
        connection.close()
        assert server.process.wait(20) == 0
        server.verify()


def test_a_call_longer_than_the_drain_time_is_cut_and_its_hold_resolved(tmp_path: Path) -> None:
    with running_server(tmp_path, config="[limits]\ndrain_seconds_max = 1\n") as server:
        account = server.account()
        with connect(server) as client:
            body = json.dumps({"model": "gpt-4.1-mini", "messages": [{"role": "user", "content": "hello"}]})
            client.sendall(
                f"POST /v1/chat/completions HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {account.key}\r\n"
                f"Content-Type: application/json\r\nTessera-Sandbox-Fault: delay_ms=30000\r\n"
                f"Content-Length: {len(body)}\r\n\r\n{body}".encode()
            )
            time.sleep(0.5)
            started = time.monotonic()
            assert server.stop() == 0
            assert time.monotonic() - started < 15
        server.verify()
        assert "503" not in server.log.read_text()
