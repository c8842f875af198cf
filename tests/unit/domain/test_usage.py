"""Who pays, by how a call ended: each row of docs/reference/who-pays.md."""

import json

import msgspec
import pytest

from ledger_calls import hold_order, release, usage_event
from tessera.domain.ledger.losses import NO_LOSS, DayLoss, LossLimits
from tessera.domain.ledger.orders import Outcome
from tessera.domain.quantities import Quantities
from tessera.domain.usage import (
    NOTHING,
    Delivered,
    OnCancel,
    Policy,
    UsageSource,
    is_free_leave,
    owed,
    owed_past_allowance,
    settled_as,
)

REPORTED = Quantities(input_tokens=1000, output_tokens=100)
INPUT = Quantities(input_tokens=990, input_image_tokens=900)
OWN = msgspec.structs.replace(INPUT, output_tokens=90)


def delivered(**changes: object) -> Delivered:
    known = Delivered(reported=REPORTED, input=INPUT, output_tokens=90, accepted=True, has_output=True, finished=True)
    return msgspec.structs.replace(known, **changes)


def test_a_finished_answer_is_paid_by_the_providers_usage() -> None:
    decided = owed(Outcome.COMPLETED, delivered())
    assert (decided.usage, decided.source, decided.lost) == (REPORTED, UsageSource.PROVIDER, NOTHING)


def test_missing_usage_is_counted_by_us() -> None:
    decided = owed(Outcome.COMPLETED, delivered(reported=None))
    assert (decided.usage, decided.source) == (OWN, UsageSource.LOCAL)


def test_zero_usage_for_delivered_text_is_counted_by_us() -> None:
    assert owed(Outcome.COMPLETED, delivered(reported=NOTHING)).source is UsageSource.LOCAL


def test_usage_without_output_for_delivered_text_is_counted_by_us() -> None:
    decided = owed(Outcome.COMPLETED, delivered(reported=Quantities(input_tokens=1000)))
    assert (decided.usage, decided.source) == (OWN, UsageSource.LOCAL)


def test_an_explicit_zero_with_nothing_delivered_is_zero() -> None:
    decided = owed(Outcome.COMPLETED, delivered(reported=NOTHING, has_output=False, output_tokens=0))
    assert (decided.usage, decided.source) == (NOTHING, UsageSource.PROVIDER)


def test_a_reply_with_neither_output_nor_end_costs_nothing() -> None:
    decided = owed(Outcome.COMPLETED, delivered(reported=None, has_output=False, finished=False, output_tokens=0))
    assert (decided.usage, decided.source, decided.lost) == (NOTHING, UsageSource.NONE, NOTHING)


def test_what_a_provider_reports_for_a_reply_with_neither_output_nor_end_is_the_operators() -> None:
    decided = owed(Outcome.COMPLETED, delivered(has_output=False, finished=False, output_tokens=0))
    assert (decided.usage, decided.source, decided.lost) == (NOTHING, UsageSource.NONE, REPORTED)


def test_an_answer_that_ended_with_nothing_in_it_costs_its_input() -> None:
    decided = owed(Outcome.COMPLETED, delivered(reported=None, has_output=False, output_tokens=0))
    assert (decided.usage, decided.source) == (INPUT, UsageSource.LOCAL)


def test_a_client_that_leaves_pays_by_the_providers_usage_if_that_is_known() -> None:
    decided = owed(Outcome.CLIENT_DISCONNECTED, delivered())
    assert (decided.usage, decided.source, decided.lost) == (REPORTED, UsageSource.PROVIDER, NOTHING)


def test_a_client_that_leaves_before_the_output_was_reported_pays_our_count() -> None:
    early = msgspec.structs.replace(REPORTED, output_tokens=0)
    decided = owed(Outcome.CLIENT_DISCONNECTED, delivered(reported=early))
    assert (decided.usage, decided.source) == (OWN, UsageSource.LOCAL)


def test_a_client_that_leaves_pays_for_what_was_produced() -> None:
    decided = owed(Outcome.CLIENT_DISCONNECTED, delivered(reported=None, finished=False))
    assert (decided.usage, decided.source) == (OWN, UsageSource.LOCAL)


def test_a_client_that_leaves_before_anything_came_pays_nothing_and_the_operator_carries_the_input() -> None:
    state = delivered(reported=None, has_output=False, finished=False, output_tokens=0)
    decided = owed(Outcome.CLIENT_DISCONNECTED, state)
    assert (decided.usage, decided.source, decided.lost) == (NOTHING, UsageSource.NONE, INPUT)


@pytest.mark.parametrize("outcome", [Outcome.PROVIDER_ERROR, Outcome.PROVIDER_TIMEOUT, Outcome.REFUSED])
def test_a_failure_costs_the_customer_nothing(outcome: Outcome) -> None:
    assert owed(outcome, delivered()).usage == NOTHING


def test_a_failure_before_any_provider_took_the_call_costs_nobody_anything() -> None:
    decided = owed(Outcome.PROVIDER_ERROR, delivered(reported=None, accepted=False, has_output=False))
    assert decided.lost == NOTHING


LEFT = Outcome.CLIENT_DISCONNECTED
SILENT: dict[str, object] = {"reported": None, "has_output": False, "output_tokens": 0, "finished": False}


@pytest.mark.parametrize("on_cancel", list(OnCancel))
def test_a_receipt_of_a_client_that_left_names_what_its_provider_bills(on_cancel: OnCancel) -> None:
    decided = owed(LEFT, delivered(on_cancel=on_cancel))
    assert decided.policy == f"left-mid-stream-{on_cancel.value.replace('_', '-')}"


@pytest.mark.parametrize(
    ("outcome", "policy"),
    [
        (Outcome.PROVIDER_ERROR, Policy.PROVIDER_FAILED),
        (Outcome.PROVIDER_TIMEOUT, Policy.PROVIDER_LATE),
        (Outcome.CANCELLED, Policy.STOPPED),
        (Outcome.REFUSED, Policy.REFUSED),
        (Outcome.EXPIRED, Policy.DIED),
    ],
)
def test_what_nobody_pays_for_names_its_row_and_has_no_other_price(outcome: Outcome, policy: Policy) -> None:
    decided = owed(outcome, delivered(thinks=True))
    assert (decided.policy, decided.usage) == (policy, NOTHING)
    assert owed_past_allowance(decided, delivered()) is None


def test_finished_answers_name_who_counted() -> None:
    assert owed(Outcome.COMPLETED, delivered()).policy is Policy.FINISHED
    assert owed(Outcome.COMPLETED, delivered(reported=None)).policy is Policy.FINISHED_OWN_COUNT
    assert owed(Outcome.COMPLETED, delivered(**SILENT)).policy is Policy.FINISHED_EMPTY


def test_leaving_before_any_output_is_free_and_past_the_allowance_costs_the_input() -> None:
    silent = delivered(**SILENT)
    decided = owed(LEFT, silent)
    assert (decided.policy, decided.usage, decided.lost) == (Policy.LEFT_BEFORE_OUTPUT, NOTHING, INPUT)
    instead = owed_past_allowance(decided, silent)
    assert instead is not None
    assert (instead.policy, instead.usage, instead.source) == (Policy.LEFT_PAST_ALLOWANCE, INPUT, UsageSource.LOCAL)
    assert instead.lost == NOTHING


def test_leaving_a_model_that_thinks_costs_the_input_at_once() -> None:
    decided = owed(LEFT, delivered(**SILENT, thinks=True))
    assert (decided.policy, decided.usage, decided.lost) == (Policy.LEFT_WHILE_THINKING, INPUT, NOTHING)
    assert owed_past_allowance(decided, delivered(**SILENT, thinks=True)) is None


@pytest.mark.parametrize("thinks", [False, True])
def test_leaving_before_anything_was_sent_costs_nobody_anything(thinks: bool) -> None:
    decided = owed(LEFT, delivered(**SILENT, accepted=False, thinks=thinks))
    assert (decided.policy, decided.usage, decided.lost) == (Policy.LEFT_UNSENT, NOTHING, NOTHING)


def test_output_that_came_after_its_client_had_left_was_not_heard() -> None:
    decided = owed(LEFT, delivered(unheard=True))
    assert (decided.policy, decided.usage, decided.lost) == (Policy.LEFT_BEFORE_OUTPUT, NOTHING, REPORTED)
    instead = owed_past_allowance(decided, delivered(unheard=True))
    assert instead is not None
    assert instead.usage == REPORTED


def test_a_call_that_is_cut_with_its_key_pays_for_what_was_delivered_and_else_for_nothing() -> None:
    heard = owed(Outcome.REVOKED, delivered(on_cancel=OnCancel.BILLS_IN_FULL))
    assert (heard.policy, heard.usage, heard.lost) == (Policy.REVOKED_MID_STREAM, REPORTED, NOTHING)
    unheard = owed(Outcome.REVOKED, delivered(**SILENT, thinks=True))
    assert (unheard.policy, unheard.usage, unheard.lost) == (Policy.REVOKED_BEFORE_OUTPUT, NOTHING, INPUT)
    assert owed_past_allowance(unheard, delivered(**SILENT)) is None


def test_every_outcome_has_a_row() -> None:
    for outcome in Outcome:
        assert owed(outcome, delivered()).policy in set(Policy)


def test_a_leave_is_settled_free_while_the_days_allowance_lasts_and_as_what_it_cost_after_that() -> None:
    order, limits = hold_order("org_1", 100), LossLimits(left_calls_max=2, left_loss_max_nanos=10)
    paid = usage_event(order, 7)
    free = release(order, loss_nanos=5, past_allowance=paid)
    for day in (NO_LOSS, DayLoss(left_calls=1, left_loss_nanos=5)):
        assert settled_as(free, day, limits) is free
    for day in (DayLoss(left_calls=2), DayLoss(left_loss_nanos=6)):
        assert settled_as(free, day, limits) is paid
        assert settled_as(paid, day, limits) is paid


@pytest.mark.parametrize("policy", [*Policy, None])
def test_what_counts_against_the_allowance_is_a_leave_before_output_that_cost_something(policy: Policy | None) -> None:
    charge = json.dumps({} if policy is None else {"policy": policy}).encode()
    assert is_free_leave(charge, 1) is (policy is Policy.LEFT_BEFORE_OUTPUT)
    assert is_free_leave(charge, 0) is False
