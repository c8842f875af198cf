"""Refuses requests that the server cannot carry now before anything is made of them: no task, no key, no body.

What a refusal costs is what overload leaves of the server, so it is bytes that were made before.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import msgspec
from starlette.types import ASGIApp, Receive, Scope, Send

from tessera.domain.dialects.errors import STATUS, error_object
from tessera.domain.errors import ErrorCode
from tessera.domain.request import Surface
from tessera.http.errors import reply_error
from tessera.http.exchange import Exchange
from tessera.http.load import Load, Queue, overloaded
from tessera.http.origins import allow_origins

OPEN_PATHS = frozenset({b"/healthz", b"/readyz", b"/metrics"})
"""Answered however much there is to do: an operator must see it."""
_KEY_START = b"sk-tess-"
_KEY_BYTES = len(b"sk-tess-live-") + 36


class Door:
    """Says which requests are refused, and how. `reply` is the refusal as bytes, `app` is it as an application;
    browsers on other origins are to be given the latter, which knows of them."""

    def __init__(self, load: Load, make_id: Callable[[str], str], cors_origins: Sequence[str] = ()) -> None:
        self._load = load
        self._make_id = make_id
        self.is_tight = load.is_tight
        self.serves_origins = bool(cors_origins)
        self.app: ASGIApp = self._refuse
        if cors_origins:
            self.app = allow_origins(self.app, cors_origins)
        error = overloaded()
        body = msgspec.json.encode(error_object(Surface.CHAT, error))
        headers = b"\r\ncontent-type: application/json\r\nretry-after: %d\r\ncontent-length: %d\r\nx-request-id: "
        self._status = b"HTTP/1.1 %d Service Unavailable" % STATUS[ErrorCode.OVERLOADED]
        self._standing: list[tuple[bytes, bytes]] | None = None
        self._head = b""
        self._headers = headers % (error.retry_after_s or 0, len(body))
        self._body = b"\r\n\r\n" + body

    def watch_queue(self, queue: Queue | None) -> None:
        """From now on this queue is looked at with the load."""
        self._load.queue = queue

    def refuses(self, url: bytes, sent: bytes, addresses: Mapping[str, Any], in_hand: int) -> bool:
        """Whether the request to this URL is refused, with so many others in hand; `sent` is what carries its key, and
        `addresses` has the `client`, a pair of host and port or None."""
        if url.partition(b"?")[0] in OPEN_PATHS:
            return False
        at = sent.find(_KEY_START)
        return self._load.sheds(sent[at : at + _KEY_BYTES] if at >= 0 else b"", addresses, in_hand)

    def reply(self, standing: list[tuple[bytes, bytes]], *, closes: bool) -> bytes:
        """The refusal, with the headers that every reply has; those are a new list whenever they change."""
        if standing is not self._standing:
            self._standing = standing
            lines = [self._status, *(b"\r\n" + name + b": " + value for name, value in standing), self._headers]
            self._head = b"".join(lines)
        head = self._head + self._make_id("req").encode()
        return head + (b"\r\nconnection: close" if closes else b"") + self._body

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        await reply_error(Exchange(scope, receive, send, self._make_id("req")), overloaded())
