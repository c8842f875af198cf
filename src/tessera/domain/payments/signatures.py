"""Stripe's webhook signatures: HMAC-SHA-256 over time and body, checked more strictly than is usual.

The form is public: `Stripe-Signature: t=SECONDS,v1=HEX[,v1=HEX…]` over `SECONDS.BODY` (Stripe's documentation, "Verify
webhook signatures manually", read 2026-11-22). Several v1 stand there while a secret is rotated.
"""

import hmac
import re
from collections.abc import Sequence

TOLERANCE_S = 300
"""How old a signed time may be (security-tests T2)."""

AHEAD_S = 60
"""How far it may lie ahead of our clock."""

HEADER_LENGTH_MAX = 2_000
_TIME = re.compile(r"[1-9][0-9]{0,11}", re.ASCII)
_SIGNATURE = re.compile(r"[0-9a-f]{64}", re.ASCII)
_PARTS_MAX = 16


def signing_secret(body: bytes, header: str, secrets: Sequence[str], now: int) -> int | None:
    """Which secret signed a body, by its place; None if none did, or not at about this time.

    Refused: no or two times, a time older than `TOLERANCE_S` or further ahead than `AHEAD_S`, only schemes other than
    v1, anything that is not written as Stripe writes it. Every secret is tried, so that time tells nothing.
    """
    signed = _read(header)
    if signed is None:
        return None
    time, signatures = signed
    if not now - TOLERANCE_S <= int(time) <= now + AHEAD_S:
        return None
    found = None
    for place, secret in enumerate(secrets):
        expected = hmac.digest(secret.encode(), time.encode() + b"." + body, "sha256").hex()
        matches = [hmac.compare_digest(expected, signature) for signature in signatures]
        if secret and any(matches) and found is None:
            found = place
    return found


def sign(body: bytes, secret: str, now: int) -> str:
    """The header that Stripe would send."""
    signature = hmac.digest(secret.encode(), f"{now}.".encode() + body, "sha256").hex()
    return f"t={now},v1={signature}"


def _read(header: str) -> tuple[str, list[str]] | None:
    """The signed time and the v1 signatures, or None for a header that is not in order."""
    if len(header) > HEADER_LENGTH_MAX or header.count(",") >= _PARTS_MAX:
        return None
    times: list[str] = []
    signatures: list[str] = []
    for part in header.split(","):
        name, equals, value = part.partition("=")
        if not equals:
            return None
        if name == "t":
            times.append(value)
        elif name == "v1":
            signatures.append(value)
    if len(times) != 1 or _TIME.fullmatch(times[0]) is None or not signatures:
        return None
    if any(_SIGNATURE.fullmatch(signature) is None for signature in signatures):
        return None
    return times[0], signatures
