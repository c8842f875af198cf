"""Organizations as an operator sees them, written once for every database."""

from typing import Any

from tessera.adapters.storage.manual_credits import ManualCredits
from tessera.adapters.storage.people.audit_log import record
from tessera.adapters.storage.people.steps import SetSuspension, Steps, change, first, read, rows
from tessera.domain.ledger.losses import SuspensionReason
from tessera.domain.people.records import Act
from tessera.ports import Page
from tessera.ports.customers import Customer, CustomersAsked

_CUSTOMERS = """
SELECT organization.id, organization.name, organization.created_at, organization.suspended_for,
    (SELECT person.email FROM membership JOIN person ON person.id = membership.person_id
        WHERE membership.organization_id = organization.id AND membership.role = 'owner'
        ORDER BY membership.added_at, membership.person_id LIMIT 1),
    (SELECT count(*) FROM membership WHERE membership.organization_id = organization.id),
    (SELECT max(used_at_us) FROM meter JOIN wallet AS used ON used.id = meter.wallet_id
        WHERE used.organization_id = organization.id AND meter.kind = 'organization'),
    wallet.available_nanos - wallet.disputed_nanos, wallet.held_nanos,
    wallet.disputed_nanos - coalesce(owed.nanos, 0), coalesce(owed.nanos, 0),
    (SELECT coalesce(sum(lot.spent_nanos), 0) FROM lot WHERE lot.wallet_id = wallet.id)
FROM organization JOIN wallet ON wallet.organization_id = organization.id AND wallet.mode = 'live'
LEFT JOIN owed ON owed.wallet_id = wallet.id
"""
_FIND = f"{_CUSTOMERS} WHERE organization.id = $1"
_LIST = f"""
{_CUSTOMERS}
WHERE organization.id < $1 AND organization.closed_at IS NULL
    AND ($2 = '' OR organization.id = $2
        OR organization.name LIKE $3 ESCAPE '!' OR lower(organization.name) LIKE lower($3) ESCAPE '!'
        OR EXISTS (SELECT 1 FROM membership JOIN person ON person.id = membership.person_id
            WHERE membership.organization_id = organization.id AND person.email LIKE lower($3) ESCAPE '!'))
    AND ($4 < 0 OR organization.suspended = $4)
ORDER BY organization.id DESC LIMIT $5
"""  # noqa: S608
_NEWEST = "zzzz"


class SqlCustomers(ManualCredits):
    """The port `Customers` on any database that runs steps."""

    @read
    def list_customers(self, asked: CustomersAsked, page: Page) -> Steps[tuple[Customer, ...]]:
        """See the port."""
        search, pattern = asked.search or "", _containing(asked.search or "")
        suspended = -1 if asked.suspended is None else int(asked.suspended)
        found = yield from rows(_LIST, page.after or _NEWEST, search, pattern, suspended, page.limit)
        return tuple(_customer(row) for row in found)

    @read
    def find_customer(self, organization_id: str) -> Steps[Customer | None]:
        """See the port."""
        row = yield from first(_FIND, organization_id)
        return None if row is None else _customer(row)

    @change
    def suspend_customer(self, act: Act) -> Steps[None]:
        """See the port."""
        yield SetSuspension(act.object_id, SuspensionReason.OPERATOR)
        yield from record(self, act)

    @change
    def resume_customer(self, act: Act) -> Steps[None]:
        """See the port."""
        yield SetSuspension(act.object_id, None)
        yield from record(self, act)


def _containing(text: str) -> str:
    """A pattern for what contains a text, whatever else it says to LIKE."""
    escaped = "".join(f"!{one}" if one in "!%_" else one for one in text)
    return f"%{escaped}%"


def _customer(row: tuple[Any, ...]) -> Customer:
    return Customer(
        id=row[0],
        name=row[1],
        created_at=row[2],
        suspended_for=row[3],
        owner=row[4],
        members=row[5],
        last_used_at=row[6] // 1_000_000 if row[6] else None,
        available_nanos=row[7],
        held_nanos=row[8],
        disputed_nanos=row[9],
        owed_nanos=row[10],
        spent_nanos=int(row[11]),
    )
