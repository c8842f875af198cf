"""Limits on keys, projects and organizations: never passed, refused by name, replenished evenly."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ledger_calls import hold_order
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.holds import Placed, decide_holds
from tessera.domain.ledger.limits import (
    MINUTE_US,
    Limits,
    Meter,
    SubjectKind,
    month_of,
    rate_left,
    resolve,
    room,
    take,
)
from tessera.domain.ledger.losses import DAY_US
from tessera.domain.ledger.orders import HoldOrder, RateLeft
from tessera.domain.ledger.wallet import LotBalance, Wallet

NOON = int(datetime(2026, 11, 22, 12, tzinfo=UTC).timestamp()) * 1_000_000


def meter(**limits: int) -> Meter:
    return Meter(kind=SubjectKind.KEY, subject_id="key_1", limits=Limits(**limits))


def order(amount: int = 1, minimum: int | None = None, tokens: int = 0) -> HoldOrder:
    return hold_order("org_1", amount, amount_min_nanos=amount if minimum is None else minimum, tokens=tokens)


def rich(amount: int = 10**15) -> Wallet:
    lot = LotBalance(id="lot_1", kind="manual", expires_at=None, remaining_nanos=amount)
    return Wallet(available_nanos=amount, held_nanos=0, lots=(lot,))


def refused(found: int | TesseraError | Placed) -> TesseraError:
    assert isinstance(found, TesseraError)
    return found


@pytest.mark.parametrize("name", ["budget_total_nanos", "budget_month_nanos", "budget_day_nanos", "concurrent_max"])
def test_a_negative_limit_is_no_limit_but_a_mistake(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        Limits(**{name: -1})


@pytest.mark.parametrize("name", ["requests_per_minute", "tokens_per_minute"])
def test_a_rate_is_at_least_one_a_minute_and_sane(name: str) -> None:
    for value in (0, -1, 10**9 + 1):
        with pytest.raises(ValueError, match=name):
            Limits(**{name: value})
    for value in (1, 10**9):
        assert getattr(Limits(**{name: value}), name) == value


def test_a_budget_of_nothing_refuses_every_call_that_can_cost_anything() -> None:
    assert refused(room([meter(budget_total_nanos=0)], order(1), NOON)).code is ErrorCode.BUDGET_EXCEEDED
    assert room([meter(budget_total_nanos=0)], order(0), NOON) == 0


def test_a_call_over_what_is_left_of_a_budget_is_refused_with_the_figures() -> None:
    spent = meter(budget_month_nanos=100)
    take([spent], order(70), 70, NOON)
    resolve([spent], 70, 60, NOON)
    error = refused(room([spent], order(41), NOON))
    assert error.code is ErrorCode.BUDGET_EXCEEDED
    assert error.retry_after_s is None
    assert error.details["scope"] == "key"
    assert error.details["period"] == "month"
    assert error.details["available_nanos"] == 40
    assert room([spent], order(40), NOON) == 40


def test_a_budget_that_running_calls_hold_can_be_waited_for() -> None:
    held = meter(budget_total_nanos=100)
    take([held], order(70), 70, NOON)
    error = refused(room([held], order(31), NOON))
    assert error.code is ErrorCode.BALANCE_RESERVED
    assert error.retry_after_s == 2
    assert (error.details["available_nanos"], error.details["held_nanos"]) == (30, 70)
    resolve([held], 70, 0, NOON)
    assert room([held], order(31), NOON) == 31


def test_with_fit_a_call_gets_what_the_tightest_budget_leaves() -> None:
    wide, tight = meter(budget_total_nanos=1000), meter(budget_day_nanos=50)
    assert room([wide, tight], order(100, minimum=10), NOON) == 50
    _, (placed,) = decide_holds(rich(), [order(100, minimum=10)], [[wide, tight]], NOON)
    assert isinstance(placed, Placed)
    assert placed.amount_nanos == 50
    assert (wide.held_nanos, tight.held_nanos) == (50, 50)


def test_days_and_months_begin_at_midnight_utc() -> None:
    last = int(datetime(2026, 11, 30, 23, 59, 59, tzinfo=UTC).timestamp()) * 1_000_000
    spent = meter(budget_month_nanos=100, budget_day_nanos=100)
    take([spent], order(100), 100, last)
    resolve([spent], 100, 100, last)
    assert refused(room([spent], order(1), last)).code is ErrorCode.BUDGET_EXCEEDED
    assert room([spent], order(100), last + 1_000_000) == 100


def test_a_settlement_that_comes_after_its_month_does_not_bring_the_month_back() -> None:
    late = meter()
    december = NOON + 20 * DAY_US
    for at in (december, NOON):
        take([late], order(10), 10, at)
    resolve([late], 10, 10, december)
    resolve([late], 10, 7, NOON)
    assert (late.spent_nanos, late.month, late.month_nanos) == (17, month_of(december), 10)


def test_months_are_counted_from_the_year_0() -> None:
    assert month_of(0) == 1970 * 12
    assert month_of(NOON) == 2026 * 12 + 10


def test_a_new_meter_has_counted_nothing() -> None:
    counters = [value for name, value in msgspec.structs.asdict(meter()).items() if name not in ("kind", "subject_id")]
    assert counters == [0] * 10 + [Limits()]


def test_an_order_that_says_nothing_of_tokens_uses_none() -> None:
    used = meter(tokens_per_minute=1)
    take([used], hold_order("org_1", 1), 1, NOON)
    assert used.tokens_at_us == NOON


def test_a_call_that_cost_nothing_leaves_day_and_month_as_they_were() -> None:
    used = meter()
    take([used], order(1), 1, NOON)
    resolve([used], 1, 0, NOON)
    assert used == Meter(kind=SubjectKind.KEY, subject_id="key_1", used_at_us=NOON, limits=Limits())


@given(st.lists(st.tuples(st.integers(1, 9), st.integers(0, 70)), min_size=1, max_size=12))
def test_whatever_the_order_the_last_day_and_month_are_the_sums_of_their_charges(
    charges: list[tuple[int, int]],
) -> None:
    used = meter()
    for charge, days in charges:
        take([used], order(charge), charge, NOON)
        resolve([used], charge, charge, NOON + days * DAY_US)
    settled = [(charge, NOON + days * DAY_US) for charge, days in charges]
    last = max(at for _, at in settled)
    assert (used.day, used.month) == (last // DAY_US, month_of(last))
    assert used.spent_nanos == sum(charge for charge, _ in settled)
    assert used.day_nanos == sum(charge for charge, at in settled if at == last)
    assert used.month_nanos == sum(charge for charge, at in settled if month_of(at) == month_of(last))


def test_what_running_calls_hold_of_a_budget_could_still_be_enough_to_the_nano() -> None:
    held = meter(budget_total_nanos=100)
    take([held], order(1), 1, NOON)
    assert refused(room([held], order(100), NOON)).code is ErrorCode.BALANCE_RESERVED
    assert refused(room([held], order(101), NOON)).code is ErrorCode.BUDGET_EXCEEDED


def test_a_budget_that_was_lowered_below_what_is_used_has_nothing_left() -> None:
    used = meter(budget_total_nanos=10)
    used.spent_nanos, used.held_nanos = 20, 5
    assert refused(room([used], order(1), NOON)).details["available_nanos"] == 0


def test_when_a_subject_was_used_last_is_known_and_never_goes_back() -> None:
    used = meter(requests_per_minute=60, tokens_per_minute=60)
    for at in (NOON, NOON - 1):
        take([used], order(tokens=1), 1, at)
    assert (used.used_at_us, used.requests_at_us, used.tokens_at_us) == (NOON, NOON + 2_000_000, NOON + 2_000_000)
    take([used], order(tokens=1), 1, NOON + MINUTE_US)
    later = NOON + MINUTE_US
    assert (used.used_at_us, used.requests_at_us, used.tokens_at_us) == (later, later + 1_000_000, later + 1_000_000)


def test_no_more_calls_run_at_once_than_allowed() -> None:
    busy = meter(concurrent_max=2)
    _, decisions = decide_holds(rich(), [order()] * 3, [[busy]] * 3, NOON)
    assert [isinstance(decision, Placed) for decision in decisions] == [True, True, False]
    error = refused(decisions[2])
    assert error.code is ErrorCode.CONCURRENCY_EXCEEDED
    assert error.retry_after_s == 1
    resolve([busy], 1, 0, NOON)
    assert room([busy], order(), NOON) == 1


def test_a_subject_that_may_run_no_calls_is_told_so_and_not_to_try_again() -> None:
    error = refused(room([meter(concurrent_max=0)], order(), NOON))
    assert (error.code, error.should_retry) == (ErrorCode.CONCURRENCY_EXCEEDED, False)
    assert "may run no calls" in error.message


def test_a_minutes_worth_of_calls_can_be_made_at_once_and_comes_back_evenly() -> None:
    fast = meter(requests_per_minute=60)
    for _ in range(60):
        assert room([fast], order(), NOON) == 1
        take([fast], order(), 1, NOON)
    error = refused(room([fast], order(), NOON))
    assert error.code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert error.retry_after_s == 1
    assert room([fast], order(), NOON + 999_999) != 1
    assert room([fast], order(), NOON + 1_000_000) == 1


def test_what_does_not_come_out_in_whole_microseconds_or_seconds_is_waited_for_a_little_longer() -> None:
    fast = meter(requests_per_minute=7)
    for _ in range(7):
        take([fast], order(), 1, NOON)
    assert fast.requests_at_us == NOON + 7 * 8_571_429
    assert refused(room([fast], order(), NOON)).retry_after_s == 9


def test_a_call_with_more_tokens_than_a_minute_allows_is_never_worth_waiting_for() -> None:
    error = refused(room([meter(tokens_per_minute=100)], order(tokens=101), NOON))
    assert error.code is ErrorCode.RATE_LIMIT_EXCEEDED
    assert error.should_retry is False
    assert room([meter(tokens_per_minute=100)], order(tokens=100), NOON) == 1


@pytest.mark.parametrize("back_us", [2 * MINUTE_US, 60 * MINUTE_US, 400 * DAY_US])
def test_a_clock_that_is_set_back_refuses_nobody_for_as_long(back_us: int) -> None:
    used = meter(requests_per_minute=2, tokens_per_minute=100)
    for _ in range(2):
        assert room([used], order(tokens=50), NOON) == 1
        take([used], order(tokens=50), 1, NOON)
    assert refused(room([used], order(tokens=50), NOON)).code is ErrorCode.RATE_LIMIT_EXCEEDED
    earlier = NOON - back_us
    for passed in range(2):
        left = rate_left([used], earlier)
        assert left is not None
        assert left.requests is not None
        assert left.requests[0] == 2 - passed
        assert room([used], order(tokens=50), earlier) == 1
        take([used], order(tokens=50), 1, earlier)
    wait = refused(room([used], order(tokens=50), earlier))
    assert (wait.code, wait.retry_after_s) == (ErrorCode.RATE_LIMIT_EXCEEDED, 30)


def test_a_replica_whose_clock_is_behind_grants_nothing_more() -> None:
    used = meter(requests_per_minute=2)
    for _ in range(2):
        take([used], order(), 1, NOON)
    for behind_us in (1, 1_000_000, MINUTE_US):
        assert refused(room([used], order(), NOON - behind_us)).code is ErrorCode.RATE_LIMIT_EXCEEDED


def test_the_tightest_rate_is_shown() -> None:
    assert rate_left([meter(), meter(budget_total_nanos=5)], NOON) is None
    assert rate_left([Meter(kind=SubjectKind.KEY, subject_id="key_1")], NOON) is None
    wide, tight = meter(requests_per_minute=100), meter(requests_per_minute=10, tokens_per_minute=600)
    for one in (wide, tight):
        take([one], order(tokens=300), 1, NOON)
    left = rate_left([wide, tight], NOON)
    assert left is not None
    assert left.requests == (9, 10, MINUTE_US // 10)
    assert left.tokens == (300, 600, MINUTE_US // 2)


def test_beside_subjects_without_limits_the_limited_ones_rate_is_shown() -> None:
    unlimited = Meter(kind=SubjectKind.PROJECT, subject_id="prj_1")
    left = rate_left([unlimited, meter(requests_per_minute=10)], NOON)
    assert left == RateLeft(requests=(10, 10, 0), tokens=None)
    lowered = meter(tokens_per_minute=10)
    lowered.tokens_at_us = NOON + 2 * MINUTE_US
    left = rate_left([lowered, unlimited], NOON)
    assert left == RateLeft(requests=None, tokens=(0, 10, 2 * MINUTE_US))


def test_a_refused_call_uses_nothing() -> None:
    metered = meter(requests_per_minute=1, budget_total_nanos=100)
    _, (decision,) = decide_holds(rich(5), [order(50)], [[metered]], NOON)
    assert refused(decision).code is ErrorCode.INSUFFICIENT_BALANCE
    assert metered == meter(requests_per_minute=1, budget_total_nanos=100)


@given(
    budget=st.integers(0, 500),
    concurrent=st.integers(0, 5),
    steps=st.lists(st.tuples(st.integers(0, 120), st.integers(0, 120), st.integers(0, 2 * DAY_US)), max_size=30),
)
def test_whatever_happens_no_budget_is_passed_and_no_count_goes_below_nothing(
    budget: int, concurrent: int, steps: list[tuple[int, int, int]]
) -> None:
    one = meter(budget_total_nanos=budget, budget_day_nanos=budget // 2, concurrent_max=concurrent)
    wallet, now = rich(), NOON
    running: list[int] = []
    for amount, charge, later in steps:
        now += later
        wallet, (decision,) = decide_holds(wallet, [order(amount, minimum=amount // 2)], [[one]], now)
        if isinstance(decision, Placed):
            running.append(decision.amount_nanos)
        elif running:
            ended = running.pop(0)
            resolve([one], ended, min(charge, ended), now)
        assert one.held_nanos == sum(running)
        assert one.open_calls == len(running) <= concurrent
        assert one.spent_nanos + one.held_nanos <= budget
        assert one.day_nanos <= budget // 2
        assert one.day_nanos <= one.month_nanos <= one.spent_nanos


@given(
    per_minute=st.integers(1, 1000),
    gaps=st.lists(st.integers(0, MINUTE_US // 4), min_size=1, max_size=60),
)
def test_over_any_time_no_more_calls_pass_than_a_minutes_worth_and_what_came_back(
    per_minute: int, gaps: list[int]
) -> None:
    one, now, passed = meter(requests_per_minute=per_minute), NOON, 0
    for gap in gaps:
        now += gap
        while passed < 5000 and not isinstance(room([one], order(), now), TesseraError):
            take([one], order(), 1, now)
            passed += 1
    assert passed <= per_minute + (now - NOON) * per_minute // MINUTE_US
