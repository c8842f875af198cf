"""The storage of alerts, webhooks and what was raised, written once for every database."""

from typing import Any

import msgspec

from tessera.adapters.storage.deliveries import DELIVERY, WEBHOOK, Deliveries, delivery_of, notice_of, webhook_of
from tessera.adapters.storage.ended_periods import has_ended, meter_at_end
from tessera.adapters.storage.people.audit_log import record
from tessera.adapters.storage.people.organizations import lock_open
from tessera.adapters.storage.people.steps import Steps, change, first, read, rows
from tessera.domain.alerts import Alert, AlertKind, Period, Reading, Verdict, judge, next_raised
from tessera.domain.deliveries import DeliveryKind, Notice, Webhook
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ids import make_id
from tessera.domain.ledger.limits import SubjectKind
from tessera.domain.money import Mode, format_usd
from tessera.domain.people.records import Act
from tessera.domain.people.roles import RIGHTS, Right, Role
from tessera.ports import Page

ALERTS_MAX = 100
WEBHOOKS_MAX = 10
NOTICES_PER_HOUR_MAX = 200
"""How many alerts of an organization are raised in an hour; the rest wait, and are raised later if they still stand."""
_NEWEST = "zzzz"
_HOUR_US = 3_600_000_000

_ALERT = """alert.id, alert.organization_id, alert.mode, alert.kind, alert.subject_kind, alert.subject_id, alert.period,
    alert.percent, alert.amount_nanos, alert.created_at, alert.raised_in"""
_LIST_ALERTS = f"SELECT {_ALERT} FROM alert WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3"  # noqa: S608
_INSERT_ALERT = """
INSERT INTO alert (
    id, organization_id, mode, kind, subject_kind, subject_id, period, percent, amount_nanos, created_at, raised_in
) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)
"""
_REMOVE_ALERT = "DELETE FROM alert WHERE organization_id = $1 AND id = $2 RETURNING id"
_COUNT_ALERTS = "SELECT count(*) FROM alert WHERE organization_id = $1"
_FIND_KEY = "SELECT id FROM api_key WHERE organization_id = $1 AND id = $2 AND mode = $3"
_FIND_PROJECT = "SELECT id FROM project WHERE organization_id = $1 AND (id = $2 OR name = $2)"

_READ = f"""
SELECT {_ALERT}, wallet.available_nanos + wallet.held_nanos - wallet.disputed_nanos, meter.spent_nanos, meter.month,
    meter.month_nanos, meter.day, meter.day_nanos, meter.budget_total_nanos, meter.budget_month_nanos,
    meter.budget_day_nanos
FROM alert
JOIN wallet ON wallet.organization_id = alert.organization_id AND wallet.mode = alert.mode
LEFT JOIN meter ON meter.wallet_id = wallet.id AND meter.kind = alert.subject_kind
    AND meter.subject_id = alert.subject_id
"""  # noqa: S608
# All but those that cannot have changed: judging each costs ten times what it takes to leave it out here.
_READ_ALL = (
    _READ
    + """
WHERE raised_in IS NOT NULL
    OR (alert.kind = 'balance'
        AND wallet.available_nanos + wallet.held_nanos - wallet.disputed_nanos < alert.amount_nanos)
    OR (alert.kind = 'spend' AND meter.spent_nanos >= alert.amount_nanos)
    OR (alert.kind = 'budget' AND meter.spent_nanos >= alert.percent * (CASE alert.period
        WHEN 'total' THEN meter.budget_total_nanos WHEN 'month' THEN meter.budget_month_nanos
        ELSE meter.budget_day_nanos END / 100))
ORDER BY alert.id
"""
)
_READ_ONE = _READ + " WHERE alert.id = $1"
_LOCK_ALERT = "UPDATE alert SET raised_in = raised_in WHERE id = $1 RETURNING id"
_SET_RAISED = "UPDATE alert SET raised_in = $2 WHERE id = $1"

_LOCK_WALLET = """
UPDATE wallet SET chain_seq = chain_seq WHERE organization_id = $1 AND mode = $2 RETURNING id, chain_seq
"""
_LAST_NUMBER = "SELECT coalesce(max(number), 0) FROM notice WHERE wallet_id = $1 AND chain_seq = $2"
_INSERT_NOTICE = """
INSERT INTO notice (id, organization_id, data, created_at, wallet_id, chain_seq, number)
VALUES ($1, $2, $3, $4, $5, $6, $7)
"""
_COUNT_RAISED = "SELECT count(*) FROM notice WHERE organization_id = $1 AND id > $2"
_MEMBERS = "SELECT person_id, role FROM membership WHERE organization_id = $1 ORDER BY person_id"
_INSERT_DELIVERY = "INSERT INTO delivery (id, notice_id, kind, target, next_at) VALUES ($1, $2, $3, $4, $5)"
_LIST_NOTICES = """
SELECT id, organization_id, created_at, data FROM notice WHERE organization_id = $1 AND id < $2
ORDER BY id DESC LIMIT $3
"""
_LIST_DELIVERIES = f"SELECT {DELIVERY} FROM delivery WHERE notice_id = $1 ORDER BY id"  # noqa: S608

_LIST_WEBHOOKS = f"SELECT {WEBHOOK} FROM webhook WHERE organization_id = $1 AND id > $2 ORDER BY id LIMIT $3"  # noqa: S608
_INSERT_WEBHOOK = "INSERT INTO webhook (id, organization_id, url, nonce, created_at) VALUES ($1, $2, $3, $4, $5)"
_REMOVE_WEBHOOK = "DELETE FROM webhook WHERE organization_id = $1 AND id = $2 RETURNING id"
_COUNT_WEBHOOKS = "SELECT count(*) FROM webhook WHERE organization_id = $1"


class SqlAlerts(Deliveries):
    """The port `Alerts` on any database that runs steps."""

    @change
    def create_alert(self, act: Act, alert: Alert) -> Steps[Alert]:
        """See the port."""
        yield from lock_open(alert.organization_id)
        yield from _check_room(_COUNT_ALERTS, alert.organization_id, ALERTS_MAX, "alerts")
        subject_id = yield from _find_subject(alert)
        made = msgspec.structs.replace(alert, subject_id=subject_id)
        values = [_plain(value) for value in msgspec.structs.astuple(made)]
        yield from rows(_INSERT_ALERT, *values)
        yield from record(self, act)
        return made

    @read
    def list_alerts(self, organization_id: str, page: Page) -> Steps[tuple[Alert, ...]]:
        """See the port."""
        found = yield from rows(_LIST_ALERTS, organization_id, page.after or "", page.limit)
        return tuple(_alert(row) for row in found)

    @change
    def remove_alert(self, act: Act) -> Steps[bool]:
        """See the port."""
        if (yield from first(_REMOVE_ALERT, act.where, act.object_id)) is None:
            return False
        yield from record(self, act)
        return True

    @change
    def create_webhook(self, act: Act, webhook: Webhook) -> Steps[Webhook]:
        """See the port."""
        yield from lock_open(webhook.organization_id)
        yield from _check_room(_COUNT_WEBHOOKS, webhook.organization_id, WEBHOOKS_MAX, "webhooks")
        yield from rows(_INSERT_WEBHOOK, *msgspec.structs.astuple(webhook))
        yield from record(self, act)
        return webhook

    @read
    def list_webhooks(self, organization_id: str, page: Page) -> Steps[tuple[Webhook, ...]]:
        """See the port."""
        found = yield from rows(_LIST_WEBHOOKS, organization_id, page.after or "", page.limit)
        return tuple(webhook_of(row) for row in found)

    @change
    def remove_webhook(self, act: Act) -> Steps[bool]:
        """See the port."""
        if (yield from first(_REMOVE_WEBHOOK, act.where, act.object_id)) is None:
            return False
        yield from record(self, act)
        return True

    @read
    def list_notices(self, organization_id: str, page: Page) -> Steps[tuple[Notice, ...]]:
        """See the port."""
        found = []
        for row in (yield from rows(_LIST_NOTICES, organization_id, page.after or _NEWEST, page.limit)):
            sent = yield from rows(_LIST_DELIVERIES, row[0])
            found.append(notice_of(row, tuple(delivery_of(one) for one in sent)))
        return tuple(found)

    async def raise_alerts(self, now_us: int) -> tuple[str, ...]:
        """See the port. Nothing is written unless an alert changes."""
        raised = []
        for alert_id in await self._changed_alerts(now_us):
            notice_id = await self._raise_alert(alert_id, now_us)
            if notice_id is not None:
                raised.append(notice_id)
        return tuple(raised)

    async def raise_ended(self, ended_us: int) -> tuple[str, ...]:
        """See the port."""
        raised = []
        for alert_id in await self._crossed_at_end(ended_us):
            notice_id = await self._raise_alert(alert_id, ended_us - 1, ended_us)
            if notice_id is not None:
                raised.append(notice_id)
        return tuple(raised)

    # ---- inside ---------------------------------------------------------------------------------------------------

    @read
    def _changed_alerts(self, now_us: int) -> Steps[tuple[str, ...]]:
        changed = []
        room: dict[str, int] = {}
        since = make_id("notice", max(0, now_us - _HOUR_US) // 1_000, bytes(10))
        for row in (yield from rows(_READ_ALL)):
            raised_in, is_raised, _ = _judged(row, now_us)
            if is_raised:
                of = row[1]
                if of not in room:
                    raised = yield from first(_COUNT_RAISED, of, since)
                    assert raised is not None
                    room[of] = NOTICES_PER_HOUR_MAX - raised[0]
                room[of] -= 1
                if room[of] < 0:
                    continue
            if raised_in != row[10]:
                changed.append(row[0])
        return tuple(changed)

    @read
    def _crossed_at_end(self, ended_us: int) -> Steps[tuple[str, ...]]:
        crossed = []
        for row in (yield from rows(_READ_ALL)):
            if has_ended(_alert(row), ended_us):
                row = yield from _at_end(row, ended_us)
                if _judged(row, ended_us - 1)[1]:
                    crossed.append(row[0])
        return tuple(crossed)

    @change
    def _raise_alert(self, alert_id: str, now_us: int, ended_us: int | None = None) -> Steps[str | None]:
        """Judged again under the alert's lock: what another process did to it meanwhile is seen."""
        yield from rows(_LOCK_ALERT, alert_id)
        row = yield from first(_READ_ONE, alert_id)
        if row is None:
            return None
        if ended_us is not None:
            row = yield from _at_end(row, ended_us)
        raised_in, is_raised, verdict = _judged(row, now_us)
        if raised_in != row[10]:
            yield from rows(_SET_RAISED, alert_id, raised_in)
        if not is_raised:
            return None
        alert, now = _alert(row), now_us // 1_000_000
        notice_id = self.make_id("notice")
        data = msgspec.json.encode(notice_data(alert, verdict)).decode()
        place = yield from _take_place(alert)
        yield from rows(_INSERT_NOTICE, notice_id, alert.organization_id, data, now, *place)
        for person_id, role in (yield from rows(_MEMBERS, alert.organization_id)):
            if Right.MONEY_CHANGE in RIGHTS[Role(role)]:
                values = (self.make_id("delivery"), notice_id, DeliveryKind.MAIL.value, person_id, now)
                yield from rows(_INSERT_DELIVERY, *values)
        for webhook in (yield from rows(_LIST_WEBHOOKS, alert.organization_id, "", WEBHOOKS_MAX)):
            values = (self.make_id("delivery"), notice_id, DeliveryKind.WEBHOOK.value, webhook[0], now)
            yield from rows(_INSERT_DELIVERY, *values)
        return notice_id


def notice_data(alert: Alert, verdict: Verdict) -> dict[str, Any]:
    """What a notice says: the alert, and how the value stood to its threshold."""
    assert verdict.threshold_nanos is not None
    return {
        "alert_id": alert.id,
        "organization_id": alert.organization_id,
        "mode": alert.mode.value,
        "kind": alert.kind.value,
        "subject": {"kind": alert.subject_kind.value, "id": alert.subject_id},
        "period": alert.period.value,
        "percent": alert.percent,
        "threshold": format_usd(verdict.threshold_nanos),
        "threshold_nanos": verdict.threshold_nanos,
        "value": format_usd(verdict.value_nanos),
        "value_nanos": verdict.value_nanos,
    }


def _take_place(alert: Alert) -> Steps[tuple[int, int, int]]:
    """(wallet, its last movement, a number there). The lock keeps the wallet from moving before this is committed."""
    wallet = yield from first(_LOCK_WALLET, alert.organization_id, alert.mode.value)
    assert wallet is not None
    last = yield from first(_LAST_NUMBER, *wallet)
    assert last is not None
    return wallet[0], wallet[1], last[0] + 1


def _at_end(row: tuple[Any, ...], ended_us: int) -> Steps[tuple[Any, ...]]:
    """The same as it was read at the end of the alert's period."""
    meter = yield from meter_at_end(_alert(row), row[17:], ended_us)
    return (*row[:12], *meter)


def _judged(row: tuple[Any, ...], now_us: int) -> tuple[int | None, bool, Verdict]:
    alert = _alert(row)
    meter = row[12:] if row[12] is not None else (0, 0, 0, 0, 0, None, None, None)
    names = Reading.__struct_fields__[1:]
    verdict = judge(alert, Reading(money_nanos=row[11], **dict(zip(names, meter, strict=True))), now_us)
    return (*next_raised(alert, verdict), verdict)


def _find_subject(alert: Alert) -> Steps[str]:
    if alert.subject_kind is SubjectKind.KEY:
        row = yield from first(_FIND_KEY, alert.organization_id, alert.subject_id, alert.mode.value)
    elif alert.subject_kind is SubjectKind.PROJECT:
        row = yield from first(_FIND_PROJECT, alert.organization_id, alert.subject_id)
    else:
        row = (alert.organization_id,) if alert.subject_id == alert.organization_id else None
    if row is None:
        subject = alert.subject_id[:64]
        text = f"This organization has no {alert.subject_kind} {subject!r} in {alert.mode} mode."
        raise TesseraError(ErrorCode.NOT_FOUND, text)
    return str(row[0])


def _check_room(count: str, organization_id: str, most: int, what: str) -> Steps[None]:
    row = yield from first(count, organization_id)
    if row is not None and row[0] >= most:
        text = f"An organization has at most {most} {what}. Remove one first."
        raise TesseraError(ErrorCode.INVALID_REQUEST, text)


def _plain(value: Any) -> Any:
    return value.value if isinstance(value, Mode | AlertKind | SubjectKind | Period) else value


def _alert(row: tuple[Any, ...]) -> Alert:
    return Alert(
        id=row[0],
        organization_id=row[1],
        mode=Mode(row[2]),
        kind=AlertKind(row[3]),
        subject_kind=SubjectKind(row[4]),
        subject_id=row[5],
        period=Period(row[6]),
        percent=row[7],
        amount_nanos=row[8],
        created_at=row[9],
        raised_in=row[10],
    )
