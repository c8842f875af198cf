"""What an identity provider's claims must say before anybody is signed in by them (OpenID Connect Core 1.0, 3.1.3.7).

Pure: the signature was checked before, and by whom the claims were signed.
"""

import hmac
from collections.abc import Callable, Mapping
from typing import Any

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Record
from tessera.domain.people.rules import normal_email, normal_name

SUBJECT_LENGTH_MAX = 255
"""Core 1.0, 2: a subject has at most 255 ASCII characters."""

CLOCK_DIFFERENCE_S = 60
AGE_S_MAX = 600
"""An ID token is made while its receiver waits for it: one older than a sign-in can last was made for another."""


class ClaimsError(Exception):
    """Why claims cannot be accepted, for the operator's log."""


class Identity(Record, frozen=True, kw_only=True):
    """Who somebody is at an identity provider: the pair never changes and is never given to anybody else.

    `email` is the address the provider vouches for, None where it vouches for none; `name` may be empty.
    """

    issuer: str
    subject: str
    email: str | None = None
    name: str = ""


def identity_of(claims: Mapping[str, Any], *, issuer: str, client_id: str, nonce: str, now: int) -> Identity:
    """The identity in an ID token's claims, `now` in seconds since 1970. Raises ClaimsError."""
    if claims.get("iss") != issuer:
        raise ClaimsError("iss is another issuer")
    _check_audience(claims, client_id)
    _check_times(claims, now)
    presented = claims.get("nonce")
    if not isinstance(presented, str) or not hmac.compare_digest(presented.encode("utf-8", "replace"), nonce.encode()):
        raise ClaimsError("nonce is not the one of this sign-in")
    return vouched_for(claims, issuer, _subject(claims))


def vouched_for(claims: Mapping[str, Any], issuer: str, subject: str) -> Identity:
    """The identity with what claims about `subject`, of an ID token or of UserInfo, say of it. Raises ClaimsError when
    they are about somebody else.

    An address counts only with `email_verified` true, the truth value: anybody can write an address they do not have.
    One that cannot be used here counts as none.
    """
    if _subject(claims) != subject:
        raise ClaimsError("sub is another person")
    email = None
    if claims.get("email_verified") is True:
        email = _usable(normal_email, claims.get("email"))
    return Identity(issuer=issuer, subject=subject, email=email, name=_usable(normal_name, claims.get("name")) or "")


def name_of(identity: Identity) -> str:
    """What a new account is called: the name, or what stands before the @ of the address."""
    return identity.name or (identity.email or "").partition("@")[0]


def no_verified_email() -> TesseraError:
    """The refusal of somebody new whose provider vouches for no address of theirs."""
    return TesseraError(
        ErrorCode.PERMISSION_DENIED,
        "The identity provider vouches for no e-mail address of yours (email_verified), so it cannot be told whose "
        "account this is. Verify the address there, or sign in with a password.",
    )


def _check_audience(claims: Mapping[str, Any], client_id: str) -> None:
    audience = claims.get("aud")
    for_whom = [audience] if isinstance(audience, str) else audience
    if not isinstance(for_whom, list) or client_id not in for_whom:
        raise ClaimsError("aud is another client")
    authorized = claims.get("azp")
    if (authorized is not None or len(for_whom) > 1) and authorized != client_id:
        raise ClaimsError("azp is another client")


def _check_times(claims: Mapping[str, Any], now: int) -> None:
    ends_at, made_at, starts_at = (_seconds(claims, name) for name in ("exp", "iat", "nbf"))
    if ends_at is None or ends_at <= now - CLOCK_DIFFERENCE_S:
        raise ClaimsError("exp is missing or over")
    if made_at is None or not now - AGE_S_MAX - CLOCK_DIFFERENCE_S <= made_at <= now + CLOCK_DIFFERENCE_S:
        raise ClaimsError("iat is missing, too long ago or in the future")
    if starts_at is not None and starts_at > now + CLOCK_DIFFERENCE_S:
        raise ClaimsError("nbf is in the future")


def _seconds(claims: Mapping[str, Any], name: str) -> float | None:
    """A time in seconds since 1970 (RFC 7519, 2: a number, which may have a fraction); None where there is none."""
    value = claims.get(name)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < 2**53:
        raise ClaimsError(f"{name} is not a time")
    return value


def _subject(claims: Mapping[str, Any]) -> str:
    subject = claims.get("sub")
    if not isinstance(subject, str) or not 0 < len(subject) <= SUBJECT_LENGTH_MAX or not subject.isascii():
        raise ClaimsError("sub is missing or too long")
    return subject


def _usable(rule: Callable[[str], str], value: object) -> str | None:
    """A text by its rule, None for one that cannot be used: nobody known fails to sign in by what they are called."""
    try:
        return rule(value) if isinstance(value, str) else None
    except TesseraError:
        return None
