"""A provider on a real socket that does exactly what a test tells it to, down to the byte it breaks at.

It speaks HTTP/1.1 by hand, in a thread of its own, so that synchronous and asynchronous tests use it alike:

    with ScriptedProvider() as provider:
        provider.script(chat_reply("A cat.", prompt_tokens=10, completion_tokens=3))
        ...                                   # call provider.base_url (it ends in /v1)
        assert provider.received[0].json()["model"] == "gpt-4o"

A script is a `Reply`: bytes, `Pause`s, and how the connection ends. Scripts are used up in order; when none is left,
`always` answers, and without it a small chat reply. `expect_credential` makes any other credential a failure when the
`with` block ends. Every request is recorded before its script runs.
"""

import asyncio
import contextlib
import json
import socket
import struct
import threading
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from scripted_replies import (
    End,
    Pause,
    Reply,
    bytes_reply,
    chat_completion,
    chat_events,
    chat_reply,
    close_silently,
    drip,
    endless_sse,
    error_reply,
    gzip_bomb,
    hang,
    head,
    html_reply,
    json_reply,
    raw_reply,
    reset,
    sse_reply,
)

__all__ = [
    "End",
    "Pause",
    "Received",
    "Reply",
    "ScriptedProvider",
    "bytes_reply",
    "chat_completion",
    "chat_events",
    "chat_reply",
    "close_silently",
    "drip",
    "endless_sse",
    "error_reply",
    "gzip_bomb",
    "hang",
    "head",
    "html_reply",
    "json_reply",
    "raw_reply",
    "refused_address",
    "reset",
    "scripted_provider",
    "sse_reply",
]

HEAD_BYTES_MAX = 1 << 20


@dataclass
class Received:
    """A request as it arrived. `left_early` is set when the client went away before its script was through."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    connection: int
    left_early: threading.Event = field(default_factory=threading.Event)
    finished: threading.Event = field(default_factory=threading.Event)

    def json(self) -> Any:
        """The body, decoded."""
        return json.loads(self.body)

    @property
    def credential(self) -> str | None:
        """What arrived as `Authorization: Bearer …`, or None."""
        value = self.headers.get("authorization")
        return value.removeprefix("Bearer ") if value else None


Script = Reply | Callable[[Received], Reply]


def refused_address() -> str:
    """A base URL nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{probe.getsockname()[1]}/v1"


# ---- the server ------------------------------------------------------------------------------------------------


class ScriptedProvider:
    """The server. `received` grows with each request; `connections` counts those accepted. `large_body_delay_s` is how
    long it takes to begin reading a body of more than a megabyte, so that its sender has to wait."""

    def __init__(self) -> None:
        self.received: list[Received] = []
        self.connections = 0
        self.complaints: list[str] = []
        self.always: Script | None = None
        self.large_body_delay_s = 0.0
        self._scripts: deque[Script] = deque()
        self._credential: str | None = None
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._run, name="scripted-provider", daemon=True)
        self._started = threading.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.port = 0

    def script(self, *replies: Script) -> None:
        """Answers the next requests with these, one each."""
        self._scripts.extend(replies)

    def expect_credential(self, credential: str) -> None:
        """From now on, any request with another credential, or none, fails the test."""
        self._credential = credential

    @property
    def base_url(self) -> str:
        """Where to call it; ends in /v1."""
        return f"http://127.0.0.1:{self.port}/v1"

    def __enter__(self) -> "ScriptedProvider":
        self._thread.start()
        self._started.wait(10)
        return self

    def __exit__(self, failure: object, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)
        if failure is None:
            assert not self.complaints, self.complaints

    def _run(self) -> None:
        asyncio.set_event_loop(self._loop)
        try:
            self._loop.run_until_complete(self._serve())
        finally:
            self._loop.close()

    async def _serve(self) -> None:
        self._stop = asyncio.Event()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0, limit=HEAD_BYTES_MAX)
        self.port = server.sockets[0].getsockname()[1]
        self._started.set()
        await self._stop.wait()
        server.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self.connections += 1
        try:
            await self._connection(reader, writer, self.connections)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self._tasks.discard(task)
            writer.transport.abort()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        while True:
            request = await self._read_request(reader, number)
            self._check_credential(request)
            chosen = self._scripts.popleft() if self._scripts else self.always or chat_reply()
            self.received.append(request)
            reply = chosen if isinstance(chosen, Reply) else chosen(request)
            left = asyncio.ensure_future(_client_left(reader))
            sent = asyncio.ensure_future(_play(reply, writer))
            try:
                await asyncio.wait({left, sent}, return_when=asyncio.FIRST_COMPLETED)
                if not sent.done() or sent.exception() is not None:
                    request.left_early.set()
            finally:
                left.cancel()
                sent.cancel()
                await asyncio.gather(left, sent, return_exceptions=True)
            request.finished.set()
            if reply.end is not End.KEEP or request.left_early.is_set():
                await _end(reply, writer)
                return

    def _check_credential(self, request: Received) -> None:
        if self._credential is not None and request.credential != self._credential:
            self.complaints.append(f"{request.path} arrived with credential {request.credential!r}")

    async def _read_request(self, reader: asyncio.StreamReader, number: int) -> Received:
        start = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
        method, path, _ = start[0].split(" ", 2)
        headers = {n.strip().lower(): v.strip() for n, _, v in (line.partition(":") for line in start[1:] if line)}
        if headers.get("transfer-encoding", "").lower() == "chunked":
            body = b""
            while size := int((await reader.readline()).strip(), 16):
                body += await reader.readexactly(size)
                await reader.readexactly(2)
            await reader.readline()
        else:
            length = int(headers.get("content-length", "0"))
            if length > 1_000_000:
                await asyncio.sleep(self.large_body_delay_s)
            body = await reader.readexactly(length)
        return Received(method, path, headers, body, number)


async def _play(reply: Reply, writer: asyncio.StreamWriter) -> None:
    for piece in reply.pieces:
        await _send(piece, writer)
    while reply.endless:
        for piece in reply.pieces[1:]:
            await _send(piece, writer)
    if reply.end is End.HANG:
        await asyncio.Event().wait()


async def _send(piece: bytes | Pause, writer: asyncio.StreamWriter) -> None:
    if isinstance(piece, Pause):
        await asyncio.sleep(piece.seconds)
        return
    writer.write(piece)
    await writer.drain()


async def _client_left(reader: asyncio.StreamReader) -> None:
    """Returns when the client closes; bytes of a next request stay where they are."""
    while not reader.at_eof():
        if reader.exception() is not None:
            return
        await asyncio.sleep(0.002)


async def _end(reply: Reply, writer: asyncio.StreamWriter) -> None:
    if reply.end is End.RESET:
        with contextlib.suppress(OSError):  # the client was quicker
            sock = writer.get_extra_info("socket")
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.transport.abort()
    else:
        writer.close()
        await writer.wait_closed()


@pytest.fixture
def scripted_provider() -> Iterator[ScriptedProvider]:
    """A running scripted provider; import this name in a test file to use it as a fixture."""
    with ScriptedProvider() as provider:
        yield provider
