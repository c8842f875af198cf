"""What refunds move inside a wallet: every part of every lot stays above zero, and every sum stays what it was."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_calls import hold_order
from tessera.domain.errors import TesseraError
from tessera.domain.ledger.holds import Placed, decide_holds
from tessera.domain.ledger.wallet import LotBalance, Wallet, put_back_into_lot, take_from_lot, unspend

AMOUNTS = st.integers(0, 10**6)
LOTS = st.lists(
    st.builds(
        lambda remaining, held, spent, expired: (remaining, held, spent, expired), AMOUNTS, AMOUNTS, AMOUNTS, AMOUNTS
    ),
    min_size=1,
    max_size=4,
)


def wallet_of(parts: list[tuple[int, int, int, int]], disputed_nanos: int = 0) -> Wallet:
    lots = tuple(
        LotBalance(
            id=f"lot_{place}",
            kind="purchase",
            expires_at=None,
            remaining_nanos=remaining,
            held_nanos=held,
            spent_nanos=spent,
            expired_nanos=expired,
        )
        for place, (remaining, held, spent, expired) in enumerate(parts)
    )
    return Wallet(
        available_nanos=sum(lot.remaining_nanos for lot in lots),
        held_nanos=sum(lot.held_nanos for lot in lots),
        lots=lots,
        disputed_nanos=disputed_nanos,
    )


def credited(wallet: Wallet) -> list[int]:
    return [lot.remaining_nanos + lot.held_nanos + lot.spent_nanos + lot.expired_nanos for lot in wallet.lots]


@given(parts=LOTS, amount=AMOUNTS)
def test_a_change_of_a_lot_keeps_all_sums_or_is_refused(parts: list[tuple[int, int, int, int]], amount: int) -> None:
    before = wallet_of(parts)
    for change, available, source in (
        (take_from_lot, -amount, parts[0][0]),
        (put_back_into_lot, amount, parts[0][3]),
        (unspend, amount, parts[0][2]),
    ):
        if amount > source:
            with pytest.raises(ValueError, match="does not have"):
                change(before, "lot_0", amount)
            continue
        after = change(before, "lot_0", amount)
        assert after.available_nanos == before.available_nanos + available
        assert after.available_nanos == sum(lot.remaining_nanos for lot in after.lots)
        assert credited(after) == credited(before)


@given(parts=LOTS, amount=AMOUNTS)
def test_what_is_taken_and_put_back_was_never_gone(parts: list[tuple[int, int, int, int]], amount: int) -> None:
    before = wallet_of(parts)
    amount = min(amount, parts[0][0])
    assert put_back_into_lot(take_from_lot(before, "lot_0", amount), "lot_0", amount) == before


def test_a_lot_of_another_wallet_is_refused() -> None:
    with pytest.raises(ValueError, match="not among"):
        take_from_lot(wallet_of([(5, 0, 0, 0)]), "lot_9", 1)


@given(parts=LOTS, disputed=st.integers(0, 2 * 10**6), amount=AMOUNTS)
def test_disputed_money_is_never_held(parts: list[tuple[int, int, int, int]], disputed: int, amount: int) -> None:
    wallet = wallet_of(parts, disputed)
    changed, (decision,) = decide_holds(wallet, [hold_order("org_1", amount)])
    if amount <= wallet.available_nanos - disputed:
        assert isinstance(decision, Placed)
        assert changed.available_nanos == sum(lot.remaining_nanos for lot in changed.lots)
        assert wallet.available_nanos - changed.available_nanos == amount == decision.amount_nanos
    else:
        assert isinstance(decision, TesseraError)
        assert changed == wallet
