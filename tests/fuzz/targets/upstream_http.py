"""A provider's reply on the wire: the same reply in whatever pieces it comes, and where it ends is never a guess."""

import http.client
import io
import random
from collections.abc import Iterator, Sequence

from scripted_provider import Pause, Reply, chat_events, chat_reply, error_reply, html_reply, sse_reply
from tessera.adapters.providers.openai.framing import NotHttpError, ReplyParser

BYTE_BY_BYTE_MAX = 400
OK = b"HTTP/1.1 200 OK\r\n"
WORDS = (
    b"HTTP/1.1 200 OK\r\n",
    b"HTTP/1.0 ",
    b"HTTP/1.1 100 Continue\r\n\r\n",
    b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    b"HTTP/1.1 204 No Content\r\n",
    b"HTTP/1.1 304 ",
    b"Content-Length: ",
    b"Content-Length: 5\r\n",
    b"Content-Length: +5\r\n",
    b"Transfer-Encoding: chunked\r\n",
    b"Transfer-Encoding: gzip, chunked\r\n",
    b"Transfer-Encoding: identity\r\n",
    b"Connection: close\r\n",
    b"Connection: keep-alive\r\n",
    b"Upgrade: h2c\r\n",
    b"\r\n\r\n",
    b"\n\n",
    b"0\r\n\r\n",
    b"5\r\nhello\r\n",
    b";x=y",
    b"ffffffffffffffff\r\n",
    b"-1\r\n",
    b"\r\n folded",
    b" : ",
)


def seeds() -> Iterator[bytes]:
    """Replies as providers send them; the first byte is the seed of where they are cut."""
    replies: list[Reply] = [
        chat_reply("A cat."),
        error_reply(429, headers={"retry-after": "3"}),
        html_reply(),
        sse_reply(chat_events(["A ", "cat"])),
    ]
    raw = [b"".join(piece for piece in reply.pieces if not isinstance(piece, Pause)) for reply in replies]
    raw += [
        OK + b"Content-Length: 8\r\n\r\n12345678",
        OK + b"Transfer-Encoding: chunked\r\n\r\n3;note=x\r\n{}\n\r\na\r\n0123456789\r\n0\r\nX-Late: 1\r\n\r\n",
        OK + b"X: y\r\n\r\nuntil the end",
        b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + OK + b"Content-Length: 0\r\n\r\n",
        b"HTTP/1.1 204 No Content\r\n\r\n",
        b"HTTP/1.0 503 Busy\r\nContent-Length: 2\r\nConnection: keep-alive\r\n\r\n{}",
        OK + b"Content-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        OK + b"Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    ]
    for number, reply in enumerate(raw):
        yield bytes((number,)) + reply


def check(data: bytes) -> None:
    """One piece or many: the same outcome; a complete reply is the one that another parser reads."""
    raw = data[1:]
    whole = _read([raw] if raw else [])
    assert _read(list(pieces(raw, data[:1]))) == whole
    if len(raw) <= BYTE_BY_BYTE_MAX:
        assert _read([raw[at : at + 1] for at in range(len(raw))]) == whole
    status, _, body, complete, failed = whole
    if complete and not failed:
        assert 200 <= status < 600
        _compare(raw, status, body)


def pieces(raw: bytes, seed: bytes) -> Iterator[bytes]:
    """The bytes cut at places that the seed decides."""
    places = random.Random(seed)
    at = 0
    while at < len(raw):
        end = at + places.choice((1, 1, 2, 3, 5, 17, 80, 400))
        yield raw[at:end]
        at = end


def _read(parts: Sequence[bytes]) -> tuple[int, dict[str, str], bytes, bool, bool]:
    parser = ReplyParser()
    parser.begin()
    failed = False
    try:
        for part in parts:
            parser.feed(part)
    except NotHttpError:
        failed = True
    else:
        parser.end_of_input()
    found = parser.status, dict(parser.headers), parser.take(), parser.complete, failed
    parser.close()
    return found


class _Socket:
    def __init__(self, raw: bytes) -> None:
        self._raw = raw

    def makefile(self, *_: object) -> io.BytesIO:
        return io.BytesIO(self._raw)


def _compare(raw: bytes, status: int, body: bytes) -> None:
    other = http.client.HTTPResponse(_Socket(raw))  # type: ignore[arg-type]
    try:
        other.begin()
        read = other.read()
    except (http.client.HTTPException, ValueError):
        return  # the other parser is stricter here
    if other.status >= 200:
        assert (other.status, read) == (status, body)
