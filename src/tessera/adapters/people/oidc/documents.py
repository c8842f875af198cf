"""A provider's discovery document and its keys, kept for a while and fetched by one caller for all who wait."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Any, Generic, TypeVar
from urllib.parse import urlsplit

import aiohttp
import msgspec

from tessera.adapters.people.oidc.answers import ProviderUnreachableError, Refused, ask

KEPT_S = 3_600
KEYS_MAX = 100
LOOPBACK = ("127.0.0.1", "::1", "localhost")

T = TypeVar("T")


class Discovery(msgspec.Struct, frozen=True, kw_only=True):
    """What is used of a discovery document (OpenID Connect Discovery 1.0, 3)."""

    issuer: str
    authorization_endpoint: str
    token_endpoint: str
    jwks_uri: str
    userinfo_endpoint: str | None = None
    token_endpoint_auth_methods_supported: tuple[str, ...] = ("client_secret_basic",)
    authorization_response_iss_parameter_supported: bool = False


class Kept(Generic[T]):
    """A document that is fetched when it is first asked for and when it is too old; a failure is not kept."""

    def __init__(self, fetch: Callable[[], Awaitable[T]]) -> None:
        self._fetch = fetch
        self._kept: tuple[float, T] | None = None
        self._fetching: asyncio.Task[T] | None = None

    async def get(self, *, known: T | None = None) -> T:
        """The document; another than `known`, which was found wanting, if there is another by now."""
        if self._kept is not None and self._kept[0] > time.monotonic() - KEPT_S and self._kept[1] is not known:
            return self._kept[1]
        if self._fetching is None:
            self._fetching = asyncio.get_running_loop().create_task(self._fetched())
            # What went wrong is for those who wait; when all have left, it is for nobody.
            self._fetching.add_done_callback(lambda done: done.cancelled() or done.exception())
        # Shielded: one of those who wait may leave, and the others still get it.
        return await asyncio.shield(self._fetching)

    async def close(self) -> None:
        """Ends a fetch that is under way."""
        fetching = self._fetching
        if fetching is not None:
            fetching.cancel()
            await asyncio.wait([fetching])

    async def _fetched(self) -> T:
        try:
            found = await self._fetch()
        finally:
            self._fetching = None
        self._kept = (time.monotonic(), found)
        return found


async def fetch_discovery(session: aiohttp.ClientSession, issuer: str) -> Discovery:
    """The issuer's own description. Raises ProviderUnreachableError, also when it describes another issuer."""
    found = await ask(session, "GET", f"{issuer.rstrip('/')}/.well-known/openid-configuration")
    if isinstance(found, Refused):
        raise ProviderUnreachableError(f"its discovery document was answered with {found.status}")
    try:
        discovery = msgspec.convert(found, Discovery)
    except msgspec.ValidationError as error:
        raise ProviderUnreachableError(f"its discovery document cannot be used: {error}") from error
    if discovery.issuer != issuer:
        raise ProviderUnreachableError("its discovery document is another issuer's")
    for endpoint in (
        discovery.authorization_endpoint,
        discovery.token_endpoint,
        discovery.jwks_uri,
        discovery.userinfo_endpoint,
    ):
        if endpoint is not None and not is_safe(endpoint, issuer):
            raise ProviderUnreachableError("its discovery document names an address that is not https")
    return discovery


async def fetch_keys(session: aiohttp.ClientSession, jwks_uri: str) -> tuple[dict[str, Any], ...]:
    """The provider's keys as they stand in its document (RFC 7517, 5). Raises ProviderUnreachableError."""
    found = await ask(session, "GET", jwks_uri)
    keys = None if isinstance(found, Refused) else found.get("keys")
    if not isinstance(keys, list) or len(keys) > KEYS_MAX:
        raise ProviderUnreachableError(f"its keys are no list of at most {KEYS_MAX}")
    return tuple(key for key in keys if isinstance(key, dict))


def is_safe(url: str, issuer: str) -> bool:
    """Whether secrets may go there: over TLS, or on this machine for an issuer that is on it."""
    try:
        parts = urlsplit(url)
        host = parts.hostname
    except ValueError:
        return False
    if host is None or parts.fragment or "@" in parts.netloc:
        return False
    return parts.scheme == "https" or (
        parts.scheme == "http" and host in LOOPBACK and urlsplit(issuer).hostname in LOOPBACK
    )
