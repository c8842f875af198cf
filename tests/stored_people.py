"""People, organizations and keys as storage has them, and who acts on them."""

from itertools import count

from tessera.adapters.storage.people import SqlPeople
from tessera.domain.money import Mode
from tessera.domain.people.records import Act, Actor, ActorKind, AdminKey, Link, LinkPurpose, Person
from tessera.domain.people.roles import Role
from tessera.ports.administration import ApiKey

FAR = 2**40
_numbers = count()


def acting(person: Person, organization_id: str = "", role: Role = Role.OWNER) -> Actor:
    actor = Actor(kind=ActorKind.PERSON, id=person.id, person_id=person.id, address="192.0.2.1")
    return actor.within(organization_id, role) if organization_id else actor


def act(actor: Actor, object_id: str = "", action: str = "tested") -> Act:
    return Act(actor=actor, action=action, object_id=object_id)


async def newcomer(people: SqlPeople, name: str = "Ada") -> tuple[Person, str]:
    """A person and the organization they own."""
    number = next(_numbers)
    link = Link(
        purpose=LinkPurpose.SIGN_UP, expires_at=FAR, email=f"a{number}@example.com", name=name, password_hash="h"
    )
    await people.keep_link(f"link{number}", link)
    nobody = Actor(kind=ActorKind.PERSON, id="")
    person = await people.become_person(act(nobody, action="person.signed_up"), f"link{number}", link)
    assert person is not None
    (mine,) = await people.memberships(person.id)
    return person, mine.organization_id


def api_key(organization: str, project: str, ends_at: int | None = None) -> ApiKey:
    return ApiKey(
        id=f"key{next(_numbers)}",
        name="k",
        mode=Mode.TEST,
        organization_id=organization,
        project_id=project,
        project="default",
        display="sk…",
        created_at=1,
        revoked_at=ends_at,
    )


def admin_key(maker: Person, organization: str, role: Role = Role.OWNER) -> AdminKey:
    return AdminKey(
        id=f"adminkey_{next(_numbers)}",
        organization_id=organization,
        person_id=maker.id,
        name="k",
        display="sk…",
        role=role,
        created_at=1,
    )
