"""The client's own connections on both event loops: what they cost, what they leave behind, and that aiohttp agrees."""

import asyncio
import contextlib
import os
import shutil
import socket
import ssl
import subprocess
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st

import aiohttp_connections
from aiohttp_connections import AiohttpConnections
from tessera.adapters.providers.openai.connections import Connections, TransportLimits
from tessera.adapters.providers.openai.pool import PooledConnections
from tessera.domain.errors import ErrorCode, TesseraError

LIMITS = TransportLimits(connect_s=20, first_byte_s=20, gap_s=20, total_s=60)
LOOPS = {"asyncio": asyncio.new_event_loop, "uvloop": uvloop.new_event_loop}
OK = b"HTTP/1.1 200 OK\r\n"
JSON = OK + b'Content-Type: application/json\r\nContent-Length: 8\r\n\r\n{"a": 1}'
BODY = (b"small",)


@pytest.fixture(params=LOOPS)
def run(request: pytest.FixtureRequest) -> Callable[[Callable[[], Awaitable[None]]], None]:
    """Runs a test's body on either loop."""

    def run(body: Callable[[], Awaitable[None]]) -> None:
        with asyncio.Runner(loop_factory=LOOPS[request.param]) as runner:
            runner.run(asyncio.wait_for(body(), 60))  # type: ignore[arg-type]

    return run


class Plain:
    """A server in the test's own loop: for each request the same bytes in the same pieces, then an end or none."""

    def __init__(self, pieces: Sequence[bytes], *, close: bool = False, listen: bool = True) -> None:
        self.pieces = pieces
        self.close = close
        self.listen = listen
        self.connections = 0
        self.requests = 0
        self.open: set[asyncio.StreamWriter] = set()
        self.protocols: list[str | None] = []
        self.port = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open.add(writer)
        if (tls := writer.get_extra_info("ssl_object")) is not None:
            self.protocols.append(tls.selected_alpn_protocol())
        try:
            while True:
                head = await reader.readuntil(b"\r\n\r\n")
                length = head.lower().partition(b"content-length:")[2].split(b"\r\n", 1)[0]
                await reader.readexactly(int(length))
                self.requests += 1
                for piece in self.pieces:
                    writer.write(piece)
                    await writer.drain()
                    await asyncio.sleep(0)
                if self.close:
                    return
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open.discard(writer)
            writer.close()


@asynccontextmanager
async def serving(plain: Plain, tls: ssl.SSLContext | None = None) -> AsyncIterator[str]:
    server = await asyncio.start_server(plain.serve, "127.0.0.1", 0, ssl=tls, backlog=2048)
    plain.port = server.sockets[0].getsockname()[1]
    try:
        yield f"{'http' if tls is None else 'https'}://127.0.0.1:{plain.port}/v1"
    finally:
        server.close()
        for writer in tuple(plain.open):
            writer.transport.abort()
        await asyncio.sleep(0.01)


async def call(connections: Connections, body: Sequence[bytes | memoryview] = BODY) -> tuple[int, bytes]:
    reply = await connections.post("/chat/completions", {"X-A": "b"}, body)
    try:
        pieces = []
        while piece := await reply.read():
            pieces.append(piece)
    finally:
        await reply.close()
    return reply.status, b"".join(pieces)


async def outcome(connections: Connections) -> tuple[int, bytes] | ErrorCode:
    try:
        return await call(connections)
    except TesseraError as error:
        return error.code
    finally:
        await connections.close()


def descriptors() -> int:
    return len(os.listdir("/proc/self/fd"))  # noqa: PTH208


async def settled(condition: Callable[[], bool]) -> None:
    """Returns as soon as the condition holds, fails after five seconds."""
    for _ in range(500):
        if condition():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("never settled")


def unfinished_timers() -> int:
    """Timers of asyncio's own loop that would still fire."""
    scheduled: list[asyncio.TimerHandle] = getattr(asyncio.get_running_loop(), "_scheduled", [])
    return sum(not timer.cancelled() for timer in scheduled)


# ---- what is left behind ---------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate for localhost and 127.0.0.1, with its key in the same file."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    folder = tmp_path_factory.mktemp("certificate")
    command = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 -subj /CN=localhost"
    names = ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    files = ["-keyout", folder / "key.pem", "-out", folder / "cert.pem"]
    subprocess.run(["openssl", *command.split(), *names, *files], check=True, capture_output=True)
    both = folder / "both.pem"
    both.write_text((folder / "key.pem").read_text() + (folder / "cert.pem").read_text())
    return both


def contexts(certificate: Path) -> tuple[ssl.SSLContext, ssl.SSLContext]:
    """For a server, and for a client that trusts it."""
    server = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    server.load_cert_chain(certificate)
    server.set_alpn_protocols(["h2", "http/1.1"])
    client = ssl.create_default_context(cafile=certificate.parent / "cert.pem")
    client.set_alpn_protocols(["http/1.1"])
    return server, client


@pytest.mark.parametrize("body", [BODY, (b"a" * 3_000_000,)], ids=["small", "large"])
@pytest.mark.parametrize("secure", [False, True], ids=["plain", "TLS"])
def test_a_call_cancelled_at_any_step_leaves_nothing_behind(
    run: Any, secure: bool, body: tuple[bytes, ...], certificate: Path
) -> None:
    async def test() -> None:
        mine, theirs = contexts(certificate) if secure else (None, None)
        plain = Plain([JSON[:20], JSON[20:-3], JSON[-3:]])
        async with serving(plain, mine) as address:
            pool = PooledConnections(address.replace("127.0.0.1", "localhost"), LIMITS, theirs)
            await call(pool, body)  # loads what is loaded once
            await pool.close()
            await settled(lambda: not plain.open)
            before, timers, tasks = descriptors(), unfinished_timers(), len(asyncio.all_tasks())
            ended_first = 0
            for steps in range(400):
                for warm in (False, True):
                    if warm:
                        await call(pool, body)
                    task = asyncio.create_task(call(pool, body))
                    for _ in range(steps):
                        await asyncio.sleep(0)
                    ended_first += task.done()
                    task.cancel()
                    await asyncio.wait([task])
                    assert task.cancelled() or task.result() == (200, b'{"a": 1}')
                    assert pool._running == 0
                    await pool.close()
                if ended_first > 6:
                    break
            assert ended_first > 6
            await settled(lambda: not plain.open)
            await settled(lambda: descriptors() == before)
            await settled(lambda: len(asyncio.all_tasks()) <= tasks)
            assert unfinished_timers() <= timers + 1  # the one that `settled` may wait on

    run(test)


def test_a_thousand_calls_at_once_are_answered_and_leave_nothing_behind(run: Any) -> None:
    async def test() -> None:
        plain = Plain([JSON])
        async with serving(plain) as address:
            before, timers = descriptors(), unfinished_timers()
            pool = PooledConnections(address, LIMITS)
            replies = await asyncio.gather(*(call(pool) for _ in range(1000)))
            assert replies == [(200, b'{"a": 1}')] * 1000
            assert plain.connections <= 1000
            opened = plain.connections
            await asyncio.gather(*(call(pool) for _ in range(1000)))
            assert plain.connections == opened
            await pool.close()
            await settled(lambda: descriptors() == before)
        assert unfinished_timers() <= timers

    run(test)


def test_closing_the_pool_ends_calls_in_flight_and_calls_being_connected(run: Any) -> None:
    async def test() -> None:
        async with serving(Plain([JSON[:-1]])) as address:
            pool = PooledConnections(address, LIMITS)
            reading = asyncio.create_task(call(pool))
            await asyncio.sleep(0.1)
            connecting = asyncio.create_task(call(pool))
            await asyncio.sleep(0)
            await pool.close()
            for task in (reading, connecting):
                with pytest.raises(TesseraError) as caught:
                    await task
                assert caught.value.code is ErrorCode.PROVIDER_ERROR
            assert pool._running == 0

    run(test)


def test_closing_a_reply_wakes_whoever_reads_it(run: Any) -> None:
    async def test() -> None:
        async with serving(Plain([JSON[:-1]])) as address:
            pool = PooledConnections(address, LIMITS)
            reply = await pool.post("/x", {}, BODY)
            assert await reply.read() == b'{"a": 1'
            reading = asyncio.create_task(reply.read())
            await asyncio.sleep(0.01)
            await reply.close()
            for attempt in (reading, reply.read()):
                with pytest.raises(TesseraError):
                    await attempt
            await pool.close()

    run(test)


# ---- what is kept ----------------------------------------------------------------------------------------------


def test_idle_connections_are_closed_in_time_and_the_timer_ends(run: Any) -> None:
    async def test() -> None:
        plain = Plain([JSON])
        async with serving(plain) as address:
            pool = PooledConnections(address, TransportLimits(idle_s=0.3))
            await asyncio.gather(*(call(pool) for _ in range(5)))
            for _ in range(10):
                await asyncio.sleep(0.05)
                await call(pool)
            assert len(plain.open) == 1
            await settled(lambda: not plain.open)
            assert pool._sweep is None
            await pool.close()

    run(test)


def test_bytes_nobody_asked_for_end_a_kept_connection(run: Any) -> None:
    async def test() -> None:
        plain = Plain([JSON])
        async with serving(plain) as address:
            pool = PooledConnections(address, LIMITS)
            await call(pool)
            next(iter(plain.open)).write(JSON)
            await settled(lambda: not plain.open)
            assert await call(pool) == (200, b'{"a": 1}')
            assert plain.connections == 2
            await pool.close()

    run(test)


def test_a_reply_before_the_body_was_sent_is_the_answer_and_ends_the_connection(run: Any) -> None:
    refusal = b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\n{}"

    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(refusal)
        await reader.read()
        writer.close()

    async def test() -> None:
        server = await asyncio.start_server(refuse, "127.0.0.1", 0, limit=100_000)
        pool = PooledConnections(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", LIMITS)
        body = (b"a" * 50_000_000,)
        reader = asyncio.create_task(call(pool, body))
        assert await reader == (413, b"{}")
        assert not pool._idle
        await pool.close()
        server.close()

    run(test)


def test_a_body_that_is_not_read_is_not_collected(run: Any) -> None:
    sent = 0

    async def flood(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await reader.readuntil(b"\r\n\r\n")
        writer.write(OK + b"Content-Length: 100000000\r\n\r\n")
        try:
            while sent < 100_000_000:
                writer.write(b"a" * 100_000)
                await writer.drain()
                sent += 100_000
            await reader.read()
        except ConnectionError:
            pass
        finally:
            writer.close()

    async def test() -> None:
        server = await asyncio.start_server(flood, "127.0.0.1", 0)
        pool = PooledConnections(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", LIMITS)
        reply = await pool.post("/x", {}, ())
        await asyncio.sleep(0.5)
        assert sent < 20_000_000
        assert len(await reply.read()) < 1_000_000
        received = 0
        while piece := await reply.read():
            received += len(piece)
        assert received > 99_000_000
        await reply.close()
        await pool.close()
        server.close()

    run(test)


def test_a_whole_small_reply_is_read_without_another_turn_of_the_loop(run: Any) -> None:
    async def test() -> None:
        async with serving(Plain([JSON])) as address:
            pool = PooledConnections(address, LIMITS)
            reply = await pool.post("/x", {}, BODY)
            reading = reply.read()
            with pytest.raises(StopIteration) as whole:
                reading.send(None)
            assert whole.value.value == b'{"a": 1}'
            await reply.close()
            await pool.close()

    run(test)


# ---- addresses -------------------------------------------------------------------------------------------------


def test_a_silent_or_closed_address_does_not_hold_up_the_next(run: Any) -> None:
    async def test() -> None:
        plain = Plain([JSON])
        async with serving(plain) as address:
            with socket.socket() as full, contextlib.ExitStack() as fillers:
                full.bind(("127.0.0.2", plain.port))
                full.listen(0)
                for _ in range(3):
                    filler = fillers.enter_context(socket.socket())
                    filler.setblocking(False)
                    filler.connect_ex(full.getsockname())
                before = descriptors()
                pool = PooledConnections(address, TransportLimits(connect_s=3))
                pool._dialler._addresses = ["127.0.0.3", "127.0.0.2", "127.0.0.1"]
                started = asyncio.get_running_loop().time()
                assert await call(pool) == (200, b'{"a": 1}')
                assert asyncio.get_running_loop().time() - started < 2
                await pool.close()
                await settled(lambda: descriptors() <= before)

    run(test)


def test_a_name_is_asked_once_for_calls_at_the_same_time(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = 0

    async def test() -> None:
        loop = asyncio.get_running_loop()
        ask = loop.getaddrinfo

        async def counted(*wanted: Any, **more: Any) -> Any:
            nonlocal asked
            asked += wanted[0] == "localhost"
            return await ask(*wanted, **more)

        monkeypatch.setattr(loop, "getaddrinfo", counted, raising=False)
        async with serving(Plain([JSON])) as address:
            pool = PooledConnections(address.replace("127.0.0.1", "localhost"), LIMITS)
            await asyncio.gather(*(call(pool) for _ in range(20)))
            await pool.close()
        assert asked == 1

    run(test)


# ---- TLS -------------------------------------------------------------------------------------------------------


def test_the_host_is_named_and_only_http_1_1_is_spoken(run: Any, certificate: Path) -> None:
    async def test() -> None:
        server, client = contexts(certificate)
        named: list[str | None] = []
        server.sni_callback = lambda _tls, name, _context: named.append(name)
        plain = Plain([JSON])
        async with serving(plain, server) as address:
            pool = PooledConnections(address.replace("127.0.0.1", "localhost"), LIMITS, client)
            for _ in range(3):
                assert await call(pool, (b"a" * 2_000_000,)) == (200, b'{"a": 1}')
            assert plain.connections == 1
            assert (plain.protocols, named) == (["http/1.1"], ["localhost"])
            await pool.close()

    run(test)


def test_a_certificate_for_another_name_is_refused(run: Any, certificate: Path) -> None:
    async def test() -> None:
        server, client = contexts(certificate)
        plain = Plain([JSON])
        async with serving(plain, server) as address:
            pool = PooledConnections(address.replace("127.0.0.1", "127.0.0.2"), LIMITS, client)
            assert await outcome(pool) is ErrorCode.PROVIDER_ERROR
            assert plain.requests == 0

    run(test)


def test_a_context_that_accepts_any_certificate_is_refused() -> None:
    careless = ssl.create_default_context()
    careless.check_hostname = False
    with pytest.raises(ValueError, match="verified"):
        PooledConnections("https://host/v1", LIMITS, careless)


# ---- and aiohttp agrees ----------------------------------------------------------------------------------------

CHUNKED = OK + b"Transfer-Encoding: chunked\r\n\r\n3;note=x\r\n{}\n\r\na\r\n0123456789\r\n0\r\n\r\n"
REPLIES = {
    "length": JSON,
    "chunks": CHUNKED,
    "trailers": CHUNKED[:-2] + b"X-Late: 1\r\n\r\n",
    "no length": OK + b"\r\n{}",
    "old": b"HTTP/1.0 429 Slow\r\nRetry-After: 1\r\nContent-Length: 2\r\n\r\n{}",
    "closing": OK + b"Connection: close\r\nContent-Length: 2\r\n\r\n{}",
    "no body": b"HTTP/1.1 204 No Content\r\n\r\n",
    "hints": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + JSON,
    "two lengths": OK + b"Content-Length: 2\r\nContent-Length: 2\r\n\r\n{}",
    "length and chunks": OK + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n",
    "bad chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\n{}\r\nzz\r\n",
    "bad length": OK + b"Content-Length: two\r\n\r\n{}",
    "too long": OK + b"Content-Length: 20\r\n\r\n{}",
    "not HTTP": b"hello\r\n\r\n",
}


def cut(data: bytes, places: Sequence[int]) -> list[bytes]:
    bounds = [0, *sorted({place % (len(data) + 1) for place in places}), len(data)]
    return [data[start:end] for start, end in pairwise(bounds) if start < end]


def both(reply: Sequence[bytes], loop: str) -> tuple[Any, Any]:
    """What our client and aiohttp's make of the same bytes, after which the server closes."""

    async def compare() -> tuple[Any, Any]:
        async with serving(Plain(reply, close=True)) as address:
            return (
                await outcome(PooledConnections(address, LIMITS)),
                await outcome(AiohttpConnections(address, LIMITS)),
            )

    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        return runner.run(asyncio.wait_for(compare(), 60))


@pytest.fixture(autouse=True)
def _hasty_look(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aiohttp_connections, "LOOK_S", 0.02)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("reply", REPLIES.values(), ids=REPLIES)
def test_both_clients_make_the_same_of_a_reply(reply: bytes, loop: str) -> None:
    mine, theirs = both([reply], loop)
    assert mine == theirs


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from(list(REPLIES.values())), st.lists(st.integers(0, 300), max_size=12), st.sampled_from(list(LOOPS))
)
def test_both_clients_make_the_same_of_a_reply_in_pieces(reply: bytes, places: list[int], loop: str) -> None:
    mine, theirs = both(cut(reply, places), loop)
    assert mine == theirs


@settings(max_examples=60, deadline=None)
@given(st.sampled_from(list(REPLIES.values())), st.integers(0, 300), st.sampled_from(list(LOOPS)))
def test_both_clients_make_the_same_of_a_reply_cut_short(reply: bytes, place: int, loop: str) -> None:
    mine, theirs = both([reply[: place % len(reply)]], loop)
    assert mine == theirs


@settings(max_examples=100, deadline=None)
@given(
    st.sampled_from(list(REPLIES.values())),
    st.lists(st.tuples(st.integers(0, 300), st.binary(max_size=3), st.integers(0, 3)), min_size=1, max_size=3),
    st.sampled_from(list(LOOPS)),
)
def test_what_our_client_takes_for_a_reply_aiohttp_reads_alike(
    reply: bytes, damages: list[tuple[int, bytes, int]], loop: str
) -> None:
    """Damaged bytes: ours refuses more, and what it accepts means the same to both."""
    for place, put, left_out in damages:
        at = place % (len(reply) + 1)
        reply = reply[:at] + put + reply[at + left_out :]
    mine, theirs = both([reply], loop)
    assert mine in (ErrorCode.PROVIDER_ERROR, theirs)
