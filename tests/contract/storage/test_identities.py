"""The contract of `Identities`: the same on every database. An identity is one person's, and comes back once."""

import asyncio
from itertools import count

import pytest

from tessera.adapters.storage.ledger.people import people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.people import SqlPeople
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.identities import Identity
from tessera.domain.people.records import Act, Actor, ActorKind, Link, LinkPurpose, Person
from tessera.domain.people.roles import Role
from tessera.ports import Page

pytestmark = pytest.mark.anyio

FAR = 2**40
ISSUER = "https://id.example.com"
_numbers = count()


@pytest.fixture
def people(storage: LedgerStorage) -> SqlPeople:
    return people_of(storage)


def identity(subject: str, issuer: str = ISSUER) -> Identity:
    return Identity(issuer=issuer, subject=subject)


def act(person: Person, action: str = "tested", object_id: str | None = None) -> Act:
    actor = Actor(kind=ActorKind.PERSON, id=person.id, person_id=person.id)
    return Act(actor=actor, action=action, object_id=person.id if object_id is None else object_id)


async def newcomer(people: SqlPeople, who: Identity, email: str = "", *, by_invitation: bool = False) -> Person | None:
    """Somebody who signs up at a provider."""
    email = email or f"a{next(_numbers)}@example.com"
    link = Link(purpose=LinkPurpose.SIGN_UP, expires_at=FAR, email=email, name="Ada")
    nobody = Act(actor=Actor(kind=ActorKind.PERSON, id=""), action="person.signed_up", object_id="")
    return await people.become_person_by_identity(nobody, link, who, by_invitation=by_invitation)


async def made(people: SqlPeople, who: Identity, email: str = "") -> Person:
    person = await newcomer(people, who, email)
    assert person is not None
    return person


async def test_somebody_new_is_found_by_their_identity_and_has_no_password(people: SqlPeople) -> None:
    ada = await made(people, identity("ada"))
    found = await people.find_by_identity(identity("ada"))
    assert found is not None
    assert (found.person, found.password_hash) == (ada, None)
    for other in (identity("ADA"), identity("ada", "https://id.example.com/"), identity("")):
        assert await people.find_by_identity(other) is None
    (known,) = await people.list_identities(ada.id)
    assert (known.issuer, known.subject) == (ISSUER, "ada")


async def test_an_identity_is_one_persons_and_a_person_has_one_at_an_issuer(people: SqlPeople) -> None:
    ada, bob = await made(people, identity("ada")), await made(people, identity("bob", "https://other.example.com"))
    assert not await people.link_identity(act(ada), identity("ada"), ada.email)
    for person, who in ((bob, identity("ada")), (ada, identity("another"))):
        with pytest.raises(TesseraError) as caught:
            await people.link_identity(act(person), who, person.email)
        assert caught.value.code is ErrorCode.PERMISSION_DENIED
    results = await asyncio.gather(
        *(people.link_identity(act(bob), identity(f"bob{n}"), bob.email) for n in range(5)), return_exceptions=True
    )
    assert results.count(True) == 1
    assert len(await people.list_identities(bob.id)) == 2


async def test_an_identity_known_by_an_address_that_was_changed_meanwhile_is_not_linked(people: SqlPeople) -> None:
    ada = await made(people, identity("ada"))
    await people.ask_email_change(act(ada), "new@example.com", "change", FAR)
    assert await people.change_email(act(ada), "change", "") is not None
    thiefs = identity("who has the old mailbox", "https://other.example.com")
    with pytest.raises(TesseraError) as caught:
        await people.link_identity(act(ada), thiefs, ada.email)
    assert caught.value.code is ErrorCode.SIGN_IN_FAILED
    assert await people.find_by_identity(thiefs) is None
    assert not await people.link_identity(act(ada), identity("ada"), ada.email), "what was theirs before stays theirs"


async def test_an_address_that_has_an_account_makes_no_other_one(people: SqlPeople) -> None:
    ada = await made(people, identity("ada"))
    with pytest.raises(TesseraError) as caught:
        await newcomer(people, identity("eve"), ada.email)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    assert await people.find_by_identity(identity("eve")) is None, "nothing of a refused change stays"


async def test_by_invitation_the_latest_open_one_is_taken(people: SqlPeople) -> None:
    owner = await made(people, identity("owner"))
    (mine,) = await people.memberships(owner.id)
    inviting = act(owner)
    inviting = Act(actor=inviting.actor.within(mine.organization_id, Role.OWNER), action="tested", object_id="")
    assert await newcomer(people, identity("ada"), "ada@example.com", by_invitation=True) is None
    await people.invite(inviting, "ada@example.com", Role.ADMIN, "late", 1)
    assert await newcomer(people, identity("ada"), "ada@example.com", by_invitation=True) is None
    assert await people.find_by_identity(identity("ada")) is None
    await people.invite(inviting, "ada@example.com", Role.VIEWER, "open", FAR)
    ada = await newcomer(people, identity("ada"), "ada@example.com", by_invitation=True)
    assert ada is not None
    assert {one.person_id: one.role for one in await people.list_members(mine.organization_id, Page())} == {
        owner.id: Role.OWNER,
        ada.id: Role.VIEWER,
    }
    assert await people.find_open_invitation("open") is None


async def test_a_sign_in_comes_back_once(people: SqlPeople) -> None:
    used = await asyncio.gather(*(people.use_provider_sign_in("digest", FAR) for _ in range(5)))
    assert used.count(True) == 1
    assert await people.find_waiting("digest") is None
    assert not await people.end_waiting("digest")


async def test_a_second_factor_is_waited_for_once_and_in_time(people: SqlPeople) -> None:
    ada = await made(people, identity("ada"))
    for digest, expires_at in (("good", FAR), ("late", 1)):
        assert await people.use_provider_sign_in(digest, expires_at)
        await people.wait_for_code(digest, ada.id, identity("ada"))
    found = await people.find_waiting("good")
    assert found is not None
    assert (found[0].person, found[1]) == (ada, identity("ada"))
    ended = await asyncio.gather(*(people.end_waiting("good") for _ in range(5)))
    assert ended.count(True) == 1
    assert not await people.use_provider_sign_in("good", FAR), "it is still remembered"
    assert await people.find_waiting("late") is None
    assert not await people.end_waiting("late")


async def test_erasing_a_person_forgets_who_they_are_elsewhere(people: SqlPeople) -> None:
    ada = await made(people, identity("ada"))
    assert await people.use_provider_sign_in("digest", FAR)
    await people.wait_for_code("digest", ada.id, identity("ada"))
    await people.erase_person(act(ada, "person.erased"))
    assert await people.find_by_identity(identity("ada")) is None
    assert await people.find_waiting("digest") is None
    with pytest.raises(TesseraError) as caught:
        await people.link_identity(act(ada), identity("ada"), ada.email)
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert (await made(people, identity("ada"))).id != ada.id


async def test_an_identity_is_taken_from_its_own_person_only(people: SqlPeople) -> None:
    ada, eve = await made(people, identity("ada")), await made(people, identity("eve"))
    (known,) = await people.list_identities(ada.id)
    assert not await people.unlink_identity(act(eve, object_id=known.id), eve.id)
    assert await people.unlink_identity(act(ada, object_id=known.id), ada.id)
    assert not await people.unlink_identity(act(ada, object_id=known.id), ada.id)
