"""Our connection against the one it replaced: the same bytes to both over real sockets, the same replies expected.

Where ours is stricter on purpose, STRICTER says how, and both answers are checked, so that the list stays true.
"""

import asyncio
import contextlib
import itertools
import re
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import uvicorn
import uvloop
from hypothesis import given, settings
from hypothesis import strategies as st
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from small_app import SmallApp
from tessera.server.connection import bounded_connection

DATE = re.compile(rb"date: [^\r]+\r\n")
HOST = "Host: a"


@dataclass(frozen=True)
class Side:
    """One of the two servers."""

    app: SmallApp
    address: tuple[str, int]

    def hear(self, *pieces: bytes) -> bytes:
        """Sends the pieces one by one and listens until the server closes; the dates are left out."""
        heard = b""
        with socket.create_connection(self.address, timeout=10) as connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(ConnectionError):
                for number, piece in enumerate(pieces):
                    if number:
                        time.sleep(0.001)
                    connection.sendall(piece)
                while found := connection.recv(262_144):
                    heard += found
        return DATE.sub(b"", heard)

    def statuses(self, *pieces: bytes) -> list[int]:
        return [int(status) for status in re.findall(rb"HTTP/1\.1 (\d+)", self.hear(*pieces))]


@contextlib.contextmanager
def both() -> Iterator[tuple[Side, Side]]:
    """Ours and uvicorn's, each with an application of its own."""
    kinds = [bounded_connection(5, 5), HttpToolsProtocol]
    sides = []
    servers: list[uvicorn.Server] = []
    sockets = []
    for kind in kinds:
        app = SmallApp()
        listener = socket.create_server(("127.0.0.1", 0))
        config = uvicorn.Config(app, http=kind, ws="none", lifespan="off", log_config=None, access_log=False)
        config.timeout_keep_alive = 2
        server = uvicorn.Server(config)
        servers.append(server)
        sockets.append(listener)
        sides.append(Side(app, listener.getsockname()))

    async def serve() -> None:
        work = zip(servers, sockets, strict=True)
        await asyncio.gather(*(server.serve(sockets=[listener]) for server, listener in work))

    def run() -> None:
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            runner.run(serve())

    thread = threading.Thread(target=run)
    thread.start()
    try:
        yield sides[0], sides[1]
    finally:
        for server in servers:
            server.should_exit = True
        thread.join()


@pytest.fixture(scope="module")
def sides() -> Iterator[tuple[Side, Side]]:
    with both() as made:
        yield made


def head(path: str, *lines: str, method: str = "GET", version: str = "1.1") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", HOST, *lines, "", ""]).encode("latin-1")


def sized(path: str, body: bytes, *lines: str) -> bytes:
    return head(path, f"Content-Length: {len(body)}", *lines, method="POST") + body


def chunked(path: str, *pieces: bytes, lines: tuple[str, ...] = ()) -> bytes:
    chunks = b"".join(b"%x;a=b\r\n%b\r\n" % (len(piece), piece) for piece in pieces if piece)
    return head(path, "Transfer-Encoding: chunked", *lines, method="POST") + chunks + b"0\r\n\r\n"


LAST = head("/echo?last=1", "Connection: close")
CLOSE = "Connection: close"


# ---- the same ------------------------------------------------------------------------------------------------------

ALIKE = {
    "plain": LAST,
    "a body": sized("/echo", b"abc", CLOSE),
    "chunks": chunked("/echo", b"a", b"bc", lines=(CLOSE,)),
    "a large body": sized("/echo", b"x" * 700_000) + LAST,
    "large chunks": chunked("/stream", *(b"y" * 70_000,) * 5) + LAST,
    "a large reply": head("/large") * 3 + LAST,
    "a streamed reply": sized("/stream", b"abc") + LAST,
    "an early reply": head("/early") + LAST,
    "no content": head("/empty") + LAST,
    "HEAD": head("/echo", method="HEAD") + head("/stream", method="HEAD") + head("/large", method="HEAD") + LAST,
    "a pipeline": b"".join(sized(f"/echo?{number}", b"x" * number) for number in range(20)) + LAST,
    "100-continue": head("/echo", "Content-Length: 2", "Expect: 100-continue", method="POST") + b"ab" + LAST,
    "HTTP/1.0": head("/echo", version="1.0"),
    "HTTP/1.0 and keep-alive": head("/echo", "Connection: keep-alive", version="1.0"),
    "keep-alive": head("/echo", "Connection: Keep-Alive") + LAST,
    "empty lines": b"\r\n\r\n" + head("/echo") + b"\r\n" + LAST,
    "escapes": head("/%65cho/%2f%ff?a=%20&b", "X-A: \xe4\xff") + LAST,
    "an address with a host": head("http://a/echo?x") + LAST,
    "a header twice": head("/echo", "X-A: 1", "X-A: 2", "X-B:", "X-C:   d  ") + LAST,
    "garbage behind the last request": head("/waits", CLOSE) + b"garbage\r\n\r\n",
    "it fails": head("/fails"),
    "it fails late": head("/fails-late"),
    "it stops": head("/stops"),
}


@pytest.mark.parametrize("sent", ALIKE.values(), ids=ALIKE.keys())
def test_ordinary_requests_are_answered_byte_for_byte_alike(sides: tuple[Side, Side], sent: bytes) -> None:
    ours, theirs = sides
    heard = ours.hear(sent)
    assert heard
    assert heard == theirs.hear(sent)


@pytest.mark.parametrize("sent", [sized("/echo", b"abcdef", CLOSE), chunked("/stream", b"ab", b"cde", lines=(CLOSE,))])
def test_a_request_cut_at_any_byte_is_answered_alike(sides: tuple[Side, Side], sent: bytes) -> None:
    ours, theirs = sides
    whole = theirs.hear(sent)
    for cut in range(1, len(sent)):
        assert ours.hear(sent[:cut], sent[cut:]) == whole, cut


BODIES = st.binary(max_size=40) | st.integers(0, 300_000).map(lambda size: b"z" * size)
LINES = st.lists(
    st.sampled_from(["X-A: b", "X-B: ", "Accept: */*", "Connection: keep-alive", "X-C: \xe4", "Cookie: " + "c" * 3000]),
    max_size=4,
    unique=True,
).map(tuple)
BODILESS_PATHS = st.sampled_from(["/echo", "/stream", "/early", "/empty", "/echo?q=%20", "/%41", "/large"])
PATHS = st.sampled_from(["/echo", "/stream", "/empty", "/echo?q=1"])
REQUESTS = st.one_of(
    st.builds(
        lambda path, lines, method: head(path, *lines, method=method),
        BODILESS_PATHS,
        LINES,
        st.sampled_from(["GET", "HEAD", "DELETE"]),
    ),
    st.builds(lambda path, body, lines: sized(path, body, *lines), PATHS, BODIES, LINES),
    st.builds(
        lambda path, pieces, lines: chunked(path, *pieces, lines=lines), PATHS, st.lists(BODIES, max_size=3), LINES
    ),
)


@settings(max_examples=60)
@given(requests=st.lists(REQUESTS, max_size=5), cuts=st.lists(st.floats(0, 1), max_size=4))
def test_made_requests_in_made_pieces_are_answered_alike(
    sides: tuple[Side, Side], requests: list[bytes], cuts: list[float]
) -> None:
    ours, theirs = sides
    sent = b"".join(requests) + LAST
    places = [0, *sorted(int(cut * len(sent)) for cut in cuts), len(sent)]
    pieces = [sent[start:end] for start, end in itertools.pairwise(places)]
    heard = ours.hear(*pieces)
    assert heard == theirs.hear(*pieces)
    assert heard.count(b"HTTP/1.1 ") == len(requests) + 1


@pytest.mark.parametrize("half_closes", [False, True])
@pytest.mark.parametrize("sent", [head("/waits"), sized("/waits", b"x" * 300_000), sized("/echo", b"xyz")[:-1]])
def test_a_client_that_leaves_is_noticed_alike(sides: tuple[Side, Side], sent: bytes, half_closes: bool) -> None:
    for side in sides:
        before = side.app.left
        with socket.create_connection(side.address, timeout=10) as connection:
            connection.sendall(sent)
            _until(lambda side=side: side.app.running == 1)
            if half_closes:
                connection.shutdown(socket.SHUT_WR)
                assert connection.recv(1000) == b""
        _until(lambda side=side, before=before: (side.app.left, side.app.running) == (before + 1, 0))


def _until(true) -> None:  # type: ignore[no-untyped-def]
    deadline = time.monotonic() + 10
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.005)


# ---- stricter on purpose -------------------------------------------------------------------------------------------

OFFER = ("Connection: Upgrade", "Upgrade: h2c")

STRICTER = {
    # Reason, the bytes, and the statuses of our replies and of theirs.
    "an offer is declined and its request served, with its body (RFC 9110, 7.8)": (
        sized("/echo", b"abc", *OFFER) + LAST,
        [200, 200],
        [200],
    ),
    "HTTP is served in the versions 1.0 and 1.1 only": (head("/echo", version="2.0"), [400], [200]),
    "nothing is written in the place of a reply that is due": (head("/waits") + b"garbage\r\n\r\n", [], [400]),
    "a reply of which nothing is written yet can still become an error": (head("/overlong"), [500], [200]),
    "Expect means nothing from HTTP/1.0 (RFC 9110, 10.1.1)": (
        head("/echo", "Content-Length: 1", "Expect: 100-continue", version="1.0") + b"x",
        [200],
        [100, 200],
    ),
}


@pytest.mark.parametrize(("sent", "ours_says", "theirs_says"), STRICTER.values(), ids=STRICTER.keys())
def test_where_ours_is_stricter(
    sides: tuple[Side, Side], sent: bytes, ours_says: list[int], theirs_says: list[int]
) -> None:
    ours, theirs = sides
    assert (ours.statuses(sent), theirs.statuses(sent)) == (ours_says, theirs_says)


def test_an_early_reply_ends_the_connection_and_is_heard_by_a_client_that_sends_first(
    sides: tuple[Side, Side],
) -> None:
    """Theirs reads the rest of the body for ever; ours says that it closes, and throws away what still comes."""
    ours, theirs = sides
    sent = sized("/early", b"x" * 8_000_000)
    heard = ours.hear(sent[:100], sent[100:])
    assert heard.endswith(b"\r\n\r\nearly")
    assert b"connection: close" in heard
    assert b"connection: close" not in theirs.hear(sent[:100], sent[100:] + LAST).partition(b"early")[0]


def test_trailers_become_headers_only_at_theirs(sides: tuple[Side, Side]) -> None:
    sent = head("/echo", "Transfer-Encoding: chunked", CLOSE) + b"0\r\nX-Late: 1\r\n\r\n"
    assert [b"x-late" in side.hear(sent) for side in sides] == [False, True]


def test_an_http_1_0_client_gets_chunks_only_from_theirs(sides: tuple[Side, Side]) -> None:
    assert [b"chunked" in side.hear(head("/stream", version="1.0")) for side in sides] == [False, True]


def test_a_refusal_is_plain_text_at_theirs_and_our_error_object_here(sides: tuple[Side, Side]) -> None:
    ours, theirs = (side.hear(b"nonsense\r\n\r\n") for side in sides)
    assert ours.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert theirs.startswith(b"HTTP/1.1 400 Bad Request\r\n")
    assert b'{"error":' in ours
    assert theirs.endswith(b"Invalid HTTP request received.")
