"""Who pays, by how a call ended: each row of docs/reference/who-pays.md."""

import msgspec
import pytest

from tessera.domain.ledger.orders import Outcome
from tessera.domain.quantities import Quantities
from tessera.domain.usage import NOTHING, Delivered, UsageSource, owed

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
    assert (decided.usage, decided.source) == (NOTHING, UsageSource.NONE)


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
