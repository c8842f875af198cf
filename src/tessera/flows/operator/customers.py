"""Customers: what an operator sees of them, suspends, resumes and gives them.

Always holds: what is done stands in the customer's audit log with who did it; live credit beyond what one operator may
give alone is in no balance before another operator agreed.
"""

from typing import Any

import msgspec

from tessera.domain.amounts import asked_usd
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ids import is_id
from tessera.domain.ledger.idempotency import needed_key
from tessera.domain.money import Mode, format_usd
from tessera.domain.people.records import Act, Actor
from tessera.flows.receipts import list_object, page_after
from tessera.ports import Page
from tessera.ports.customers import (
    CreditPolicy,
    CreditState,
    Customer,
    Customers,
    CustomersAsked,
    ManualCredit,
    NewCredit,
)

NOTE_LENGTH_MAX = 500
KINDS = ("manual", "promotion")


class Clientele(msgspec.Struct, frozen=True):
    """What the flows of customers work with: storage, and what one operator may give alone."""

    customers: Customers
    policy: CreditPolicy


async def list_customers(clientele: Clientele, asked: CustomersAsked, page: Page) -> dict[str, Any]:
    """Organizations, newest first. Raises [invalid_request]."""
    found = await clientele.customers.list_customers(asked, page_after(page, "org"))
    return list_object([customer_object(one) for one in found], page)


async def show_customer(clientele: Clientele, organization_id: str) -> dict[str, Any]:
    """One organization. Raises [not_found]."""
    found = await clientele.customers.find_customer(_checked_id(organization_id, "org", "organization"))
    if found is None:
        raise _unknown("organization", organization_id)
    return customer_object(found)


async def suspend(clientele: Clientele, actor: Actor, organization_id: str, reason: str) -> dict[str, Any]:
    """Refuses an organization's calls from now on; `reason` stands in its audit log. Raises [invalid_request,
    not_found]."""
    details = {"reason": _checked_text(reason, "reason")}
    customer_id = _checked_id(organization_id, "org", "organization")
    act = Act(
        actor=_unplaced(actor),
        action="organization.suspended",
        object_id=customer_id,
        details=details,
        scope=customer_id,
    )
    await clientele.customers.suspend_customer(act)
    return await show_customer(clientele, customer_id)


async def resume(clientele: Clientele, actor: Actor, organization_id: str) -> dict[str, Any]:
    """Lifts an organization's suspension, whatever its reason. Raises [not_found]."""
    customer_id = _checked_id(organization_id, "org", "organization")
    act = Act(actor=_unplaced(actor), action="organization.resumed", object_id=customer_id, scope=customer_id)
    await clientele.customers.resume_customer(act)
    return await show_customer(clientele, customer_id)


async def give_credit(
    clientele: Clientele,
    actor: Actor,
    organization_id: str,
    *,
    amount: str,
    mode: str,
    kind: str,
    note: str,
    expires_at: int | None,
    key: str | None,
) -> tuple[dict[str, Any], bool]:
    """Credit by hand, and whether it is a repeat under its idempotency key. Beyond what one operator may give alone it
    waits for another one.

    Raises [invalid_request, idempotency_mismatch, not_found, permission_denied].
    """
    if mode not in set(Mode):
        raise _refused(f"mode must be {' or '.join(Mode)}.", "mode")
    if kind not in KINDS:
        raise _refused(f"kind must be {' or '.join(KINDS)}.", "kind")
    new = NewCredit(
        organization_id=_checked_id(organization_id, "org", "organization"),
        mode=Mode(mode),
        kind=kind,
        amount_nanos=_checked_amount(amount),
        note=_checked_text(note, "note"),
        credit_expires_at=expires_at,
        idempotency_key=needed_key(key, "A credit", "gives"),
    )
    act = Act(actor=_unplaced(actor), action="credit.added", object_id=organization_id, scope=organization_id)
    credit, repeated = await clientele.customers.give_credit(act, new, clientele.policy)
    return credit_object(credit), repeated


async def approve_credit(clientele: Clientele, actor: Actor, credit_id: str) -> dict[str, Any]:
    """Gives a credit that another operator asked for. Raises [invalid_request, not_found, permission_denied]."""
    act = Act(actor=_unplaced(actor), action="credit.added", object_id=_checked_id(credit_id, "mcr", "credit"))
    return credit_object(await clientele.customers.approve_credit(act))


async def withdraw_credit(clientele: Clientele, actor: Actor, credit_id: str) -> dict[str, Any]:
    """Takes a credit back that waits. Raises [invalid_request, not_found]."""
    act = Act(actor=_unplaced(actor), action="credit.withdrawn", object_id=_checked_id(credit_id, "mcr", "credit"))
    return credit_object(await clientele.customers.withdraw_credit(act))


async def list_credits(clientele: Clientele, state: CreditState | None, page: Page) -> dict[str, Any]:
    """Credits that operators gave or asked for, newest first. Raises [invalid_request]."""
    found = await clientele.customers.list_credits(state, page_after(page, "mcr"))
    return list_object([credit_object(one) for one in found], page)


def customer_object(customer: Customer) -> dict[str, Any]:
    """An organization as the operator sees it; amounts are live money."""
    amounts: dict[str, Any] = {"currency": "usd"}
    for name in ("available", "held", "spent", "disputed", "owed"):
        nanos = getattr(customer, f"{name}_nanos")
        amounts |= {name: format_usd(nanos), f"{name}_nanos": nanos}
    return {
        "object": "customer",
        "id": customer.id,
        "name": customer.name,
        "created_at": customer.created_at,
        "suspended": customer.suspended_for is not None,
        "suspended_for": customer.suspended_for,
        "owner": customer.owner,
        "members": customer.members,
        "last_used_at": customer.last_used_at,
        "balance": amounts,
    }


def credit_object(credit: ManualCredit) -> dict[str, Any]:
    """A credit by hand, as it stands."""
    return {
        "object": "manual_credit",
        "id": credit.id,
        "organization": credit.organization_id,
        "mode": credit.mode,
        "kind": credit.kind,
        "amount": format_usd(credit.amount_nanos),
        "amount_nanos": credit.amount_nanos,
        "note": credit.note,
        "expires_at": credit.credit_expires_at,
        "status": credit.state,
        "made_by": credit.made_by,
        "created_at": credit.made_at,
        "approve_until": credit.approve_until,
        "approved_by": credit.approved_by,
        "lot": credit.lot_id,
    }


def _unplaced(actor: Actor) -> Actor:
    """An operator without their address: the audit log is read by the customer."""
    return msgspec.structs.replace(actor, address="")


def _checked_amount(text: str) -> int:
    nanos = asked_usd(text, "amount")
    if nanos == 0:
        raise _refused("A credit must be more than zero.", "amount")
    return nanos


def _checked_text(text: str, name: str) -> str:
    text = text.strip()
    if not 0 < len(text) <= NOTE_LENGTH_MAX or not text.isprintable():
        raise _refused(f"{name} says why, in 1 to {NOTE_LENGTH_MAX} printable characters.", name)
    return text


def _checked_id(text: str, prefix: str, what: str) -> str:
    if not is_id(text, prefix):
        raise _unknown(what, text)
    return text


def _unknown(what: str, text: str) -> TesseraError:
    return TesseraError(ErrorCode.NOT_FOUND, f"There is no {what} {text[:64]!r}.")


def _refused(text: str, param: str) -> TesseraError:
    return TesseraError(ErrorCode.INVALID_REQUEST, text, param=param)
