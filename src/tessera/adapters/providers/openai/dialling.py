"""Opening connections to one origin: addresses, TCP, TLS. Knows nothing of HTTP beyond its name in the handshake."""

import asyncio
import ipaddress
import socket
import ssl
from collections.abc import Callable
from typing import Any, TypeVar

import aiohappyeyeballs
from yarl import URL

from tessera.adapters.providers.openai.connections import took_too_long, transport_failure

ADDRESSES_S = 10
"""How long a name's addresses are used before it is asked for again."""
NEXT_ADDRESS_S = 0.25
"""How long one address may be silent before the next is tried beside it (RFC 8305 section 8)."""
KEEPALIVE_S = 60
"""The other side is asked whether it is still there after this much silence: a model may think for minutes, and routers
forget connections that are silent."""

P = TypeVar("P", bound=asyncio.BaseProtocol)
Address = tuple[int, int, int, str, tuple[Any, ...]]


class Dialler:
    """Connects to the host and port of `origin`, with TLS when its scheme is https.

    `tls` replaces the system's trusted certificates. Raises ValueError for one that would accept any certificate.
    """

    def __init__(self, origin: URL, connect_s: float, tls: ssl.SSLContext | None = None) -> None:
        host, port = origin.raw_host, origin.port
        if host is None or port is None:
            raise ValueError(f"{origin} names no host")
        self._host, self._port = host, port
        self._connect_s = connect_s
        self._tls = (tls or _trusting_the_system()) if origin.scheme == "https" else None
        if self._tls is not None and (self._tls.verify_mode != ssl.CERT_REQUIRED or not self._tls.check_hostname):
            raise ValueError("certificates and host names must be verified")
        self._addresses: list[Address] = _address_of(host, port)
        self._addresses_until = float("inf") if self._addresses else 0.0
        self._resolving: asyncio.Task[list[Address]] | None = None

    async def connect(self, protocol: Callable[[], P]) -> P:
        """A new connection, its certificate verified. Raises [provider_error, provider_timeout]."""
        try:
            async with asyncio.timeout(self._connect_s):
                return await self._connect(protocol)
        except TimeoutError:
            raise took_too_long("accept the connection") from None
        except ssl.SSLError:
            raise transport_failure("The provider's certificate could not be verified.") from None
        except OSError:
            raise transport_failure("The provider could not be reached.") from None

    async def _connect(self, protocol: Callable[[], P]) -> P:
        loop = asyncio.get_running_loop()
        addresses = await self._resolved(loop)
        opened = await aiohappyeyeballs.start_connection(
            addresses, happy_eyeballs_delay=NEXT_ADDRESS_S, interleave=1, loop=loop
        )
        try:
            _set_options(opened)
            _, made = await loop.create_connection(
                protocol, sock=opened, ssl=self._tls, server_hostname=self._host if self._tls is not None else None
            )
        except BaseException:
            opened.close()
            raise
        return made

    async def _resolved(self, loop: asyncio.AbstractEventLoop) -> list[Address]:
        """The addresses of the host. Calls that need them at the same time ask once; cancelling one leaves the rest."""
        if loop.time() < self._addresses_until:
            return self._addresses
        if self._resolving is None or self._resolving.done():
            self._resolving = loop.create_task(self._ask(loop))
            self._resolving.add_done_callback(_take_note)
        return await asyncio.shield(self._resolving)

    async def _ask(self, loop: asyncio.AbstractEventLoop) -> list[Address]:
        found = await loop.getaddrinfo(self._host, self._port, type=socket.SOCK_STREAM)
        self._addresses = [(family, kind, number, name, address) for family, kind, number, name, address in found]
        self._addresses_until = loop.time() + ADDRESSES_S
        return self._addresses


def _take_note(task: "asyncio.Task[list[Address]]") -> None:
    """A failure that nobody waits for any more is nobody's."""
    if not task.cancelled():
        task.exception()


def _trusting_the_system() -> ssl.SSLContext:
    context = ssl.create_default_context()
    context.set_alpn_protocols(["http/1.1"])
    return context


def _address_of(host: str, port: int) -> list[Address]:
    """The address when the host is written as one, otherwise none."""
    try:
        version = ipaddress.ip_address(host).version
    except ValueError:
        return []
    if version == 4:
        return [(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port))]
    return [(socket.AF_INET6, socket.SOCK_STREAM, socket.IPPROTO_TCP, "", (host, port, 0, 0))]


def _set_options(opened: socket.socket) -> None:
    opened.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    opened.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name in ("TCP_KEEPIDLE", "TCP_KEEPINTVL"):
        if hasattr(socket, name):  # not on every system
            opened.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), KEEPALIVE_S)
