"""One connection of our server, byte by byte and second by second, on a transport that only remembers."""

import gc
from typing import Any

import pytest

from made_connections import HEAD_SECONDS, IDLE_SECONDS, WRITE_SECONDS, Held, Wire, get, post
from small_app import SmallApp, reply
from tessera.http.exchange import CONNECTION
from tessera.server.connection import HEAD_BYTES_MAX, UNREAD_BYTES_MAX, WAITING_MAX

# ---- heads ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("cut", [1, 7, 1000, 10**6])
def test_how_large_a_head_may_be_does_not_depend_on_how_it_is_cut(cut: int) -> None:
    for size, status in ((HEAD_BYTES_MAX - 200, 200), (HEAD_BYTES_MAX + 100, 431)):
        if cut == 1 and size > HEAD_BYTES_MAX:
            continue
        sent = get("/early", *("X-A: " + "a" * 8000,) * (size // 8007), "X-B: " + "b" * (size % 8007))
        with Wire(SmallApp()) as wire:
            wire.send(*(sent[at : at + cut] for at in range(0, len(sent), cut)))
            assert wire.statuses == [status]


def test_a_half_head_behind_a_large_body_is_not_counted_with_it() -> None:
    body = b"x" * 200_000
    with Wire(SmallApp()) as wire:
        sent = post(body) + get()
        wire.send(sent[:50]).send(sent[50:-20]).send(sent[-20:])
        assert wire.statuses == [200, 200]


@pytest.mark.parametrize("method", ["GET", "HEAD"])
def test_a_whole_reply_is_the_one_that_messages_send(method: str) -> None:
    def heard(at_once: bool) -> bytes:
        async def app(scope: Any, _receive: Any, send: Any) -> None:
            told = [(b"Content-Length", b"5"), (b"x-a", b"b")]
            connection = scope["extensions"][CONNECTION]
            if not (at_once and connection.reply(201, told, b"whole")):
                await reply(send, b"whole", status=201, headers=told)
            assert not connection.reply(201, told, b"whole")

        with Wire(app) as wire:
            return wire.send(get("/", method=method)).heard

    assert heard(at_once=True) == heard(at_once=False)


def test_a_whole_reply_is_not_sent_at_once_to_a_client_that_does_not_read_or_has_left() -> None:
    sent = []

    async def app(scope: Any, _receive: Any, send: Any) -> None:
        sent.append(scope["extensions"][CONNECTION].reply(200, [(b"content-length", b"1")], b"a"))

    for trouble in ("pause_writing", "eof_received"):
        with Wire(app) as wire:
            wire.send(get(), work=False)
            getattr(wire.connection, trouble)()
            wire.work()
    assert sent == [False, False]


@pytest.mark.parametrize(
    "headers",
    [
        [(b"content-length", b"1"), (b"Content-Length", b"1")],
        [(b"content-length", b"one")],
        [(b"transfer-encoding", b"chunked")],
        [(b"x a", b"b")],
        [(b"", b"b")],
        [(b"x-a", b"b\r\nx-c: d")],
    ],
)
def test_headers_that_would_be_read_in_two_ways_are_not_sent(headers: Any) -> None:
    async def app(_scope: Any, _receive: Any, send: Any) -> None:
        await reply(send, b"a", headers=headers)

    with Wire(app) as wire:
        assert wire.send(get()).statuses == [500]


def test_a_trailer_is_no_header() -> None:
    with Wire(SmallApp()) as wire:
        wire.send(get("/echo", "Transfer-Encoding: chunked") + b"2\r\nab\r\n0\r\nX-Late: 1\r\n\r\n")
        assert wire.statuses == [200]
        assert b"late" not in wire.heard


@pytest.mark.parametrize("flood", [b"0\r\nX-A: ", b"0\r\n", b"5;"])
def test_trailers_and_extensions_without_end_are_refused(flood: bytes) -> None:
    with Wire(SmallApp()) as wire:
        wire.send(get("/echo", "Transfer-Encoding: chunked") + flood)
        sent = 0
        while not wire.over and sent < 10**6:
            wire.send(b"X-A: b\r\n" * 100 if flood == b"0\r\n" else b"a" * 1000, work=False)
            sent += 1000
        assert wire.statuses == [431]


@pytest.mark.parametrize("version", ["0.9", "2.0"])
def test_other_versions_than_1_0_and_1_1_are_refused(version: str) -> None:
    with Wire(SmallApp()) as wire:
        assert wire.send(get(version=version)).statuses == [400]


def test_a_refusal_says_when() -> None:
    with Wire(SmallApp()) as wire:
        wire.state.default_headers = [(b"date", b"today")]
        assert b"\r\ndate: today\r\n" in wire.send(b"nonsense\r\n\r\n").heard


def test_an_offer_keeps_what_else_its_connection_header_says() -> None:
    offer = ("Connection: Upgrade, close", "Upgrade: h2c")
    with Wire(SmallApp()) as wire:
        wire.send(post(b"abc", "/echo", *offer))
        assert wire.statuses == [200]
        assert b'"abc"' in wire.heard
        assert wire.over
    with Wire(SmallApp()) as wire:
        wire.send(get("/stream", *offer, version="1.0"))
        assert b"chunked" not in wire.heard
        assert wire.over


# ---- who comes first -----------------------------------------------------------------------------------------------


def test_no_more_requests_wait_than_are_bounded_and_the_last_reply_says_so() -> None:
    with Wire(SmallApp()) as wire:
        wire.send(get() * 5000)
        wire.work()
        assert wire.statuses == [200] * (WAITING_MAX + 1)
        assert wire.heard.count(b"connection: close") == 1
        assert wire.transport.ended


def test_a_client_that_leaves_while_its_request_waits_behind_another_is_noticed() -> None:
    app = Held()
    with Wire(app) as wire:
        wire.send(get("/first") + get("/second"))
        assert wire.transport.reading
        wire.connection.eof_received()
        assert (app.asked, app.left) == (["/first"], ["/first"])
        app.go.set()
        wire.work()
        assert (app.asked, wire.heard) == (["/first"], b"")


@pytest.mark.parametrize("behind", [b"\x16\x03garbage\r\n\r\n", get(), b"GET / HT", b"\r\n" * 5])
def test_what_follows_the_last_request_of_a_connection_means_nothing(behind: bytes) -> None:
    for last in (get("/x", "Connection: close"), get("/x", version="1.0"), get("/x") + get("/x", "Connection: close")):
        app = Held()
        with Wire(app) as wire:
            wire.send(last + behind).after(HEAD_SECONDS + 1)
            assert not wire.over
            app.go.set()
            wire.work()
            assert wire.statuses == [200] * last.count(b"Host")
            assert wire.over


def test_a_half_head_behind_a_reply_is_not_hurried_while_nothing_is_read() -> None:
    app = Held()
    with Wire(app) as wire:
        sent = get("/first") + post(b"x" * (UNREAD_BYTES_MAX + 1), "/second") + get("/third")
        wire.send(sent[:-5])
        assert not wire.transport.reading
        wire.after(HEAD_SECONDS + 1).after(HEAD_SECONDS + 1)
        assert not wire.over
        app.go.set()
        wire.work()
        assert wire.transport.reading
        wire.send(sent[-5:])
        assert wire.statuses == [200, 200, 200]


# ---- replies -------------------------------------------------------------------------------------------------------


def test_an_http_1_0_client_gets_no_chunks_and_an_abrupt_end_when_the_reply_is_not_whole() -> None:
    with Wire(SmallApp()) as wire:
        wire.send(get("/stream", version="1.0"))
        assert b"transfer-encoding" not in wire.heard
        assert wire.heard.endswith(b"end")
        assert (wire.transport.closed, wire.transport.aborted) == (True, False)
    with Wire(SmallApp()) as wire:
        wire.send(get("/fails-late", version="1.0"))
        assert wire.transport.aborted


@pytest.mark.parametrize(
    ("headers", "status", "body"),
    [
        ([(b"x", b"a\r\nb: c")], 200, b""),
        ([(b"x", b"a\nb")], 200, b""),
        ([(b"x", b"a\0b")], 200, b""),
        ([(b"x: y\r\nz", b"a")], 200, b""),
        ([(b"", b"a")], 200, b""),
        ([(b"content-length", b"+2")], 200, b"ab"),
        ([(b"content-length", b"2"), (b"Content-Length", b"3")], 200, b"ab"),
        ([(b"transfer-encoding", b"chunked")], 200, b"ab"),
        ([(b"content-length", b"1")], 200, b"ab"),
        ([(b"content-length", b"3")], 200, b"ab"),
        ([], 100, b""),
        ([], 999, b""),
    ],
)
def test_a_reply_that_cannot_be_framed_becomes_a_500(headers: Any, status: int, body: bytes) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, body, status=status, headers=headers)

    with Wire(app) as wire:
        assert wire.send(get()).statuses == [500]
        assert wire.over


def test_a_length_is_known_in_capitals_too() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"ab", headers=[(b"Content-Length", b"2")])

    with Wire(app) as wire:
        assert b"chunked" not in wire.send(get()).heard


@pytest.mark.parametrize(("method", "status"), [("HEAD", 200), ("GET", 304)])
def test_a_reply_without_a_body_may_say_how_long_it_would_be(method: str, status: int) -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"", status=status, headers=[(b"content-length", b"7")])

    with Wire(app) as wire:
        wire.send(get(method=method) * 2)
        assert wire.statuses == [status] * 2
        assert wire.heard.endswith(b"content-length: 7\r\n\r\n")


def test_an_application_that_fails_after_its_reply_costs_nobody_the_connection() -> None:
    with Wire(SmallApp()) as wire:
        wire.send(get("/fails-after") + get())
        assert wire.statuses == [200, 200]
        assert not wire.over


@pytest.mark.parametrize(("path", "statuses"), [("/fails", [500]), ("/stops", [500]), ("/fails-late", [200])])
def test_an_application_that_fails_ends_the_connection(path: str, statuses: list[int]) -> None:
    with Wire(SmallApp()) as wire:
        wire.send(get(path) + get())
        assert wire.statuses == statuses
        assert not wire.heard.endswith(b"0\r\n\r\n")
        assert wire.over


# ---- time ----------------------------------------------------------------------------------------------------------


def test_one_timer_keeps_every_limit() -> None:
    with Wire(SmallApp()) as wire:
        wire.after(HEAD_SECONDS - 1).send(get()).after(IDLE_SECONDS - 1)
        assert not wire.over
        wire.send(b"GET / HT").after(HEAD_SECONDS - 1)
        assert not wire.over
        wire.after(2)
        assert wire.statuses == [200, 408]
    with Wire(SmallApp()) as wire:
        wire.send(get()).after(IDLE_SECONDS + 1)
        assert (wire.statuses, wire.transport.closed) == ([200], True)


def test_a_client_that_does_not_take_the_end_of_its_reply_is_cut_off() -> None:
    with Wire(SmallApp()) as wire:
        wire.transport.unsent_bytes = 1000
        wire.send(get("/echo", "Connection: close"))
        assert (wire.transport.closed, wire.transport.aborted) == (True, False)
        wire.after(WRITE_SECONDS + 1)
        assert wire.transport.aborted


def test_writing_stops_and_goes_on_with_the_client() -> None:
    with Wire(SmallApp()) as wire:
        wire.connection.pause_writing()
        wire.send(get())
        assert wire.heard == b""
        wire.connection.resume_writing()
        wire.work()
        assert wire.statuses == [200]
        wire.after(IDLE_SECONDS - 1)
        assert not wire.transport.aborted


@pytest.mark.parametrize("sent", [b"", b"GET / HT", get(), get("/first"), get("/first") + get("/second")])
def test_a_stopping_server_sends_the_replies_that_are_due_and_closes(sent: bytes) -> None:
    app = Held()
    with Wire(app) as wire:
        wire.send(sent)
        wire.connection.shutdown()
        wire.send(get("/late"))
        app.go.set()
        wire.work()
        assert wire.over
        assert wire.statuses == [200] * sent.count(b"Host")


# ---- memory --------------------------------------------------------------------------------------------------------


def test_a_call_leaves_nothing_for_the_cycle_collector() -> None:
    app = SmallApp()
    calls = [
        get(),
        post(b"x" * 100),
        get("/stream"),
        get("/early"),
        get("/empty"),
        get("/echo", "Connection: Upgrade", "Upgrade: h2c"),
    ]
    with Wire(app) as wire:
        wire.send(*calls)
        wire.work()
        gc.collect()
        gc.disable()
        try:
            for _ in range(10):
                wire.send(*calls)
                wire.work()
            assert gc.collect() == 0
        finally:
            gc.enable()


@pytest.mark.parametrize("sent", [b"", get("/x"), get("/x") + get("/y"), b"nonsense\r\n\r\n", post(b"abc", "/x")[:-1]])
def test_a_connection_leaves_nothing_for_the_cycle_collector(sent: bytes) -> None:
    app = Held()
    app.go.set()
    with Wire(app) as wire:
        for known in (False, True):
            # What happens only once in a process is not the connection's.
            wire.send(sent)
            wire.work()
            wire.leave()
            wire.dial()
            if not known:
                gc.collect()
                gc.disable()
        try:
            assert gc.collect() == 0
        finally:
            gc.enable()
