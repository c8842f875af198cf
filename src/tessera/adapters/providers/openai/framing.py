"""Where a reply begins and ends, strictly: a reply whose end is guessed is somebody else's reply.

Two lengths, a length beside chunks, a coding other than `chunked`, bytes after the end, an end before the length, a
head or a run of framing without bound: each is a fault. No sockets and no clock here, only bytes.
"""

from functools import lru_cache

import httptools

HEAD_BYTES_MAX = 64 * 1024
"""Bounds a reply's head, informational replies before it included, and any run of framing that brings no body."""


_NAME_KEPT_BYTES_MAX = 64


def _name(raw: bytes) -> str:
    return raw.decode("latin-1").lower()


_kept_name = lru_cache(maxsize=1024)(_name)
"""Few names come, again and again."""


class NotHttpError(Exception):
    """What arrived is not one whole HTTP/1.1 reply and nothing else."""


class ReplyParser:
    """The replies of one connection, one after the other, in whatever pieces they arrive.

    `status` is 0 until the head of a final reply is here; `headers` have lower-case names, repeated ones joined by
    commas. `pieces` and `unread_bytes` are the body that nobody has taken yet, `body_bytes` is all of it so far. `keep`
    says whether the connection can carry another reply once this one is `complete`.
    """

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.keep = False
        self.complete = True
        self.pieces: list[bytes] = []
        self.unread_bytes = 0
        self.body_bytes = 0
        self._until_eof = False
        self._lines: list[tuple[bytes, bytes]] = []
        self._framing_bytes = 0
        self._http: httptools.HttpResponseParser | None = httptools.HttpResponseParser(self)

    def begin(self) -> None:
        """A request was sent: its reply is the next thing to arrive."""
        self.status = 0
        self.headers = {}
        self.keep = self.complete = self._until_eof = False
        self.pieces = []
        self.unread_bytes = self.body_bytes = 0
        self._framing_bytes = 0

    def feed(self, data: bytes) -> None:
        """Takes what arrived. Raises NotHttpError; what came before the fault can still be taken."""
        http = self._http
        assert http is not None
        before = self.unread_bytes
        try:
            if not self.status and self._framing_bytes + len(data) > HEAD_BYTES_MAX:
                room = HEAD_BYTES_MAX - self._framing_bytes
                http.feed_data(data[:room])
                if not self.status:
                    raise NotHttpError("the head has no end")
                data = data[room:]
            http.feed_data(data)
        except httptools.HttpParserError:
            raise NotHttpError("the framing is broken") from None
        if self.unread_bytes != before:
            self._framing_bytes = 0
        elif not self.complete:
            self._framing_bytes += len(data)
            if self._framing_bytes > HEAD_BYTES_MAX:
                raise NotHttpError("framing without a body")

    def end_of_input(self) -> None:
        """Nothing more will arrive: that completes a body without a length, and no other."""
        if self.status and self._until_eof:
            self.complete = True

    def take(self) -> bytes:
        """What has arrived of the body and was not taken yet."""
        pieces, self.pieces = self.pieces, []
        self.unread_bytes = 0
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def close(self) -> None:
        """Nothing is fed any more. The parser below refers back to this one: without this, both wait for the collector
        of reference cycles."""
        self._http = None

    # ---- called by httptools -------------------------------------------------------------------------------------

    def on_message_begin(self) -> None:
        """The first byte of a reply; of one that nobody asked for, it is a fault."""
        if self.complete:
            raise NotHttpError("bytes after the end")

    def on_header(self, name: bytes, value: bytes) -> None:
        """A header; trailers, which come after the head, are left out."""
        if not self.status:
            self._lines.append((name, value))

    def on_headers_complete(self) -> None:
        """A head: of the reply, or of an informational one before it, which is skipped."""
        http = self._http
        assert http is not None
        lines, self._lines = self._lines, []
        status = http.get_status_code()
        if not 100 <= status < 600 or status == 101 or http.get_http_version() not in ("1.1", "1.0"):
            raise NotHttpError("not a reply to this request")
        if status < 200:
            return
        headers: dict[str, str] = {}
        for raw_name, value in lines:
            name = _kept_name(raw_name) if len(raw_name) <= _NAME_KEPT_BYTES_MAX else _name(raw_name)
            text = value.decode("latin-1").strip(" \t")
            headers[name] = f"{headers[name]}, {text}" if name in headers else text
        coding = headers.get("transfer-encoding")
        if coding is not None and coding.lower() != "chunked":
            raise NotHttpError("a transfer coding that was not asked for")
        self._until_eof = coding is None and "content-length" not in headers and status not in (204, 304)
        self.keep = http.should_keep_alive()
        self.headers = headers
        self.status = status

    def on_body(self, piece: bytes) -> None:
        """Bytes of the body."""
        self.pieces.append(piece)
        size = len(piece)
        self.unread_bytes += size
        self.body_bytes += size

    def on_message_complete(self) -> None:
        """The end of a reply; an informational one ends without having begun anything."""
        if self.status:
            self.complete = True
