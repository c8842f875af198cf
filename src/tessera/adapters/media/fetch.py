"""The guarded fetch: the only way an address from outside is dialled.

The guard sits where sockets are made (`session.py`), so that a literal address, a DNS answer and a redirect pass the
same check. Whatever goes wrong after the syntax, the caller reads one sentence: the endpoint must not become a port
scanner. The reason is in the log, with the host and nothing else of the address.
"""

import asyncio
import ssl
import time
from collections.abc import Callable, Iterable
from importlib import import_module
from typing import TYPE_CHECKING

from yarl import URL

from tessera.adapters.media.addresses import AddressPolicy
from tessera.adapters.media.base64_prefix import too_large
from tessera.adapters.media.limits import MediaLimits
from tessera.adapters.media.source import NeedBytesError
from tessera.adapters.media.urls import BadUrlError, parse_url
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.log import get_logger

_REDIRECTS = frozenset((301, 302, 303, 307, 308))
# No failure is told earlier than this, so that a refused address, a closed port and a missing file take alike.
_FAILURE_FLOOR_S = 0.025
_LOOK_AGAIN_FACTOR = 2

if TYPE_CHECKING:
    import aiohttp
    from aiohttp.abc import AbstractResolver

log = get_logger(__name__)

Look = Callable[[bytes], object]


class _FailedError(Exception):
    """Why a fetch came to nothing; for the log only."""


class ByteBudget:
    """How many bytes the images of one call may still bring together. `take` hears of each that is downloaded."""

    def __init__(self, bytes_max: int, take: Callable[[int], None] | None = None) -> None:
        self._bytes_max = bytes_max
        self._left = bytes_max
        self._take = take

    def download(self, size: int, param: str | None) -> None:
        """Takes `size` bytes that were not in the call's body. Raises as `spend` and `take`."""
        self.spend(size, param)
        if self._take is not None:
            self._take(size)

    def spend(self, size: int, param: str | None) -> None:
        """Takes `size` bytes. Raises [image_too_large] when the images together are too many."""
        self._left -= size
        if self._left < 0:
            raise TesseraError(
                ErrorCode.IMAGE_TOO_LARGE,
                f"The images of this call together exceed {self._bytes_max // 1_000_000} MB, the limit of this "
                "server. Send fewer or smaller ones.",
                param=param,
            )


class GuardedFetch:
    """Downloads images from addresses that strangers name. Must be closed.

    `ports`, `allow_private_networks`, `allow` and `deny` (networks) are the operator's. `resolver` and `ssl_context`
    are for tests and unusual networks; names are still resolved once and every answer is checked.
    """

    def __init__(
        self,
        limits: MediaLimits | None = None,
        *,
        allow_private_networks: bool = False,
        ports: Iterable[int] = (80, 443),
        allow: Iterable[str] = (),
        deny: Iterable[str] = (),
        resolver: "AbstractResolver | None" = None,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._limits = limits or MediaLimits()
        self._policy = AddressPolicy(allow_private_networks=allow_private_networks, allow=allow, deny=deny)
        self._ports = frozenset(ports)
        self._resolver = resolver
        self._ssl = ssl_context
        self._session: aiohttp.ClientSession | None = None

    def check(self, url: str, param: str | None = None) -> URL:
        """The address as it will be used. Raises [invalid_image_url], for syntax only."""
        try:
            return parse_url(url, ports=None, chars_max=self._limits.url_chars_max)
        except BadUrlError as why:
            raise TesseraError(
                ErrorCode.INVALID_IMAGE_URL, f"The image's address cannot be used: {why}.", param=param
            ) from None

    async def get(
        self, url: str, *, param: str | None = None, look: Look | None = None, budget: ByteBudget | None = None
    ) -> bytes:
        """The file at an address, whole.

        `look` is called with the first bytes, and again with more when it raises NeedBytesError; what else it raises
        ends the download at once. Raises [invalid_image_url, failed_to_download_image, image_too_large].
        """
        target = self.check(url, param)
        started = time.monotonic()
        download = _Download(self._limits, param, look, budget)
        session = await self._open_session()
        from aiohttp import ClientError  # loaded by now

        try:
            async with asyncio.timeout(self._limits.fetch_s):
                return await self._follow(target, session, download)
        except (_FailedError, BadUrlError, ClientError, OSError, ValueError) as error:
            reason = "time" if isinstance(error, TimeoutError) else f"{type(error).__name__}: {error}"[:200]
            log.info("image_fetch_failed", host=target.raw_host, reason=reason)
        await asyncio.sleep(max(0.0, started + _FAILURE_FLOOR_S - time.monotonic()))
        raise TesseraError(
            ErrorCode.FAILED_TO_DOWNLOAD_IMAGE,
            "The image could not be downloaded. Check that its address is public and answers quickly with the image, "
            "or send the image itself as a data URL.",
            param=param,
        )

    async def close(self) -> None:
        """Closes every connection."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def _follow(self, url: URL, session: "aiohttp.ClientSession", download: "_Download") -> bytes:
        if url.port not in self._ports:
            raise _FailedError("its port is not allowed")
        seen = {url}
        for _ in range(self._limits.redirects_max + 1):
            async with session.get(url, allow_redirects=False) as response:
                if response.status not in _REDIRECTS:
                    return await download.read(response)
                location = response.headers.get("Location", "")
            url = parse_url(location, ports=self._ports, chars_max=self._limits.url_chars_max, origin=url)
            if url in seen:
                raise _FailedError("it redirects in a circle")
            seen.add(url)
        raise _FailedError("it redirects too often")

    async def _open_session(self) -> "aiohttp.ClientSession":
        if self._session is None:
            # Loaded with the first address, in a thread: 7 MB, and 0.1 s, that a server without such images is spared.
            sessions = await asyncio.to_thread(import_module, "tessera.adapters.media.session")
            if self._session is None:
                self._session = sessions.open_session(self._limits, self._policy, self._resolver, self._ssl)
        return self._session


class _Download:
    """Reads one answer's body within the limits."""

    def __init__(self, limits: MediaLimits, param: str | None, look: Look | None, budget: ByteBudget | None) -> None:
        self._limits = limits
        self._param = param
        self._look = look
        self._look_at = 1
        self._budget = budget

    async def read(self, response: "aiohttp.ClientResponse") -> bytes:
        if response.status != 200:
            raise _FailedError(f"it answers {response.status}")
        if any(value.strip().lower() != "identity" for value in response.headers.getall("Content-Encoding", [])):
            raise _FailedError("it answers encoded although asked not to")
        if response.content_length is not None and response.content_length > self._limits.image_bytes_max:
            raise too_large(self._limits.image_bytes_max, self._param)
        pieces: list[bytes] = []
        size, started = 0, time.monotonic()
        async for piece in response.content.iter_any():
            pieces.append(piece)
            size += len(piece)
            if size > self._limits.image_bytes_max:
                raise too_large(self._limits.image_bytes_max, self._param)
            if self._budget is not None:
                self._budget.download(len(piece), self._param)
            elapsed = time.monotonic() - started
            if elapsed > self._limits.rate_grace_s and size < elapsed * self._limits.rate_bytes_min:
                raise _FailedError("it sends too slowly")
            if self._look is not None and size >= self._look_at:
                pieces = [b"".join(pieces)]
                self._look_early(pieces[0])
        return b"".join(pieces)

    def _look_early(self, start: bytes) -> None:
        assert self._look is not None
        try:
            self._look(start)
        except NeedBytesError as more:
            self._look_at = max(more.size, len(start) * _LOOK_AGAIN_FACTOR)
        else:
            self._look = None
