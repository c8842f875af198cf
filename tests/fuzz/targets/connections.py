"""A client's bytes on a connection of our server: whatever they are and however cut, the same whole replies."""

import http.client
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

import structlog

from fuzz.targets.upstream_http import pieces
from made_connections import HEAD_SECONDS, IDLE_SECONDS, Wire
from small_app import SmallApp

BYTE_BY_BYTE_MAX = 300
CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"
ECHO = b"POST /echo HTTP/1.1\r\nHost: a\r\n"
WORDS = (
    b"GET /echo HTTP/1.1\r\n",
    b"POST /stream HTTP/1.1\r\n",
    b"HEAD /echo HTTP/1.0\r\n",
    b"CONNECT a:1 HTTP/1.1\r\n",
    b"OPTIONS * HTTP/1.1\r\n",
    b"/early",
    b"/empty",
    b"/fails",
    b"/fails-late",
    b"/fails-after",
    b"/stops",
    b"/overlong",
    b"Host: a\r\n",
    b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Connection: close\r\n",
    b"Connection: upgrade\r\nUpgrade: h2c\r\n",
    b"Expect: 100-continue\r\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b"5;a=b\r\n",
    b"X-Trailer: a\r\n",
    b"\r\n\r\n",
    b"ffffffffffffffff\r\n",
    b" HTTP/2.0\r\n",
)


def seeds() -> Iterator[bytes]:
    """Requests as clients send them; the first byte is the seed of where they are cut."""
    raw = [
        b"GET /echo?a=b HTTP/1.1\r\nHost: a\r\n\r\n",
        ECHO + b"Content-Length: 5\r\n\r\nhello",
        ECHO + b"Transfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nX-Late: 1\r\n\r\n",
        ECHO + b"Content-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
        ECHO + b"Content-Length: 2\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\nabGET /early HTTP/1.1\r\n\r\n",
        b"GET /stream HTTP/1.0\r\n\r\n",
        b"HEAD /stream HTTP/1.1\r\n\r\nGET /empty HTTP/1.1\r\nConnection: close\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"GET /fails HTTP/1.1\r\n\r\n",
        b"GET /fails-late HTTP/1.1\r\n\r\nGET / HTTP/1.1\r\n\r\n",
        b"GET /fails-after HTTP/1.1\r\n\r\nGET /stops HTTP/1.1\r\n\r\n",
        b"GET /overlong HTTP/1.1\r\n\r\nGET / HT",
        b"GET /echo HTTP/1.1\r\n\r\n" * 40,
        b"\x16\x03\x01\x02\x00\r\n\r\n",
        b"GET / HTTP/2.0\r\n\r\n",
    ]
    for number, sent in enumerate(raw):
        yield bytes((number,)) + sent


def check(data: bytes) -> None:
    """However the bytes come, what is answered is well formed, and everything ends when the client leaves."""
    structlog.configure(logger_factory=structlog.ReturnLoggerFactory())
    raw = data[1:]
    try:
        whole = _answers([raw] if raw else [])
        assert _answers(list(pieces(raw, data[:1]))) == whole
        if len(raw) <= BYTE_BY_BYTE_MAX:
            assert _answers([raw[at : at + 1] for at in range(len(raw))]) == whole
        _answers(list(pieces(raw, data[:1])), rests=True)
    finally:
        structlog.reset_defaults()


def _answers(parts: Sequence[bytes], *, rests: bool = False) -> Any:
    """What the client hears; `rests` lets the server work between the parts."""
    app = SmallApp()
    with Wire(app) as wire:
        for part in parts:
            if not wire.transport.closed:
                wire.send(part, work=rests)
        wire.work()
        found = wire.heard
        wire.after(HEAD_SECONDS + IDLE_SECONDS + 1)
        assert wire.over or app.running, "a connection that waits for ever"
        wire.leave()
        assert app.running == 0, "a call that outlives its client"
        assert not wire.state.tasks
        assert wire.connection._timer is None
        assert wire.connection._write_timer is None
    return found if b"HEAD" in b"".join(parts) else (found, _read(found))


class _Socket:
    def __init__(self, raw: io.BytesIO) -> None:
        self._raw = raw

    def makefile(self, *_: object) -> io.BytesIO:
        return self._raw


class _Unclosed(io.BytesIO):
    def close(self) -> None:
        """The next reply stands in the same bytes."""


def _read(heard: bytes) -> list[tuple[int, bytes]]:
    """The replies as another parser reads them, until one after which it cannot know what follows."""
    raw = _Unclosed(heard)
    replies: list[tuple[int, bytes]] = []
    while raw.tell() < len(heard):
        if heard.startswith(CONTINUE, raw.tell()):
            raw.seek(len(CONTINUE), io.SEEK_CUR)
            continue
        reply = http.client.HTTPResponse(_Socket(raw))  # type: ignore[arg-type]
        reply.begin()
        try:
            body = reply.read()
        except http.client.IncompleteRead as cut:
            # A reply that failed half-way.
            replies.append((reply.status, cut.partial[:0]))
            break
        replies.append((reply.status, body))
        if reply.status >= 400 and body.startswith(b"{"):
            assert json.loads(body)["error"]
    return replies
