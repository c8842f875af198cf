"""How a hold ends: what of it is charged, and what goes back to the lots it came from."""

from collections.abc import Sequence
from enum import StrEnum

import msgspec

from tessera.domain.ledger.orders import Outcome
from tessera.domain.ledger.wallet import Draw, Wallet


class HoldState(StrEnum):
    """Open, then one of the others, once. `settling` is an open hold whose settlement waits in the outbox."""

    OPEN = "open"
    SETTLING = "settling"
    SETTLED = "settled"
    RELEASED = "released"
    EXPIRED = "expired"


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """The end of one hold: of `amount_nanos`, drawn as `draws` say, `charge_nanos` is charged."""

    amount_nanos: int
    charge_nanos: int
    draws: tuple[Draw, ...]


def resolved_state(outcome: Outcome, charge_nanos: int) -> HoldState:
    """The state a hold ends in. A call that failed and costs nothing is a release."""
    if outcome is Outcome.EXPIRED:
        return HoldState.EXPIRED
    if outcome is Outcome.COMPLETED or charge_nanos > 0:
        return HoldState.SETTLED
    return HoldState.RELEASED


def charged_draws(draws: Sequence[Draw], charge_nanos: int) -> tuple[Draw, ...]:
    """Which lots pay a charge: the draws of its hold, in order, until it is paid."""
    paid: list[Draw] = []
    for draw in draws:
        part = min(draw.amount_nanos, charge_nanos)
        if part:
            paid.append(Draw(draw.lot_id, part))
        charge_nanos -= part
    return tuple(paid)


def resolve_holds(wallet: Wallet, resolutions: Sequence[Resolution]) -> Wallet:
    """The wallet after holds have ended: charges leave `held`, the rest returns to `available` and to the same lots.

    Every lot drawn on must be among the wallet's. Raises ValueError for a charge outside 0 to the hold's amount.
    """
    available, held = wallet.available_nanos, wallet.held_nanos
    freed: dict[str, int] = {}
    spent: dict[str, int] = {}
    for resolution in resolutions:
        charge = resolution.charge_nanos
        if not 0 <= charge <= resolution.amount_nanos:
            raise ValueError(f"a charge of {charge} nano-dollars on a hold of {resolution.amount_nanos}")
        held -= resolution.amount_nanos
        available += resolution.amount_nanos - charge
        for draw in resolution.draws:
            freed[draw.lot_id] = freed.get(draw.lot_id, 0) + draw.amount_nanos
            part = min(draw.amount_nanos, charge)
            spent[draw.lot_id] = spent.get(draw.lot_id, 0) + part
            charge -= part
    lots = []
    for lot in wallet.lots:
        if lot.id in freed:
            lot = msgspec.structs.replace(
                lot,
                remaining_nanos=lot.remaining_nanos + freed[lot.id] - spent[lot.id],
                held_nanos=lot.held_nanos - freed[lot.id],
                spent_nanos=lot.spent_nanos + spent[lot.id],
            )
        lots.append(lot)
    return msgspec.structs.replace(wallet, available_nanos=available, held_nanos=held, lots=tuple(lots))
