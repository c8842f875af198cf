"""People who change the same thing on two replicas at once: what decides a change is locked until it is committed."""

import asyncio

import psycopg
import pytest

from faults.storage.postgres.conftest import Replica, begun
from stored_people import FAR, admin_key, newcomer
from tessera.adapters.storage.ledger.people import customers_of, people_of
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.people.records import Act, Actor, ActorKind, Person, Session
from tessera.domain.people.roles import Role
from tessera.ports import Page
from tessera.ports.administration import ApiKey
from tessera.ports.customers import CreditPolicy, CreditState, NewCredit

pytestmark = pytest.mark.anyio


def act(person: Person, organization: str, object_id: str) -> Act:
    actor = Actor(kind=ActorKind.PERSON, id=person.id, person_id=person.id).within(organization, Role.OWNER)
    return Act(actor=actor, action="tested", object_id=object_id)


async def test_a_project_that_another_replica_archives_takes_no_key(replica: Replica, database_url: str) -> None:
    people = people_of(await replica())
    ada, organization = await newcomer(people, "ada")
    (project,) = await people.list_projects(organization, Page(), archived=False)
    key = ApiKey(
        id="key_late",
        name="late",
        mode=Mode.TEST,
        organization_id=organization,
        project_id=project.id,
        project=project.name,
        display="sk-…",
        created_at=1,
    )
    with psycopg.connect(database_url) as elsewhere:
        elsewhere.execute("UPDATE project SET archived_at = 1 WHERE id = %s", (project.id,))
        making = await begun(database_url, people.create_api_key(act(ada, organization, "").actor, key, bytes(32)))
        elsewhere.commit()
    with pytest.raises(TesseraError) as caught:
        await making
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert await people.list_api_keys(organization, project.id, Page()) == ()


async def test_two_operators_who_step_down_at_once_on_two_replicas_leave_one(
    replica: Replica, database_url: str
) -> None:
    people = people_of(await replica())
    ada, organization = await newcomer(people, "ada")
    bob, _ = await newcomer(people, "bob")
    for person in (ada, bob):
        await people.set_operator(act(ada, organization, person.id), True)
    with psycopg.connect(database_url) as elsewhere:
        elsewhere.execute("UPDATE person SET is_operator = 0 WHERE id = %s", (ada.id,))
        stepping = await begun(database_url, people.set_operator(act(bob, organization, bob.id), False))
        elsewhere.commit()
    with pytest.raises(TesseraError) as caught:
        await stepping
    assert "last operator" in caught.value.message
    assert await people.has_operator()


async def test_nobody_is_signed_in_by_a_password_that_another_replica_changes(
    replica: Replica, database_url: str
) -> None:
    people = people_of(await replica())
    ada, _ = await newcomer(people, "ada")
    session = Session(id="late", person_id=ada.id, created_at=1, seen_at=FAR, expires_at=FAR, address="", user_agent="")
    with psycopg.connect(database_url) as elsewhere:
        elsewhere.execute("UPDATE person SET password_hash = 'new' WHERE id = %s", (ada.id,))
        opening = people.open_session(
            act(ada, "", ada.id), session, "late", person=ada, password_hash="h", idle_s=10, old_digest=None
        )
        signing_in = await begun(database_url, opening)
        elsewhere.execute("DELETE FROM session WHERE person_id = %s", (ada.id,))
        elsewhere.commit()
    assert not await signing_in
    assert await people.find_session("late", 10) is None


async def test_nobody_joins_an_organization_that_another_replica_closes(replica: Replica, database_url: str) -> None:
    people = people_of(await replica())
    ada, organization = await newcomer(people, "ada")
    bob, _ = await newcomer(people, "bob")
    await people.invite(act(ada, organization, ""), bob.email, Role.ADMIN, "offer", FAR)
    with psycopg.connect(database_url) as elsewhere:
        elsewhere.execute("UPDATE organization SET name = name WHERE id = %s", (organization,))
        elsewhere.execute("DELETE FROM membership WHERE organization_id = %s", (organization,))
        joining = await begun(database_url, people.accept_invitation(act(bob, "", bob.id), "offer", bob))
        elsewhere.execute("DELETE FROM invitation WHERE organization_id = %s", (organization,))
        elsewhere.commit()
    assert await joining is None
    assert organization not in {one.organization_id for one in await people.memberships(bob.id)}


def credit(organization: str, nanos: int, key: str) -> NewCredit:
    return NewCredit(
        organization_id=organization,
        mode=Mode.LIVE,
        kind="manual",
        amount_nanos=nanos,
        note="a note",
        credit_expires_at=None,
        idempotency_key=key,
    )


async def test_one_operator_gives_no_more_alone_on_two_replicas_than_on_one(replica: Replica) -> None:
    replicas = [await replica(), await replica()]
    people = people_of(replicas[0])
    ada, organization = await newcomer(people, "ada")
    await people.set_operator(act(ada, organization, ada.id), True)
    customers, policy = [customers_of(one) for one in replicas], CreditPolicy(alone_max_nanos=100)
    given = await asyncio.gather(
        *(
            customers[number % 2].give_credit(
                act(ada, organization, organization), credit(organization, 15, f"key {number}"), policy
            )
            for number in range(20)
        )
    )
    assert [made.state for made, _ in given].count(CreditState.GIVEN) == 6
    assert (await replicas[1].balance(organization, Mode.LIVE)).available_nanos == 90
    again = await asyncio.gather(
        *(
            one.give_credit(act(ada, organization, organization), credit(organization, 1, "the same"), policy)
            for one in customers * 4
        )
    )
    assert [repeated for _, repeated in again].count(False) == 1
    assert (await replicas[0].balance(organization, Mode.LIVE)).available_nanos == 91


async def test_a_credit_is_approved_once_by_two_operators_on_two_replicas(replica: Replica) -> None:
    replicas = [await replica(), await replica()]
    people = people_of(replicas[0])
    maker, organization = await newcomer(people, "ada")
    others = [(await newcomer(people, name))[0] for name in ("bob", "eve")]
    for person in (maker, *others):
        await people.set_operator(act(maker, organization, person.id), True)
    customers, policy = [customers_of(one) for one in replicas], CreditPolicy(alone_max_nanos=0)
    asked, _ = await customers[0].give_credit(
        act(maker, organization, organization), credit(organization, 15, "a key"), policy
    )
    tries = await asyncio.gather(
        *(
            one.approve_credit(act(other, organization, asked.id))
            for one, other in zip(customers * 3, others * 3, strict=True)
        ),
        return_exceptions=True,
    )
    assert sum(not isinstance(one, BaseException) for one in tries) == 1
    assert (await replicas[1].balance(organization, Mode.LIVE)).available_nanos == 15


async def test_no_credit_goes_to_an_organization_that_another_replica_deletes(
    replica: Replica, database_url: str
) -> None:
    storage = await replica()
    people, customers = people_of(storage), customers_of(storage)
    ada, organization = await newcomer(people, "ada")
    await people.set_operator(act(ada, organization, ada.id), True)
    with psycopg.connect(database_url) as elsewhere:
        elsewhere.execute("UPDATE organization SET closed_at = 1 WHERE id = %s", (organization,))
        policy = CreditPolicy(alone_max_nanos=100)
        giving = await begun(
            database_url,
            customers.give_credit(act(ada, organization, organization), credit(organization, 15, "a key"), policy),
        )
        elsewhere.commit()
    with pytest.raises(TesseraError) as caught:
        await giving
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert (await storage.balance(organization, Mode.LIVE)).available_nanos == 0


async def test_a_member_whom_another_replica_removes_makes_no_admin_key(replica: Replica, database_url: str) -> None:
    people = people_of(await replica())
    ada, organization = await newcomer(people, "ada")
    key = admin_key(ada, organization)
    with psycopg.connect(database_url) as elsewhere:
        elsewhere.execute("UPDATE organization SET name = name WHERE id = %s", (organization,))
        elsewhere.execute("DELETE FROM membership WHERE person_id = %s", (ada.id,))
        making = await begun(database_url, people.create_admin_key(act(ada, organization, key.id), key, "digest"))
        elsewhere.commit()
    with pytest.raises(TesseraError) as caught:
        await making
    assert caught.value.code is ErrorCode.NOT_FOUND
