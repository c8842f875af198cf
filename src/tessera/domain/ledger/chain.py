"""The hash chain over an organization's movements, and the signature that pins its end.

Each movement's hash covers the one before, so an edited or missing row breaks every later link. The last link and
the balances are signed with a key kept outside the database, so that a tail cannot be cut off unseen either.
"""

import hashlib
import hmac
from collections.abc import Sequence

import msgspec

CHAIN_START = bytes(32)
"""The link before the first."""

_encode = msgspec.msgpack.Encoder().encode

Value = str | int | bytes | None


def next_link(previous: bytes, movement: Sequence[Value]) -> bytes:
    """The link of a movement: SHA-256 over the link before and every value of the movement's row."""
    return hashlib.sha256(previous + _encode(movement)).digest()


def signature(key: bytes, subject: str, values: Sequence[Value]) -> bytes:
    """HMAC-SHA-256 over a row's values; `subject` says what kind of row it is, so none passes for another kind."""
    return hmac.digest(key, _encode((subject, values)), "sha256")
