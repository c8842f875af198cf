"""JSON from an identity provider over HTTP, bounded in time and size."""

from collections.abc import Mapping
from typing import Any

import aiohttp
import msgspec

SECONDS_MAX = 10
BYTES_MAX = 262_144
CONNECTIONS_MAX = 8


class ProviderUnreachableError(Exception):
    """The identity provider did not answer as one must; the message says how, for the operator's log."""


class Refused(msgspec.Struct, frozen=True):
    """An answer that is an error: its status, and OAuth's code for it (RFC 6749, 5.2) where it has one."""

    status: int
    error: str


def open_session(seconds_max: float = SECONDS_MAX) -> aiohttp.ClientSession:
    """Connections to one provider: no cookies, no proxy from the environment, no compression to unpack. A whole answer
    takes at most `seconds_max`."""
    return aiohttp.ClientSession(
        timeout=aiohttp.ClientTimeout(total=seconds_max),
        connector=aiohttp.TCPConnector(limit=CONNECTIONS_MAX),
        cookie_jar=aiohttp.DummyCookieJar(),
        auto_decompress=False,
        headers={"Accept": "application/json", "Accept-Encoding": "identity", "User-Agent": "tessera"},
    )


async def ask(
    session: aiohttp.ClientSession,
    method: str,
    url: str,
    *,
    form: Mapping[str, str] | None = None,
    headers: Mapping[str, str] | None = None,
) -> dict[str, Any] | Refused:
    """The JSON object that a request is answered with. Raises ProviderUnreachableError."""
    try:
        async with session.request(method, url, data=form, headers=headers, allow_redirects=False) as response:
            content = await _read(response)
            status = response.status
    except TimeoutError:
        raise ProviderUnreachableError("no whole answer in time") from None
    except (aiohttp.ClientError, OSError, ValueError) as error:
        raise ProviderUnreachableError(f"it could not be reached: {type(error).__name__}") from error
    try:
        found = msgspec.json.decode(content, type=dict[str, Any])
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
        found = None
    if 400 <= status < 500:
        error_code = None if found is None else found.get("error")
        return Refused(status, error_code[:64] if isinstance(error_code, str) else "")
    if status != 200 or found is None:
        raise ProviderUnreachableError(f"it answered {status}, or no JSON object")
    return found


async def _read(response: aiohttp.ClientResponse) -> bytes:
    if response.headers.get("Content-Encoding", "identity") != "identity":
        raise ProviderUnreachableError("its answer is compressed, unasked")
    content = bytearray()
    async for piece in response.content.iter_any():
        content += piece
        if len(content) > BYTES_MAX:
            raise ProviderUnreachableError(f"its answer has more than {BYTES_MAX} bytes")
    return bytes(content)
