"""A key seen before: replayed, still running, another call's, or free again."""

import msgspec
import pytest

from ledger_calls import hold_order, stored_reply
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.idempotency import KEY_RETENTION_US, EarlierCall, decide_repeat
from tessera.domain.ledger.resolutions import HoldState

ORDER = hold_order("org_1", 100, idempotency_key="key-1")
RUNNING = EarlierCall(
    hold_id="req_before",
    state=HoldState.OPEN,
    amount_nanos=100,
    charge_nanos=0,
    fingerprint=ORDER.fingerprint,
    placed_at_us=ORDER.placed_at_us,
    reply=None,
)
FINISHED = msgspec.structs.replace(RUNNING, state=HoldState.SETTLED, charge_nanos=26_460_000)


def refused(earlier: EarlierCall) -> TesseraError:
    with pytest.raises(TesseraError) as caught:
        decide_repeat(earlier, ORDER)
    return caught.value


@pytest.mark.parametrize("state", list(HoldState))
def test_another_call_under_the_same_key_is_a_mismatch_whatever_became_of_the_first(state: HoldState) -> None:
    error = refused(msgspec.structs.replace(RUNNING, state=state, fingerprint=b"o" * 32))
    assert error.code is ErrorCode.IDEMPOTENCY_MISMATCH
    assert error.should_retry is False


@pytest.mark.parametrize("state", [HoldState.OPEN, HoldState.SETTLING])
def test_a_running_call_is_in_progress_and_may_be_asked_again(state: HoldState) -> None:
    error = refused(msgspec.structs.replace(RUNNING, state=state))
    assert error.code is ErrorCode.IDEMPOTENCY_IN_PROGRESS
    assert error.retry_after_s == 1


def test_a_running_call_keeps_its_key_however_long_it_takes() -> None:
    old = msgspec.structs.replace(RUNNING, placed_at_us=ORDER.placed_at_us - 10 * KEY_RETENTION_US)
    assert refused(old).code is ErrorCode.IDEMPOTENCY_IN_PROGRESS


def test_a_finished_call_gives_its_reply_again() -> None:
    reply = stored_reply(ORDER, 26_460_000)
    assert decide_repeat(msgspec.structs.replace(FINISHED, reply=reply), ORDER) is reply


def test_a_reply_that_was_not_kept_names_request_and_charge_and_is_not_retried() -> None:
    error = refused(FINISHED)
    assert error.should_retry is False
    assert error.details == {"request_id": "req_before", "charge": "0.02646", "charge_nanos": 26_460_000}
    assert "req_before" in error.message


def test_a_key_is_kept_for_a_day_at_least_and_free_after_its_retention() -> None:
    day_us = 24 * 3600 * 1_000_000
    old = msgspec.structs.replace(FINISHED, placed_at_us=ORDER.placed_at_us - day_us)
    assert refused(old).code is ErrorCode.IDEMPOTENCY_MISMATCH
    assert (
        decide_repeat(msgspec.structs.replace(FINISHED, placed_at_us=ORDER.placed_at_us - KEY_RETENTION_US - 1), ORDER)
        is None
    )


def test_a_key_is_kept_for_48_hours_to_the_last_microsecond() -> None:
    reply = stored_reply(ORDER, 1)
    kept = msgspec.structs.replace(FINISHED, reply=reply, placed_at_us=ORDER.placed_at_us - 172_800_000_000)
    assert decide_repeat(kept, ORDER) is reply
    assert decide_repeat(msgspec.structs.replace(kept, placed_at_us=kept.placed_at_us - 1), ORDER) is None
