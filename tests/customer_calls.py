"""What tests of operators and their customers call: persons with organizations of their own, credit to give them."""

from collections.abc import Awaitable
from itertools import count
from typing import Any

import msgspec
import pytest

from tessera.adapters.storage.ledger.people import people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import NANOS_PER_USD, Mode
from tessera.domain.people.records import Act, Actor, ActorKind, Link, LinkPurpose
from tessera.ports.customers import NewCredit

USD = NANOS_PER_USD
_numbers = count()


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
