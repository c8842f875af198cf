"""A ledger in which everything has happened, for tests that carry one over: to another schema, engine or backup."""

import pytest

from ledger_calls import funded, hold_order, release, stored_reply, usage_event
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.errors import TesseraError
from tessera.domain.money import Mode
from tessera.ports import Page


async def lived_in(storage: LedgerStorage) -> list[str]:
    """A ledger in which everything has happened; its organizations."""
    organizations = []
    for number in range(3):
        organization = await funded(storage, 10**9 + number)
        organizations.append(organization)
        await storage.create_key(
            organization,
            project="shop",
            mode=Mode.LIVE,
            name=f"kéy {number}",
            digest=bytes([number]) * 32,
            display="sk",
        )
        for step in range(7):
            order = hold_order(
                organization,
                1000 + step,
                mode=Mode.LIVE,
                owner=storage.owner,
                idempotency_key=f"key-{step}" if step % 2 else None,
                model='a\0\uffff\\\t\n{"b"}',
            )
            await storage.hold(order)
            event = usage_event(order, step * 7, reply=stored_reply(order, step * 7) if step % 2 else None)
            await storage.settle(release(order, loss_nanos=5) if step == 4 else event)
        for index, charge in ((0, 3), (6, 50)):
            late = usage_event(order, charge, hold_id=f"req_nobody{index}")
            with pytest.raises(TesseraError):
                await storage.settle(late)
    await storage.suspend_organization(organizations[2])
    return organizations


async def picture(storage: LedgerStorage, organizations: list[str]) -> list[object]:
    """Everything that can be asked of a ledger."""
    found: list[object] = [await storage.list_organizations()]
    for organization in organizations:
        found.append(await storage.list_keys(organization))
        found.append(await storage.usage(organization))
        for mode in Mode:
            found.append(await storage.balance(organization, mode))
            found.append(await storage.list_requests(organization, mode, Page(limit=100)))
            found.append(await storage.list_entries(organization, mode, Page(limit=1000)))
            found.append(await storage.list_losses(organization, mode, Page()))
    found += [await storage.find_caller(bytes([number]) * 32) for number in range(3)]
    return found
