"""Measures the client towards providers alone: CPU per call of the one that serves, and of aiohttp behind the same
verbs as a comparison.

    python benchmarks/upstream.py [--seconds 1] [--rounds 5] [--connections 1 32]

A request of 555 bytes, a reply of 888 bytes in one piece, over loopback to a server in another process that parses no
more than it must. CPU is that of this process, read from the kernel, divided by calls; clients take turns within a
round, and medians over rounds are printed. `socket` is the floor: the same bytes by loop.sock_sendall and sock_recv.
"""

import argparse
import asyncio
import multiprocessing
import resource
import socket
import statistics
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import cast

import uvloop

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))

from aiohttp_connections import AiohttpConnections
from tessera.adapters.providers.openai import TransportLimits
from tessera.adapters.providers.openai.connections import Connections
from tessera.adapters.providers.openai.pool import PooledConnections

REQUEST_BYTES, REPLY_BYTES = 555, 888
HEADERS = {
    "Accept-Encoding": "identity",
    "Content-Type": "application/json",
    "User-Agent": "tessera",
    "Authorization": "Bearer sk-operator-key-of-some-length-0123456789",
    "Accept": "application/json",
    "X-Client-Request-Id": "req_01j0000000000000000000000",
}
REPLY = (
    b"HTTP/1.1 200 OK\r\ndate: Sun, 22 Nov 2026 12:00:00 GMT\r\nserver: fast\r\ncontent-type: application/json\r\n"
    b"x-request-id: req_0123456789abcdef\r\nopenai-processing-ms: 12\r\ncontent-length: %d\r\n\r\n"
    % REPLY_BYTES
    + b"{"
    + b" " * (REPLY_BYTES - 2)
    + b"}"
)

Call = Callable[[], Awaitable[None]]


class Answering(asyncio.Protocol):
    """Answers when a request's body has arrived whole; the requests of a connection have one length."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)
        self.request_bytes = 0
        self.seen = 0

    def data_received(self, data: bytes) -> None:
        if not self.request_bytes:
            self.request_bytes = data.index(b"\r\n\r\n") + 4 + REQUEST_BYTES
        self.seen += len(data)
        if self.seen == self.request_bytes:
            self.seen = 0
            self.transport.write(REPLY)


def serve(listener: socket.socket) -> None:
    async def run() -> None:
        server = await asyncio.get_running_loop().create_server(Answering, sock=listener)
        await server.serve_forever()

    uvloop.run(run())


def cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def calling(connections: Connections) -> Call:
    body = (b"x" * 500, b"y" * (REQUEST_BYTES - 500))

    async def call() -> None:
        reply = await connections.post("/chat/completions", HEADERS, body)
        received = 0
        while piece := await reply.read():
            received += len(piece)
        await reply.close()
        assert received == REPLY_BYTES

    return call


async def socket_call(port: int) -> Call:
    """A caller of its own for each connection: one write, one read, nothing looked at."""
    loop = asyncio.get_running_loop()
    free: list[socket.socket] = []
    request = b"POST / HTTP/1.1\r\nHost: a\r\n\r\n" + b"x" * REQUEST_BYTES

    async def call() -> None:
        if free:
            raw = free.pop()
        else:
            raw = socket.socket()
            raw.setblocking(False)
            await loop.sock_connect(raw, ("127.0.0.1", port))
        await loop.sock_sendall(raw, request)
        received = 0
        while received < len(REPLY):
            received += len(await loop.sock_recv(raw, 65536))
        free.append(raw)

    return call


async def measure(call: Call, connections: int, seconds: float) -> tuple[float, float]:
    """CPU µs per call and calls per second."""
    loop = asyncio.get_running_loop()
    calls = 0
    end = 0.0

    async def repeat() -> None:
        nonlocal calls
        while loop.time() < end:
            await call()
            calls += 1

    end = loop.time() + 0.1
    await asyncio.gather(*(repeat() for _ in range(connections)))
    calls, used, started = 0, cpu_s(), loop.time()
    end = started + seconds
    await asyncio.gather(*(repeat() for _ in range(connections)))
    return (cpu_s() - used) / calls * 1e6, calls / (loop.time() - started)


async def compare(port: int, connections: int, rounds: int, seconds: float) -> None:
    address = f"http://127.0.0.1:{port}/v1"
    pool, old = PooledConnections(address, TransportLimits()), AiohttpConnections(address, TransportLimits())
    calls = {"socket": await socket_call(port), "pooled": calling(pool), "aiohttp": calling(old)}
    figures: dict[str, list[tuple[float, float]]] = {name: [] for name in calls}
    for number in range(rounds):
        names = list(calls) if number % 2 else list(reversed(calls))
        for name in names:
            figures[name].append(await measure(calls[name], connections, seconds))
    for name, found in figures.items():
        cpu, rate = (statistics.median(column) for column in zip(*found, strict=True))
        low, high = min(f[0] for f in found), max(f[0] for f in found)
        print(f"{connections:>4} connections  {name:<8} {cpu:7.1f} µs CPU/call ({low:.1f} to {high:.1f}) {rate:9.0f}/s")
    await pool.close()
    await old.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=1)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--connections", type=int, nargs="+", default=[1, 32])
    options = parser.parse_args()
    with socket.create_server(("127.0.0.1", 0), backlog=1024) as listener:
        port = listener.getsockname()[1]
        server = multiprocessing.get_context("fork").Process(target=serve, args=(listener,), daemon=True)
        server.start()
        for connections in options.connections:
            uvloop.run(compare(port, connections, options.rounds, options.seconds))
        server.terminate()
        server.join()


if __name__ == "__main__":
    main()
