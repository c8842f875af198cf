"""What a subject had spent when a day or month ended: its meter counts the next one by now, the sums of days know."""

from typing import Any

from tessera.adapters.storage.people.steps import Steps, first
from tessera.domain.alerts import Alert, Period
from tessera.domain.forecast import DAY_S, month_bounds_at
from tessera.domain.ledger.limits import SubjectKind, month_of
from tessera.domain.ledger.losses import day_of

_SPENT = """
SELECT coalesce(sum(charge_nanos), 0) FROM usage_sum
JOIN wallet ON wallet.id = usage_sum.wallet_id JOIN usage_series ON usage_series.id = series_id
WHERE organization_id = $1 AND mode = $2 AND width_s = 86400 AND start_at >= $3 AND start_at < $4 AND {subject} = $5
"""
_SUBJECTS = {
    SubjectKind.KEY: "key_id",
    SubjectKind.PROJECT: "project_id",
    SubjectKind.ORGANIZATION: "organization_id",
}


def has_ended(alert: Alert, ended_us: int) -> bool:
    """Whether this end of a day, in microseconds since 1970, ended a period that the alert stood through the end of."""
    if alert.created_at * 1_000_000 >= ended_us:
        return False
    return alert.period is Period.DAY or (alert.period is Period.MONTH and month_of(ended_us) != month_of(ended_us - 1))


def meter_at_end(alert: Alert, budgets: tuple[Any, ...], ended_us: int) -> Steps[tuple[Any, ...]]:
    """What its subject's meter said at the end of the alert's period, as a `Reading` has it; nothing of all time."""
    end = ended_us // 1_000_000
    start = end - DAY_S if alert.period is Period.DAY else month_bounds_at(end - 1)[0]
    sql = _SPENT.format(subject=_SUBJECTS[alert.subject_kind])
    row = yield from first(sql, alert.organization_id, alert.mode.value, start, end, alert.subject_id)
    assert row is not None
    nanos, last_us = int(row[0]), ended_us - 1
    return (0, month_of(last_us), nanos, day_of(last_us), nanos, *budgets)
