"""What the dialect needs of HTTP, and the words for what goes wrong with it.

`Connections` is the small interface behind which any HTTP client can stand: it knows POST requests and deadlines,
nothing of models or dialects. `PooledConnections` in `pool.py` is the one that serves.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Protocol

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError


class TransportLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on one call's transport. Seconds unless the name says otherwise.

    `first_byte_s` runs from the call to the head of the reply, upload included: reasoning models and flex calls stay
    silent for many minutes. `gap_s` bounds the silence between two pieces of a body, `total_s` the whole call.
    `idle_s` is how long an unused connection is kept: below the 5 s after which uvicorn (and so vLLM) closes its own,
    so that a call is rarely sent into a connection that is just being closed. No call waits for a connection: past
    `connections_max` calls in flight the next is refused.
    """

    connect_s: float = 10
    first_byte_s: float = 900
    gap_s: float = 120
    total_s: float = 3600
    idle_s: float = 4
    connections_max: int = 4096
    reply_bytes_max: int = 256 * 1024 * 1024


class HttpReply(Protocol):
    """One HTTP reply, head read. `headers` have lower-case names."""

    status: int
    headers: Mapping[str, str]

    def read(self) -> Awaitable[bytes]:
        """The next piece of the body, b"" at its end. Raises [provider_error, provider_timeout]."""
        ...

    async def close(self) -> None:
        """Gives the connection back when the whole reply has arrived, cuts it otherwise."""
        ...


class Connections(Protocol):
    """Sends POST requests to one base URL."""

    async def post(
        self,
        path: str,
        headers: Mapping[str, str],
        body: Sequence[bytes | memoryview],
        on_sent: Callable[[], None] | None = None,
    ) -> HttpReply:
        """Sends the pieces one after the other; `on_sent` is called just before the first byte of them goes out.

        Raises [provider_error, provider_timeout, overloaded].
        """
        ...

    def retire(self) -> None:
        """Closes what is idle now, and the rest as its replies end."""
        ...

    async def close(self) -> None: ...


def took_too_long(what: str) -> TesseraError:
    """A deadline passed while the provider should have done `what`."""
    return TesseraError(ErrorCode.PROVIDER_TIMEOUT, f"The provider took too long to {what}.")


def transport_failure(text: str) -> TesseraError:
    """A fault of the transport, in our own words: a library's would name hosts and ports."""
    return TesseraError(ErrorCode.PROVIDER_ERROR, text)
