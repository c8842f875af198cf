"""The contract of `Customers`: what operators see, suspend and give by hand, the same on every database."""

import asyncio
from collections.abc import Awaitable, Callable
from itertools import count
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ledger_calls import hold_order
from tessera.adapters.storage.customers import SqlCustomers
from tessera.adapters.storage.ledger.people import customers_of, people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.customer_ports import CreditPolicy, CreditState, CustomersAsked, NewCredit
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.people.records import Act, Actor, ActorKind, Link, LinkPurpose
from tessera.ports import Page

pytestmark = pytest.mark.anyio

Opener = Callable[..., Awaitable[LedgerStorage]]
USD = NANOS_PER_USD
POLICY = CreditPolicy(alone_max_nanos=100 * USD, waits_s=3_600)
EVERYBODY = CustomersAsked()
DAY_S = 24 * 3600
_numbers = count()


class Clock:
    """The time in microseconds, set by hand."""

    def __init__(self) -> None:
        self.now_us = 1_800_000_000_000_000

    def __call__(self) -> int:
        return self.now_us

    def wait(self, seconds: int) -> None:
        self.now_us += seconds * 1_000_000


@pytest.fixture
def clock() -> Clock:
    return Clock()


async def person_of(storage: LedgerStorage, *, operator: bool = True) -> tuple[Actor, str]:
    """Somebody with an organization of their own."""
    people, number = people_of(storage), next(_numbers)
    link = Link(
        purpose=LinkPurpose.SIGN_UP,
        expires_at=2**40,
        email=f"person{number}@example.com",
        name="Ada",
        password_hash="h",
    )
    await people.keep_link(f"link{number}", link)
    nobody = Actor(kind=ActorKind.PERSON, id="")
    person = await people.become_person(
        Act(actor=nobody, action="person.signed_up", object_id=""), f"link{number}", link
    )
    assert person is not None
    actor = Actor(kind=ActorKind.PERSON, id=person.id, person_id=person.id)
    if operator:
        await people.set_operator(Act(actor=actor, action="operator.made", object_id=person.id), True)
    (mine,) = await people.memberships(person.id)
    return actor, mine.organization_id


def about(actor: Actor, object_id: str = "", action: str = "tested") -> Act:
    return Act(actor=actor, action=action, object_id=object_id, scope=object_id if object_id[:3] == "org" else "")


def credit(organization: str, dollars: int, **changed: Any) -> NewCredit:
    new = NewCredit(
        organization_id=organization,
        mode=Mode.LIVE,
        kind="manual",
        amount_nanos=dollars * USD,
        note="a note",
        credit_expires_at=None,
        idempotency_key=f"key-{next(_numbers)}",
    )
    return msgspec.structs.replace(new, **changed)


async def available(storage: LedgerStorage, organization: str, mode: Mode = Mode.LIVE) -> int:
    return (await storage.balance(organization, mode)).available_nanos


async def refused(work: Awaitable[Any]) -> ErrorCode:
    with pytest.raises(TesseraError) as caught:
        await work
    return caught.value.code


async def test_a_customer_is_shown_with_its_owner_and_its_live_money(storage: LedgerStorage) -> None:
    customers = customers_of(storage)
    _, organization = await person_of(storage, operator=False)
    found = await customers.find_customer(organization)
    assert found is not None
    assert (found.owner or "").endswith("@example.com")
    assert (found.members, found.last_used_at, found.suspended_for) == (1, None, None)
    assert (found.available_nanos, found.held_nanos, found.spent_nanos) == (0, 0, 0), "test credit is not its money"
    await storage.add_credit(organization, Mode.LIVE, 5 * USD, kind="manual", note="")
    await storage.hold(hold_order(organization, 2 * USD, mode=Mode.LIVE))
    found = await customers.find_customer(organization)
    assert found is not None
    assert (found.available_nanos, found.held_nanos, found.disputed_nanos, found.owed_nanos) == (3 * USD, 2 * USD, 0, 0)
    assert found.last_used_at is not None
    assert await customers.find_customer("org_" + "0" * 32) is None


async def test_customers_are_listed_newest_first_a_page_at_a_time(storage: LedgerStorage) -> None:
    customers = customers_of(storage)
    made = [(await storage.create_organization(f"Firm {number}")).id for number in range(5)]
    whole = [one.id for one in await customers.list_customers(EVERYBODY, Page(limit=10))]
    assert whole == sorted(made, reverse=True)
    pages: list[str] = []
    while len(pages) < 5:
        after = pages[-1] if pages else None
        pages += [one.id for one in await customers.list_customers(EVERYBODY, Page(limit=2, after=after))]
    assert pages == whole


@pytest.mark.parametrize(
    ("search", "found"),
    [
        ("acme", {"Acme 100% GmbH", "acme_2"}),
        ("ACME", {"Acme 100% GmbH", "acme_2"}),
        ("0% g", {"Acme 100% GmbH"}),
        ("%", {"Acme 100% GmbH"}),
        ("_", {"acme_2"}),
        ("!", set()),
        ("Ünal", {"Ünal"}),
        ("'; DROP TABLE organization; --", set()),
    ],
)
async def test_a_search_finds_names_by_a_part_as_it_is_written(
    storage: LedgerStorage, search: str, found: set[str]
) -> None:
    for name in ("Acme 100% GmbH", "acme_2", "Ünal", "else"):
        await storage.create_organization(name)
    rows = await customers_of(storage).list_customers(CustomersAsked(search=search), Page(limit=10))
    assert {row.name for row in rows} == found


async def test_a_search_finds_ids_and_addresses_of_members(storage: LedgerStorage) -> None:
    customers = customers_of(storage)
    _, organization = await person_of(storage, operator=False)
    await person_of(storage, operator=False)
    found = await customers.find_customer(organization)
    assert found is not None
    for search in (organization, found.owner, str(found.owner).upper()):
        rows = await customers.list_customers(CustomersAsked(search=search), Page(limit=10))
        assert [row.id for row in rows] == [organization]
    assert await customers.list_customers(CustomersAsked(search=organization[:-1]), Page(limit=10)) == ()


async def test_a_suspended_customer_places_no_hold_until_it_is_resumed(storage: LedgerStorage) -> None:
    customers = customers_of(storage)
    operator, organization = await person_of(storage)
    await storage.add_credit(organization, Mode.LIVE, 5 * USD, kind="manual", note="")
    await storage.hold(hold_order(organization, USD, mode=Mode.LIVE))
    await customers.suspend_customer(about(operator, organization, "organization.suspended"))
    assert (
        await refused(storage.hold(hold_order(organization, USD, mode=Mode.LIVE))) is ErrorCode.ORGANIZATION_SUSPENDED
    )
    listed = await customers.list_customers(CustomersAsked(suspended=True), Page(limit=10))
    assert [(one.id, one.suspended_for) for one in listed] == [(organization, "operator")]
    assert await customers.list_customers(CustomersAsked(suspended=False), Page(limit=10)) == ()
    await customers.resume_customer(about(operator, organization, "organization.resumed"))
    await storage.hold(hold_order(organization, USD, mode=Mode.LIVE))
    events = await people_of(storage).list_audit_events(organization, Page(limit=2))
    assert [(event.action, event.actor_id) for event in events] == [
        ("organization.resumed", operator.id),
        ("organization.suspended", operator.id),
    ]
    nobody = about(operator, "org_" + "0" * 32)
    assert await refused(customers.suspend_customer(nobody)) is ErrorCode.NOT_FOUND
    assert await refused(customers.resume_customer(nobody)) is ErrorCode.NOT_FOUND


async def test_what_one_operator_may_give_is_given_at_once_and_audited(storage: LedgerStorage) -> None:
    customers = customers_of(storage)
    operator, organization = await person_of(storage)
    given, repeated = await customers.give_credit(about(operator, organization), credit(organization, 40), POLICY)
    assert (given.state, given.made_by, given.approved_by, repeated) == (CreditState.GIVEN, operator.id, None, False)
    balance = await storage.balance(organization, Mode.LIVE)
    assert (balance.available_nanos, [lot.id for lot in balance.lots]) == (40 * USD, [given.lot_id])
    (event,) = await people_of(storage).list_audit_events(organization, Page(limit=1))
    assert (event.action, event.actor_id, event.object_id) == ("credit.added", operator.id, given.id)
    assert event.details is not None
    assert event.details["amount_nanos"] == 40 * USD


async def test_a_repeat_gives_nothing_and_another_credit_under_its_key_is_refused(storage: LedgerStorage) -> None:
    customers = customers_of(storage)
    operator, organization = await person_of(storage)
    new = credit(organization, 40)
    tries = await asyncio.gather(*(customers.give_credit(about(operator, organization), new, POLICY) for _ in range(8)))
    assert len({made.id for made, _ in tries}) == 1
    assert sum(not repeated for _, repeated in tries) == 1
    for changed in ({"amount_nanos": 1}, {"note": "b"}, {"mode": Mode.TEST}, {"credit_expires_at": 2**40}):
        other = msgspec.structs.replace(new, **changed)
        mismatch = customers.give_credit(about(operator, organization), other, POLICY)
        assert await refused(mismatch) is ErrorCode.IDEMPOTENCY_MISMATCH
    assert await available(storage, organization) == 40 * USD


async def test_more_than_one_may_give_waits_for_another_operator(storage: LedgerStorage) -> None:
    customers = customers_of(storage)
    maker, organization = await person_of(storage)
    other, _ = await person_of(storage)
    asked, _ = await customers.give_credit(about(maker, organization), credit(organization, 101), POLICY)
    assert (asked.state, asked.lot_id, await available(storage, organization)) == (CreditState.PENDING, None, 0)
    assert await refused(customers.approve_credit(about(maker, asked.id))) is ErrorCode.PERMISSION_DENIED
    stranger, _ = await person_of(storage, operator=False)
    assert await refused(customers.approve_credit(about(stranger, asked.id))) is ErrorCode.PERMISSION_DENIED
    approvals = await asyncio.gather(
        *(customers.approve_credit(about(other, asked.id)) for _ in range(4)), return_exceptions=True
    )
    assert sum(not isinstance(one, BaseException) for one in approvals) == 1
    assert await available(storage, organization) == 101 * USD
    (listed,) = await customers.list_credits(CreditState.GIVEN, Page(limit=10))
    assert (listed.id, listed.made_by, listed.approved_by) == (asked.id, maker.id, other.id)
    assert await refused(customers.withdraw_credit(about(maker, asked.id))) is ErrorCode.INVALID_REQUEST


async def test_many_small_credits_are_one_large_one(storage: LedgerStorage) -> None:
    customers = customers_of(storage)
    maker, first = await person_of(storage)
    _, second = await person_of(storage)
    tries = await asyncio.gather(
        *(
            customers.give_credit(about(maker, organization), credit(organization, 15), POLICY)
            for organization in (first, second) * 5
        )
    )
    states = [made.state for made, _ in tries]
    assert states.count(CreditState.GIVEN) == 6, "six times 15 are 90, a seventh is beyond 100"
    assert await available(storage, first) + await available(storage, second) == 90 * USD


async def test_test_credit_is_no_money_and_takes_one_person(storage: LedgerStorage) -> None:
    customers = customers_of(storage)
    maker, organization = await person_of(storage)
    before = await available(storage, organization, Mode.TEST)
    new = credit(organization, 5_000, mode=Mode.TEST, kind="promotion")
    made, _ = await customers.give_credit(about(maker, organization), new, POLICY)
    assert made.state is CreditState.GIVEN
    assert await available(storage, organization, Mode.TEST) == before + 5_000 * USD
    live, _ = await customers.give_credit(about(maker, organization), credit(organization, 100), POLICY)
    assert live.state is CreditState.GIVEN, "test credit does not count"


async def test_a_credit_that_waits_can_be_withdrawn_and_expires(opener: Opener, tmp_path: Path, clock: Clock) -> None:
    storage = await opener(tmp_path, clock=clock)
    try:
        customers = customers_of(storage)
        maker, organization = await person_of(storage)
        other, _ = await person_of(storage)
        withdrawn, _ = await customers.give_credit(about(maker, organization), credit(organization, 200), POLICY)
        clock.wait(1)
        late, _ = await customers.give_credit(about(maker, organization), credit(organization, 300), POLICY)
        assert (await customers.withdraw_credit(about(maker, withdrawn.id))).state is CreditState.WITHDRAWN
        assert await refused(customers.approve_credit(about(other, withdrawn.id))) is ErrorCode.INVALID_REQUEST
        assert [one.id for one in await customers.list_credits(CreditState.PENDING, Page(limit=9))] == [late.id]
        clock.wait(POLICY.waits_s)
        assert await refused(customers.approve_credit(about(other, late.id))) is ErrorCode.INVALID_REQUEST
        assert await customers.list_credits(CreditState.PENDING, Page(limit=9)) == ()
        for state, expected in ((CreditState.EXPIRED, late.id), (CreditState.WITHDRAWN, withdrawn.id)):
            assert [one.id for one in await customers.list_credits(state, Page(limit=9))] == [expected]
        assert [one.id for one in await customers.list_credits(None, Page(limit=9))] == [late.id, withdrawn.id]
        assert await available(storage, organization) == 0
        missing = customers.approve_credit(about(other, "mcr_" + "0" * 32))
        assert await refused(missing) is ErrorCode.NOT_FOUND
    finally:
        await storage.close()


async def test_a_credit_that_would_have_expired_is_refused_and_a_repeat_of_one_that_has_since_is_answered(
    opener: Opener, tmp_path: Path, clock: Clock
) -> None:
    storage = await opener(tmp_path, clock=clock)
    try:
        customers = customers_of(storage)
        maker, organization = await person_of(storage)
        now = clock.now_us // 1_000_000
        for dollars in (1, 200):
            late = customers.give_credit(
                about(maker, organization), credit(organization, dollars, credit_expires_at=now), POLICY
            )
            assert await refused(late) is ErrorCode.INVALID_REQUEST
        new = credit(organization, 1, credit_expires_at=now + 60)
        given, _ = await customers.give_credit(about(maker, organization), new, POLICY)
        clock.wait(61)
        assert await customers.give_credit(about(maker, organization), new, POLICY) == (given, True)
    finally:
        await storage.close()


async def test_a_credit_cannot_be_approved_once_it_would_have_expired(
    opener: Opener, tmp_path: Path, clock: Clock
) -> None:
    storage = await opener(tmp_path, clock=clock)
    try:
        customers = customers_of(storage)
        maker, organization = await person_of(storage)
        other, _ = await person_of(storage)
        new = credit(organization, 200, credit_expires_at=clock.now_us // 1_000_000 + 60)
        asked, _ = await customers.give_credit(about(maker, organization), new, POLICY)
        clock.wait(60)
        assert await refused(customers.approve_credit(about(other, asked.id))) is ErrorCode.INVALID_REQUEST
        assert await available(storage, organization) == 0
    finally:
        await storage.close()


async def test_no_credit_goes_to_a_deleted_organization_or_past_the_ledger(storage: LedgerStorage) -> None:
    customers, people = customers_of(storage), people_of(storage)
    maker, organization = await person_of(storage)
    other, kept = await person_of(storage)
    asked, _ = await customers.give_credit(about(maker, organization), credit(organization, 200), POLICY)
    await people.erase_organization(Act(actor=maker, action="organization.deleted", object_id=organization))
    assert await refused(customers.approve_credit(about(other, asked.id))) is ErrorCode.NOT_FOUND
    gone = customers.give_credit(about(maker, organization), credit(organization, 1), POLICY)
    assert await refused(gone) is ErrorCode.NOT_FOUND
    assert [one.id for one in await customers.list_customers(EVERYBODY, Page(limit=9))] == [kept]
    rich = CreditPolicy(alone_max_nanos=2**62)
    beyond = credit(kept, 1, amount_nanos=2**61 + 1)
    assert await refused(customers.give_credit(about(maker, kept), beyond, rich)) is ErrorCode.INVALID_REQUEST
    assert await available(storage, kept) == 0


async def test_who_is_an_operator_no_more_gives_nothing(storage: LedgerStorage) -> None:
    customers, people = customers_of(storage), people_of(storage)
    maker, organization = await person_of(storage)
    other, _ = await person_of(storage)
    asked, _ = await customers.give_credit(about(other, organization), credit(organization, 200), POLICY)
    await people.set_operator(Act(actor=other, action="operator.removed", object_id=maker.id), False)
    for work in (
        customers.give_credit(about(maker, organization), credit(organization, 1), POLICY),
        customers.approve_credit(about(maker, asked.id)),
        customers.withdraw_credit(about(maker, asked.id)),
    ):
        assert await refused(work) is ErrorCode.PERMISSION_DENIED


STEPS = st.lists(
    st.tuples(st.sampled_from(["give", "approve", "withdraw", "wait"]), st.integers(0, 1), st.integers(1, 120)),
    max_size=25,
)


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(steps=STEPS)
async def test_no_history_lets_one_person_give_more_than_they_may_alone(
    opener: Opener, tmp_path: Path, clock: Clock, steps: list[tuple[str, int, int]]
) -> None:
    storage = await opener(tmp_path, clock=clock)
    try:
        customers = customers_of(storage)
        persons = [(await person_of(storage))[0] for _ in range(2)]
        organization = (await storage.create_organization(f"credited {next(_numbers)}")).id
        await play(storage, customers, clock, persons, organization, steps)
    finally:
        await storage.close()


async def play(
    storage: LedgerStorage,
    customers: SqlCustomers,
    clock: Clock,
    persons: list[Actor],
    organization: str,
    steps: list[tuple[str, int, int]],
) -> None:
    """Plays steps and keeps books of its own on what was given alone when, and on what was approved."""
    alone: list[tuple[int, str, int]] = []
    waiting: list[tuple[str, str, int, int]] = []
    total = 0
    for what, who, number in steps:
        actor, now = persons[who], clock.now_us // 1_000_000
        if what == "wait":
            clock.wait(number * 1_200)
        elif what == "give":
            new = credit(organization, number)
            made, _ = await customers.give_credit(about(actor, organization), new, POLICY)
            recent = sum(given for at, person, given in alone if person == actor.id and at > now - DAY_S)
            assert (made.state is CreditState.GIVEN) == (recent + number <= 100)
            if made.state is CreditState.GIVEN:
                alone.append((now, actor.id, number))
                total += number
            else:
                waiting.append((made.id, actor.id, number, now + POLICY.waits_s))
        elif waiting:
            asked = waiting[number % len(waiting)]
            work = customers.approve_credit if what == "approve" else customers.withdraw_credit
            may = asked[3] > now and (what == "withdraw" or asked[1] != actor.id)
            if may:
                await work(about(actor, asked[0]))
                waiting.remove(asked)
                total += asked[2] if what == "approve" else 0
            else:
                assert await refused(work(about(actor, asked[0]))) in (
                    ErrorCode.PERMISSION_DENIED,
                    ErrorCode.INVALID_REQUEST,
                )
        assert await available(storage, organization) == total * USD
