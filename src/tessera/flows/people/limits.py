"""Limits of keys, projects and organizations for those who administer them, and what they have used."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tessera.domain.amounts import asked_usd
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.limits import PER_MINUTE_MAX, Limits, Meter, SubjectKind, month_of
from tessera.domain.ledger.losses import day_of
from tessera.domain.money import Mode, format_usd
from tessera.domain.people.records import Act, Actor
from tessera.flows.people.accounts import Accounts


class Subject(msgspec.Struct, frozen=True):
    """What is limited; `project_id` says where a key is looked for."""

    kind: SubjectKind
    id: str
    project_id: str | None = None


async def show_limits(accounts: Accounts, actor: Actor, subject: Subject, mode: str | None) -> dict[str, Any]:
    """What a subject may use and has used in a mode; a key has its own, None. Raises [invalid_request, not_found]."""
    found = await accounts.people.find_meter(
        actor.organization_id, None if mode is None else _mode(mode), subject.kind, subject.id, subject.project_id
    )
    return limits_object(*found, accounts.now())


async def set_limits(
    accounts: Accounts, actor: Actor, subject: Subject, mode: str | None, limits: Limits
) -> dict[str, Any]:
    """Replaces a subject's limits; what it has used stays counted. Raises [invalid_request, not_found]."""
    details = {name: value for name, value in msgspec.structs.asdict(limits).items() if value is not None}
    act = Act(
        actor=actor, action="limits.changed", object_id=subject.id, details={"kind": subject.kind.value, **details}
    )
    asked = None if mode is None else _mode(mode)
    found = await accounts.people.set_limits(act, asked, subject.kind, limits, subject.project_id)
    return limits_object(*found, accounts.now())


def read_limits(
    budgets: Mapping[str, str | None],
    *,
    requests_per_minute: int | None,
    tokens_per_minute: int | None,
    concurrent_max: int | None,
) -> Limits:
    """Limits from what a caller wrote: budgets in USD by total, month and day. Raises [invalid_request]."""
    nanos: dict[str, int | None] = {}
    for period, text in budgets.items():
        name = f"budget_{period}"
        nanos[f"{name}_nanos"] = None if text is None else asked_usd(text, name)
    rates = {"requests_per_minute": (1, requests_per_minute), "tokens_per_minute": (1, tokens_per_minute)}
    for name, (least, value) in {**rates, "concurrent_max": (0, concurrent_max)}.items():
        if value is not None and not least <= value <= PER_MINUTE_MAX:
            raise TesseraError(ErrorCode.INVALID_REQUEST, f"{name} must be {least} to {PER_MINUTE_MAX}.", param=name)
    return Limits(
        **nanos,
        requests_per_minute=requests_per_minute,
        tokens_per_minute=tokens_per_minute,
        concurrent_max=concurrent_max,
    )


def limits_object(mode: Mode, meter: Meter, now: int) -> dict[str, Any]:
    """Limits and what was used of them: amounts as decimal strings in USD beside integer nanos."""
    now_us = now * 1_000_000
    limits = meter.limits
    month = meter.month_nanos if meter.month >= month_of(now_us) else 0
    day = meter.day_nanos if meter.day >= day_of(now_us) else 0
    return {
        "object": "organization.limits",
        "kind": meter.kind.value,
        "id": meter.subject_id,
        "mode": mode.value,
        "limits": {
            **_amount("budget_total", limits.budget_total_nanos),
            **_amount("budget_month", limits.budget_month_nanos),
            **_amount("budget_day", limits.budget_day_nanos),
            "requests_per_minute": limits.requests_per_minute,
            "tokens_per_minute": limits.tokens_per_minute,
            "concurrent_max": limits.concurrent_max,
        },
        "used": {
            **_amount("total", meter.spent_nanos),
            **_amount("month", month),
            **_amount("day", day),
            **_amount("held", meter.held_nanos),
            "open_calls": meter.open_calls,
        },
        "last_used_at": meter.used_at_us // 1_000_000 if meter.used_at_us else None,
    }


def _amount(name: str, nanos: int | None) -> dict[str, str | int | None]:
    return {name: None if nanos is None else format_usd(nanos), f"{name}_nanos": nanos}


def _mode(text: str) -> Mode:
    try:
        return Mode(text)
    except ValueError:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "mode must be live or test.", param="mode") from None
