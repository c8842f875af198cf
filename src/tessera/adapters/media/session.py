"""Where the guarded fetch makes its sockets: the address that was checked is the one that is dialled, a name is
resolved once, and one forbidden answer refuses it."""

import socket
import ssl
from typing import Any

import aiohttp
from aiohttp.abc import AbstractResolver, ResolveResult

from tessera.adapters.media.addresses import AddressPolicy
from tessera.adapters.media.limits import MediaLimits
from tessera.adapters.media.names import StrangersResolver

_HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "Tessera image fetch"}


class BlockedError(OSError):
    """An address that may not be dialled."""


def open_session(
    limits: MediaLimits, policy: AddressPolicy, resolver: AbstractResolver | None, ssl_context: ssl.SSLContext | None
) -> aiohttp.ClientSession:
    """A session that dials what the policy allows and nothing else. Must be closed."""

    def make_socket(info: tuple[Any, ...]) -> socket.socket:
        """Called by the connector for each address it is about to dial, wherever the address came from."""
        family, kind, protocol, _, address = info
        if not policy.allows(address[0]):
            raise BlockedError(f"{address[0]} may not be dialled")
        return socket.socket(family=family, type=kind, proto=protocol)

    connector = aiohttp.TCPConnector(
        resolver=_CheckedResolver(resolver or StrangersResolver(), policy),
        socket_factory=make_socket,
        use_dns_cache=False,
        force_close=True,
        limit=limits.fetches_max,
        ssl=ssl_context or True,
    )
    return aiohttp.ClientSession(
        connector=connector,
        cookie_jar=aiohttp.DummyCookieJar(),
        trust_env=False,
        auto_decompress=False,
        headers=_HEADERS,
        timeout=aiohttp.ClientTimeout(total=None, sock_connect=limits.connect_s, sock_read=limits.first_byte_s),
    )


class _CheckedResolver(AbstractResolver):
    """Resolves once and refuses a name with any forbidden answer. Not asked for literal addresses."""

    def __init__(self, inner: AbstractResolver, policy: AddressPolicy) -> None:
        self._inner = inner
        self._policy = policy

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        answers = await self._inner.resolve(host, port, family)
        for answer in answers:
            if not self._policy.allows(answer["host"]):
                raise BlockedError(f"{host} resolves to {answer['host']}, which may not be dialled")
        return answers

    async def close(self) -> None:
        await self._inner.close()
