"""Alerts: what an organization wants to be told of its money, and when a threshold is crossed.

Pure. Always holds: an alert is raised once for each crossing and period. It is raised again only after the value went
back below (a larger budget, a top-up), or in a new period.
"""

from enum import StrEnum

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.limits import SubjectKind, month_of
from tessera.domain.ledger.losses import day_of
from tessera.domain.money import Mode

AMOUNT_MAX_NANOS = 10**18


class AlertKind(StrEnum):
    """What is watched: a part of a budget, an amount spent, or what is left to spend."""

    BUDGET = "budget"
    SPEND = "spend"
    BALANCE = "balance"


class Period(StrEnum):
    """What spending is counted over: all time, the calendar month or the day, of UTC."""

    TOTAL = "total"
    MONTH = "month"
    DAY = "day"


class Alert(msgspec.Struct, frozen=True, kw_only=True):
    """A threshold. `percent` is of the subject's budget, `amount_nanos` is spent (spend) or left (balance).

    `raised_in` is the number of the period it was last raised in; None if the value went back since, or never crossed.
    """

    id: str
    organization_id: str
    mode: Mode
    kind: AlertKind
    subject_kind: SubjectKind
    subject_id: str
    period: Period
    percent: int | None
    amount_nanos: int | None
    created_at: int
    raised_in: int | None = None


class Reading(msgspec.Struct, frozen=True, kw_only=True):
    """What an alert is judged by: the wallet's money that is not spent (free or held), and its subject's meter."""

    money_nanos: int
    spent_nanos: int = 0
    month: int = 0
    month_nanos: int = 0
    day: int = 0
    day_nanos: int = 0
    budget_total_nanos: int | None = None
    budget_month_nanos: int | None = None
    budget_day_nanos: int | None = None


class Verdict(msgspec.Struct, frozen=True, kw_only=True):
    """How a value stands to a threshold, both nano-dollars, in a period; `threshold_nanos` is None without a budget."""

    period: int
    value_nanos: int
    threshold_nanos: int | None
    crossed: bool


def judge(alert: Alert, reading: Reading, now_us: int) -> Verdict:
    """Whether an alert's value is past its threshold. What running calls hold is neither spent nor gone."""
    if alert.kind is AlertKind.BALANCE:
        assert alert.amount_nanos is not None
        value = reading.money_nanos
        return Verdict(
            period=0, value_nanos=value, threshold_nanos=alert.amount_nanos, crossed=value < alert.amount_nanos
        )
    period, spent, budget = _spent(alert.period, reading, now_us)
    if alert.kind is AlertKind.SPEND:
        assert alert.amount_nanos is not None
        return Verdict(
            period=period, value_nanos=spent, threshold_nanos=alert.amount_nanos, crossed=spent >= alert.amount_nanos
        )
    assert alert.percent is not None
    if budget is None:
        return Verdict(period=period, value_nanos=spent, threshold_nanos=None, crossed=False)
    threshold = -(-budget * alert.percent // 100)
    return Verdict(period=period, value_nanos=spent, threshold_nanos=threshold, crossed=spent >= threshold)


def next_raised(alert: Alert, verdict: Verdict) -> tuple[int | None, bool]:
    """What `raised_in` becomes, and whether the alert is raised. A process whose clock is behind changes nothing, and
    one whose clock is ahead, in a period that has not begun for others, does not forget the running one."""
    if alert.raised_in is not None and alert.raised_in > verdict.period:
        return alert.raised_in, False
    if verdict.crossed:
        return verdict.period, alert.raised_in != verdict.period
    return None if alert.raised_in == verdict.period else alert.raised_in, False


def is_raised(alert: Alert, now_us: int) -> bool:
    """Whether the value is past its threshold in the running period."""
    running = {Period.TOTAL: 0, Period.MONTH: month_of(now_us), Period.DAY: day_of(now_us)}[alert.period]
    return alert.raised_in is not None and alert.raised_in >= running


def check_alert(kind: AlertKind, period: Period | None, percent: int | None, amount_nanos: int | None) -> Period:
    """The period of a new alert whose fields fit together. Raises [invalid_request]."""
    if kind is AlertKind.BUDGET:
        if percent is None or not 1 <= percent <= 100 or amount_nanos is not None:
            raise _wrong("percent", "An alert on a budget has a percent from 1 to 100, and no amount.")
    elif amount_nanos is None or not 0 < amount_nanos <= AMOUNT_MAX_NANOS or percent is not None:
        raise _wrong("amount", "An alert on spending or on the balance has an amount above zero, and no percent.")
    if kind is AlertKind.BALANCE:
        if period not in (None, Period.TOTAL):
            raise _wrong("period", "An alert on the balance has no period.")
        return Period.TOTAL
    return period or Period.MONTH


def _spent(period: Period, reading: Reading, now_us: int) -> tuple[int, int, int | None]:
    """(the period's number, what was charged in it, its budget)."""
    if period is Period.TOTAL:
        return 0, reading.spent_nanos, reading.budget_total_nanos
    if period is Period.MONTH:
        month = max(reading.month, month_of(now_us))
        return month, reading.month_nanos if reading.month == month else 0, reading.budget_month_nanos
    day = max(reading.day, day_of(now_us))
    return day, reading.day_nanos if reading.day == day else 0, reading.budget_day_nanos


def _wrong(param: str, text: str) -> TesseraError:
    return TesseraError(ErrorCode.INVALID_REQUEST, text, param=param)
