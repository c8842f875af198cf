"""Requests refused for overload before anything is made of them, byte by byte on a transport that only remembers."""

import asyncio
import gc
import json
from collections.abc import Iterator
from itertools import count
from typing import Any

import pytest

from made_connections import HEAD_SECONDS, IDLE_SECONDS, Wire
from small_app import SmallApp
from tessera.http.door import Door
from tessera.http.load import Load
from tessera.http.metrics import exposition
from tessera.server.shedding import REFUSED_BYTES_MAX

CALLS_MAX = 100
BODY = b'{"model": "gpt-4o"}'


def request(body: bytes = BODY, *lines: str, path: str = "/v1/x", method: str = "POST", version: str = "1.1") -> bytes:
    head = [f"{method} {path} HTTP/{version}", "Host: a", f"Content-Length: {len(body)}", *lines, "", ""]
    return "\r\n".join(head).encode() + body


class Asked(SmallApp):
    """Says how often it was asked."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.count += 1
        await super().__call__(scope, receive, send)


class Full:
    """A server that refuses everything until `relieve`."""

    def __init__(self, origins: tuple[str, ...] = ()) -> None:
        self.load = Load(CALLS_MAX, 1 << 30)
        self.load.pressed = True
        numbers = count(1)
        self.app = Asked()
        self.wire = Wire(self.app, Door(self.load, lambda prefix: f"{prefix}_{next(numbers)}", origins))

    def relieve(self) -> None:
        self.load.pressed = False


@pytest.fixture
def full() -> Iterator[Full]:
    made = Full()
    with made.wire:
        yield made


def check(heard: bytes, number: int = 1) -> None:
    """One refusal as the contract has it."""
    head, _, body = heard.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 ")
    headers = dict(line.split(b": ", 1) for line in head.split(b"\r\n")[1:])
    assert headers[b"retry-after"] == b"1"
    assert headers[b"x-request-id"] == b"req_%d" % number
    assert headers[b"content-type"] == b"application/json"
    assert int(headers[b"content-length"]) == len(body)
    error = json.loads(body)["error"]
    assert (error["code"], error["type"], error["param"]) == ("overloaded", "server_error", None)


def test_a_refused_request_reaches_nothing_and_its_connection_goes_on(full: Full) -> None:
    check(full.wire.send(request()).heard)
    assert full.app.count == 0
    assert not full.wire.state.tasks
    full.relieve()
    full.wire.send(request(path="/echo"))
    assert full.wire.statuses == [503, 200]
    full.load.pressed = True
    assert full.wire.send(request()).statuses == [503, 200, 503]
    full.wire.after(IDLE_SECONDS + 1)
    assert full.wire.over


def test_however_a_request_is_cut_it_is_refused_once_and_the_connection_goes_on() -> None:
    sent = request()
    for cut in range(1, len(sent)):
        full = Full()
        with full.wire as wire:
            wire.send(sent[:cut])
            if cut > sent.index(b"\r\n\r\n") + 4:
                assert wire.heard == b"", "answered before its end"
            wire.send(sent[cut:])
            check(wire.heard)
            assert full.app.count == 0
            full.relieve()
            assert wire.send(request(path="/echo")).statuses == [503, 200], cut


def test_a_chunked_body_is_refused_at_its_end(full: Full) -> None:
    head = b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    full.wire.send(head, b"3\r\nabc\r\n")
    assert full.wire.heard == b""
    check(full.wire.send(b"0\r\n\r\n").heard)
    assert not full.wire.over


@pytest.mark.parametrize("sent", [request(BODY, "Connection: close"), request(version="1.0")])
def test_a_connection_that_was_to_end_ends(full: Full, sent: bytes) -> None:
    heard = full.wire.send(sent).heard
    check(heard)
    assert b"connection: close" in heard
    assert full.wire.over


def test_who_waits_to_be_told_to_send_a_body_is_told_not_to(full: Full) -> None:
    sent = request(BODY, "Expect: 100-continue")
    heard = full.wire.send(sent[: -len(BODY)]).heard
    check(heard)
    assert full.wire.over


def test_a_large_body_is_thrown_away_and_not_read_to_its_end(full: Full) -> None:
    full.wire.send(request(b"x" * 10_000_000)[:1000])
    for _ in range(REFUSED_BYTES_MAX // 100_000):
        full.wire.send(b"x" * 100_000)
    assert full.wire.heard == b""
    full.wire.send(b"x" * 100_000)
    check(full.wire.heard)
    assert full.wire.over


def test_a_body_that_does_not_come_is_not_waited_for(full: Full) -> None:
    full.wire.send(request()[:-1]).after(HEAD_SECONDS + 1)
    check(full.wire.heard)
    assert full.wire.over


def test_a_body_that_is_none_ends_the_connection(full: Full) -> None:
    full.wire.send(b"POST /v1/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"zz\r\n")
    check(full.wire.heard)
    assert full.wire.over


def test_requests_sent_at_once_are_refused_one_by_one(full: Full) -> None:
    full.wire.send(request() + request() + request())
    assert full.wire.statuses == [503, 503, 503]
    assert full.app.count == 0


def test_a_request_behind_one_that_is_served_is_refused_after_it(full: Full) -> None:
    full.relieve()
    full.wire.send(request(path="/echo"), work=False)
    full.load.pressed = True
    full.wire.send(request())
    assert full.wire.statuses == [200, 503]


def test_an_answer_to_head_has_no_body(full: Full) -> None:
    heard = full.wire.send(request(b"", method="HEAD")).heard
    assert full.wire.statuses == [503]
    assert heard.endswith(b"\r\n\r\n")


@pytest.mark.parametrize("path", ["/healthz", "/readyz?a=b", "/metrics"])
def test_the_operators_paths_are_answered_however_much_there_is_to_do(full: Full, path: str) -> None:
    assert full.wire.send(request(b"", path=path, method="GET")).statuses == [200]


def test_what_is_no_request_is_told_so(full: Full) -> None:
    assert full.wire.send(b"nonsense\r\n\r\n").statuses == [400]


def test_a_browser_on_another_origin_can_read_its_refusal() -> None:
    full = Full(("https://a.example",))
    with full.wire as wire:
        heard = wire.send(request(BODY, "Origin: https://a.example")).heard
        assert wire.statuses == [503]
        assert b"access-control-allow-origin: https://a.example" in heard
        check(wire.send(request()).heard[len(heard) :], 2)


def test_a_stopping_server_answers_a_refused_request_that_is_arriving(full: Full) -> None:
    full.wire.send(request()[:-1])
    full.wire.connection.shutdown()
    check(full.wire.heard)
    assert full.wire.over


def test_a_client_that_leaves_within_a_refused_request_leaves_nothing(full: Full) -> None:
    full.wire.send(request()[:-1])
    full.wire.leave()
    assert not full.wire.state.tasks
    assert full.wire.heard == b""


def test_so_many_calls_in_hand_refuse_others_for_as_little(full: Full) -> None:
    full.relieve()
    before = shed("calls")
    full.load.calls = CALLS_MAX
    full.wire.state.tasks.update(object() for _ in range(CALLS_MAX))  # type: ignore[misc]
    check(full.wire.send(request()).heard)
    full.load.calls = 0
    full.wire.state.tasks.clear()
    assert full.wire.send(request(path="/echo")).statuses == [503, 200]
    assert shed("calls") == before + 1


def shed(reason: str) -> int:
    line = f'tessera_http_shed_total{{reason="{reason}"}} '
    found = [row.removeprefix(line) for row in exposition_here().splitlines() if row.startswith(line)]
    return int(float(found[0])) if found else 0


def exposition_here() -> str:
    async def read() -> bytes:
        return exposition({})

    return asyncio.run(read()).decode()


def test_refusals_leave_nothing_for_the_cycle_collector(full: Full) -> None:
    full.wire.send(request(), request()[:-1])
    full.wire.leave()
    gc.collect()
    gc.disable()
    try:
        for sent in (request(), request()[:-1], request(BODY, "Connection: close"), request() * 2, b"no\r\n\r\n"):
            full.wire.dial()
            full.wire.send(sent)
            full.wire.leave()
        full.wire.dial()
        full.wire.work()
        assert not [one for one in _unreachable() if type(one).__name__ in ("Glance", "HttpRequestParser")]
    finally:
        gc.enable()


def _unreachable() -> list[object]:
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        gc.collect()
        return list(gc.garbage)
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
