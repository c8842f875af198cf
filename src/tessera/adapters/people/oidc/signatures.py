"""The signature of an ID token: by an allowed algorithm, with the provider's own key of that algorithm's kind."""

import warnings
from collections.abc import Sequence
from typing import Any

from joserfc import jwk, jws, jwt
from joserfc.errors import BadSignatureError, JoseError, SecurityWarning

ALGORITHMS = {
    "RS256": {"kty": "RSA"},
    "ES256": {"kty": "EC", "crv": "P-256"},
    "EdDSA": {"kty": "OKP", "crv": "Ed25519"},
    "Ed25519": {"kty": "OKP", "crv": "Ed25519"},
}
"""What is accepted, and what key it takes. Never `none`, and nothing with a shared secret: with an HS algorithm, the
provider's public key would be that secret. Ed25519 is the newer name of EdDSA on that curve (RFC 9864)."""

RSA_BITS_MIN = 2048
# The older name is what most providers still write; what it stands for is sound.
warnings.filterwarnings("ignore", "EdDSA is deprecated", SecurityWarning)
# A key that is too short is refused here, not warned of.
warnings.filterwarnings("ignore", "Key size should be", SecurityWarning)

_ALLOWED = [*ALGORITHMS]
_REGISTRY = jws.JWSRegistry(algorithms=_ALLOWED, strict_check_header=False)


class SignatureError(Exception):
    """Why a token cannot be trusted, for the operator's log."""


class UnknownKeyError(SignatureError):
    """No key at hand made this token; the provider may have newer ones."""


def signed_claims(token: str, keys: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """The claims of a token that one of the keys signed. Raises SignatureError, UnknownKeyError."""
    try:
        header = jws.extract_compact(token.encode("ascii"), registry=_REGISTRY).headers()
    except (JoseError, UnicodeEncodeError, ValueError, RecursionError) as error:
        raise SignatureError("it is not a signed token") from error
    algorithm = header.get("alg")
    if not isinstance(algorithm, str) or algorithm not in ALGORITHMS:
        raise SignatureError("its algorithm is not allowed")
    key = _key(keys, algorithm, header.get("kid"))
    try:
        return dict(jwt.decode(token, key, algorithms=_ALLOWED, registry=_REGISTRY).claims)
    except BadSignatureError as error:
        raise UnknownKeyError("its signature is not of the provider's key") from error
    except (JoseError, ValueError, TypeError, RecursionError) as error:
        raise SignatureError(f"its signature does not hold: {type(error).__name__}") from error


def _key(keys: Sequence[dict[str, Any]], algorithm: str, key_id: object) -> jwk.Key:
    """The one key that fits. Without a key id there must be no choice (OpenID Connect Core 1.0, 10.1)."""
    names = {algorithm, "EdDSA"} if algorithm == "Ed25519" else {algorithm}
    fitting = [
        key
        for key in keys
        if all(key.get(name) == value for name, value in ALGORITHMS[algorithm].items())
        and key.get("use", "sig") == "sig"
        and key.get("alg", algorithm) in names
        and (key_id is None or key.get("kid") == key_id)
    ]
    if len(fitting) != 1:
        raise UnknownKeyError("no one key of the provider fits it")
    try:
        key = jwk.import_key(fitting[0])
    except (JoseError, ValueError, TypeError) as error:
        raise SignatureError("the provider's key cannot be read") from error
    if isinstance(key, jwk.RSAKey) and key.public_key.key_size < RSA_BITS_MIN:
        raise SignatureError("the provider's key is too short")
    return key
