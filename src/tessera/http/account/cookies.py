"""The cookies of a session and of a sign-in elsewhere, and what tells a page's own request from another site's."""

from urllib.parse import urlsplit

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.sessions import Browser, SignedIn
from tessera.http.exchange import Exchange

CSRF_HEADER = b"x-csrf-token"
_SESSION = ("__Host-tessera", "tessera-session")
_SIGN_IN = ("__Host-tessera-sign-in", "tessera-sign-in")
"""Names over HTTPS, which no other host can set, and on plain HTTP, where browsers refuse those."""

_SAFE = ("GET", "HEAD")


def browser_of(accounts: Accounts, exchange: Exchange) -> Browser:
    """Where a request comes from, and the session token its cookie holds."""
    client = exchange.scope.get("client")
    return Browser(
        address=client[0] if client else "",
        user_agent=exchange.header(b"user-agent") or "",
        session_token=_value(accounts, exchange, _SESSION),
    )


def set_session(accounts: Accounts, exchange: Exchange, signed_in: SignedIn) -> None:
    """Hands the session's token to the browser, out of reach of scripts and of other sites' requests."""
    seconds = signed_in.session.expires_at - signed_in.session.created_at
    _set(accounts, exchange, _SESSION, signed_in.token, seconds)


def clear_session(accounts: Accounts, exchange: Exchange) -> None:
    """Takes the token back."""
    _set(accounts, exchange, _SESSION, "", 0)


def set_sign_in(accounts: Accounts, exchange: Exchange, kept: str, seconds: int) -> None:
    """Has the browser keep what a sign-in at an identity provider is known by."""
    _set(accounts, exchange, _SIGN_IN, kept, seconds)


def sign_in_of(accounts: Accounts, exchange: Exchange) -> str | None:
    """What the browser kept of a sign-in that it began."""
    return _value(accounts, exchange, _SIGN_IN)


def clear_sign_in(accounts: Accounts, exchange: Exchange) -> None:
    """Takes it back."""
    _set(accounts, exchange, _SIGN_IN, "", 0)


def check_origin(accounts: Accounts, exchange: Exchange, *, by_cookie: bool) -> None:
    """Refuses a change that another site's page asks for (T25). Raises [permission_denied].

    Browsers say where a request comes from: in `Origin`, or at least in `Sec-Fetch-Site`. What says neither is no
    browser; it may sign in, but a change by cookie it may not make.
    """
    if exchange.scope["method"] in _SAFE:
        return
    origin, site = exchange.header(b"origin"), exchange.header(b"sec-fetch-site")
    if origin is not None:
        allowed = _is_own(accounts, exchange, origin)
    elif site is not None:
        allowed = site == "same-origin"
    else:
        allowed = not by_cookie
    if not allowed:
        raise TesseraError(ErrorCode.PERMISSION_DENIED, "This request comes from another site's page.")


def check_csrf_token(accounts: Accounts, exchange: Exchange, session_token: str) -> None:
    """Refuses a change without the token that only the signed-in page can read. Raises [permission_denied]."""
    if exchange.scope["method"] in _SAFE:
        return
    if not accounts.is_csrf_token(session_token, exchange.header(CSRF_HEADER) or ""):
        raise TesseraError(
            ErrorCode.PERMISSION_DENIED,
            "Send X-CSRF-Token with the csrf_token of GET /account/session, for this session.",
            param="X-CSRF-Token",
        )


def _is_own(accounts: Accounts, exchange: Exchange, origin: str) -> bool:
    if origin == accounts.base_url:
        return True
    host = exchange.header(b"host")
    try:
        parts = urlsplit(origin)
    except ValueError:
        return False
    return bool(host) and parts.scheme in ("http", "https") and parts.netloc == host


def _secure(accounts: Accounts, exchange: Exchange) -> bool:
    return accounts.base_url.startswith("https://") or exchange.scope.get("scheme") == "https"


def _set(accounts: Accounts, exchange: Exchange, names: tuple[str, str], value: str, seconds: int) -> None:
    secure = _secure(accounts, exchange)
    name = names[0] if secure else names[1]
    parts = [f"{name}={value}", "Path=/", "HttpOnly", "SameSite=Lax", f"Max-Age={seconds}"]
    exchange.add_header(b"set-cookie", "; ".join([*parts, "Secure"] if secure else parts))


def _value(accounts: Accounts, exchange: Exchange, names: tuple[str, str]) -> str | None:
    """The one value of the one cookie; two different ones are none."""
    name = names[0] if _secure(accounts, exchange) else names[1]
    found = set()
    for part in (exchange.header(b"cookie") or "").split(";"):
        key, separator, value = part.strip().partition("=")
        if separator and key == name:
            found.add(value)
    one = found.pop() if len(found) == 1 else None
    return one if one and len(one) <= 256 else None
