"""A small ASGI application for tests of servers: each path does one thing that a server must carry faithfully."""

import asyncio
import json
from typing import Any

LARGE_BYTES = 1_000_000
LENGTH = b"content-length"


async def read(receive: Any) -> bytes | None:
    """The whole body; None when the client left within it."""
    pieces = []
    while True:
        message = await receive()
        if message["type"] == "http.disconnect":
            return None
        pieces.append(message.get("body", b""))
        if not message.get("more_body", False):
            return b"".join(pieces)


async def reply(send: Any, body: bytes, *, status: int = 200, headers: Any = None) -> None:
    """Sends a whole reply."""
    headers = [(LENGTH, b"%d" % len(body))] if headers is None else headers
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class SmallApp:
    """`/echo` says what it was asked, `/stream` in pieces; others end early, send much, wait, or fail.

    `left` counts the calls whose client left before its reply was complete.
    """

    def __init__(self) -> None:
        self.left = 0
        self.running = 0

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        self.running += 1
        try:
            name = scope["path"].strip("/").replace("-", "_")
            await getattr(self, name if name in _PATHS else "echo")(scope, receive, send)
        finally:
            self.running -= 1

    async def echo(self, scope: Any, receive: Any, send: Any) -> None:
        body = await read(receive)
        if body is None:
            self.left += 1
            return
        await reply(send, _said(scope, body))

    async def stream(self, scope: Any, receive: Any, send: Any) -> None:
        body = await read(receive)
        if body is None:
            self.left += 1
            return
        await send({"type": "http.response.start", "status": 200, "headers": [(b"x-kind", b"stream")]})
        for piece in (_said(scope, b""), b"", body, b"end"):
            await send({"type": "http.response.body", "body": piece, "more_body": True})
            await asyncio.sleep(0)
        await send({"type": "http.response.body"})

    async def early(self, scope: Any, receive: Any, send: Any) -> None:
        await reply(send, b"early")

    async def large(self, scope: Any, receive: Any, send: Any) -> None:
        await read(receive)
        headers = [(LENGTH, b"%d" % LARGE_BYTES)]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        for at in range(0, LARGE_BYTES, 100_000):
            piece = b"%06d...," % at * 10_000
            await send({"type": "http.response.body", "body": piece, "more_body": at + 100_000 < LARGE_BYTES})

    async def empty(self, scope: Any, receive: Any, send: Any) -> None:
        await read(receive)
        await reply(send, b"", status=204, headers=[])

    async def waits(self, scope: Any, receive: Any, send: Any) -> None:
        """Replies after a while unless its client leaves."""
        await read(receive)
        gone = asyncio.ensure_future(receive())
        await asyncio.wait({gone}, timeout=0.3)
        if gone.done():
            self.left += 1
            return
        gone.cancel()
        await reply(send, b"waited")

    async def fails(self, scope: Any, receive: Any, send: Any) -> None:
        await read(receive)
        raise RuntimeError("before the head")

    async def fails_late(self, scope: Any, receive: Any, send: Any) -> None:
        await read(receive)
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"half", "more_body": True})
        raise RuntimeError("within the body")

    async def fails_after(self, scope: Any, receive: Any, send: Any) -> None:
        await read(receive)
        await reply(send, b"whole")
        raise RuntimeError("after the reply")

    async def overlong(self, scope: Any, receive: Any, send: Any) -> None:
        await read(receive)
        await reply(send, b"abc", headers=[(LENGTH, b"2")])

    async def stops(self, scope: Any, receive: Any, send: Any) -> None:
        await read(receive)


def _said(scope: Any, body: bytes) -> bytes:
    headers = [[name.decode(), value.decode("latin-1")] for name, value in scope["headers"] if name[:2] == b"x-"]
    said = [scope["method"], scope["path"], scope["query_string"].decode(), headers, body.decode("latin-1")]
    return json.dumps(said).encode()


_PATHS = ["stream", "early", "large", "empty", "waits", "fails", "fails_late", "fails_after", "overlong", "stops"]
