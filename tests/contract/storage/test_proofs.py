"""What somebody proved, and the session they act in, must still hold in the commit of what they ask for: hashing takes
its time, and a thief must not outrun the owner's new password."""

from itertools import count

import msgspec
import pytest

from tessera.adapters.storage.ledger.people import people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.people import SqlPeople
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor, ActorKind, Link, LinkPurpose, Person, Session

pytestmark = pytest.mark.anyio

FAR = 2**40
_numbers = count()


@pytest.fixture
def people(storage: LedgerStorage) -> SqlPeople:
    return people_of(storage)


@pytest.fixture
async def ada(people: SqlPeople) -> Person:
    link = Link(purpose=LinkPurpose.SIGN_UP, expires_at=FAR, email="ada@example.com", name="Ada", password_hash="old")
    await people.keep_link("link", link)
    made = await people.become_person(
        Act(actor=Actor(kind=ActorKind.PERSON, id=""), action="t", object_id=""), "link", link
    )
    assert made is not None
    return made


def act(person: Person, session: str | None = None) -> Act:
    actor = Actor(kind=ActorKind.PERSON, id=person.id, person_id=person.id, session_id=session)
    return Act(actor=actor, action="tested", object_id=person.id)


async def signed_in(people: SqlPeople, person: Person, password_hash: str | None = "old") -> str | None:
    """The session that begins for who proved this; None if it does not."""
    name = f"s{next(_numbers)}"
    now = people.now()
    session = Session(
        id=name, person_id=person.id, created_at=now, seen_at=now, expires_at=FAR, address="", user_agent=""
    )
    proven = {"person": person, "password_hash": password_hash}
    begun = await people.open_session(act(person), session, f"d{name}", **proven, idle_s=10_000, old_digest=None)
    assert begun == (await people.find_session(f"d{name}", 10_000) is not None)
    return name if begun else None


async def test_nobody_is_signed_in_by_a_password_that_was_changed_meanwhile(people: SqlPeople, ada: Person) -> None:
    assert await signed_in(people, ada) is not None
    await people.set_password(act(ada), "new", "")
    assert await signed_in(people, ada) is None
    assert await signed_in(people, ada, "new") is not None


async def test_nobody_is_signed_in_by_a_password_that_was_reset_meanwhile(people: SqlPeople, ada: Person) -> None:
    await people.keep_link("reset", Link(purpose=LinkPurpose.PASSWORD_RESET, expires_at=FAR, email=ada.email))
    assert await people.reset_password(act(ada), "reset", "new")
    assert await signed_in(people, ada) is None


async def test_nobody_is_signed_in_past_a_second_factor_that_was_added_meanwhile(
    people: SqlPeople, ada: Person
) -> None:
    await people.start_second_factor(ada.id, "nonce")
    assert await people.confirm_second_factor(act(ada), "nonce", 1, (), "")
    assert await signed_in(people, ada) is None
    assert await signed_in(people, msgspec.structs.replace(ada, second_factor=True)) is not None


async def test_nobody_is_signed_in_by_an_address_that_was_changed_meanwhile(people: SqlPeople, ada: Person) -> None:
    await people.ask_email_change(act(ada), "new@example.com", "change", FAR)
    changed = await people.change_email(act(ada), "change", "")
    assert changed is not None
    assert await signed_in(people, ada) is None
    assert await signed_in(people, changed) is not None


async def test_nobody_who_was_erased_meanwhile_is_signed_in(people: SqlPeople, ada: Person) -> None:
    await people.erase_person(act(ada))
    assert await signed_in(people, ada) is None


async def test_a_session_that_a_new_password_ended_changes_nothing_any_more(people: SqlPeople, ada: Person) -> None:
    mine, thiefs = await signed_in(people, ada), await signed_in(people, ada)
    assert mine is not None
    assert await people.start_second_factor(ada.id, "nonce")
    (owned,) = await people.memberships(ada.id)
    await people.set_password(act(ada, mine), "new", mine)
    for late in (
        people.set_password(act(ada, thiefs), "evil", ""),
        people.ask_email_change(act(ada, thiefs), "evil@example.com", "change", FAR),
        people.confirm_second_factor(act(ada, thiefs), "nonce", 1, (), ""),
        people.erase_person(act(ada, thiefs)),
        people.erase_organization(msgspec.structs.replace(act(ada, thiefs), object_id=owned.organization_id)),
    ):
        with pytest.raises(TesseraError) as caught:
            await late
        assert caught.value.code is ErrorCode.NOT_SIGNED_IN
    standing = await people.find_standing(ada.email)
    assert standing is not None
    assert (standing.password_hash, standing.person.second_factor) == ("new", False)
    await people.set_password(act(ada, mine), "newer", mine)


async def test_a_new_password_makes_links_for_another_one_useless(people: SqlPeople, ada: Person) -> None:
    await people.keep_link("reset", Link(purpose=LinkPurpose.PASSWORD_RESET, expires_at=FAR, email=ada.email))
    await people.set_password(act(ada), "new", "")
    assert not await people.reset_password(act(ada), "reset", "evil")
