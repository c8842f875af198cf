"""The session cookie, and what tells a page's own request from another site's."""

from urllib.parse import urlsplit

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.sessions import Browser, SignedIn
from tessera.http.exchange import Exchange

CSRF_HEADER = b"x-csrf-token"
_SECURE_NAME = "__Host-tessera"
_PLAIN_NAME = "tessera-session"
_SAFE = ("GET", "HEAD")


def browser_of(accounts: Accounts, exchange: Exchange) -> Browser:
    """Where a request comes from, and the session token its cookie holds."""
    client = exchange.scope.get("client")
    return Browser(
        address=client[0] if client else "",
        user_agent=exchange.header(b"user-agent") or "",
        session_token=_token(accounts, exchange),
    )


def set_session(accounts: Accounts, exchange: Exchange, signed_in: SignedIn) -> None:
    """Hands the session's token to the browser, out of reach of scripts and of other sites' requests."""
    seconds = signed_in.session.expires_at - signed_in.session.created_at
    _set(accounts, exchange, signed_in.token, seconds)


def clear_session(accounts: Accounts, exchange: Exchange) -> None:
    """Takes the token back."""
    _set(accounts, exchange, "", 0)


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


def _set(accounts: Accounts, exchange: Exchange, token: str, seconds: int) -> None:
    secure = _secure(accounts, exchange)
    name = _SECURE_NAME if secure else _PLAIN_NAME
    parts = [f"{name}={token}", "Path=/", "HttpOnly", "SameSite=Lax", f"Max-Age={seconds}"]
    exchange.add_header(b"set-cookie", "; ".join([*parts, "Secure"] if secure else parts))


def _token(accounts: Accounts, exchange: Exchange) -> str | None:
    """The one value of the one cookie; two different ones are none."""
    name = _SECURE_NAME if _secure(accounts, exchange) else _PLAIN_NAME
    found = set()
    for part in (exchange.header(b"cookie") or "").split(";"):
        key, separator, value = part.strip().partition("=")
        if separator and key == name:
            found.add(value)
    token = found.pop() if len(found) == 1 else None
    return token if token and len(token) <= 256 else None
