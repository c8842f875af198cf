"""Setting and listing alerts, and what was raised."""

from enum import StrEnum
from typing import Any

from tessera.domain.alerts import Alert, AlertKind, Period, check_alert, is_raised
from tessera.domain.amounts import asked_usd
from tessera.domain.deliveries import Delivery, Notice
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.limits import SubjectKind
from tessera.domain.money import Mode, format_usd
from tessera.domain.people.records import Act, Actor
from tessera.flows.people.accounts import Accounts
from tessera.flows.receipts import list_object, page_after
from tessera.ports import Page


async def create_alert(
    accounts: Accounts,
    actor: Actor,
    *,
    kind: str,
    mode: str = "live",
    key: str | None = None,
    project: str | None = None,
    period: str | None = None,
    percent: int | None = None,
    amount: str | None = None,
) -> dict[str, Any]:
    """A new alert on a key, a project or, with neither, the whole organization. Raises [invalid_request, not_found]."""
    watched = _one_of(AlertKind, kind, "kind")
    chosen = None if period is None else _one_of(Period, period, "period")
    amount_nanos = None if amount is None else asked_usd(amount, "amount")
    chosen = check_alert(watched, chosen, percent, amount_nanos)
    if key is not None and project is not None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "Give a key or a project, not both.", param="key")
    subject_kind, subject = SubjectKind.ORGANIZATION, actor.organization_id
    if key is not None:
        subject_kind, subject = SubjectKind.KEY, key
    elif project is not None:
        subject_kind, subject = SubjectKind.PROJECT, project
    if watched is AlertKind.BALANCE and subject_kind is not SubjectKind.ORGANIZATION:
        text = "The balance is the organization's: an alert on it names no key and no project."
        raise TesseraError(ErrorCode.INVALID_REQUEST, text, param=subject_kind.value)
    alert = Alert(
        id=accounts.make_id("alert"),
        organization_id=actor.organization_id,
        mode=_one_of(Mode, mode, "mode"),
        kind=watched,
        subject_kind=subject_kind,
        subject_id=subject,
        period=chosen,
        percent=percent,
        amount_nanos=amount_nanos,
        created_at=accounts.now(),
    )
    details = {
        "kind": kind,
        "mode": mode,
        "subject": subject_kind.value,
        "subject_id": subject,
        "period": chosen.value,
        "percent": percent,
        "amount_nanos": amount_nanos,
    }
    act = Act(actor=actor, action="alert.created", object_id=alert.id, details=details)
    return alert_object(await accounts.alerts.create_alert(act, alert), accounts.now())


async def list_alerts(accounts: Accounts, actor: Actor, page: Page) -> dict[str, Any]:
    """Alerts, oldest first, a page at a time."""
    found = await accounts.alerts.list_alerts(actor.organization_id, page_after(page, "alert"))
    return list_object([alert_object(alert, accounts.now()) for alert in found], page)


async def remove_alert(accounts: Accounts, actor: Actor, alert_id: str) -> dict[str, Any]:
    """Removes an alert for good. Raises [not_found]."""
    if not await accounts.alerts.remove_alert(Act(actor=actor, action="alert.removed", object_id=alert_id)):
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no alert {alert_id[:64]!r} in this organization.")
    return {"object": "organization.alert.deleted", "id": alert_id, "deleted": True}


async def list_notices(accounts: Accounts, actor: Actor, page: Page) -> dict[str, Any]:
    """What was raised, newest first, and how far its deliveries got."""
    found = await accounts.alerts.list_notices(actor.organization_id, page_after(page, "notice"))
    return list_object([notice_object(notice) for notice in found], page)


def alert_object(alert: Alert, now: int) -> dict[str, Any]:
    """An alert as the API shows it."""
    return {
        "object": "organization.alert",
        "id": alert.id,
        "mode": alert.mode,
        "kind": alert.kind,
        "subject": {"kind": alert.subject_kind, "id": alert.subject_id},
        "period": alert.period,
        "percent": alert.percent,
        "amount": None if alert.amount_nanos is None else format_usd(alert.amount_nanos),
        "amount_nanos": alert.amount_nanos,
        "raised": is_raised(alert, now * 1_000_000),
        "created_at": alert.created_at,
    }


def notice_object(notice: Notice) -> dict[str, Any]:
    """What was raised; `data` is what its receivers get."""
    return {
        "object": "organization.notice",
        "id": notice.id,
        "type": "alert.raised",
        "created_at": notice.created_at,
        "data": dict(notice.data),
        "deliveries": [_delivery_object(one) for one in notice.deliveries],
    }


def _delivery_object(one: Delivery) -> dict[str, Any]:
    return {
        "kind": one.kind,
        "to": one.target,
        "state": one.state,
        "tries": one.tries,
        "next_at": one.next_at if one.ended_at is None else None,
        "error": one.error,
        "ended_at": one.ended_at,
    }


def _one_of(names: type[StrEnum], text: str, param: str) -> Any:
    try:
        return names(text)
    except ValueError:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, f"{param} must be one of {', '.join(names)}.", param=param
        ) from None
