"""The contract of `Customers`, credit by hand: what one operator may give, and what takes two. On every database."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contract.storage.conftest import Clock, Opener
from customer_calls import USD, about, available, credit, person_of, refused
from ledger_calls import new_id
from tessera.adapters.storage.customers import SqlCustomers
from tessera.adapters.storage.ledger.people import customers_of, people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.errors import ErrorCode
from tessera.domain.money import Mode
from tessera.domain.people.records import Act, Actor
from tessera.ports import Page
from tessera.ports.customers import CreditPolicy, CreditState, CustomersAsked

pytestmark = pytest.mark.anyio

POLICY = CreditPolicy(alone_max_nanos=100 * USD, waits_s=3_600)
DAY_S = 24 * 3600


@pytest.fixture
def clock() -> Clock:
    return Clock(1_800_000_000_000_000)


@pytest.fixture
async def timed(opener: Opener, tmp_path: Path, clock: Clock) -> AsyncIterator[LedgerStorage]:
    """An empty storage whose time is the clock's."""
    opened = await opener(tmp_path, clock=clock)
    yield opened
    await opened.close()


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


async def test_a_credit_that_waits_can_be_withdrawn_and_expires(timed: LedgerStorage, clock: Clock) -> None:
    customers = customers_of(timed)
    maker, organization = await person_of(timed)
    other, _ = await person_of(timed)
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
    assert await available(timed, organization) == 0
    missing = customers.approve_credit(about(other, "mcr_" + "0" * 32))
    assert await refused(missing) is ErrorCode.NOT_FOUND


async def test_a_credit_that_would_have_expired_is_refused_and_a_repeat_of_one_that_has_since_is_answered(
    timed: LedgerStorage, clock: Clock
) -> None:
    customers = customers_of(timed)
    maker, organization = await person_of(timed)
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


async def test_a_credit_cannot_be_approved_once_it_would_have_expired(timed: LedgerStorage, clock: Clock) -> None:
    customers = customers_of(timed)
    maker, organization = await person_of(timed)
    other, _ = await person_of(timed)
    new = credit(organization, 200, credit_expires_at=clock.now_us // 1_000_000 + 60)
    asked, _ = await customers.give_credit(about(maker, organization), new, POLICY)
    clock.wait(60)
    assert await refused(customers.approve_credit(about(other, asked.id))) is ErrorCode.INVALID_REQUEST
    assert await available(timed, organization) == 0


async def test_no_credit_goes_to_a_deleted_organization_or_past_the_ledger(storage: LedgerStorage) -> None:
    customers, people = customers_of(storage), people_of(storage)
    maker, organization = await person_of(storage)
    other, kept = await person_of(storage)
    asked, _ = await customers.give_credit(about(maker, organization), credit(organization, 200), POLICY)
    await people.erase_organization(Act(actor=maker, action="organization.deleted", object_id=organization))
    assert await refused(customers.approve_credit(about(other, asked.id))) is ErrorCode.NOT_FOUND
    gone = customers.give_credit(about(maker, organization), credit(organization, 1), POLICY)
    assert await refused(gone) is ErrorCode.NOT_FOUND
    assert [one.id for one in await customers.list_customers(CustomersAsked(), Page(limit=9))] == [kept]
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
        organization = (await storage.create_organization(new_id("credited"))).id
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
