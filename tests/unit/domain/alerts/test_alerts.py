"""When an alert is raised, how long a delivery is tried, what a month will cost."""

from datetime import UTC, datetime

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.alerts import Alert, AlertKind, Period, Reading, check_alert, is_raised, judge, next_raised
from tessera.domain.deliveries import RETRY_AFTER_S, retry_at
from tessera.domain.errors import TesseraError
from tessera.domain.forecast import forecast, month_bounds_at
from tessera.domain.ledger.limits import SubjectKind, month_of
from tessera.domain.ledger.losses import day_of
from tessera.domain.money import Mode

NOW = int(datetime(2026, 11, 16, tzinfo=UTC).timestamp())


def an_alert(kind: AlertKind, **fields: object) -> Alert:
    values: dict[str, object] = {"period": Period.MONTH, "percent": None, "amount_nanos": None, **fields}
    return Alert(
        id="alert_1",
        organization_id="org_1",
        mode=Mode.LIVE,
        kind=kind,
        subject_kind=SubjectKind.ORGANIZATION,
        subject_id="org_1",
        created_at=1,
        **values,  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("kind", "period", "percent", "amount"),
    [
        (AlertKind.BUDGET, None, None, None),
        (AlertKind.BUDGET, None, 101, None),
        (AlertKind.BUDGET, None, 0, None),
        (AlertKind.BUDGET, None, 50, 1),
        (AlertKind.SPEND, None, None, None),
        (AlertKind.SPEND, None, None, 0),
        (AlertKind.SPEND, None, 5, 1),
        (AlertKind.BALANCE, None, None, -1),
        (AlertKind.BALANCE, Period.DAY, None, 1),
    ],
)
def test_an_alert_whose_fields_do_not_fit_is_refused(
    kind: AlertKind, period: Period | None, percent: int | None, amount: int | None
) -> None:
    with pytest.raises(TesseraError):
        check_alert(kind, period, percent, amount)


@given(st.integers(0, 10**15), st.integers(1, 100), st.integers(0, 10**15))
def test_a_percent_is_crossed_exactly_where_the_fraction_is(budget: int, percent: int, spent: int) -> None:
    month = month_of(NOW * 1_000_000)
    reading = Reading(money_nanos=0, spent_nanos=spent, month=month, month_nanos=spent, budget_month_nanos=budget)
    verdict = judge(an_alert(AlertKind.BUDGET, percent=percent), reading, NOW * 1_000_000)
    assert verdict.crossed == (spent * 100 >= budget * percent)


def test_a_month_that_is_over_has_spent_nothing_in_the_new_one() -> None:
    month = month_of(NOW * 1_000_000)
    alert = an_alert(AlertKind.SPEND, amount_nanos=5, raised_in=month - 1)
    before = Reading(money_nanos=0, month=month - 1, month_nanos=9)
    assert next_raised(alert, judge(alert, before, NOW * 1_000_000)) == (month - 1, False)
    assert not is_raised(alert, NOW * 1_000_000)
    after = Reading(money_nanos=0, month=month, month_nanos=9)
    assert next_raised(alert, judge(alert, after, NOW * 1_000_000)) == (month, True)


def test_a_process_whose_clock_is_behind_raises_nothing_twice() -> None:
    month = month_of(NOW * 1_000_000)
    alert = an_alert(AlertKind.SPEND, amount_nanos=5, raised_in=month + 1)
    assert next_raised(alert, judge(alert, Reading(money_nanos=0), NOW * 1_000_000)) == (month + 1, False)


@pytest.mark.parametrize(("period", "seconds"), [(Period.DAY, 86_400), (Period.MONTH, 15 * 86_400)])
def test_two_processes_on_either_side_of_a_periods_end_raise_once(period: Period, seconds: int) -> None:
    """Their clocks differ by two seconds at the end of the day and of the month; they look in turn."""
    ahead_us = (NOW + seconds) // seconds * seconds * 1_000_000 + 1_000_000
    if period is Period.MONTH:
        ahead_us = month_bounds_at(NOW)[1] * 1_000_000 + 1_000_000
    behind_us = ahead_us - 2_000_000
    spent = Reading(money_nanos=0, month=month_of(behind_us), month_nanos=9, day=day_of(behind_us), day_nanos=9)
    alert, times = an_alert(AlertKind.SPEND, amount_nanos=5, period=period), 0
    for now_us in (behind_us, ahead_us) * 3:
        raised_in, is_now_raised = next_raised(alert, judge(alert, spent, now_us))
        alert, times = msgspec.structs.replace(alert, raised_in=raised_in), times + is_now_raised
    assert times == 1
    assert (is_raised(alert, behind_us), is_raised(alert, ahead_us)) == (True, False)


def test_a_delivery_is_tried_over_hours_and_then_given_up() -> None:
    at, tries = 0, 0
    while (again := retry_at(tries := tries + 1, at)) is not None:
        assert again > at
        at = again
    assert tries == len(RETRY_AFTER_S) + 1
    assert 12 * 3600 < at < 24 * 3600


def test_half_a_month_forecasts_the_whole_and_a_quiet_week_nothing_more() -> None:
    found = forecast(NOW, 1_500, 0)
    assert (found.month, found.charged_nanos, found.by_month_nanos, found.by_week_nanos) == (
        "2026-11",
        1_500,
        3_000,
        1_500,
    )
    assert forecast(NOW, 1_500, 700).by_week_nanos == 1_500 + 15 * 100


@given(st.integers(0, 4_000_000_000), st.integers(0, 10**15), st.integers(0, 10**15))
def test_a_forecast_is_never_below_what_is_charged(now: int, month: int, week: int) -> None:
    start, end = month_bounds_at(now)
    assert start <= now < end
    found = forecast(now, month, week)
    assert found.by_month_nanos >= month
    assert found.by_week_nanos >= month
