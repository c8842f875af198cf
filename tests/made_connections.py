"""A connection of our server without a socket: a transport that only remembers, a clock that is turned, requests."""

import asyncio
from typing import Any

import uvicorn
from uvicorn.server import ServerState

from small_app import read, reply
from tessera.http.door import Door
from tessera.http.exchange import CONNECTION
from tessera.server.connection import HttpConnection, bounded_connection

HEAD_SECONDS, WRITE_SECONDS, IDLE_SECONDS = 10, 30, 5


class Clock(asyncio.SelectorEventLoop):
    """An event loop whose time is put forward by hand."""

    ahead_s = 0.0

    def time(self) -> float:
        return super().time() + self.ahead_s


class RememberedTransport(asyncio.Transport):
    """What was written and asked for. `unsent_bytes` stands for what a client has not taken yet."""

    def __init__(self) -> None:
        super().__init__()
        self.written = b""
        self.unsent_bytes = 0
        self.reading = True
        self.ended = self.closed = self.aborted = False

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return {"sockname": ("127.0.0.1", 80), "peername": ("127.0.0.1", 9)}.get(name, default)

    def write(self, data: bytes | bytearray | memoryview) -> None:
        assert not self.ended, "written after the end"
        assert not self.closed, "written after the close"
        self.written += bytes(data)

    def write_eof(self) -> None:
        self.ended = True

    def close(self) -> None:
        self.closed = True

    def abort(self) -> None:
        self.closed = self.aborted = True

    def is_closing(self) -> bool:
        return self.closed

    def pause_reading(self) -> None:
        assert self.reading
        self.reading = False

    def resume_reading(self) -> None:
        assert not self.reading
        self.reading = True

    def get_write_buffer_size(self) -> int:
        return self.unsent_bytes


class Wire:
    """A client's end: sends bytes, lets the server work, and says what came. `with Wire(app) as wire`."""

    def __init__(self, app: Any, door: Door | None = None) -> None:
        self.loop = Clock()
        self.state = ServerState()
        kind = bounded_connection(HEAD_SECONDS, WRITE_SECONDS, door)
        config = uvicorn.Config(app, http=kind, ws="none", lifespan="off", log_config=None)  # type: ignore[arg-type]
        config.timeout_keep_alive = IDLE_SECONDS
        config.load()
        self._make = lambda: kind(config, self.state, {}, self.loop)
        self.dial()

    def dial(self) -> None:
        """A new connection, of which everything here speaks from now on."""
        self.connection: HttpConnection = self._make()
        self.transport = RememberedTransport()
        self.connection.connection_made(self.transport)

    def __enter__(self) -> "Wire":
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()
        for task in self.state.tasks:
            task.cancel()
        self.work()
        self.loop.close()

    def work(self, turns: int = 2000) -> None:
        """Lets the server do what it can do now."""
        for _ in range(turns):
            self.loop.call_soon(self.loop.stop)
            self.loop.run_forever()
            if not self.loop._ready:  # type: ignore[attr-defined]
                break

    def send(self, *pieces: bytes, work: bool = True) -> "Wire":
        """The client sends; like a real socket, a closed or paused connection hears nothing."""
        for piece in pieces:
            if not self.transport.closed:
                self.connection.data_received(piece)
        if work:
            self.work()
        return self

    def after(self, seconds: float) -> "Wire":
        """Time passes."""
        self.loop.ahead_s += seconds
        self.work()
        return self

    def leave(self) -> None:
        """The connection is lost."""
        if self.connection in self.state.connections:
            self.connection.connection_lost(None)
        self.work()

    @property
    def heard(self) -> bytes:
        return self.transport.written

    @property
    def statuses(self) -> list[int]:
        return [int(part[:3]) for part in self.heard.split(b"HTTP/1.1 ")[1:]]

    @property
    def over(self) -> bool:
        """Whether the client hears nothing more."""
        return self.transport.closed or self.transport.ended


def get(path: str = "/echo", *lines: str, version: str = "1.1", method: str = "GET") -> bytes:
    return "\r\n".join([f"{method} {path} HTTP/{version}", "Host: a", *lines, "", ""]).encode()


def post(body: bytes, path: str = "/echo", *lines: str) -> bytes:
    return get(path, f"Content-Length: {len(body)}", *lines, method="POST") + body


class Held:
    """An application that replies when it is let go, and says who asked and whose client left."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.left: list[str] = []
        self.go = asyncio.Event()

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        path = scope["path"]
        connection = scope["extensions"][CONNECTION]
        if connection.whole_body() is None:
            await read(receive)
        self.asked.append(path)
        connection.on_disconnect(lambda: self.left.append(path))
        await self.go.wait()
        connection.on_disconnect(None)
        await reply(send, path.encode())
