"""API keys and who calls: format, checksum, digest. The secret itself is never stored, logged or compared as text."""

import hashlib
import re
import zlib
from functools import lru_cache

import msgspec

from tessera.domain.key_rules import KeyRules
from tessera.domain.money import Mode

BASE62 = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
SECRET_LENGTH = 30
_PAIRS = [high + low for high in BASE62 for low in BASE62]
_KEY = re.compile(r"sk-tess-(live|test)-([0-9A-Za-z]{30})([0-9A-Za-z]{6})", re.ASCII)
_ADMIN = "admin"
_ADMIN_KEY = re.compile(r"sk-tess-admin-([0-9A-Za-z]{30})([0-9A-Za-z]{6})", re.ASCII)


class Caller(msgspec.Struct, frozen=True, kw_only=True):
    """Who a call is for, as the database knows it: never built from anything the caller says beside the key.

    `organization` is its name, by which the operator's price rows may call it. `ends_at` is when the key ends, in
    seconds since 1970: whoever remembers a caller must not take it for one after that. `rules` is what the key may be
    used for; None is for anything.
    """

    organization_id: str
    project_id: str
    key_id: str
    mode: Mode
    organization: str = ""
    ends_at: int | None = None
    rules: KeyRules | None = None

    @property
    def organization_names(self) -> tuple[str, ...]:
        """What a price row may call the organization: its id or its name."""
        return (self.organization_id, self.organization)


def make_key(mode: Mode, random: bytes) -> str:
    """A new secret key from at least 30 random bytes: prefix, mode, 30 base-62 characters, checksum of six.

    Bytes are reduced by rejection-free big-integer base conversion, so that 30 characters carry about 178 bits.
    """
    return _make(mode, random)


def make_admin_key(random: bytes) -> str:
    """A new secret key for administration, made as a key for calls is; it makes no calls."""
    return _make(_ADMIN, random)


def is_admin_key(key: str) -> bool:
    """Whether a key is a well-formed one for administration. It proves nothing."""
    match = _ADMIN_KEY.fullmatch(key)
    return match is not None and _checksum(_ADMIN, match[1]) == match[2]


def key_mode(key: str) -> Mode | None:
    """The mode a well-formed key claims, or None if format or checksum is wrong.

    The checksum lets rubbish be refused, and leaks be recognised, without the database; it proves nothing.
    """
    match = _KEY.fullmatch(key)
    if match is None or _checksum(Mode(match[1]), match[2]) != match[3]:
        return None
    return Mode(match[1])


def key_digest(key: str, pepper: bytes) -> bytes:
    """What the database stores and looks up: HMAC-SHA-256 of the whole key under the operator's pepper.

    HMAC is put together from two prepared hashes: on every call, that costs less than half of what `hmac.digest` does,
    which also lets other threads in each time.
    """
    halves = _halves(pepper)
    inner, outer = halves[0].copy(), halves[1].copy()
    inner.update(key.encode())
    outer.update(inner.digest())
    return outer.digest()


@lru_cache(maxsize=4)
def _halves(pepper: bytes) -> tuple["hashlib._Hash", "hashlib._Hash"]:
    """The inner and outer hash of HMAC (RFC 2104) once they have taken the padded pepper in."""
    block = (hashlib.sha256(pepper).digest() if len(pepper) > 64 else pepper).ljust(64, b"\0")
    return hashlib.sha256(bytes(byte ^ 0x36 for byte in block)), hashlib.sha256(bytes(byte ^ 0x5C for byte in block))


def _make(kind: str, random: bytes) -> str:
    if len(random) < SECRET_LENGTH:
        raise ValueError("a key needs at least 30 random bytes")
    body = _base62(int.from_bytes(random, "big") % 62**SECRET_LENGTH, SECRET_LENGTH)
    return f"sk-tess-{kind}-{body}{_checksum(kind, body)}"


def _checksum(kind: str, body: str) -> str:
    return _base62(zlib.crc32(f"{kind}{body}".encode()), 6)


def _base62(number: int, length: int) -> str:
    """The last `length` digits, an even number of them."""
    pairs = []
    for _ in range(length // 2):
        number, pair = divmod(number, 3844)
        pairs.append(_PAIRS[pair])
    return "".join(reversed(pairs))
