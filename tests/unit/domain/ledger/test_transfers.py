"""Double entry: ids that follow from what moved, and accounts that add up."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.ledger.orders import Outcome
from tessera.domain.ledger.resolutions import HoldState, resolved_state
from tessera.domain.ledger.transfers import (
    Account,
    CreditKind,
    credit_source,
    expiry_target,
    hold_transfers,
    resolution_transfers,
)


def test_a_hold_of_nothing_moves_nothing() -> None:
    assert hold_transfers("req_1", 0) == ()
    assert resolution_transfers("req_1", 0, 0, 0, 0) == ()


@given(
    amount=st.integers(0, 2**62), percent=st.integers(0, 100), cost=st.integers(0, 2**40), loss=st.integers(0, 2**40)
)
def test_a_resolved_hold_leaves_nothing_held_and_the_charge_in_revenue(
    amount: int, percent: int, cost: int, loss: int
) -> None:
    charge = amount * percent // 100
    balances: Counter[Account] = Counter()
    transfers = (*hold_transfers("req_1", amount), *resolution_transfers("req_1", amount, charge, cost, loss))
    for transfer in transfers:
        assert transfer.amount_nanos > 0
        balances[transfer.from_account] -= transfer.amount_nanos
        balances[transfer.to_account] += transfer.amount_nanos
    assert sum(balances.values()) == 0
    assert balances[Account.HELD] == 0
    assert balances[Account.AVAILABLE] == -charge
    assert balances[Account.REVENUE] == charge
    assert balances[Account.PROVIDER_PAYABLE] == cost + loss
    assert balances[Account.OPERATOR_LOSS] == -loss
    assert len({transfer.id for transfer in transfers}) == len(transfers)


def test_gifts_come_from_promotions_and_go_back_there() -> None:
    assert credit_source(CreditKind.PROMOTION) is Account.PROMOTIONS
    assert expiry_target(CreditKind.PROMOTION) is Account.PROMOTIONS


def test_paid_credit_is_cash_and_becomes_revenue_when_it_expires() -> None:
    for kind in (CreditKind.MANUAL, CreditKind.PURCHASE):
        assert credit_source(kind) is Account.CASH
        assert expiry_target(kind) is Account.REVENUE


def test_the_state_a_hold_ends_in_follows_from_outcome_and_charge() -> None:
    assert resolved_state(Outcome.EXPIRED, 0) is HoldState.EXPIRED
    assert resolved_state(Outcome.COMPLETED, 0) is HoldState.SETTLED
    assert resolved_state(Outcome.CLIENT_DISCONNECTED, 1) is HoldState.SETTLED
    for outcome in (Outcome.PROVIDER_ERROR, Outcome.REFUSED, Outcome.CANCELLED, Outcome.PROVIDER_TIMEOUT):
        assert resolved_state(outcome, 0) is HoldState.RELEASED
