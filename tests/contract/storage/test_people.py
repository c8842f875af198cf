"""The contract of `People`: the same on every database. A change and its audit event are one commit."""

import asyncio
from itertools import count

import pytest

from stored_people import FAR, act, acting, admin_key, api_key, newcomer
from tessera.adapters.storage.ledger.people import people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.people import SqlPeople
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode
from tessera.domain.people.records import Actor, ActorKind, Link, LinkPurpose, Person, Session
from tessera.domain.people.roles import Role
from tessera.ports import Page

pytestmark = pytest.mark.anyio

_numbers = count()


@pytest.fixture
def people(storage: LedgerStorage) -> SqlPeople:
    return people_of(storage)


async def join(people: SqlPeople, owner: Person, organization: str, role: Role) -> Person:
    person, _ = await newcomer(people, "Bob")
    digest = f"invitation{next(_numbers)}"
    await people.invite(act(acting(owner, organization)), person.email, role, digest, FAR)
    assert await people.accept_invitation(act(acting(person), person.id), digest, person) is not None
    return person


async def begin(people: SqlPeople, person: Person, one: Session, digest: str, old_digest: str | None = None) -> bool:
    """Signs a person in who proved who they are by the password that newcomers have."""
    proven = {"person": person, "password_hash": "h"}
    begun = act(acting(person), one.id)
    return await people.open_session(begun, one, digest, **proven, idle_s=10_000, old_digest=old_digest)


async def test_a_link_is_used_once_and_not_after_its_time(people: SqlPeople) -> None:
    link = Link(purpose=LinkPurpose.SIGN_UP, expires_at=1, email="late@example.com", name="L", password_hash="h")
    await people.keep_link("late", link)
    assert await people.find_link("late", LinkPurpose.SIGN_UP) is None
    nobody = act(Actor(kind=ActorKind.PERSON, id=""))
    assert await people.become_person(nobody, "late", link) is None
    good = Link(purpose=LinkPurpose.SIGN_UP, expires_at=FAR, email="good@example.com", name="G", password_hash="h")
    await people.keep_link("good", good)
    assert await people.find_link("good", LinkPurpose.PASSWORD_RESET) is None
    made = await asyncio.gather(*(people.become_person(nobody, "good", good) for _ in range(5)))
    assert len([one for one in made if one is not None]) == 1
    assert not await people.has_operator()


async def test_an_address_has_one_account(people: SqlPeople) -> None:
    person, _ = await newcomer(people)
    link = Link(purpose=LinkPurpose.SIGN_UP, expires_at=FAR, email=person.email, name="X", password_hash="h")
    await people.keep_link("second", link)
    with pytest.raises(TesseraError) as caught:
        await people.become_person(act(Actor(kind=ActorKind.PERSON, id="")), "second", link)
    assert caught.value.code is ErrorCode.INVALID_REQUEST


async def test_a_session_ends_when_it_says_when_idle_and_when_signed_out(people: SqlPeople) -> None:
    person, _ = await newcomer(people)

    def session(number: int, *, seen: int, expires: int) -> Session:
        return Session(
            id=f"session{number}",
            person_id=person.id,
            created_at=seen,
            seen_at=seen,
            expires_at=expires,
            address="192.0.2.1",
            user_agent="test",
        )

    now = people.now()
    for number, one in enumerate(
        [session(0, seen=now, expires=FAR), session(1, seen=now, expires=now), session(2, seen=now - 100, expires=FAR)]
    ):
        assert await begin(people, person, one, f"d{number}")
    found = await people.find_session("d0", 50)
    assert found is not None
    assert found[1] == person
    assert await people.find_session("d1", 50) is None
    assert await people.find_session("d2", 50) is None
    await people.see_session("d2")
    assert await people.find_session("d2", 50) is not None
    replacing = session(3, seen=now, expires=FAR)
    assert await begin(people, person, replacing, "d3", old_digest="d0")
    assert await people.find_session("d0", 50) is None
    assert {one.id for one in await people.list_sessions(person.id, 50)} == {"session2", "session3"}
    assert await people.end_session(act(acting(person), "session3"), person.id)
    assert not await people.end_session(act(acting(person), "session3"), person.id)


async def test_tries_are_counted_exactly_under_concurrency(people: SqlPeople) -> None:
    counts = await asyncio.gather(*(people.count_tries(("a", "b"), 3600) for _ in range(50)))
    assert sorted(count[0] for count in counts) == list(range(1, 51))
    assert sorted(count[1] for count in counts) == list(range(1, 51))


async def test_a_time_step_and_a_recovery_code_are_used_once(people: SqlPeople) -> None:
    person, _ = await newcomer(people)
    me = acting(person)
    assert not await people.use_step(person.id, 1)
    assert await people.start_second_factor(person.id, "nonce")
    assert not await people.confirm_second_factor(act(me, person.id), "other", 5, (), "")
    assert await people.confirm_second_factor(act(me, person.id), "nonce", 5, ("c1", "c2"), "")
    assert not await people.start_second_factor(person.id, "again")
    assert not await people.use_step(person.id, 5)
    used = await asyncio.gather(*(people.use_step(person.id, 6) for _ in range(5)))
    assert used.count(True) == 1
    used = await asyncio.gather(*(people.use_recovery_code(act(me, person.id), "c1") for _ in range(5)))
    assert used.count(True) == 1
    stranger, _ = await newcomer(people)
    assert not await people.use_recovery_code(act(acting(stranger), stranger.id), "c2")
    assert await people.drop_second_factor(act(me, person.id))
    assert not await people.use_recovery_code(act(me, person.id), "c2")


async def test_of_two_owners_who_go_at_once_one_stays(people: SqlPeople) -> None:
    owner, organization = await newcomer(people)
    second = await join(people, owner, organization, Role.OWNER)
    results = await asyncio.gather(
        *(people.remove_member(act(acting(one, organization), one.id)) for one in (owner, second)),
        return_exceptions=True,
    )
    assert len([one for one in results if isinstance(one, TesseraError)]) == 1
    (left,) = await people.list_members(organization, Page())
    assert left.role is Role.OWNER


async def test_one_invitation_makes_one_member(people: SqlPeople) -> None:
    owner, organization = await newcomer(people)
    bob, _ = await newcomer(people, "Bob")
    await people.invite(act(acting(owner, organization)), bob.email, Role.VIEWER, "digest", FAR)
    accepted = await asyncio.gather(
        *(people.accept_invitation(act(acting(bob), bob.id), "digest", bob) for _ in range(5))
    )
    assert len([one for one in accepted if one is not None]) == 1
    await people.invite(act(acting(owner, organization)), "late@example.com", Role.VIEWER, "late", 1)
    assert await people.find_open_invitation("late") is None


async def test_a_key_ends_at_its_time_and_an_archived_project_has_none(
    storage: LedgerStorage, people: SqlPeople
) -> None:
    owner, organization = await newcomer(people)
    me = acting(owner, organization)
    (project,) = await people.list_projects(organization, Page(), archived=False)
    later = people.now() + 3600
    made = await people.create_api_key(me, api_key(organization, project.id, later), b"a" * 32)
    caller = await storage.find_caller(b"a" * 32)
    assert caller is not None
    assert (caller.key_id, caller.ends_at) == (made.id, later)
    gone = await people.create_api_key(me, api_key(organization, project.id, people.now() - 1), b"b" * 32)
    assert await storage.find_caller(b"b" * 32) is None
    with pytest.raises(TesseraError) as caught:
        await people.create_api_key(me, api_key(organization, project.id), b"c" * 32, in_place_of=gone.id)
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert await storage.find_caller(b"c" * 32) is None, "nothing of a refused change stays"
    new = await people.create_api_key(
        me, api_key(organization, project.id), b"d" * 32, in_place_of=made.id, old_ends_at=people.now()
    )
    assert await storage.find_caller(b"a" * 32) is None
    assert (await people.archive_project(act(me, project.id))).archived_at is not None
    assert await storage.find_caller(b"d" * 32) is None
    with pytest.raises(TesseraError, match="is archived"):
        await storage.create_key(
            organization, project=project.name, mode=Mode.TEST, name="", digest=b"e" * 32, display="sk"
        )
    assert (await people.end_api_key(act(me, new.id), project.id)) is not None
    assert (await people.end_api_key(act(me, "key_nothing"), project.id)) is None


async def test_a_deleted_organization_gets_no_key_no_credit_and_nobody_who_could_join(
    storage: LedgerStorage, people: SqlPeople
) -> None:
    ada, organization = await newcomer(people)
    me = acting(ada, organization)
    await people.erase_organization(act(me, organization))
    key = {"mode": Mode.LIVE, "name": "", "digest": b"k" * 32, "display": "sk"}
    for change in (
        storage.create_key(organization, project="default", **key),  # type: ignore[arg-type]
        storage.add_credit(organization, Mode.LIVE, 1, kind="manual", note=""),
        people.invite(act(me), "bob@example.com", Role.OWNER, "invitation", FAR),
    ):
        with pytest.raises(TesseraError) as caught:
            await change
        assert caught.value.code is ErrorCode.NOT_FOUND
    assert await storage.list_keys(organization) == ()
    assert (await storage.balance(organization, Mode.LIVE)).available_nanos == 0
    assert await people.list_invitations(organization, Page()) == ()


async def test_an_admin_key_has_its_makers_role_of_now(people: SqlPeople) -> None:
    owner, organization = await newcomer(people)
    admin = await join(people, owner, organization, Role.ADMIN)
    key = admin_key(admin, organization)
    made = await people.create_admin_key(act(acting(admin, organization, Role.ADMIN), key.id), key, "digest")
    assert made.role is Role.ADMIN
    await people.change_role(act(acting(owner, organization), admin.id), Role.VIEWER)
    found = await people.find_admin_caller("digest")
    assert found is not None
    assert found.role is Role.VIEWER
    await people.remove_member(act(acting(owner, organization), admin.id))
    assert await people.find_admin_caller("digest") is None


async def test_an_edited_missing_or_cut_off_audit_event_is_found(storage: LedgerStorage, people: SqlPeople) -> None:
    owner, organization = await newcomer(people)
    for number in range(3):
        await people.create_project(act(acting(owner, organization), action="project.created"), f"p{number}")

    async def faults() -> str:
        (check,) = [check for check in await storage.verify() if check.name == "audit-log-whole"]
        return "" if check.ok else check.detail

    async def run(sql: str) -> None:
        await storage._change(lambda connection, _: connection.execute(sql))

    assert await faults() == ""
    for refused in ("DELETE FROM audit_event", "UPDATE audit_event SET action = 'x'", "UPDATE audit_event SET seq = 9"):
        with pytest.raises(TesseraError):
            await run(refused)
    kept = f"scope = '{organization}' AND seq = 2"
    await run("UPDATE audit_event SET details = NULL WHERE " + kept)
    assert await faults() == "", "details may be erased"
    await run(f"UPDATE audit_head SET seq = 3 WHERE scope = '{organization}'")
    assert "does not end where its head says" in await faults()
    await run(f"UPDATE audit_head SET seq = 4 WHERE scope = '{organization}'")
    assert await faults() == ""


async def test_an_erased_person_leaves_every_chain_whole(storage: LedgerStorage, people: SqlPeople) -> None:
    owner, organization = await newcomer(people)
    bob = await join(people, owner, organization, Role.ADMIN)
    with pytest.raises(TesseraError):
        await people.erase_person(act(acting(owner), owner.id))
    await people.erase_person(act(acting(bob), bob.id, "person.erased"))
    assert await people.find_standing(bob.email) is None
    assert [one.person_id for one in await people.list_members(organization, Page())] == [owner.id]
    await people.erase_person(act(acting(owner), owner.id, "person.erased"))
    with pytest.raises(TesseraError):
        await people.erase_person(act(acting(owner), owner.id))
    assert all(check.ok for check in await storage.verify())


async def test_an_address_changes_once_for_who_asked_and_in_time(people: SqlPeople) -> None:
    ada, _ = await newcomer(people)
    eve, _ = await newcomer(people, "Eve")
    email = f"new{next(_numbers)}@example.com"
    await people.ask_email_change(act(acting(ada), ada.id), email, "late", 1)
    assert await people.change_email(act(acting(ada), ada.id), "late", "") is None
    await people.ask_email_change(act(acting(ada), ada.id), email, "change", FAR)
    assert await people.change_email(act(acting(eve), eve.id), "change", "") is None
    changed = await asyncio.gather(*(people.change_email(act(acting(ada), ada.id), "change", "") for _ in range(5)))
    assert [one.email for one in changed if one is not None] == [email]
    assert await people.find_standing(ada.email) is None


async def test_of_two_who_want_one_address_one_gets_it(people: SqlPeople) -> None:
    pair = [(await newcomer(people))[0] for _ in range(2)]
    email = f"wanted{next(_numbers)}@example.com"
    for one in pair:
        await people.ask_email_change(act(acting(one), one.id), email, f"wanted{one.id}", FAR)
    results = await asyncio.gather(
        *(people.change_email(act(acting(one), one.id), f"wanted{one.id}", "") for one in pair), return_exceptions=True
    )
    assert len([one for one in results if isinstance(one, Person)]) == 1
    (refused,) = [one for one in results if isinstance(one, TesseraError)]
    assert refused.code is ErrorCode.INVALID_REQUEST


async def test_an_erased_person_waits_for_no_address_and_nobody_waits_for_theirs(people: SqlPeople) -> None:
    ada, _ = await newcomer(people)
    eve, _ = await newcomer(people, "Eve")
    await people.ask_email_change(act(acting(ada), ada.id), "elsewhere@example.com", "gone", FAR)
    await people.ask_email_change(act(acting(eve), eve.id), ada.email, "hers", FAR)
    await people.erase_person(act(acting(ada), ada.id, "person.erased"))
    assert await people.change_email(act(acting(ada), ada.id), "gone", "") is None
    assert await people.change_email(act(acting(eve), eve.id), "hers", "") is None
    with pytest.raises(TesseraError) as caught:
        await people.ask_email_change(act(acting(ada), ada.id), "elsewhere@example.com", "again", FAR)
    assert caught.value.code is ErrorCode.NOT_FOUND


async def test_the_link_for_the_first_operator_ends_when_a_command_makes_one(people: SqlPeople) -> None:
    person, _ = await newcomer(people)
    await people.keep_link("first", Link(purpose=LinkPurpose.OPERATOR, expires_at=FAR))
    await people.set_operator(act(acting(person), person.id), True)
    assert await people.find_link("first", LinkPurpose.OPERATOR) is None
