"""Alerts and the outbox of what they raised: each crossing once, however many processes look, on both engines."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest

from ledger_calls import funded, hold_order, usage_event
from payment_events import bought, claimed, event
from tessera.adapters.storage import alerts
from tessera.adapters.storage.alerts import SqlAlerts
from tessera.adapters.storage.ledger.people import people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.money.store import SqlMoney
from tessera.domain.alerts import Alert, AlertKind, Period
from tessera.domain.deliveries import (
    LEASE_S,
    Delivery,
    DeliveryKind,
    DeliveryState,
    Errand,
    LetterKind,
    WaitingLetter,
    Webhook,
)
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ledger.limits import Limits, SubjectKind
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.payments.records import ClaimKind
from tessera.domain.people.records import Act, Link, LinkPurpose
from tessera.domain.usage_report import Movements
from tessera.flows.people.organizations import operator_actor
from tessera.ports import Page

pytestmark = pytest.mark.anyio

Opener = Callable[..., Awaitable[LedgerStorage]]
ALL = Page(limit=100)
MONTH_US = 32 * 86_400 * 1_000_000


def alerts_of(storage: LedgerStorage) -> SqlAlerts:
    people = people_of(storage)
    return SqlAlerts(people.database, people.now, people.make_id, people.signing_key)


async def set_alert(store: SqlAlerts, organization: str, kind: AlertKind, **fields: object) -> Alert:
    values: dict[str, object] = {
        "mode": Mode.LIVE,
        "subject_kind": SubjectKind.ORGANIZATION,
        "subject_id": organization,
        "period": Period.MONTH,
        "percent": None,
        "amount_nanos": None,
        **fields,
    }
    values.setdefault("created_at", 1)
    alert = Alert(id=store.make_id("alert"), organization_id=organization, kind=kind, **values)  # type: ignore[arg-type]
    act = Act(actor=operator_actor(organization), action="alert.created", object_id=alert.id)
    return await store.create_alert(act, alert)


async def add_webhook(store: SqlAlerts, organization: str) -> Webhook:
    webhook = Webhook(
        id=store.make_id("webhook"),
        organization_id=organization,
        url="https://example.com/",
        nonce="00",
        created_at=1,
    )
    act = Act(actor=operator_actor(organization), action="webhook.created", object_id=webhook.id)
    return await store.create_webhook(act, webhook)


async def spend(storage: LedgerStorage, organization: str, nanos: int) -> None:
    order = hold_order(organization, nanos, mode=Mode.LIVE, owner=storage.owner)
    await storage.hold(order)
    await storage.settle(usage_event(order, nanos))


def now_us() -> int:
    return time.time_ns() // 1_000


async def limit_month(storage: LedgerStorage, organization: str, nanos: int) -> None:
    limits = Limits(budget_month_nanos=nanos)
    await storage.set_limits(organization, Mode.LIVE, SubjectKind.ORGANIZATION, organization, limits)


async def limit_total(storage: LedgerStorage, organization: str, nanos: int) -> None:
    limits = Limits(budget_total_nanos=nanos)
    await storage.set_limits(organization, Mode.LIVE, SubjectKind.ORGANIZATION, organization, limits)


async def test_another_organizations_subjects_cannot_be_watched(storage: LedgerStorage) -> None:
    organization, other = await funded(storage, 100), await funded(storage, 100)
    store = alerts_of(storage)
    for kind, subject in ((SubjectKind.ORGANIZATION, other), (SubjectKind.KEY, "key_x"), (SubjectKind.PROJECT, "no")):
        with pytest.raises(TesseraError) as caught:
            await set_alert(store, organization, AlertKind.SPEND, amount_nanos=1, subject_kind=kind, subject_id=subject)
        assert caught.value.code is ErrorCode.NOT_FOUND
    assert await store.list_alerts(organization, ALL) == ()


async def test_a_deleted_organization_is_told_nothing(storage: LedgerStorage) -> None:
    organization, store = await funded(storage, 0), alerts_of(storage)
    delete = Act(actor=operator_actor(organization), action="organization.deleted", object_id=organization)
    await people_of(storage).erase_organization(delete)
    for change in (set_alert(store, organization, AlertKind.BALANCE, amount_nanos=1), add_webhook(store, organization)):
        with pytest.raises(TesseraError) as caught:
            await change
        assert caught.value.code is ErrorCode.NOT_FOUND


def waiting_letter(store: SqlAlerts, email: str = "ada@example.com", next_at: int = 60) -> Errand:
    """A letter that its process has taken for one try."""
    delivery = Delivery(
        id=store.make_id("delivery"),
        kind=DeliveryKind.LETTER,
        target=email,
        state=DeliveryState.WAITING,
        tries=1,
        next_at=next_at,
    )
    return Errand(delivery=delivery, letter=WaitingLetter(kind=LetterKind.KNOWN, nonce="00"))


async def test_a_letter_is_taken_over_when_its_lease_is_over_and_gone_once_it_is_sent(storage: LedgerStorage) -> None:
    store, people = alerts_of(storage), people_of(storage)
    letter = waiting_letter(store)
    await people.keep_letter(letter)
    assert await store.take_errands(59, 10) == ()
    tries = await asyncio.gather(*(store.take_errands(60, 10) for _ in range(3)))
    ((taken,),) = [errands for errands in tries if errands]
    assert (taken.delivery.id, taken.letter, taken.delivery.tries) == (letter.delivery.id, letter.letter, 2)
    await store.end_errand(letter, DeliveryState.SENT, error=None, next_at=0, now=61)
    await store.end_errand(taken, DeliveryState.WAITING, error="refused", next_at=70, now=62)
    (again,) = await store.take_errands(70, 10)
    assert (again.delivery.tries, again.delivery.target) == (3, "ada@example.com")
    await store.end_errand(again, DeliveryState.SENT, error=None, next_at=0, now=71)
    assert await store.take_errands(2**40, 10) == ()


async def test_an_organization_with_much_to_deliver_holds_up_neither_another_nor_letters(
    storage: LedgerStorage,
) -> None:
    loud, quiet = await funded(storage, 1_000), await funded(storage, 1_000)
    store = alerts_of(storage)
    for organization, hooks in ((loud, 7), (quiet, 1)):
        for _ in range(hooks):
            await add_webhook(store, organization)
        await set_alert(store, organization, AlertKind.SPEND, amount_nanos=10)
        await spend(storage, organization, 10)
        assert len(await store.raise_alerts(now_us())) == 1
    await people_of(storage).keep_letter(waiting_letter(store))
    now = int(time.time()) + 1

    async def take(limit: int, *busy: str) -> list[str]:
        taken = await store.take_errands(now, limit, busy)
        return sorted("letter" if one.notice is None else one.notice.organization_id for one in taken)

    assert await take(0) == []
    assert await take(100) == sorted(["letter", quiet, *[loud] * 4])
    assert await take(100, quiet, loud) == []
    assert await take(2, quiet) == [loud] * 2
    assert await take(100, quiet) == [loud]
    assert await take(100) == []


async def test_many_organizations_with_much_to_deliver_hold_up_none_with_little(storage: LedgerStorage) -> None:
    loud, quiet = [await funded(storage, 1_000) for _ in range(3)], await funded(storage, 1_000)
    store = alerts_of(storage)
    for organization, hooks in (*((one, 4) for one in loud), (quiet, 1)):
        for _ in range(hooks):
            await add_webhook(store, organization)
        await set_alert(store, organization, AlertKind.SPEND, amount_nanos=10)
        await spend(storage, organization, 10)
        # The quiet one's is raised last, and so stands behind twelve.
        assert len(await store.raise_alerts(now_us())) == 1
    taken = await store.take_errands(int(time.time()) + 1, 4)
    assert sorted(one.notice.organization_id for one in taken if one.notice) == sorted([*loud, quiet])


async def test_a_letter_is_there_only_if_what_makes_it_necessary_is(storage: LedgerStorage) -> None:
    store, people = alerts_of(storage), people_of(storage)
    act = Act(actor=operator_actor("org_none"), action="password.changed", object_id="person_none")
    with pytest.raises(TesseraError):
        await people.set_password(act, "hash", "", waiting_letter(store))
    assert not await people.reset_password(act, "no such link", "hash", waiting_letter(store))
    assert await store.take_errands(2**40, 10) == ()
    link = Link(purpose=LinkPurpose.PASSWORD_RESET, email="ada@example.com", expires_at=2**40)
    await people.keep_link("digest", link, waiting_letter(store))
    assert len(await store.take_errands(2**39, 10)) == 1


async def test_an_alert_has_a_place_among_the_movements_of_its_own_wallet(storage: LedgerStorage) -> None:
    organization, other = await funded(storage, 1_000), await funded(storage, 1_000)
    store = alerts_of(storage)

    async def told(of: str, after: int | None, after_alert: int = 0, mode: Mode = Mode.LIVE) -> Movements:
        return await storage.read_movements(of, mode, after=after, watched=(), after_alert=after_alert)

    for amount in (10, 20, 30):
        await set_alert(store, organization, AlertKind.SPEND, amount_nanos=amount)
    start = await told(organization, None)
    assert (start.alert_number, start.alerts) == (0, ())
    await spend(storage, organization, 20)
    two = await store.raise_alerts(now_us())
    await spend(storage, organization, 10)
    (third,) = await store.raise_alerts(now_us())
    found = await told(organization, start.seq)
    places = [(alert.seq - start.seq, alert.number, alert.notice_id) for alert in found.alerts]
    assert places == [(2, 1, two[0]), (2, 2, two[1]), (4, 1, third)]
    assert [dict(alert.data) for alert in reversed(found.alerts)] == [
        dict(notice.data) for notice in await store.list_notices(organization, ALL)
    ]
    assert (found.seq - start.seq, found.alert_number) == (4, 1)
    rest = await told(organization, start.seq + 2, after_alert=1)
    assert [alert.notice_id for alert in rest.alerts] == [two[1], third]
    assert (await told(organization, found.seq, after_alert=1)).alerts == ()
    assert (await told(other, 0)).alerts == (await told(organization, 0, mode=Mode.TEST)).alerts == ()


async def test_a_part_of_a_budget_is_told_once_a_month_and_again_after_the_budget_grew(storage: LedgerStorage) -> None:
    organization = await funded(storage, 1_000)
    store = alerts_of(storage)
    await set_alert(store, organization, AlertKind.BUDGET, percent=80)
    await spend(storage, organization, 79)
    assert await store.raise_alerts(now_us()) == (), "there is no budget yet"
    await limit_month(storage, organization, 100)
    assert await store.raise_alerts(now_us()) == ()
    await spend(storage, organization, 1)
    assert len(await store.raise_alerts(now_us())) == 1
    await spend(storage, organization, 5)
    assert await store.raise_alerts(now_us()) == ()
    await limit_month(storage, organization, 200)
    assert await store.raise_alerts(now_us()) == ()
    assert [alert.raised_in for alert in await store.list_alerts(organization, ALL)] == [None]
    await spend(storage, organization, 75)
    assert len(await store.raise_alerts(now_us())) == 1
    assert await store.raise_alerts(now_us() + MONTH_US) == (), "a new month has spent nothing"
    newest, oldest = await store.list_notices(organization, ALL)
    assert (oldest.data["value_nanos"], oldest.data["threshold_nanos"]) == (80, 80)
    assert (newest.data["value_nanos"], newest.data["threshold_nanos"]) == (160, 160)


async def spend_at(storage: LedgerStorage, organization: str, nanos: int, at_us: int) -> None:
    order = hold_order(organization, nanos, mode=Mode.LIVE, owner=storage.owner, placed_at_us=at_us)
    await storage.hold(order)
    await storage.settle(usage_event(order, nanos, settled_at_us=at_us))


@pytest.mark.parametrize("ended_us", [1_795_392_000_000_000, 1_796_083_200_000_000], ids=["a day", "a month"])
async def test_what_crossed_in_the_last_moment_of_a_period_is_told_once_though_the_next_has_begun(
    opener: Opener, tmp_path: Path, ended_us: int
) -> None:
    now = [ended_us - 1]
    storage = await opener(tmp_path, clock=lambda: now[0])
    organization = await funded(storage, 1_000)
    store = alerts_of(storage)
    period = Period.DAY if ended_us == 1_795_392_000_000_000 else Period.MONTH
    budgets = Limits(budget_day_nanos=100, budget_month_nanos=100)
    await storage.set_limits(organization, Mode.LIVE, SubjectKind.ORGANIZATION, organization, budgets)
    half = await set_alert(store, organization, AlertKind.BUDGET, percent=50, period=period)
    spent = await set_alert(store, organization, AlertKind.SPEND, period=period, amount_nanos=50)
    await set_alert(store, organization, AlertKind.SPEND, period=period, amount_nanos=51)
    await set_alert(store, organization, AlertKind.SPEND, period=period, amount_nanos=1, created_at=ended_us // 10**6)
    await set_alert(store, organization, AlertKind.SPEND, period=Period.TOTAL, amount_nanos=100)
    await spend_at(storage, organization, 50, ended_us - 1)
    now[0] = ended_us
    await spend_at(storage, organization, 1, ended_us)
    looked = [await store.raise_ended(ended_us) for _ in range(2)]
    assert [len(raised) for raised in looked] == [2, 0]
    told = {
        notice.data["alert_id"]: notice.data["value_nanos"] for notice in await store.list_notices(organization, ALL)
    }
    assert told == {half.id: 50, spent.id: 50}
    await spend_at(storage, organization, 49, ended_us + 1)
    assert len(await store.raise_alerts(ended_us + 2)) == 4, "the next period raises its own"
    assert await store.raise_ended(ended_us) == ()
    await storage.close()


async def test_a_low_balance_is_told_again_only_after_a_top_up_and_holds_do_not_count(storage: LedgerStorage) -> None:
    organization = await funded(storage, 100)
    store = alerts_of(storage)
    await set_alert(store, organization, AlertKind.BALANCE, amount_nanos=50, period=Period.TOTAL)
    await storage.hold(hold_order(organization, 80, mode=Mode.LIVE, owner=storage.owner))
    assert await store.raise_alerts(now_us()) == ()
    await spend(storage, organization, 20)
    await storage.add_credit(organization, Mode.LIVE, 40, kind="manual", note="")
    await spend(storage, organization, 40)
    assert await store.raise_alerts(now_us()) == ()
    other = await funded(storage, 100)
    await set_alert(store, other, AlertKind.BALANCE, amount_nanos=50, period=Period.TOTAL)
    await spend(storage, other, 60)
    assert len(await store.raise_alerts(now_us())) == 1
    assert await store.raise_alerts(now_us()) == ()
    await storage.add_credit(other, Mode.LIVE, 40, kind="manual", note="")
    assert await store.raise_alerts(now_us()) == ()
    await spend(storage, other, 40)
    assert len(await store.raise_alerts(now_us())) == 1


async def test_a_balance_is_low_when_a_dispute_took_what_there_was(storage: LedgerStorage) -> None:
    organization = await funded(storage, 0)
    money, store = SqlMoney(storage), alerts_of(storage)
    await bought(money, organization, 10 * NANOS_PER_USD, "pi_1")
    await set_alert(store, organization, AlertKind.BALANCE, amount_nanos=5 * NANOS_PER_USD, period=Period.TOTAL)
    assert await store.raise_alerts(now_us()) == ()
    await money.take_event(event(claimed(ClaimKind.DISPUTE, "pi_1", 1000)))
    assert len(await store.raise_alerts(now_us())) == 1
    (notice,) = await store.list_notices(organization, ALL)
    assert notice.data["value"] == "0.00", "what can be spent is what the balance shows"


async def test_an_alert_that_is_crossed_again_and_again_floods_nobody_and_is_not_forgotten(
    storage: LedgerStorage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(alerts, "NOTICES_PER_HOUR_MAX", 5)
    organization, other = await funded(storage, 1_000), await funded(storage, 1_000)
    store = alerts_of(storage)
    for of in (organization, other):
        await set_alert(store, of, AlertKind.BUDGET, percent=50, period=Period.TOTAL)
        await set_alert(store, of, AlertKind.BUDGET, percent=60, period=Period.TOTAL)
        await spend(storage, of, 100)
    raised = []
    for budget in (100, 1_000) * 6:
        await limit_total(storage, organization, budget)
        raised.append(len(await store.raise_alerts(now_us())))
    assert raised == [2, 0, 2, 0, 1, *[0] * 7]
    await limit_total(storage, organization, 100)
    await limit_total(storage, other, 100)
    assert len(await store.raise_alerts(now_us())) == 2, "another organization's are raised"
    assert await store.raise_alerts(now_us()) == ()
    assert len(await store.raise_alerts(now_us() + 3_601_000_000)) == 2, "what still stands is raised later"


async def test_two_processes_that_look_at_once_raise_each_crossing_once_and_take_each_delivery_once(
    opener: Opener, tmp_path: Path
) -> None:
    first, second = await opener(tmp_path), await opener(tmp_path)
    organization = await funded(first, 1_000)
    one, two = alerts_of(first), alerts_of(second)
    for amount in range(1, 11):
        await set_alert(one, organization, AlertKind.SPEND, amount_nanos=amount)
    await add_webhook(one, organization)
    await spend(first, organization, 10)
    looked = await asyncio.gather(*(store.raise_alerts(now_us()) for store in (one, two) * 4))
    assert sum(map(len, looked)) == 10
    assert len(await two.list_notices(organization, ALL)) == 10
    now = int(time.time()) + 1
    taken = [
        errand.delivery.id
        for errands in await asyncio.gather(*(store.take_errands(now, 100) for store in (one, two) * 6))
        for errand in errands
    ]
    assert len(taken) == len(set(taken)) == 10
    await first.close()
    await second.close()


async def test_a_try_whose_process_died_is_taken_over_and_what_it_still_says_is_not_heard(
    opener: Opener, tmp_path: Path
) -> None:
    first = await opener(tmp_path)
    organization = await funded(first, 1_000)
    store = alerts_of(first)
    await set_alert(store, organization, AlertKind.SPEND, amount_nanos=10)
    await add_webhook(store, organization)
    await spend(first, organization, 10)
    (notice_id,) = await store.raise_alerts(now_us())
    now = int(time.time()) + 1
    (lost,) = await store.take_errands(now, 100)
    await first.close()
    second = await opener(tmp_path)
    store = alerts_of(second)
    assert await store.raise_alerts(now_us()) == ()
    assert await store.take_errands(now + LEASE_S - 1, 100) == ()
    (again,) = await store.take_errands(now + LEASE_S, 100)
    assert (again.delivery.id, again.notice.id, again.delivery.tries) == (lost.delivery.id, notice_id, 2)
    await store.end_errand(lost, DeliveryState.SENT, error=None, next_at=0, now=now)
    (listed,) = await store.list_notices(organization, ALL)
    assert listed.deliveries[0].state is DeliveryState.WAITING
    await store.end_errand(again, DeliveryState.SENT, error=None, next_at=0, now=now)
    (listed,) = await store.list_notices(organization, ALL)
    assert listed.deliveries[0].state is DeliveryState.SENT
    assert await store.take_errands(now + 10**6, 100) == ()
    wrong = [check for check in await second.verify() if not check.ok]
    await second.close()
    assert wrong == []
