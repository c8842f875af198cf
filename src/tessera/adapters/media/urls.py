"""The text of an address, checked before it is believed. yarl is the one parser: it checks, and it dials."""

import ipaddress
import re

from yarl import URL

# Controls and white space anywhere (parsers drop some of them silently), and the backslash (parsers disagree on it).
_FORBIDDEN = re.compile(r"[\x00-\x20\x7f-\xa0\\\u200b-\u200f\u2028-\u202f\u2060-\u206f\ufeff]")
_USERINFO = re.compile(r"(?:[A-Za-z][A-Za-z0-9+.-]*:)?//[^/?#]*@")
_NAME = re.compile(r"[a-z0-9._-]{1,253}")


class BadUrlError(Exception):
    """Why an address cannot be used, as words for its author."""


def parse_url(text: str, *, ports: frozenset[int] | None, chars_max: int, origin: URL | None = None) -> URL:
    """An http or https address that is plain: no user, no odd characters, an allowed port. Raises BadUrlError.

    With `origin`, the text is a redirect's `Location` and may be relative to it. Without `ports` any port will do:
    which are allowed is the operator's business, not the text's.
    """
    if not text or len(text) > chars_max:
        raise BadUrlError(f"it must have 1 to {chars_max} characters")
    if _FORBIDDEN.search(text):
        raise BadUrlError("it contains a backslash, white space or a control character")
    if _USERINFO.match(text):
        raise BadUrlError("it contains a user name or an @ before the host")
    try:
        url = URL(text)
        if origin is not None:
            url = origin.join(url)
        scheme, host, port = url.scheme, url.raw_host, url.port
    except (ValueError, LookupError):  # yarl 1.25 raises IndexError for brackets behind an empty user name
        raise BadUrlError("it cannot be parsed") from None
    if scheme not in ("http", "https"):
        raise BadUrlError("it must start with http:// or https://")
    if url.raw_user is not None or url.raw_password is not None:
        raise BadUrlError("it contains a user name or password")
    if not host or not (_NAME.fullmatch(host) or _is_ipv6(url, host)):
        raise BadUrlError("it has no valid host name")
    if ports is not None and port not in ports:
        raise BadUrlError("its port is not allowed; use the standard port")
    return url.with_fragment(None)


def _is_ipv6(url: URL, host: str) -> bool:
    """Whether the host is an IPv6 address that stands in brackets: yarl loses those around characters of full width."""
    try:
        ipaddress.IPv6Address(host)
    except ValueError:
        return False
    return "%" not in host and f"[{host}]" in url.raw_authority
