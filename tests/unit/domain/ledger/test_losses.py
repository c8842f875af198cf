"""What the operator loses on a day: counted exactly, bounded, and forgiven by nobody but the operator."""

import json

from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.ledger.losses import (
    DAY_US,
    NO_LOSS,
    DayLoss,
    LossLimits,
    add_loss,
    day_of,
    is_too_much,
    leaves_free,
    orphan_loss,
)
from tessera.domain.money import Mode

LIMITS = LossLimits(loss_max_nanos=100, left_calls_max=3, left_loss_max_nanos=50)
losses = st.lists(st.tuples(st.integers(0, 60), st.booleans()))


def added(happened: list[tuple[int, bool]]) -> DayLoss:
    day = NO_LOSS
    for loss, left in happened:
        day = add_loss(day, loss, left=left)
    return day


def test_a_day_ends_at_midnight_utc() -> None:
    assert DAY_US == 24 * 60 * 60 * 1_000_000
    assert (day_of(DAY_US - 1), day_of(DAY_US)) == (0, 1)


def test_unless_the_operator_says_otherwise_a_day_may_cost_20_dollars_and_100_leaves_one_dollar() -> None:
    dollar = 1_000_000_000
    assert LossLimits() == LossLimits(loss_max_nanos=20 * dollar, left_calls_max=100, left_loss_max_nanos=dollar)


def test_only_what_is_past_the_limit_is_too_much() -> None:
    assert not is_too_much(DayLoss(loss_nanos=100), LIMITS)
    assert is_too_much(DayLoss(loss_nanos=101), LIMITS)


def test_what_was_forgiven_does_not_count_again() -> None:
    assert not is_too_much(DayLoss(loss_nanos=201, forgiven_nanos=101), LIMITS)
    assert is_too_much(DayLoss(loss_nanos=202, forgiven_nanos=101), LIMITS)


def test_leaving_is_free_up_to_the_count() -> None:
    assert leaves_free(DayLoss(left_calls=2), 1, LIMITS)
    assert not leaves_free(DayLoss(left_calls=3), 1, LIMITS)


def test_leaving_is_free_up_to_the_money_and_not_one_nano_more() -> None:
    assert leaves_free(DayLoss(left_loss_nanos=40), 10, LIMITS)
    assert not leaves_free(DayLoss(left_loss_nanos=40), 11, LIMITS)


@given(losses)
def test_a_day_is_the_sum_of_its_losses(happened: list[tuple[int, bool]]) -> None:
    day = added(happened)
    assert day.loss_nanos == sum(loss for loss, _ in happened)
    assert day.left_loss_nanos == sum(loss for loss, left in happened if left)
    assert day.left_calls == sum(left for _, left in happened)


@given(losses)
def test_free_leaves_never_go_beyond_their_bound(happened: list[tuple[int, bool]]) -> None:
    day = NO_LOSS
    for loss, _ in happened:
        if leaves_free(day, loss, LIMITS):
            day = add_loss(day, loss, left=True)
    assert day.left_calls <= LIMITS.left_calls_max
    assert day.left_loss_nanos <= LIMITS.left_loss_max_nanos


def test_a_live_call_nothing_is_known_of_may_have_cost_its_input() -> None:
    quote = json.dumps({"input_predicted_nanos": 7, "max_nanos": 99}).encode()
    assert orphan_loss(quote, Mode.LIVE) == 7
    assert orphan_loss(quote, Mode.TEST) == 0


def test_a_quote_that_says_nothing_costs_nothing() -> None:
    for quote in (b"", b"{}", b"[", b'{"input_predicted_nanos": -3}', b'{"input_predicted_nanos": "7"}'):
        assert orphan_loss(quote, Mode.LIVE) == 0
