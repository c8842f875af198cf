"""Opening connections to one origin: addresses, TCP, TLS. Knows nothing of HTTP beyond its name in the handshake."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable, Sequence
from itertools import zip_longest
from typing import Any, TypeVar, cast

from yarl import URL

from tessera.adapters.providers.openai.connections import took_too_long, transport_failure
from tessera.log import get_logger

ADDRESSES_S = 10
"""How long a name's addresses are used before it is asked for again."""
NEXT_ADDRESS_S = 0.25
"""How long one address may be silent before the next is tried beside it (RFC 8305 section 8)."""
KEEPALIVE_S = 60
"""The other side is asked whether it is still there after this much silence: a model may think for minutes, and routers
forget connections that are silent."""

log = get_logger(__name__)

P = TypeVar("P", bound=asyncio.BaseProtocol)


class BlockedAddressError(OSError):
    """An address that may not be dialled. Callers hear of it as of one that does not answer."""


class Dialler:
    """Connects to the host and port of `origin`, with TLS when its scheme is https.

    `tls` replaces the system's trusted certificates. `allows` says whether an address may be dialled; None is any.
    Raises ValueError for a `tls` that would accept any certificate.
    """

    def __init__(
        self,
        origin: URL,
        connect_s: float,
        tls: ssl.SSLContext | None = None,
        allows: Callable[[str], bool] | None = None,
    ) -> None:
        host, port = origin.raw_host, origin.port
        if host is None or port is None:
            raise ValueError(f"{origin} names no host")
        self._host, self._port = host, port
        self._connect_s = connect_s
        self._allows = allows
        self._tls = (tls or _trusting_the_system()) if origin.scheme == "https" else None
        if self._tls is not None and (self._tls.verify_mode != ssl.CERT_REQUIRED or not self._tls.check_hostname):
            raise ValueError("certificates and host names must be verified")
        self._addresses: Sequence[str] = [host] if _is_address(host) else []
        self._addresses_until = float("inf") if self._addresses else 0.0
        self._resolving: asyncio.Task[Sequence[str]] | None = None
        self._unwanted: set[asyncio.Task[Any]] = set()

    async def connect(self, protocol: Callable[[], P]) -> P:
        """A new connection, its certificate verified. Raises [provider_error, provider_timeout]."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(self._connect_s):
                transport, made = await self._race(loop, protocol, await self._resolved(loop))
        except TimeoutError:
            raise took_too_long("accept the connection") from None
        except ssl.SSLError:
            raise transport_failure("The provider's certificate could not be verified.") from None
        except (OSError, UnicodeError):
            # The second for a name with a label that is empty or too long, which nobody is asked for.
            raise transport_failure("The provider could not be reached.") from None
        _set_options(transport)
        return made

    async def _race(
        self, loop: asyncio.AbstractEventLoop, protocol: Callable[[], P], addresses: Sequence[str]
    ) -> tuple[asyncio.BaseTransport, P]:
        """The first of the addresses that answers, each tried when the one before has failed or been silent."""
        left = list(addresses)
        attempts: set[asyncio.Task[tuple[asyncio.BaseTransport, P]]] = set()
        try:
            while True:
                if left:
                    attempts.add(loop.create_task(self._attempt(loop, protocol, left.pop(0))))
                wait_s = NEXT_ADDRESS_S if left else None
                done, _ = await asyncio.wait(attempts, timeout=wait_s, return_when=asyncio.FIRST_COMPLETED)
                for attempt in done:
                    attempts.discard(attempt)
                    failure = attempt.exception()
                    if failure is None:
                        return attempt.result()
                    if not attempts and not left:
                        raise failure
        finally:
            for attempt in attempts:
                self._unwanted.add(attempt)
                attempt.add_done_callback(self._drop)

    async def _attempt(
        self, loop: asyncio.AbstractEventLoop, protocol: Callable[[], P], address: str
    ) -> tuple[asyncio.BaseTransport, P]:
        """One connection. Runs to its end, whoever stops waiting, because loops do not clean up after a cancelled
        handshake; opens the socket itself, because one given to uvloop is closed twice when it is lost at once.

        What is checked here is what is dialled: the address is no name any more, so nobody looks it up again."""
        self._check(address)
        secure: dict[str, Any] = {}
        if self._tls is not None:
            secure = {"ssl": self._tls, "server_hostname": self._host, "ssl_handshake_timeout": self._connect_s}
        async with asyncio.timeout(self._connect_s):
            return await loop.create_connection(protocol, address, self._port, **secure)

    def _drop(self, attempt: "asyncio.Task[tuple[asyncio.BaseTransport, Any]]") -> None:
        """Nobody waits for this connection any more."""
        self._unwanted.discard(attempt)
        if not attempt.cancelled() and attempt.exception() is None:
            cast(asyncio.Transport, attempt.result()[0]).abort()

    async def _resolved(self, loop: asyncio.AbstractEventLoop) -> Sequence[str]:
        """The addresses of the host. Calls that need them at the same time ask once; cancelling one leaves the rest."""
        if loop.time() < self._addresses_until:
            return self._addresses
        if self._resolving is None or self._resolving.done():
            self._resolving = loop.create_task(self._ask(loop))
            self._resolving.add_done_callback(_take_note)
        return await asyncio.shield(self._resolving)

    async def _ask(self, loop: asyncio.AbstractEventLoop) -> Sequence[str]:
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        for *_, (address, *_) in found:
            self._check(str(address))
        first = [str(address[0]) for family, _, _, _, address in found if family == found[0][0]]
        other = [str(address[0]) for family, _, _, _, address in found if family != found[0][0]]
        self._addresses = [address for pair in zip_longest(first, other) for address in pair if address is not None]
        self._addresses_until = loop.time() + ADDRESSES_S
        return self._addresses

    def _check(self, address: str) -> None:
        """One forbidden address among a host's refuses the host."""
        if self._allows is not None and not self._allows(address):
            log.warning("provider.address_blocked", host=self._host, address=address)
            raise BlockedAddressError(address)


def _take_note(task: "asyncio.Task[Sequence[str]]") -> None:
    """A failure that nobody waits for any more is nobody's."""
    if not task.cancelled():
        task.exception()


def _trusting_the_system() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _is_address(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True


def _set_options(transport: asyncio.BaseTransport) -> None:
    """Both loops set TCP_NODELAY themselves."""
    opened = transport.get_extra_info("socket")
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        if hasattr(socket, name):  # not on every system
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), KEEPALIVE_S)
