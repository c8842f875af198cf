"""What an e-mail address, a name and a password must be. Pure text in, text out."""

import re
import unicodedata

from tessera.domain.errors import ErrorCode, TesseraError

EMAIL_LENGTH_MAX = 254
"""Octets of an address that can be delivered to (RFC 5321, 4.5.3.1.3, less the angle brackets)."""

NAME_LENGTH_MAX = 200
PASSWORD_LENGTH_MIN = 10
PASSWORD_LENGTH_MAX = 256
"""Long enough for any passphrase; a bound, so that hashing takes a bounded time (ASVS 5.0, 6.2.9: at least 64)."""

_EMAIL = re.compile(r"[a-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@([a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)(\.[a-z0-9-]{1,63})+")
_DOMAIN_PART = re.compile(r"[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?")

_COMMON = frozenset(
    [
        "password1234",
        "passwordpassword",
        "qwertyuiop",
        "qwerty123456",
        "iloveyou1234",
        "administrator",
        "adminadmin",
        "letmein1234",
        "welcome12345",
        "abc1234567",
        "abcd123456",
        "1q2w3e4r5t",
        "1qaz2wsx3edc",
        "q1w2e3r4t5",
        "password123",
        "password12",
        "changeme123",
        "changemechangeme",
        "monkey12345",
        "football123",
        "baseball123",
        "superman123",
        "sunshine123",
        "princess123",
    ]
)


def normal_email(text: str) -> str:
    """An address as it is stored and compared: trimmed, in lower case, ASCII. Raises [invalid_request].

    Lower case throughout: no mailbox provider tells people apart by case, and nobody should fail to sign in by it.
    """
    written = text.strip()
    email = written.lower()
    # Asked of what was written: a Kelvin sign is no k, though in lower case it becomes one, and may be another mailbox.
    if len(email) <= EMAIL_LENGTH_MAX and written.isascii() and _EMAIL.fullmatch(email):
        local, _, domain = email.partition("@")
        if ".." not in local and local[0] != "." and local[-1] != ".":
            parts = domain.split(".")
            if all(_DOMAIN_PART.fullmatch(part) for part in parts) and not parts[-1].isdecimal():
                return email
    raise TesseraError(ErrorCode.INVALID_REQUEST, "email must be an address such as ada@example.com.", param="email")


def normal_name(text: str, *, param: str = "name") -> str:
    """A display name of a person, an organization or a project. Raises [invalid_request]."""
    name = unicodedata.normalize("NFC", text).strip()
    if not 0 < len(name) <= NAME_LENGTH_MAX or not name.isprintable():
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, f"{param} has 1 to {NAME_LENGTH_MAX} printable characters.", param=param
        )
    return name


def normal_organization_name(text: str) -> str:
    """A name that cannot be taken for an id: operators write either in price rows. Raises [invalid_request]."""
    return _unlike_ids(text, "org_")


def normal_project_name(text: str) -> str:
    """A name that cannot be taken for an id: limits, alerts and keys name a project by either.

    Raises [invalid_request].
    """
    return _unlike_ids(text, "prj_")


def _unlike_ids(text: str, prefix: str) -> str:
    name = normal_name(text)
    if name.lower().startswith(prefix):
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"name must not start with {prefix}, as ids do.", param="name")
    return name


def check_password(password: str, email: str, *, param: str = "password") -> None:
    """Length and the few guesses everybody makes first; nothing about character classes (NIST SP 800-63B-4, 3.1.1.2).

    Raises [invalid_request] naming the field `param`.
    """
    if not PASSWORD_LENGTH_MIN <= len(password) <= PASSWORD_LENGTH_MAX:
        raise _weak(f"{param} must have {PASSWORD_LENGTH_MIN} to {PASSWORD_LENGTH_MAX} characters.", param)
    folded = password.casefold()
    if folded in _COMMON or len(set(folded)) < 4 or folded in "01234567890123456789":
        raise _weak("This password is among the first that are guessed; choose another.", param)
    if email and email.partition("@")[0] in folded and len(email.partition("@")[0]) >= len(folded) // 2:
        raise _weak(f"{param} must not be made of the e-mail address.", param)


def normal_password(password: str) -> str:
    """The password as it is hashed: the same text typed on any keyboard gives the same code points (NFC)."""
    return unicodedata.normalize("NFC", password)


def _weak(message: str, param: str) -> TesseraError:
    return TesseraError(ErrorCode.INVALID_REQUEST, message, param=param)
