"""The load that wrk cannot make, each in a process of its own on the load's core; prints one JSON object.

python -m benchmarks.gateway.client calls  URL KEY BODY_FILE COUNT CONNECTIONS     so many whole replies
python -m benchmarks.gateway.client streams URL KEY BODY_FILE COUNT SECONDS_MAX    so many streams at once
python -m benchmarks.gateway.client probe  URL KEY BODY_FILE SECONDS               one call after another, each timed
python -m benchmarks.gateway.client bodies URL KEY BODY_FILE COUNT PAUSE_SECONDS   large bodies, each timed
"""

import asyncio
import json
import resource
import socket
import sys
import time
from pathlib import Path
from typing import cast
from urllib.parse import urlsplit

import uvloop
from benchmarks.gateway.bodies import words

_WORDS = [word.encode() for word in words()]
_SOCKET_SECONDS_MAX = 60


class Connection:
    """A blocking connection that sends one request and reads one reply of known length, again and again."""

    def __init__(self, url: str, key: str, body: bytes) -> None:
        self._request = request_bytes(url, key, body)
        self._socket = socket.create_connection(address_of(url), timeout=_SOCKET_SECONDS_MAX)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def call(self) -> None:
        """One call; anything but 200 ends the program."""
        self._socket.sendall(self._request)
        received = b""
        while b"\r\n\r\n" not in received:
            received += self._read()
        head, _, body = received.partition(b"\r\n\r\n")
        if b" 200 " not in head.split(b"\r\n", 1)[0]:
            raise SystemExit(f"refused: {received[:600]!r}")
        length = content_length(head)
        while len(body) < length:
            body += self._read()

    def _read(self) -> bytes:
        piece = self._socket.recv(65_536)
        if not piece:
            raise SystemExit("The connection was closed.")
        return piece


class Stream(asyncio.Protocol):
    """One streamed call on a connection of its own."""

    def __init__(self, request: bytes, done: "asyncio.Future[None]") -> None:
        self._request = request
        self._done = done
        self.pieces: list[bytes] = []
        self.started_at = 0.0
        self.first_at: float | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Asks at once."""
        self._transport = cast(asyncio.Transport, transport)
        self.started_at = time.monotonic()
        self._transport.write(self._request)

    def data_received(self, data: bytes) -> None:
        """Keeps what comes; the empty chunk ends it."""
        if self.first_at is None:
            self.first_at = time.monotonic()
        self.pieces.append(data)
        if data.endswith(b"0\r\n\r\n") or b"HTTP/1.1 200" not in self.pieces[0][:16]:
            self._transport.close()

    def connection_lost(self, error: Exception | None) -> None:
        """However it ended."""
        if not self._done.done():
            self._done.set_result(None)

    def complete(self) -> bool:
        """Whether status, every word in order, usage and the end arrived."""
        received = b"".join(self.pieces)
        place = 0
        for word in _WORDS:
            place = received.find(word, place)
            if place < 0:
                return False
        return received.startswith(b"HTTP/1.1 200") and b'"total_tokens"' in received and b"data: [DONE]" in received


def address_of(url: str) -> tuple[str, int]:
    """Host and port of an address that names both."""
    address = urlsplit(url)
    assert address.hostname is not None
    assert address.port is not None
    return address.hostname, address.port


def request_bytes(url: str, key: str, body: bytes) -> bytes:
    """The whole request."""
    address = urlsplit(url)
    head = (
        f"POST {address.path} HTTP/1.1\r\nHost: {address.netloc}\r\nAuthorization: Bearer {key or 'none'}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body


def content_length(head: bytes) -> int:
    """As the reply's head says."""
    for line in head.lower().split(b"\r\n"):
        if line.startswith(b"content-length:"):
            return int(line.partition(b":")[2])
    raise SystemExit(f"A reply without a length: {head!r}")


async def calls(url: str, key: str, body: bytes, count: int, connections: int) -> dict[str, object]:
    """Whole replies, every one waited for."""
    host, port = address_of(url)
    request = request_bytes(url, key, body)
    left = count

    async def one_connection() -> int:
        nonlocal left
        done = 0
        reader, writer = await asyncio.open_connection(host, port)
        while left > 0:
            left -= 1
            writer.write(request)
            head = await reader.readuntil(b"\r\n\r\n")
            await reader.readexactly(content_length(head))
            if not head.startswith(b"HTTP/1.1 200"):
                raise SystemExit(f"refused: {head!r}")
            done += 1
        writer.close()
        return done

    started_at, started = time.time(), time.monotonic()
    replies = sum(await asyncio.gather(*(one_connection() for _ in range(connections))))
    seconds = time.monotonic() - started
    return {"replies": replies, "seconds": seconds, "started_at": started_at, "ended_at": time.time()}


async def streams(url: str, key: str, body: bytes, count: int, seconds_max: float) -> dict[str, object]:
    """Streams that all run at once."""
    loop = asyncio.get_running_loop()
    host, port = address_of(url)
    request = request_bytes(url, key, body)
    started = time.monotonic()
    futures: list[asyncio.Future[None]] = []
    opened: list[Stream] = []
    transports: list[asyncio.Transport] = []

    async def open_one() -> None:
        done: asyncio.Future[None] = loop.create_future()
        stream = Stream(request, done)
        transport, _ = await loop.create_connection(lambda: stream, host, port)
        futures.append(done)
        opened.append(stream)
        transports.append(transport)

    for first in range(0, count, 100):
        await asyncio.gather(*(open_one() for _ in range(first, min(first + 100, count))))
    waiting = asyncio.gather(*futures)
    try:
        await asyncio.wait_for(asyncio.shield(waiting), seconds_max)
    except TimeoutError:
        for transport in transports:
            transport.abort()
        await waiting
    seconds = time.monotonic() - started
    broken = [stream for stream in opened if not stream.complete()]
    if broken:
        print(f"first of {len(broken)} broken streams: {b''.join(broken[0].pieces)[:600]!r}", file=sys.stderr)
    complete = count - len(broken)
    waits = sorted((stream.first_at or time.monotonic()) - stream.started_at for stream in opened)
    return {
        "streams": count,
        "complete": complete,
        "failed": len(broken),
        "seconds": seconds,
        "bytes": sum(len(piece) for stream in opened for piece in stream.pieces),
        "first_byte_p50_ms": waits[len(waits) // 2] * 1000,
        "first_byte_max_ms": waits[-1] * 1000,
    }


def probe(url: str, key: str, body: bytes, seconds: float) -> dict[str, object]:
    """Small calls one after another: when each started and how long it took, in seconds."""
    connection = Connection(url, key, body)
    ends_at = time.monotonic() + seconds
    timed: list[tuple[float, float]] = []
    while (started := time.monotonic()) < ends_at:
        connection.call()
        timed.append((started, time.monotonic() - started))
    return {"calls": timed}


def large_bodies(url: str, key: str, body: bytes, count: int, pause_s: float) -> dict[str, object]:
    """Large bodies one after another: when each started and ended."""
    connection = Connection(url, key, body)
    spans: list[tuple[float, float]] = []
    for _ in range(count):
        time.sleep(pause_s)
        started = time.monotonic()
        connection.call()
        spans.append((started, time.monotonic()))
    return {"spans": spans}


def main() -> None:
    """Runs what the arguments ask for."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    kind, url, key, body_file, *rest = sys.argv[1:]
    body = Path(body_file).read_bytes()
    if kind in ("calls", "streams"):
        with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            if kind == "calls":
                found = runner.run(calls(url, key, body, int(rest[0]), int(rest[1])))
            else:
                found = runner.run(streams(url, key, body, int(rest[0]), float(rest[1])))
    elif kind == "probe":
        found = probe(url, key, body, float(rest[0]))
    else:
        found = large_bodies(url, key, body, int(rest[0]), float(rest[1]))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
