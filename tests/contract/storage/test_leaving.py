"""What somebody leaves behind: nothing that lets them back in, nothing of others, and nothing in the way of others."""

import asyncio
from itertools import count
from typing import Any

import pytest

from stored_people import FAR, admin_key, newcomer
from tessera.adapters.storage.ledger.people import people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.people import SqlPeople
from tessera.adapters.storage.people.organizations import ORGANIZATIONS_PER_PERSON_MAX
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor, ActorKind, AdminKey, Link, LinkPurpose, Person
from tessera.domain.people.roles import Role
from tessera.ports import Page

pytestmark = pytest.mark.anyio

NOBODY = Act(actor=Actor(kind=ActorKind.PERSON, id=""), action="person.signed_up", object_id="")
_numbers = count()


@pytest.fixture
def people(storage: LedgerStorage) -> SqlPeople:
    return people_of(storage)


def sign_up(name: str) -> Link:
    email = f"{name}{next(_numbers)}@example.com".lower()
    return Link(purpose=LinkPurpose.SIGN_UP, expires_at=FAR, email=email, name=name, password_hash="h")


def act(person: Person, organization: str, object_id: str = "", role: Role = Role.OWNER) -> Act:
    actor = Actor(kind=ActorKind.PERSON, id=person.id, person_id=person.id, address=f"192.0.2.{len(person.name)}")
    return Act(actor=actor.within(organization, role), action="tested", object_id=object_id)


async def offer(people: SqlPeople, who: Person, organization: str, role: Role, email: str = "x@example.com") -> str:
    """The digest of an offer's link."""
    digest = f"offer{next(_numbers)}"
    await people.invite(act(who, organization), email, role, digest, FAR)
    return digest


async def joined(people: SqlPeople, owner: Person, organization: str, role: Role, name: str = "Bob") -> Person:
    link = sign_up(name)
    digest = await offer(people, owner, organization, role, str(link.email))
    person = await people.become_invited(NOBODY, digest, link)
    assert person is not None
    return person


def keyed(maker: Person, organization: str) -> tuple[Act, AdminKey]:
    """A key for administration, and the making of it."""
    key = admin_key(maker, organization, Role.ADMIN)
    return act(maker, organization, key.id), key


async def open_offers(people: SqlPeople, *digests: str) -> list[str]:
    return [digest for digest in digests if await people.find_open_invitation(digest) is not None]


async def events(people: SqlPeople, organization: str, action: str) -> list[str]:
    found = await people.list_audit_events(organization, Page(limit=100))
    return [event.object_id for event in found if event.action == action]


async def test_what_a_removed_member_offered_is_withdrawn_and_what_others_offered_stands(people: SqlPeople) -> None:
    ada, organization = await newcomer(people, "Ada")
    bob = await joined(people, ada, organization, Role.ADMIN)
    bobs = await offer(people, bob, organization, Role.ADMIN, "friend@example.com")
    adas = await offer(people, ada, organization, Role.ADMIN, "other@example.com")
    await people.remove_member(act(ada, organization, bob.id))
    assert await open_offers(people, bobs, adas) == [adas]
    assert len(await events(people, organization, "invitation.withdrawn")) == 1
    friend = sign_up("Friend")
    assert await people.become_invited(NOBODY, bobs, friend) is None
    assert await people.find_standing(str(friend.email)) is None


async def test_who_was_removed_or_stepped_down_meanwhile_offers_nothing_more(people: SqlPeople) -> None:
    ada, organization = await newcomer(people, "Ada")
    bob = await joined(people, ada, organization, Role.OWNER)
    asked = act(bob, organization)
    await people.change_role(act(bob, organization, bob.id), Role.ADMIN)
    with pytest.raises(TesseraError) as caught:
        await people.invite(asked, "friend@example.com", Role.OWNER, "owners", FAR)
    assert caught.value.code is ErrorCode.PERMISSION_DENIED
    await people.invite(asked, "admin@example.com", Role.ADMIN, "admins", FAR)
    await people.remove_member(act(ada, organization, bob.id))
    with pytest.raises(TesseraError) as caught:
        await people.invite(asked, "friend@example.com", Role.VIEWER, "viewers", FAR)
    assert caught.value.code is ErrorCode.NOT_FOUND
    assert await open_offers(people, "owners", "admins", "viewers") == []


async def test_who_steps_down_has_offered_only_what_they_could_offer_now(people: SqlPeople) -> None:
    ada, organization = await newcomer(people, "Ada")
    bob = await joined(people, ada, organization, Role.OWNER)
    above = await offer(people, bob, organization, Role.OWNER, "owner@example.com")
    below = await offer(people, bob, organization, Role.DEVELOPER, "developer@example.com")
    await people.change_role(act(bob, organization, bob.id), Role.ADMIN)
    assert await open_offers(people, above, below) == [below]
    await people.change_role(act(ada, organization, bob.id), Role.VIEWER)
    assert await open_offers(people, above, below) == []


async def test_what_an_erased_person_offered_is_withdrawn_and_their_admin_keys_are_revoked(people: SqlPeople) -> None:
    ada, organization = await newcomer(people, "Ada")
    bob = await joined(people, ada, organization, Role.ADMIN)
    bobs = await offer(people, bob, organization, Role.ADMIN)
    (offered,) = await people.list_invitations(organization, Page(limit=1))
    key = await people.create_admin_key(*keyed(bob, organization), "digest0")
    await people.erase_person(act(bob, "", bob.id))
    assert await open_offers(people, bobs) == []
    assert await events(people, organization, "invitation.withdrawn") == [offered.id]
    assert await events(people, organization, "admin_key.revoked") == [key.id]


async def test_an_admin_key_of_a_removed_member_stays_dead_when_they_come_back(people: SqlPeople) -> None:
    ada, organization = await newcomer(people, "Ada")
    bob = await joined(people, ada, organization, Role.ADMIN)
    making, key = keyed(bob, organization)
    await people.create_admin_key(making, key, "digest")
    assert await people.find_admin_caller("digest") is not None
    await people.remove_member(act(ada, organization, bob.id))
    assert await events(people, organization, "admin_key.revoked") == [key.id]
    again = await offer(people, ada, organization, Role.ADMIN, bob.email)
    assert await people.accept_invitation(act(bob, "", bob.id), again, bob) is not None
    assert await people.find_admin_caller("digest") is None


async def test_who_has_left_meanwhile_makes_no_admin_key_and_who_was_erased_no_organization(people: SqlPeople) -> None:
    ada, organization = await newcomer(people, "Ada")
    bob = await joined(people, ada, organization, Role.ADMIN)
    await people.remove_member(act(ada, organization, bob.id))
    making, key = keyed(bob, organization)
    with pytest.raises(TesseraError) as caught:
        await people.create_admin_key(making, key, "digest3")
    assert caught.value.code is ErrorCode.NOT_FOUND
    await people.erase_person(act(bob, "", bob.id))
    with pytest.raises(TesseraError) as caught:
        await people.found_organization(act(bob, "").actor, "of nobody")
    assert caught.value.code is ErrorCode.NOT_FOUND


async def test_nobody_becomes_somebody_by_an_offer_that_was_withdrawn_meanwhile(people: SqlPeople) -> None:
    ada, organization = await newcomer(people, "Ada")
    link = sign_up("Eve")
    digest = await offer(people, ada, organization, Role.VIEWER, str(link.email))
    found = await people.find_open_invitation(digest)
    assert found is not None
    assert await people.become_invited(NOBODY, digest, sign_up("Mallory")) is None
    assert await people.withdraw_invitation(act(ada, organization, found.id))
    assert await people.become_invited(NOBODY, digest, link) is None
    assert await people.find_standing(str(link.email)) is None


async def test_of_many_who_use_one_offer_at_once_one_becomes_somebody(people: SqlPeople) -> None:
    ada, organization = await newcomer(people, "Ada")
    link = sign_up("Eve")
    digest = await offer(people, ada, organization, Role.VIEWER, str(link.email))
    made = await asyncio.gather(
        *(people.become_invited(NOBODY, digest, link) for _ in range(8)), return_exceptions=True
    )
    assert len([one for one in made if isinstance(one, Person)]) == 1
    assert all(one is None or isinstance(one, Person | TesseraError) for one in made)


async def test_nobody_founds_more_organizations_by_asking_at_once(people: SqlPeople) -> None:
    ada, _ = await newcomer(people, "Ada")
    actor = act(ada, "").actor

    async def found(number: int) -> Any:
        return await people.found_organization(actor, f"org {number} of {ada.id}")

    made = await asyncio.gather(*(found(number) for number in range(30)), return_exceptions=True)
    refused = [one for one in made if isinstance(one, TesseraError)]
    assert {one.code for one in refused} == {ErrorCode.INVALID_REQUEST}
    assert len(await people.memberships(ada.id)) == ORGANIZATIONS_PER_PERSON_MAX


async def test_no_name_that_somebody_takes_keeps_an_organization_from_being_deleted(people: SqlPeople) -> None:
    ada, organization = await newcomer(people, "Ada")
    eve, _ = await newcomer(people, "Eve")
    await people.found_organization(act(eve, "").actor, f"deleted {organization}")
    await people.erase_organization(act(ada, organization, organization))
    assert await people.memberships(ada.id) == ()


async def test_a_copy_has_what_a_persons_keys_did_and_not_where_others_acted_from(people: SqlPeople) -> None:
    ada, organization = await newcomer(people, "Ada")
    bob = await joined(people, ada, organization, Role.ADMIN, "Robert")
    making, key = keyed(bob, organization)
    await people.create_admin_key(making, key, "digest2")
    by_key = Actor(kind=ActorKind.ADMIN_KEY, id=key.id, person_id=bob.id, address="192.0.2.99")
    by_key = by_key.within(organization, Role.ADMIN)
    await people.create_project(Act(actor=by_key, action="project.created", object_id=""), "by a key")
    await people.change_role(act(ada, organization, bob.id), Role.VIEWER)
    copy = str((await people.export_person(bob.id))["audit_events"])
    assert "192.0.2.99" in copy
    assert "192.0.2.3" not in copy
    await people.erase_person(act(bob, "", bob.id))
    left = [event.details for event in await people.list_audit_events(organization, Page(limit=100))]
    assert "192.0.2.99" not in str(left)
    assert "192.0.2.6" not in str(left)
