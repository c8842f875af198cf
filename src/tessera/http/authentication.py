"""Who calls: one way to read a key, whichever header carries it."""

import re
from urllib.parse import unquote_plus

from tessera.domain.auth import Caller, key_mode
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.key_rules import check_entry
from tessera.flows.world import World
from tessera.http.exchange import Exchange

_QUERY_NAMES = ("key=", "api_key=", "apikey=", "access_token=", "token=")
_KEY_START = "sk-tess-"
WELL_FORMED_KEPT_MAX = 10_000
_well_formed: set[bytes] = set()


async def authenticate(world: World, exchange: Exchange) -> Caller:
    """The caller of a request. Raises invalid_api_key, the same for missing, malformed, unknown, revoked and expired
    keys; permission_denied for a path or an address outside the key's rules; invalid_request for a key in the address,
    where logs would keep it."""
    key = presented_key(exchange)
    caller = None
    if key is not None:
        digest = world.digest(key)
        # The checksum keeps rubbish away from the database. A digest it let through before needs no second look.
        if digest in _well_formed or key_mode(key) is not None:
            if len(_well_formed) >= WELL_FORMED_KEPT_MAX:
                _well_formed.clear()
            _well_formed.add(digest)
            caller = await world.storage.find_caller(digest)
    if caller is None:
        raise TesseraError(
            ErrorCode.INVALID_API_KEY,
            "This API key is missing or not valid. Send a key as `Authorization: Bearer sk-tess-…`.",
        )
    if exchange.load is not None and key is not None:
        exchange.load.remember_owner(key, caller.organization_id)
    if caller.rules is not None:
        client = exchange.scope.get("client")
        check_entry(caller.rules, exchange.scope["path"], client[0] if client else "")
    return caller


def _holds_key(query: bytes) -> bool:
    """Whether a query carries a key, under a usual name or as a value, however it is escaped."""
    text = unquote_plus(query.decode("latin-1")).lower()
    return _KEY_START in text or any(part.startswith(_QUERY_NAMES) for part in re.split("[&;?]", text))


def presented_key(exchange: Exchange) -> str | None:
    """The key in whichever header it came; two different keys are no key. Raises [invalid_request] for a key in the
    address."""
    query: bytes = exchange.scope["query_string"]
    if query and _holds_key(query):
        raise TesseraError(
            ErrorCode.INVALID_REQUEST,
            "API keys do not belong in an address, where logs keep them. Send the key as Authorization: Bearer, and "
            "revoke this one.",
        )
    found: set[str] = set()
    headers = exchange.headers()
    authorization = headers.get(b"authorization")
    if authorization is not None:
        scheme, _, value = authorization.decode("latin-1").partition(" ")
        found.add(value.strip() if scheme.lower() == "bearer" else "")
    for name in (b"x-api-key", b"x-goog-api-key"):
        if name in headers:
            found.add(headers[name].decode("latin-1").strip())
    return found.pop() if len(found) == 1 else None
