"""A provider that speaks OpenAI's dialect: which path, which headers go, which replies are answers."""

import re
import ssl
from collections.abc import AsyncIterator, Callable, Mapping

from yarl import URL

from tessera import __version__
from tessera.adapters.providers.openai.connections import Connections, HttpReply, TransportLimits
from tessera.adapters.providers.openai.pool import PooledConnections
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface
from tessera.ports import UpstreamCall, UpstreamReply

PATHS = {Surface.CHAT: "/chat/completions", Surface.RESPONSES: "/responses"}
COUNT_PATH = "/responses/input_tokens"

CALLER_HEADERS = frozenset({"openai-beta", "traceparent", "tracestate"})
"""The caller's headers that may go on. Everything else stays here, whatever it is called: keys, cookies, addresses,
and OpenAI-Organization and -Project, which would choose among the operator's own accounts."""

HIDDEN_FROM_CHARS = 8
"""A shorter credential is no secret, and stands in any text by chance."""
REFUSAL_BYTES_MAX = 64 * 1024

_HEADER_VALUE = re.compile(r"[\x20-\x7e]{1,1024}", re.ASCII)
_EVENT_STREAM, _JSON = "text/event-stream", "application/json"


class OpenAIProvider:
    """OpenAI itself, or any server that answers as it does.

    `base_url` ends where OpenAI's ends (`https://api.openai.com/v1`). `credential` goes out as a bearer token, to this
    address only; None sends none. `tls` replaces the system's trusted certificates, for a server with a private one.
    `allows` says which addresses may be dialled, for a server that was not named in the configuration; None is any.
    Raises ValueError for an address that is not plain http or https.
    """

    def __init__(
        self,
        base_url: str,
        credential: str | None,
        limits: TransportLimits | None = None,
        *,
        tls: ssl.SSLContext | None = None,
        connections: Connections | None = None,
        allows: Callable[[str], bool] | None = None,
    ) -> None:
        address = checked_base_url(base_url)
        if credential is not None and _HEADER_VALUE.fullmatch(credential) is None:
            raise ValueError("a credential is printable ASCII without line breaks")
        self._connections: Connections = connections or PooledConnections(
            address, limits or TransportLimits(), tls, allows
        )
        own = {"Accept-Encoding": "identity", "Content-Type": _JSON, "User-Agent": f"tessera/{__version__}"}
        self._hidden = credential.encode() if credential and len(credential) >= HIDDEN_FROM_CHARS else b""
        if credential is not None:
            own["Authorization"] = f"Bearer {credential}"
        self._own_headers = {False: {**own, "Accept": _JSON}, True: {**own, "Accept": _EVENT_STREAM}}

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        """See `ports.Provider`. A redirect, a compressed reply or a success of the wrong content type is refused."""
        path = COUNT_PATH if call.counting else PATHS.get(call.surface)
        if path is None:
            raise ValueError(f"an OpenAI-dialect provider does not speak {call.surface}")
        headers = {**self._own_headers[call.stream], "X-Client-Request-Id": call.request_id}
        if call.headers:
            headers = {**_passed_on(call.headers), **headers}
        reply = await self._connections.post(path, headers, call.body, call.on_sent)
        try:
            _check_head(reply, stream=call.stream)
        except BaseException:
            await reply.close()
            raise
        return _Refusal(reply, self._hidden) if reply.status >= 300 and self._hidden else _Answer(reply)

    def retire(self) -> None:
        """Closes what is idle now, and the rest as its calls end."""
        self._connections.retire()

    async def close(self) -> None:
        """Closes every connection."""
        await self._connections.close()


class _Answer:
    """A reply, and the iterator over its body: not a generator, which would need closing when it is left early."""

    def __init__(self, reply: HttpReply) -> None:
        self.status = reply.status
        self.headers = reply.headers
        self._reply = reply

    def chunks(self) -> AsyncIterator[bytes]:
        return self

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        piece = await self._reply.read()
        if not piece:
            raise StopAsyncIteration
        return piece

    async def close(self) -> None:
        await self._reply.close()


class _Refusal(_Answer):
    """An error's body, in large pieces, without the credential: a provider may quote what it was sent."""

    def __init__(self, reply: HttpReply, hidden: bytes) -> None:
        super().__init__(reply)
        self._hidden = hidden

    async def __anext__(self) -> bytes:
        body = b""
        while len(body) <= REFUSAL_BYTES_MAX and (piece := await self._reply.read()):
            body += piece
        if not body:
            raise StopAsyncIteration
        return body.replace(self._hidden, "…".encode())


def checked_base_url(base_url: str) -> str:
    """The address without a final slash. Raises ValueError for anything but http or https, host, port and path."""
    try:
        url = URL(base_url)
    except ValueError:
        raise ValueError(f"{base_url!r} is not an address") from None
    if url.scheme not in ("http", "https") or not url.host:
        raise ValueError(f"{base_url!r} is not an http or https address")
    if url.user is not None or url.password is not None:
        raise ValueError("a base URL carries no user name or password: set the credential instead")
    if url.query_string or url.fragment or "?" in base_url or "#" in base_url:
        raise ValueError(f"{base_url!r} has a query or fragment: a base URL is host, port and path only")
    return base_url.rstrip("/")


def _passed_on(headers: Mapping[str, str]) -> dict[str, str]:
    return {
        name: value
        for name, value in headers.items()
        if name.lower() in CALLER_HEADERS and _HEADER_VALUE.fullmatch(value) is not None
    }


def _check_head(reply: HttpReply, *, stream: bool) -> None:
    if 300 <= reply.status < 400:
        raise TesseraError(ErrorCode.PROVIDER_ERROR, "The provider answered with a redirect, which is not followed.")
    if reply.headers.get("content-encoding", "identity").lower() != "identity":
        raise TesseraError(ErrorCode.PROVIDER_ERROR, "The provider sent a compressed reply although none was accepted.")
    kind = reply.headers.get("content-type", "")
    expected = _EVENT_STREAM if stream else _JSON
    if kind == expected or reply.status != 200:
        return
    if kind.partition(";")[0].strip().lower() not in ("", expected):
        raise TesseraError(ErrorCode.PROVIDER_ERROR, f"The provider's reply is not {expected}.")
