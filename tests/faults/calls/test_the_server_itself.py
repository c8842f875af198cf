"""Faults F27 and F33 to F35: overload, a stop with calls in flight, a log nobody reads, prices that change."""

import concurrent.futures
import fcntl
import json
import os
import signal
import threading
import time
from pathlib import Path

import pytest

import image_files as files
from fault_calls import HELLO, Seen, call, live_server, settled, start, until
from live_calls import Live
from raw_http import ask, dial, hear, listen, request
from scripted_provider import bytes_reply, chat_events, chat_reply, error_reply, hang, sse_reply
from servers import running_server


def test_f33_past_its_bound_on_calls_a_server_refuses_at_once_and_recovers(tmp_path: Path) -> None:
    with live_server(tmp_path, "calls_max = 20\n") as live:
        gate = threading.Event()
        live.first.always = lambda request: (gate.wait(60), chat_reply())[1]
        running = [start(live) for _ in range(19)]
        until(lambda: len(live.first.received) >= 1)
        time.sleep(0.5)
        started = time.monotonic()
        refused = call(live)
        assert time.monotonic() - started < 1
        assert (refused.status, refused.error["code"], refused.headers["retry-after"]) == (503, "overloaded", "1")
        assert "x-should-retry" not in refused.headers
        assert ask(live.server.base_url, request("GET", "/healthz")).status == 200
        gate.set()
        assert {hear(connection).status for connection in running} == {200}
        assert call(live).status == 200
        assert settled(live)["outcome"] == "completed"


def test_f33_bodies_in_hand_are_bounded_together(tmp_path: Path) -> None:
    with live_server(tmp_path, "bodies_bytes_max = 100000\n") as live:
        half = json.dumps({**HELLO, "messages": [{"role": "user", "content": "x " * 30_000}]}).encode()
        with dial(live.server.base_url) as first:
            first.sendall(request("POST", "/v1/chat/completions", live.account.key, half)[:-10])
            time.sleep(0.5)
            second = ask(live.server.base_url, request("POST", "/v1/chat/completions", live.account.key, half))
            assert (second.status, second.error()["code"]) == (503, "overloaded")
            first.sendall(half[-10:])
            assert hear(first).status == 200
        assert call(live).status == 200


def test_f33_images_fetched_for_calls_are_in_hand_as_bodies_are(tmp_path: Path) -> None:
    with live_server(tmp_path, "bodies_bytes_max = 100000\n") as live:
        gate = threading.Event()
        live.first.always = lambda request: (gate.wait(60), chat_reply())[1]
        live.images.always = bytes_reply(files.saved("PNG") + bytes(60_000), content_type="image/png")
        url = f"http://127.0.0.1:{live.images.port}/a.png"
        messages = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url}}]}]
        running = start(live, messages=messages)
        until(lambda: live.first.received)
        quoted = {"url": "/v1/chat/completions", "body": {**HELLO, "messages": messages}}
        part = {"type": "input_image", "image_url": url}
        counted = {"model": "gpt-4o", "input": [{"role": "user", "content": [part]}]}
        for seen in (
            call(live, messages=messages),
            Seen(*live.post("/quotes", json.dumps(quoted).encode())),
            Seen(*live.post("/responses/input_tokens", json.dumps(counted).encode())),
        ):
            assert (seen.status, seen.error["code"]) == (503, "overloaded")
        gate.set()
        assert hear(running).status == 200
        assert call(live, messages=messages).status == 200
        assert [receipt["status"] for receipt in live.get("/requests")["data"]] == ["settled"] * 2


def test_f33_under_memory_pressure_new_work_is_shed_and_health_still_answers(tmp_path: Path) -> None:
    with live_server(tmp_path, "memory_bytes_max = 1000000\n") as live:
        until(lambda: call(live).status == 503)
        assert call(live).headers["retry-after"] == "1"
        assert ask(live.server.base_url, request("GET", "/healthz")).status == 200
        until(lambda: "overload.begins" in live.server.log.read_text())
        served_before = len(live.first.received)
        assert [call(live).status for _ in range(5)] == [503] * 5
        assert len(live.first.received) == served_before


def test_f34_a_stop_refuses_new_connections_and_lets_running_streams_end(tmp_path: Path) -> None:
    with live_server(tmp_path, "drain_seconds_max = 20\n") as live:
        live.first.script(sse_reply(chat_events(["word "] * 20), delay_s=0.1))
        connection = start(live, stream=True)
        assert connection.recv(100)
        live.server.process.send_signal(signal.SIGTERM)
        time.sleep(0.3)
        with pytest.raises(OSError, match="refused"):
            dial(live.server.base_url)
        assert b"[DONE]" in listen(connection, linger_s=5).data
        assert live.server.process.wait(20) == 0
        live.server.verify()
    assert outcomes(live) == ["completed"]


def test_f34_what_outlives_the_drain_ends_in_an_error_is_settled_and_free(tmp_path: Path) -> None:
    with live_server(tmp_path, "drain_seconds_max = 1\n") as live:
        live.first.script(sse_reply(chat_events(["word "] * 500), delay_s=0.1), hang(), hang())
        stream = start(live, stream=True)
        assert stream.recv(100)
        silent = start(live, stream=True)
        whole = start(live)
        until(lambda: len(live.first.received) == 3)
        live.server.process.send_signal(signal.SIGTERM)
        heard = listen(stream, linger_s=10).data
        assert b'"finish_reason":"error"' in heard
        assert b'"code":"overloaded"' in heard
        assert b"[DONE]" not in heard
        for connection in (silent, whole):
            refused = listen(connection, linger_s=10)
            assert refused.status == 503
            assert b"x-should-retry: false" in refused.data
        assert live.server.process.wait(20) == 0
        live.server.verify()
        log = live.server.log.read_text()
    assert "Exception in ASGI" not in log
    assert outcomes(live) == ["cancelled"] * 3


def outcomes(live: Live) -> list[str]:
    """How the calls of a stopped server ended, read by a server started on its data."""
    folder = live.server.data_dir.parent / "again"
    folder.mkdir()
    with running_server(folder, data_dir=live.server.data_dir) as again:
        heard = ask(again.base_url, request("GET", "/v1/requests", live.account.key))
        receipts = json.loads(heard.data.partition(b"\r\n\r\n")[2])["data"]
        assert all(receipt["status"] in ("settled", "released") for receipt in receipts)
        assert all(receipt["charge"]["nanos"] == 0 for receipt in receipts if receipt["outcome"] == "cancelled")
        again.verify()
        return [receipt["outcome"] for receipt in receipts]


def test_f35_a_log_that_nobody_reads_stops_no_call(tmp_path: Path) -> None:
    log = tmp_path / "server.log"
    os.mkfifo(log)
    reader = os.open(log, os.O_RDONLY | os.O_NONBLOCK)
    fcntl.fcntl(reader, fcntl.F_SETPIPE_SZ, 4096)
    try:
        with live_server(tmp_path) as live:
            live.first.always = error_reply(401)
            with concurrent.futures.ThreadPoolExecutor(4) as pool:
                assert set(pool.map(lambda _: call(live).status, range(80))) == {200}
            assert len(os.read(reader, 1 << 20)) > 3500, "the log is full, and was not read"
            settled(live)
    finally:
        os.close(reader)


def test_f27_a_new_price_acts_on_new_calls_only(tmp_path: Path) -> None:
    (tmp_path / "one").mkdir()
    (tmp_path / "two").mkdir()
    hello = json.dumps({"model": "tessera/sight", "messages": [{"role": "user", "content": "Hi"}]}).encode()
    price = '[[price]]\nmodel = "tessera/sight"\ninput = "{0}"\noutput = "{0}"\n'

    def told(server, method: str, path: str, body: bytes | None = None, *lines: str):
        heard = ask(server.base_url, request(method, path, key, body, *lines))
        return heard.status, json.loads(heard.data.partition(b"\r\n\r\n")[2])

    with running_server(tmp_path / "one", config=price.format("10")) as server:
        key = server.account(mode="live", credit="5.00").key
        quoted = told(server, "POST", "/v1/quotes", b'{"url":"/v1/chat/completions","body":%b}' % hello)[1]
        assert told(server, "POST", "/v1/chat/completions", hello)[0] == 200
        before = told(server, "GET", "/v1/requests")[1]["data"]
        data_dir = server.data_dir
    with running_server(tmp_path / "two", config=price.format("30"), data_dir=data_dir) as server:
        assert told(server, "GET", "/v1/requests")[1]["data"] == before
        status, refused = told(server, "POST", "/v1/chat/completions", hello, f"Tessera-Quote: {quoted['id']}")
        assert (status, refused["error"]["code"]) == (400, "quote_mismatch")
        assert told(server, "POST", "/v1/chat/completions", hello)[0] == 200
        dearer = told(server, "GET", "/v1/requests")[1]["data"][0]
        assert dearer["charge"]["nanos"] > before[0]["charge"]["nanos"]
        assert dearer["quote"]["price_version"] != before[0]["quote"]["price_version"]
        server.verify()
