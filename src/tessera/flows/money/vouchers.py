"""Vouchers: a code that is worth credit. The code itself is shown once and stored nowhere."""

from typing import Any

from tessera.domain.auth import BASE62
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode, format_usd
from tessera.domain.payments.records import Voucher
from tessera.domain.people.records import Act
from tessera.flows.money.treasury import OPERATOR, Owner, Treasury

CODE_LENGTH = 24
CODE_PREFIX = "TESS-"
CODE_TEXT_MAX = 100
_LETTERS = "".join(letter for letter in BASE62 if letter.isupper() or letter.isdigit()).translate(
    str.maketrans("", "", "0O1IL")
)
"""31 letters that are not taken for each other: 24 of them are about 118 bits."""


async def create_voucher(
    treasury: Treasury,
    *,
    mode: Mode,
    amount_nanos: int,
    redemptions_max: int,
    expires_at: int | None,
    credit_seconds: int | None,
    note: str,
) -> tuple[Voucher, str]:
    """A new voucher and its code, shown this once. Raises [invalid_request]."""
    if amount_nanos <= 0 or redemptions_max <= 0 or (credit_seconds is not None and credit_seconds <= 0):
        raise TesseraError(ErrorCode.INVALID_REQUEST, "A voucher is worth something, for at least one use.")
    if expires_at is not None and expires_at <= treasury.now():
        raise TesseraError(ErrorCode.INVALID_REQUEST, "A voucher expires in the future.", param="expires_at")
    number = int.from_bytes(treasury.random(32), "big")
    letters = []
    for _ in range(CODE_LENGTH):
        number, place = divmod(number, len(_LETTERS))
        letters.append(_LETTERS[place])
    groups = ("".join(letters[at : at + 6]) for at in range(0, CODE_LENGTH, 6))
    code = CODE_PREFIX + "-".join(groups)
    voucher = Voucher(
        id=treasury.make_id("vch"),
        display=f"{code[:9]}…{code[-2:]}",
        mode=mode,
        amount_nanos=amount_nanos,
        redemptions_max=redemptions_max,
        redemptions=0,
        expires_at=expires_at,
        credit_seconds=credit_seconds,
        note=note,
        created_at=treasury.now(),
        revoked_at=None,
    )
    act = Act(
        actor=OPERATOR,
        action="voucher.created",
        object_id=voucher.id,
        details={"mode": mode.value, "amount_nanos": amount_nanos, "redemptions_max": redemptions_max},
    )
    return await treasury.store.create_voucher(voucher, _digest(treasury, code), act), code


async def revoke_voucher(treasury: Treasury, voucher_id: str) -> Voucher:
    """Ends a voucher for good. Raises [not_found]."""
    act = Act(actor=OPERATOR, action="voucher.revoked", object_id=voucher_id)
    return await treasury.store.revoke_voucher(voucher_id, act)


async def redeem_voucher(treasury: Treasury, owner: Owner, code: str) -> dict[str, Any]:
    """Turns a code into credit, once per organization. Raises [invalid_request]."""
    act = owner.act("voucher.redeemed", "")
    lot = await treasury.store.redeem_voucher(owner.organization_id, owner.mode, _digest(treasury, code), act)
    return {
        "object": "voucher.redemption",
        "mode": owner.mode,
        "amount": format_usd(lot.amount_nanos),
        "amount_nanos": lot.amount_nanos,
        "lot": lot.id,
        "created_at": lot.created_at,
        "expires_at": lot.expires_at,
    }


def voucher_object(voucher: Voucher) -> dict[str, Any]:
    """A voucher as it can be shown again."""
    return {
        "id": voucher.id,
        "object": "voucher",
        "code": voucher.display,
        "mode": voucher.mode,
        "amount": format_usd(voucher.amount_nanos),
        "amount_nanos": voucher.amount_nanos,
        "redemptions": voucher.redemptions,
        "redemptions_max": voucher.redemptions_max,
        "expires_at": voucher.expires_at,
        "credit_seconds": voucher.credit_seconds,
        "note": voucher.note,
        "created_at": voucher.created_at,
        "revoked_at": voucher.revoked_at,
    }


def _digest(treasury: Treasury, code: str) -> str:
    """What the database knows a code by; blanks, dashes and small letters do not matter."""
    plain = "".join(letter for letter in code.upper() if letter.isascii() and letter.isalnum())
    return treasury.digest(f"voucher:{plain}").hex()
