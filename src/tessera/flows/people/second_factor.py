"""The second factor: codes by time (RFC 6238, six digits, 30 seconds) and one-time recovery codes.

A factor's secret is stored nowhere. It is derived from the operator's pepper, the person's id and a stored nonce, so
that a copy of the database alone holds no second factor.
"""

import base64
import hmac

import pyotp

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor, ActorKind, Standing
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.tries import count_try
from tessera.log import get_logger

log = get_logger(__name__)

STEP_S = 30
STEPS_AROUND = 1
"""Clocks may be one step apart (RFC 6238, 5.2)."""

SECRET_BYTES = 20
RECOVERY_CODES = 10
_CODE_BYTES = 10
_ALREADY = "There is a second factor already. Remove it first."
_WRONG = "The code is wrong or was used before. Wait for the next one."


async def start(accounts: Accounts, actor: Actor) -> dict[str, str]:
    """A new factor, which does nothing until it is confirmed: its secret and the address for an authenticator.

    Raises [invalid_request] if there is one already.
    """
    standing = await standing_of(accounts, actor)
    nonce = accounts.random(16).hex()
    if not await accounts.people.start_second_factor(standing.person.id, nonce):
        raise TesseraError(ErrorCode.INVALID_REQUEST, _ALREADY)
    secret = _secret(accounts, standing.person.id, nonce)
    address = pyotp.TOTP(secret, name=standing.person.email, issuer="Tessera").provisioning_uri()
    return {"object": "second_factor", "secret": secret, "otpauth_url": address}


async def confirm(accounts: Accounts, actor: Actor, code: str) -> dict[str, object]:
    """Turns the factor on with a first code; the recovery codes, shown this once.

    Raises [invalid_request, rate_limit_exceeded].
    """
    standing = await standing_of(accounts, actor)
    if standing.person.second_factor:
        raise TesseraError(ErrorCode.INVALID_REQUEST, _ALREADY)
    if standing.totp_nonce is None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "There is no second factor to confirm. Begin one first.")
    await count_try(accounts, "code", standing.person.id, actor.address)
    step = _step_of(accounts, standing, code)
    if step is None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, _WRONG, param="code")
    codes = [base64.b32encode(accounts.random(_CODE_BYTES)).decode().lower() for _ in range(RECOVERY_CODES)]
    act = Act(actor=actor, action="second_factor.added", object_id=standing.person.id)
    digests = tuple(accounts.digest_of("recovery", one) for one in codes)
    nonce, keep = standing.totp_nonce, actor.session_id or ""
    if not await accounts.people.confirm_second_factor(act, nonce, step, digests, keep):
        raise TesseraError(ErrorCode.INVALID_REQUEST, _WRONG, param="code")
    return {"object": "second_factor", "recovery_codes": codes}


async def remove(accounts: Accounts, actor: Actor, code: str) -> None:
    """Turns the factor off, with a code. Raises [invalid_request, second_factor_required, rate_limit_exceeded]."""
    standing = await standing_of(accounts, actor)
    if not standing.person.second_factor:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "There is no second factor.")
    await check_code(accounts, standing, code, actor.address)
    await accounts.people.drop_second_factor(
        Act(actor=actor, action="second_factor.removed", object_id=standing.person.id)
    )


async def check_code(accounts: Accounts, standing: Standing, code: str | None, address: str) -> None:
    """Uses a code by time or a recovery code. Raises [second_factor_required, rate_limit_exceeded]."""
    if not code:
        raise TesseraError(
            ErrorCode.SECOND_FACTOR_REQUIRED, "Send the code of your authenticator, or a recovery code.", param="code"
        )
    person = standing.person
    await count_try(accounts, "code", person.id, address)
    step = _step_of(accounts, standing, code)
    if step is not None and await accounts.people.use_step(person.id, step):
        return
    actor = Actor(kind=ActorKind.PERSON, id=person.id, person_id=person.id, address=address)
    act = Act(actor=actor, action="recovery_code.used", object_id=person.id)
    digest = accounts.digest_of("recovery", code.strip().lower())
    if step is None and await accounts.people.use_recovery_code(act, digest):
        return
    log.warning("people.second_factor_failed", person_id=person.id, address=address)
    raise TesseraError(ErrorCode.SECOND_FACTOR_REQUIRED, _WRONG, param="code")


async def standing_of(accounts: Accounts, actor: Actor) -> Standing:
    """What sign-in knows of the acting person. Raises [not_signed_in]."""
    standing = await accounts.people.standing_of(actor.person_id or "")
    if standing is None:
        raise TesseraError(ErrorCode.NOT_SIGNED_IN, "You are not signed in.")
    return standing


def _secret(accounts: Accounts, person_id: str, nonce: str) -> str:
    return base64.b32encode(accounts.digest(f"totp:{person_id}:{nonce}")[:SECRET_BYTES]).decode()


def _step_of(accounts: Accounts, standing: Standing, code: str) -> int | None:
    """The time step a code belongs to, if it is one of now. All are compared, each in constant time."""
    if standing.totp_nonce is None:
        return None
    generator = pyotp.TOTP(_secret(accounts, standing.person.id, standing.totp_nonce), interval=STEP_S)
    now_step = accounts.now() // STEP_S
    presented = code.strip().encode("utf-8", "replace")
    found = None
    for step in range(now_step - STEPS_AROUND, now_step + STEPS_AROUND + 1):
        if hmac.compare_digest(generator.generate_otp(step).encode(), presented):
            found = step
    return found
