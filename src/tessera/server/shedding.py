"""Refusing on a connection: a request is read as far as refusing it takes, and thrown away."""

from typing import Any, ClassVar

import httptools
from uvicorn.server import ServerState

from tessera.http.door import Door
from tessera.server.writing import BoundedWriting

REFUSED_BYTES_MAX = 256 * 1024
"""What is read of a refused request's body before the reply; of a larger one the rest ends the connection."""

SPARE_GLANCES_MAX = 100


class Glance:
    """Reads where a request leads and where it ends, and keeps nothing of it.

    `begun` and `ended` count the requests seen, `url` is the last one's address, `headed` says that a head is whole,
    `stays` that the connection goes on after it.
    """

    __slots__ = ("begun", "ended", "headed", "parser", "stays", "url")

    def __init__(self) -> None:
        self.begun = self.ended = 0
        self.headed = self.stays = False
        self.url = b""
        self.parser: Any = httptools.HttpRequestParser(self)

    def read(self, data: bytes) -> bool:
        """Reads on. Whether this is one request so far: its whole head, and nothing that follows it."""
        try:
            self.parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade):
            return False
        return self.headed and self.begun == 1

    def on_message_begin(self) -> None:
        """Parser: a request begins."""
        self.begun += 1

    def on_url(self, url: bytes) -> None:
        """Parser: a piece of the address."""
        self.url += url

    def on_headers_complete(self) -> None:
        """Parser: the head is here."""
        self.headed = True
        self.stays = self.parser.should_keep_alive() and self.parser.get_http_version() == "1.1"

    def on_message_complete(self) -> None:
        """Parser: the request is here."""
        self.ended += 1


class Shedding(BoundedWriting):
    """The half of a connection that refuses. Every reply is to a request that was read to its end, or closes."""

    door: Door | None = None
    head_seconds_max = 10
    spare_glances: ClassVar[list[Glance]] = []
    """For the next requests on any connection: a parser takes longer to make than to use."""

    _server: ServerState
    _addresses: Any
    _in_head: bool
    _idle_s: int

    def __init__(self, loop: Any) -> None:
        super().__init__(loop)
        self._refused: Glance | None = None
        self._refused_bytes = 0
        self._let_in = False

    def _sheds(self, door: Door, data: bytes) -> bool:
        """Whether these bytes, with which a request begins, are of a request that is refused; it is dealt with then."""
        in_hand = len(self._server.tasks)
        if not door.is_tight(in_hand):
            return False
        spare = self.spare_glances
        glance = spare.pop() if spare else Glance()
        if not glance.read(data) or not self._may_be_shed(glance, data, door):
            self._lay_by(glance, whole=False)
            return False
        refused = door.refuses(glance.url, data, self._addresses, in_hand)
        self._let_in = not refused
        if refused and not glance.ended:
            self._refused, self._refused_bytes, self._in_head = glance, 0, False
            self._limit(self.head_seconds_max)
            return True
        if refused:
            self._turn_away(door, closes=not glance.stays)
        self._lay_by(glance, whole=glance.ended == 1)
        return refused

    def _lets_in(self, url: bytes, headers: list[tuple[bytes, bytes]]) -> bool:
        """Whether the request whose head is here is served; one that was seen as it began has been asked then."""
        door, asked = self.door, self._let_in
        self._let_in = False
        if asked or door is None or not door.is_tight(len(self._server.tasks)):
            return True
        sent = b"\n".join(value for _, value in headers)
        return not door.refuses(url, sent, self._addresses, len(self._server.tasks))

    def _lay_by(self, glance: Glance, *, whole: bool) -> None:
        """Keeps what has read a request to its end for another."""
        if whole and glance.stays and len(self.spare_glances) < SPARE_GLANCES_MAX:
            glance.begun = glance.ended = 0
            glance.headed, glance.url = False, b""
            self.spare_glances.append(glance)
        else:
            # Its parser refers to it: nothing but the cycle collector would free them.
            glance.parser = None

    def _may_be_shed(self, glance: Glance, data: bytes, door: Door) -> bool:
        """Whether a refusal here would be what the application would say: of the same form, in the same order."""
        if glance.parser.get_method() == b"HEAD" or self.writing_paused:
            return False
        if glance.ended and not door.serves_origins:
            return True
        head = data.partition(b"\r\n\r\n")[0].lower()
        return b"\norigin:" not in head and b"100-continue" not in head

    def _throw_away(self, door: Door, glance: Glance, data: bytes) -> None:
        """More of the body of a refused request."""
        self._refused_bytes += len(data)
        if not glance.read(data) or self._refused_bytes > REFUSED_BYTES_MAX:
            self._give_up(door)
        elif glance.ended:
            self._refused = None
            self._turn_away(door, closes=not glance.stays)
            self._lay_by(glance, whole=True)

    def _give_up(self, door: Door) -> None:
        """Answers a refused request before its end."""
        self._forget_refused()
        self.transport.write(door.reply(self._server.default_headers, closes=True))
        self._end_early()

    def _turn_away(self, door: Door, *, closes: bool) -> None:
        """Answers a refused request that has ended."""
        server = self._server
        self.transport.write(door.reply(server.default_headers, closes=closes))
        server.total_requests += 1
        self._in_head = False
        if closes:
            self.close()
        else:
            self._limit(self._idle_s)

    def _forget_refused(self) -> None:
        glance, self._refused = self._refused, None
        if glance is not None:
            self._lay_by(glance, whole=False)

    def writing_ended(self) -> None:
        """See `BoundedWriting`."""
        super().writing_ended()
        self._forget_refused()

    def _limit(self, seconds: float) -> None:
        raise NotImplementedError

    def _end_early(self) -> None:
        raise NotImplementedError
