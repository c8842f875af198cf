"""Deciding holds: whole or refused by name, in order, earliest expiry first."""

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_calls import hold_order
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.holds import Placed, decide_holds
from tessera.domain.ledger.limits import Limits, Meter, SubjectKind
from tessera.domain.ledger.losses import SuspensionReason
from tessera.domain.ledger.orders import HoldOrder
from tessera.domain.ledger.resolutions import Resolution, resolve_holds
from tessera.domain.ledger.wallet import Draw, LotBalance, Wallet, drawing_order


def wallet(*remaining: int, held: int = 0, suspended: bool = False) -> Wallet:
    lots = tuple(
        LotBalance(id=f"lot_{i}", kind="manual", expires_at=None, remaining_nanos=r) for i, r in enumerate(remaining)
    )
    return Wallet(available_nanos=sum(remaining), held_nanos=held, lots=lots, suspended=suspended)


def order(amount: int, minimum: int | None = None) -> HoldOrder:
    return hold_order("org_1", amount, amount_min_nanos=amount if minimum is None else minimum)


def refusal(decision: Placed | TesseraError) -> TesseraError:
    assert isinstance(decision, TesseraError)
    return decision


def test_a_suspended_organization_holds_nothing_not_even_nothing() -> None:
    before = wallet(100, suspended=True)
    after, (decision,) = decide_holds(before, [order(0)])
    assert refusal(decision).code is ErrorCode.ORGANIZATION_SUSPENDED
    assert after == before


def test_an_order_for_less_than_nothing_is_refused() -> None:
    before = wallet(100)
    after, (decision,) = decide_holds(before, [order(-1)])
    assert refusal(decision).code is ErrorCode.BALANCE_RESERVED
    assert after == before


@pytest.mark.parametrize("reason", [None, *SuspensionReason])
def test_a_suspended_organization_is_told_why_whatever_its_limits_say(reason: SuspensionReason | None) -> None:
    suspended = msgspec.structs.replace(wallet(100, suspended=True), suspended_for=reason)
    used_up = Meter(kind=SubjectKind.KEY, subject_id="key_1", limits=Limits(concurrent_max=0))
    _, (decision,) = decide_holds(suspended, [order(1)], [[used_up]], 0)
    error = refusal(decision)
    assert error.code is ErrorCode.ORGANIZATION_SUSPENDED
    assert error.details == {"reason": reason}
    assert used_up.open_calls == 0


def test_money_that_is_not_there_is_insufficient_balance_with_the_figures() -> None:
    _, (decision,) = decide_holds(wallet(40, held=59), [order(100)])
    error = refusal(decision)
    assert error.code is ErrorCode.INSUFFICIENT_BALANCE
    assert error.retry_after_s is None
    assert error.details == {
        "required": "0.0000001",
        "required_nanos": 100,
        "available": "0.00000004",
        "available_nanos": 40,
        "held": "0.000000059",
        "held_nanos": 59,
    }


def test_money_that_is_held_is_balance_reserved_and_can_be_retried() -> None:
    _, (decision,) = decide_holds(wallet(40, held=60), [order(100)])
    error = refusal(decision)
    assert error.code is ErrorCode.BALANCE_RESERVED
    assert error.retry_after_s == 2


def test_a_refused_order_changes_nothing_for_the_next() -> None:
    after, decisions = decide_holds(wallet(100), [order(60), order(50), order(40)])
    assert [isinstance(decision, Placed) for decision in decisions] == [True, False, True]
    assert (after.available_nanos, after.held_nanos) == (0, 100)
    assert refusal(decisions[1]).code is ErrorCode.BALANCE_RESERVED


def test_fit_grants_what_is_there_between_minimum_and_maximum() -> None:
    _, decisions = decide_holds(wallet(100), [order(70, 10), order(70, 10), order(70, 10)])
    assert [decision.amount_nanos for decision in decisions[:2] if isinstance(decision, Placed)] == [70, 30]
    assert refusal(decisions[2]).details["required_nanos"] == 10


def test_a_hold_of_nothing_is_granted_on_an_empty_wallet() -> None:
    _, (decision,) = decide_holds(wallet(), [order(0)])
    assert decision == Placed(amount_nanos=0, draws=())


def test_earliest_expiry_is_drawn_first_and_what_never_expires_last() -> None:
    lots = drawing_order(
        [
            LotBalance(id="lot_a", kind="purchase", expires_at=None, remaining_nanos=50),
            LotBalance(id="lot_b", kind="promotion", expires_at=200, remaining_nanos=30),
            LotBalance(id="lot_c", kind="promotion", expires_at=100, remaining_nanos=20),
        ]
    )
    _, (decision,) = decide_holds(Wallet(available_nanos=100, held_nanos=0, lots=lots), [order(60)])
    assert decision == Placed(amount_nanos=60, draws=(Draw("lot_c", 20), Draw("lot_b", 30), Draw("lot_a", 10)))


AMOUNTS = st.integers(min_value=0, max_value=2**40)


@given(
    remaining=st.lists(AMOUNTS, max_size=5),
    orders=st.lists(st.tuples(AMOUNTS, st.integers(min_value=0, max_value=100)), max_size=8),
)
def test_whatever_is_asked_money_only_moves_and_lots_follow(
    remaining: list[int], orders: list[tuple[int, int]]
) -> None:
    before = wallet(*remaining)
    asked = [order(amount, amount * percent // 100) for amount, percent in orders]
    after, decisions = decide_holds(before, asked)
    placed = [decision for decision in decisions if isinstance(decision, Placed)]
    assert len(decisions) == len(asked)
    assert after.available_nanos >= 0
    assert after.available_nanos + after.held_nanos == before.available_nanos
    assert after.held_nanos == sum(decision.amount_nanos for decision in placed)
    assert after.available_nanos == sum(lot.remaining_nanos for lot in after.lots)
    assert after.held_nanos == sum(lot.held_nanos for lot in after.lots)
    for asked_order, decision in zip(asked, decisions, strict=True):
        if isinstance(decision, Placed):
            assert asked_order.amount_min_nanos <= decision.amount_nanos <= asked_order.amount_nanos
            assert decision.amount_nanos == sum(draw.amount_nanos for draw in decision.draws)
            assert all(draw.amount_nanos > 0 for draw in decision.draws)
        else:
            assert decision.code in (ErrorCode.INSUFFICIENT_BALANCE, ErrorCode.BALANCE_RESERVED)


@given(
    remaining=st.lists(AMOUNTS, min_size=1, max_size=4),
    amounts=st.lists(AMOUNTS, min_size=1, max_size=6),
    cut=st.integers(min_value=0, max_value=6),
)
def test_deciding_in_two_groups_is_the_same_as_in_one(remaining: list[int], amounts: list[int], cut: int) -> None:
    orders = [order(amount) for amount in amounts]
    together, all_at_once = decide_holds(wallet(*remaining), orders)
    between, first = decide_holds(wallet(*remaining), orders[:cut])
    apart, second = decide_holds(between, orders[cut:])
    assert together == apart
    assert [isinstance(d, Placed) for d in all_at_once] == [isinstance(d, Placed) for d in first + second]


@given(remaining=st.lists(AMOUNTS, min_size=1, max_size=4), amounts=st.lists(AMOUNTS, max_size=6), data=st.data())
def test_releasing_everything_restores_the_wallet_and_charging_takes_exactly_the_charge(
    remaining: list[int], amounts: list[int], data: st.DataObject
) -> None:
    before = wallet(*remaining)
    held, decisions = decide_holds(before, [order(amount) for amount in amounts])
    placed = [decision for decision in decisions if isinstance(decision, Placed)]
    nothing = [Resolution(amount_nanos=p.amount_nanos, charge_nanos=0, draws=p.draws) for p in placed]
    assert resolve_holds(held, nothing) == before
    charges = [data.draw(st.integers(min_value=0, max_value=p.amount_nanos)) for p in placed]
    after = resolve_holds(
        held,
        [
            Resolution(amount_nanos=p.amount_nanos, charge_nanos=charge, draws=p.draws)
            for p, charge in zip(placed, charges, strict=True)
        ],
    )
    assert after.held_nanos == 0
    assert after.available_nanos == before.available_nanos - sum(charges)
    assert sum(lot.spent_nanos for lot in after.lots) == sum(charges)
    for lot, was in zip(after.lots, before.lots, strict=True):
        assert lot.remaining_nanos + lot.held_nanos + lot.spent_nanos == was.remaining_nanos


@pytest.mark.parametrize("charge", [-1, 101])
def test_a_charge_outside_its_hold_is_never_applied(charge: int) -> None:
    held, (placed,) = decide_holds(wallet(100), [order(100)])
    assert isinstance(placed, Placed)
    with pytest.raises(ValueError, match="on a hold of 100"):
        resolve_holds(held, [Resolution(amount_nanos=100, charge_nanos=charge, draws=placed.draws)])


def test_the_last_nano_of_a_hold_is_drawn_too() -> None:
    after, (alone, across) = decide_holds(wallet(5, 1), [order(1), order(5)])
    assert isinstance(alone, Placed)
    assert isinstance(across, Placed)
    assert alone.draws == (Draw("lot_0", 1),)
    assert across.draws == (Draw("lot_0", 4), Draw("lot_1", 1))
    assert [lot.remaining_nanos for lot in after.lots] == [0, 0]


def test_a_lot_with_nothing_left_is_passed_over() -> None:
    _, (placed,) = decide_holds(wallet(0, 5), [order(3)])
    assert isinstance(placed, Placed)
    assert placed.draws == (Draw("lot_1", 3),)
