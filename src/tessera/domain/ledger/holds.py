"""Who may hold how much, decided in order; pure, so that every database decides the same."""

from collections.abc import Sequence

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.limits import RESERVED_RETRY_AFTER_S, Meter, rate_left, room, take
from tessera.domain.ledger.losses import SuspensionReason
from tessera.domain.ledger.orders import HoldOrder, RateLeft
from tessera.domain.ledger.wallet import Draw, LotBalance, Wallet
from tessera.domain.money import format_usd

_SUSPENDED = {
    None: "This organization is suspended and cannot make calls. Ask the operator of this gateway to lift it.",
    SuspensionReason.OPERATOR: "This organization was suspended by the operator of this gateway and cannot make calls. "
    "Ask them to lift it.",
    SuspensionReason.LOSS: "This organization is suspended: its calls today cost the operator of this gateway more "
    "than the day's limit without being paid for by anybody. Ask them to lift it.",
    SuspensionReason.DISPUTE: "This organization is suspended: one of its payments was disputed, and its balance is "
    "below zero. Ask the operator of this gateway to lift it once that is settled.",
}


class Placed(msgspec.Struct, frozen=True, kw_only=True):
    """A granted hold: how much, out of which lots, in the order they were drawn, and what is left of rate limits."""

    amount_nanos: int
    draws: tuple[Draw, ...]
    rate: RateLeft | None = None


def decide_holds(
    wallet: Wallet,
    orders: Sequence[HoldOrder],
    metered: Sequence[Sequence[Meter]] | None = None,
    now_us: int = 0,
) -> tuple[Wallet, list[Placed | TesseraError]]:
    """Decides orders on one wallet, one after the other, and gives the wallet after all of them.

    An order is granted in whole when `available` and the budgets of its meters cover it; with room between
    `amount_min_nanos` and `amount_nanos` (Fit) it is granted what there is. One that cannot be granted is refused alone
    and changes nothing for the next. `metered` are each order's meters, counted on in place. Refusals are values:
    `organization_suspended`; what `limits.room` refuses; `balance_reserved` when the money is there but held by running
    calls; `insufficient_balance` when it is not there at all.
    """
    available, held = wallet.available_nanos - wallet.disputed_nanos, wallet.held_nanos
    lots = list(wallet.lots)
    first = 0
    decisions: list[Placed | TesseraError] = []
    for index, order in enumerate(orders):
        meters = metered[index] if metered is not None else ()
        if wallet.suspended:
            decisions.append(_suspended(wallet.suspended_for))
            continue
        most = room(meters, order, now_us)
        if isinstance(most, TesseraError):
            decisions.append(most)
            continue
        granted = min(most, available)
        if granted < order.amount_min_nanos or granted < 0:
            decisions.append(_refusal(order, available, held))
            continue
        draws, first = _draw(lots, first, granted)
        available -= granted
        held += granted
        take(meters, order, granted, now_us)
        decisions.append(Placed(amount_nanos=granted, draws=draws, rate=rate_left(meters, now_us)))
    changed = msgspec.structs.replace(
        wallet, available_nanos=available + wallet.disputed_nanos, held_nanos=held, lots=tuple(lots)
    )
    return changed, decisions


def _draw(lots: list[LotBalance], first: int, amount: int) -> tuple[tuple[Draw, ...], int]:
    """Moves an amount from remaining to held, lot after lot from `first`; gives the draws and the new first lot."""
    draws: list[Draw] = []
    while amount > 0:
        lot = lots[first]
        part = min(lot.remaining_nanos, amount)
        if part:
            draws.append(Draw(lot.id, part))
            lots[first] = LotBalance(
                id=lot.id,
                kind=lot.kind,
                expires_at=lot.expires_at,
                remaining_nanos=lot.remaining_nanos - part,
                held_nanos=lot.held_nanos + part,
                spent_nanos=lot.spent_nanos,
                expired_nanos=lot.expired_nanos,
            )
            amount -= part
        if amount:
            first += 1
    return tuple(draws), first


def _suspended(reason: SuspensionReason | None) -> TesseraError:
    return TesseraError(
        ErrorCode.ORGANIZATION_SUSPENDED, _SUSPENDED[reason], details={"reason": reason.value if reason else None}
    )


def _refusal(order: HoldOrder, available: int, held: int) -> TesseraError:
    required = order.amount_min_nanos
    details: dict[str, str | int | None] = {
        "required": format_usd(required),
        "required_nanos": required,
        "available": format_usd(available),
        "available_nanos": available,
        "held": format_usd(held),
        "held_nanos": held,
    }
    if available + held < required:
        return TesseraError(
            ErrorCode.INSUFFICIENT_BALANCE,
            f"This call can cost up to ${format_usd(required)} and the {order.mode} balance is "
            f"${format_usd(available + held)}. Add credit, or lower the output limit.",
            details=details,
        )
    return TesseraError(
        ErrorCode.BALANCE_RESERVED,
        f"This call can cost up to ${format_usd(required)}; ${format_usd(available)} of the {order.mode} balance is "
        f"free now and ${format_usd(held)} is held by running calls. Try again when they have finished.",
        retry_after_s=RESERVED_RETRY_AFTER_S,
        details=details,
    )
