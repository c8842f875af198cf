"""A reply made in this process, behind the same port as one from a socket."""

from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Mapping

from tessera.domain.dialects.render import Answer, render_reply, render_stream
from tessera.ports import UpstreamCall


class InsideReply:
    """Gives its pieces one by one; closing it ends whatever was still to come."""

    def __init__(self, status: int, headers: Mapping[str, str], pieces: AsyncGenerator[bytes, None]) -> None:
        self.status = status
        self.headers = headers
        self._pieces = pieces

    async def chunks(self) -> AsyncIterator[bytes]:
        """See `ports.UpstreamReply`."""
        async for piece in self._pieces:
            yield piece

    async def close(self) -> None:
        """See `ports.UpstreamReply`."""
        await self._pieces.aclose()


def reply_to(call: UpstreamCall, answer: Answer) -> InsideReply:
    """The answer as the call wants it: an event stream, or whole."""
    return InsideReply(200, reply_headers(call), in_turn(pieces_of(call, answer)))


def reply_headers(call: UpstreamCall, content_type: str | None = None) -> dict[str, str]:
    """The headers of a reply made here."""
    kind = content_type or ("text/event-stream; charset=utf-8" if call.stream else "application/json")
    return {"content-type": kind, "x-request-id": call.request_id}


def pieces_of(call: UpstreamCall, answer: Answer) -> Iterable[bytes]:
    """The body in pieces: event frames, or one piece. A stream always carries usage, as it is always asked for."""
    if call.stream:
        return render_stream(call.surface, answer, include_usage=True)
    return [render_reply(call.surface, answer)]


async def in_turn(pieces: Iterable[bytes]) -> AsyncGenerator[bytes, None]:
    """The pieces, as an asynchronous iterator."""
    for piece in pieces:
        yield piece
