"""What was done in an organization, by whom: the audit log as its owners and admins read it."""

from typing import Any

from tessera.domain.people.records import Actor, AuditEvent, AuditFilter
from tessera.flows.people.accounts import Accounts
from tessera.flows.receipts import list_object, page_after
from tessera.ports import Page


async def list_events(accounts: Accounts, actor: Actor, page: Page, only: AuditFilter) -> dict[str, Any]:
    """Newest first, a page at a time."""
    more = page_after(page, "audit")
    found = await accounts.people.list_audit_events(actor.organization_id, more, only)
    return list_object([event_object(event) for event in found], page)


def event_object(event: AuditEvent) -> dict[str, Any]:
    """One act. `details` is null once the people named in it were erased."""
    return {
        "object": "organization.audit_log",
        "id": event.id,
        "type": event.action,
        "effective_at": event.created_at,
        "actor": {"type": event.actor_kind, "id": event.actor_id},
        "object_id": event.object_id,
        "details": None if event.details is None else dict(event.details),
    }
