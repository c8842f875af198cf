"""Addresses of providers that are entered by command or HTTP: guarded as an image's, and https only.

The text is checked when it is entered and again when it is used; what it resolves to is checked at every connection, by
the same policy, where the provider's socket is made.
"""

from collections.abc import Callable, Iterable

from tessera.adapters.media.addresses import AddressPolicy
from tessera.adapters.media.urls import BadUrlError, parse_url
from tessera.domain.errors import ErrorCode, TesseraError

URL_CHARS_MAX = 2_000
_PORT = 443


class GuardedBaseUrls:
    """The port `EnteredAddresses`. `trusted` are the addresses the configuration names: for them anything goes."""

    def __init__(self, trusted: Iterable[str] = ()) -> None:
        self._trusted = frozenset(url.rstrip("/") for url in trusted)
        self._policy = AddressPolicy()

    def check(self, base_url: str) -> str:
        """See the port. A name is judged by what it resolves to, at every connection."""
        text = base_url.strip().rstrip("/")
        if text in self._trusted:
            return text
        try:
            url = parse_url(text, ports=None, chars_max=URL_CHARS_MAX)
        except BadUrlError as why:
            raise _unusable(f"The provider's address cannot be used: {why}.") from None
        if url.scheme != "https" or url.port != _PORT:
            raise _unusable(
                "The provider's address must start with https:// and use the standard port. For another, add it to "
                "trusted_base_urls in the configuration file."
            )
        if url.query_string or "?" in text or "#" in text:
            raise _unusable("The provider's address has a query or fragment; it is host and path only.")
        host = url.host or ""
        if (":" in host or host.replace(".", "").isdecimal()) and not self._policy.allows(host):
            raise _unusable("The provider's address must be public.")
        return str(url).rstrip("/")

    def guard_of(self, base_url: str) -> Callable[[str], bool] | None:
        """What decides about each address that a checked base URL resolves to; None for a trusted one."""
        return None if base_url in self._trusted else self._policy.allows


def _unusable(text: str) -> TesseraError:
    return TesseraError(ErrorCode.INVALID_REQUEST, text, param="base_url")
