"""Signed requests to addresses that organizations name.

Owns nothing but the call. Always holds: every address passes the guard of image addresses where its socket is made; no
redirect is followed; of an answer only the status is read.
"""

import asyncio
from collections.abc import Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from tessera.adapters.media.addresses import AddressPolicy
from tessera.adapters.media.limits import MediaLimits
from tessera.adapters.media.urls import BadUrlError, parse_url
from tessera.domain.errors import ErrorCode, TesseraError

if TYPE_CHECKING:
    import aiohttp

URL_CHARS_MAX = 2_000
SECONDS_MAX = 10


class GuardedWebhooks:
    """The port `WebhookSender`. `ports` and `allow_private_networks` are the operator's. Must be closed."""

    def __init__(self, *, allow_private_networks: bool = False, ports: Iterable[int] = (80, 443)) -> None:
        self._policy = AddressPolicy(allow_private_networks=allow_private_networks)
        self._ports = None if allow_private_networks else frozenset(ports)
        self._session: aiohttp.ClientSession | None = None

    def check(self, url: str) -> str:
        """See the port. A name is resolved, and judged by what it resolves to, at every call."""
        try:
            target = parse_url(url, ports=self._ports, chars_max=URL_CHARS_MAX)
        except BadUrlError as why:
            raise _unusable(f"The webhook's address cannot be used: {why}.") from None
        host = target.host or ""
        if (":" in host or host.replace(".", "").isdecimal()) and not self._policy.allows(host):
            raise _unusable("The webhook's address must be public.")
        return str(target)

    async def send(self, url: str, body: bytes, headers: dict[str, str]) -> None:
        """See the port."""
        session = await self._open_session()
        from aiohttp import ClientError  # loaded by now

        try:
            target = parse_url(url, ports=self._ports, chars_max=URL_CHARS_MAX)
            async with (
                asyncio.timeout(SECONDS_MAX),
                session.post(target, data=body, headers=headers, allow_redirects=False) as response,
            ):
                status = response.status
        except TimeoutError:
            raise OSError(f"no answer within {SECONDS_MAX} seconds") from None
        except (ClientError, OSError, ValueError, BadUrlError):
            # One sentence for every reason, so that a webhook is no port scanner.
            raise OSError("the address could not be reached") from None
        if not 200 <= status < 300:
            raise OSError(f"it answered {status}")

    async def close(self) -> None:
        """Closes every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _open_session(self) -> "aiohttp.ClientSession":
        if self._session is None:
            # Loaded with the first call: a server without webhooks is spared its 7 MB.
            sessions = await asyncio.to_thread(import_module, "tessera.adapters.media.session")
            if self._session is None:
                self._session = sessions.open_session(MediaLimits(), self._policy, None, None)
        return self._session


def _unusable(text: str) -> TesseraError:
    return TesseraError(ErrorCode.INVALID_REQUEST, text, param="url")
