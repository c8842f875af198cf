"""The contract of `Customers`, what operators see and suspend, the same on every database."""

import pytest

from customer_calls import USD, about, person_of, refused
from ledger_calls import hold_order
from tessera.adapters.storage.ledger.people import customers_of, people_of
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.errors import ErrorCode
from tessera.domain.money import Mode
from tessera.ports import Page
from tessera.ports.customers import CustomersAsked

pytestmark = pytest.mark.anyio

EVERYBODY = CustomersAsked()


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
