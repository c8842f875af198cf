"""A server in the test's own loop, calls to it, and both event loops to run a test on."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager

import pytest
import uvloop

from tessera.adapters.providers.openai.connections import Connections, TransportLimits
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
