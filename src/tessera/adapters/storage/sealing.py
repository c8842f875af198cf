"""Sealing: authenticated encryption of short secrets under the installation's master key.

Always holds: a sealed text opens only under the key it was sealed with and for the row it was sealed for; opened for
another, or changed in one bit, it is an error. The master key itself encrypts nothing: for each version a key is
derived from it (HKDF-SHA-256), apart from what the same secret signs.
"""

import base64
import binascii
import hashlib
import hmac
import os
from collections.abc import Sequence

import msgspec

from tessera.ports.credentials import UnreadableError

KEY_VERSION = 1
"""What is sealed from now on: AES-256-GCM under the first derived key. Earlier versions stay readable."""
_NONCE_BYTES, _TAG_BYTES = 12, 16
_PURPOSE = b"tessera provider credential, key version "


class Sealer:
    """Seals under one installation's master key (32 bytes)."""

    def __init__(self, master_key: bytes) -> None:
        self._master_key = master_key

    def __repr__(self) -> str:
        return "Sealer(…)"

    def seal(self, secret: str, belongs_to: Sequence[str]) -> str:
        """The secret as text that only `open` with the same `belongs_to` reads, under `KEY_VERSION`."""
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM  # 4 MB, for who has credentials only

        nonce = os.urandom(_NONCE_BYTES)
        cipher = AESGCM(self._key(KEY_VERSION))
        sealed = nonce + cipher.encrypt(nonce, secret.encode(), _bound(KEY_VERSION, belongs_to))
        return base64.b64encode(sealed).decode()

    def open(self, sealed: str, key_version: int, belongs_to: Sequence[str]) -> str:
        """The secret. Raises UnreadableError."""
        from cryptography.exceptions import InvalidTag
        from cryptography.hazmat.primitives.ciphers.aead import AESGCM

        if not 1 <= key_version <= KEY_VERSION:
            raise UnreadableError(f"it was sealed by a later version of Tessera (key version {key_version})")
        try:
            content = base64.b64decode(sealed, validate=True)
        except (binascii.Error, ValueError):
            raise UnreadableError("its row in the database is damaged") from None
        if len(content) < _NONCE_BYTES + _TAG_BYTES:
            raise UnreadableError("its row in the database is damaged")
        nonce, rest = content[:_NONCE_BYTES], content[_NONCE_BYTES:]
        try:
            return AESGCM(self._key(key_version)).decrypt(nonce, rest, _bound(key_version, belongs_to)).decode()
        except InvalidTag:
            raise UnreadableError(
                "its row was changed, or the master key (`checkpoint-key`) is not the one it was set with"
            ) from None

    def _key(self, version: int) -> bytes:
        """HKDF-SHA-256 (RFC 5869) without salt, one block of output."""
        extracted = hmac.digest(bytes(hashlib.sha256().digest_size), self._master_key, "sha256")
        return hmac.digest(extracted, _PURPOSE + str(version).encode() + b"\x01", "sha256")


def _bound(key_version: int, belongs_to: Sequence[str]) -> bytes:
    return msgspec.msgpack.encode((key_version, *belongs_to))
