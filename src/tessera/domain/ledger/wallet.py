"""What one organization can spend in one mode, and the lots of credit it is made of."""

from collections.abc import Iterable

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.losses import SuspensionReason


class LotBalance(msgspec.Struct, frozen=True, kw_only=True):
    """Where a lot's credit is now: `remaining`, `held`, `spent` and `expired` always add up to what was credited.

    `expires_at` is seconds since 1970, or None for credit that never expires. All amounts are nano-dollars ≥ 0.
    """

    id: str
    kind: str
    expires_at: int | None
    remaining_nanos: int
    held_nanos: int = 0
    spent_nanos: int = 0
    expired_nanos: int = 0


class Wallet(msgspec.Struct, frozen=True, kw_only=True):
    """One organization's money in one mode. `lots` are in the order they are drawn: earliest expiry first.

    `available_nanos` is what the lots have remaining, `held_nanos` what they hold. A lot that is wholly spent or
    expired may be left out. `disputed_nanos` is what payment disputes took back, and what refunds wait for of what
    running calls hold: what can be spent is `available_nanos` less this, below zero when that was spent already.
    `suspended` organizations place no hold; `suspended_for` says why.
    """

    available_nanos: int
    held_nanos: int
    lots: tuple[LotBalance, ...] = ()
    suspended: bool = False
    suspended_for: SuspensionReason | None = None
    disputed_nanos: int = 0


class Draw(msgspec.Struct, frozen=True, array_like=True):
    """The part of a hold that comes out of one lot."""

    lot_id: str
    amount_nanos: int


def check_expiry(expires_at: int | None, now: int) -> None:
    """For credit that is given now; both in seconds since 1970. Raises [invalid_request] where it has expired."""
    if expires_at is not None and expires_at <= now:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, "A credit must expire in the future: seconds since 1970.", param="expires_at"
        )


def drawing_order(lots: Iterable[LotBalance]) -> tuple[LotBalance, ...]:
    """Lots in the order holds draw on them: earliest expiry first, what never expires last, older before younger."""
    return tuple(sorted(lots, key=_drawn_first))


def add_lot(wallet: Wallet, lot: LotBalance) -> Wallet:
    """The wallet with a new lot of credit in it."""
    return msgspec.structs.replace(
        wallet,
        available_nanos=wallet.available_nanos + lot.remaining_nanos,
        lots=drawing_order((*wallet.lots, lot)),
    )


def take_from_lot(wallet: Wallet, lot_id: str, amount_nanos: int) -> Wallet:
    """Takes a part of what a lot has remaining out of the wallet, for good: it was refunded to who paid it."""
    return _change_lot(wallet, lot_id, -amount_nanos, expired_nanos=amount_nanos)


def put_back_into_lot(wallet: Wallet, lot_id: str, amount_nanos: int) -> Wallet:
    """Undoes `take_from_lot`."""
    return _change_lot(wallet, lot_id, amount_nanos, expired_nanos=-amount_nanos)


def unspend(wallet: Wallet, lot_id: str, amount_nanos: int) -> Wallet:
    """Gives back to a lot what was spent of it."""
    return _change_lot(wallet, lot_id, amount_nanos, spent_nanos=-amount_nanos)


def _change_lot(
    wallet: Wallet, lot_id: str, amount_nanos: int, *, expired_nanos: int = 0, spent_nanos: int = 0
) -> Wallet:
    """The wallet with more remaining of one lot, which must be among its lots, and as much less elsewhere in it.

    Raises ValueError if any part of the lot would be below zero.
    """
    changed = []
    for lot in wallet.lots:
        if lot.id == lot_id:
            lot = msgspec.structs.replace(
                lot,
                remaining_nanos=lot.remaining_nanos + amount_nanos,
                expired_nanos=lot.expired_nanos + expired_nanos,
                spent_nanos=lot.spent_nanos + spent_nanos,
            )
            if min(lot.remaining_nanos, lot.expired_nanos, lot.spent_nanos) < 0:
                raise ValueError(f"lot {lot_id} does not have {amount_nanos} nano-dollars to move")
        changed.append(lot)
    if lot_id not in {lot.id for lot in changed}:
        raise ValueError(f"lot {lot_id} is not among the wallet's")
    return msgspec.structs.replace(wallet, available_nanos=wallet.available_nanos + amount_nanos, lots=tuple(changed))


def expire_lots(wallet: Wallet, now: int) -> tuple[Wallet, tuple[Draw, ...]]:
    """Takes what remains of lots whose time has come out of `available`; each taking is one transfer.

    What running calls hold of such a lot stays theirs; what of it returns later is taken then. `now` is seconds
    since 1970; a lot may be spent before `expires_at`, not at it.
    """
    taken: list[Draw] = []
    lots: list[LotBalance] = []
    for lot in wallet.lots:
        if lot.expires_at is not None and lot.expires_at <= now and lot.remaining_nanos > 0:
            taken.append(Draw(lot.id, lot.remaining_nanos))
            lot = msgspec.structs.replace(lot, remaining_nanos=0, expired_nanos=lot.expired_nanos + lot.remaining_nanos)
        lots.append(lot)
    available_nanos = wallet.available_nanos - sum(draw.amount_nanos for draw in taken)
    return msgspec.structs.replace(wallet, available_nanos=available_nanos, lots=tuple(lots)), tuple(taken)


def _drawn_first(lot: LotBalance) -> tuple[bool, int, str]:
    return (lot.expires_at is None, lot.expires_at or 0, lot.id)
