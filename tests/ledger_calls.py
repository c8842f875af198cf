"""Hold orders and usage events for tests of the ledger: everything filled in, anything can be set."""

import asyncio
import json
import os
import time
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from typing import Any, NoReturn

import pytest

from tessera.adapters.storage.ledger.group import Answer, Order
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.ids import make_id
from tessera.domain.ledger.orders import HoldOrder, Outcome, StoredReply
from tessera.domain.money import Mode, format_usd
from tessera.domain.quantities import Quantities
from tessera.domain.usage import UsageEvent, UsageSource
from tessera.ports.administration import Check

QUOTED_NANOS_MAX = 10**17


def new_id(prefix: str = "req") -> str:
    """An id as the product makes them."""
    return make_id(prefix, time.time_ns() // 1_000_000, os.urandom(10))


def hold_order(organization_id: str, amount_nanos: int, **changes: Any) -> HoldOrder:
    """An order to hold `amount_nanos` of test money."""
    fields: dict[str, Any] = {
        "id": new_id(),
        "organization_id": organization_id,
        "project_id": "prj_1",
        "key_id": "key_1",
        "mode": Mode.TEST,
        "amount_nanos": amount_nanos,
        "amount_min_nanos": amount_nanos,
        "idempotency_key": None,
        "fingerprint": b"f" * 32,
        "endpoint": "/v1/chat/completions",
        "model": "gpt-5.2-pro",
        "stream": False,
        "quote": json.dumps({"price": {"max_nanos": QUOTED_NANOS_MAX}}).encode(),
        "owner": "prc_test",
        "placed_at_us": time.time_ns() // 1000,
    }
    return HoldOrder(**(fields | changes))


def usage_event(order: HoldOrder, charge_nanos: int, **changes: Any) -> UsageEvent:
    """A finished call that costs `charge_nanos`: one input token per nano at $1,000 per million."""
    price_nanos = charge_nanos + changes.get("waived_nanos", 0)
    lines = [{"unit": "input", "quantity": price_nanos, "price_per_million": "0.001", "nanos": price_nanos}]
    receipt = {"amount": format_usd(charge_nanos), "nanos": charge_nanos, "lines": lines if price_nanos else []}
    fields: dict[str, Any] = {
        "hold_id": order.id,
        "organization_id": order.organization_id,
        "mode": order.mode,
        "outcome": Outcome.COMPLETED,
        "status": 200,
        "deployment": "sandbox/gpt-5.2-pro",
        "served_tier": "default",
        "price_version": "2026-11-22",
        "usage": Quantities(input_tokens=price_nanos),
        "usage_source": UsageSource.PROVIDER,
        "predicted_input_tokens": price_nanos,
        "predicted_image_tokens": 0,
        "charge_nanos": charge_nanos,
        "waived_nanos": 0,
        "cost_nanos": 3,
        "loss_nanos": 0,
        "charge": json.dumps(receipt).encode(),
        "attempts": (),
        "settled_at_us": order.placed_at_us + 5000,
        "latency_ms": 5,
        "first_byte_ms": 4,
    }
    return UsageEvent(**(fields | changes))


def release(order: HoldOrder, **changes: Any) -> UsageEvent:
    """The end of a call that failed: nothing is charged."""
    fields = {"outcome": Outcome.PROVIDER_ERROR, "status": 502, "cost_nanos": 0}
    return usage_event(order, 0, **(fields | changes))


def stored_reply(order: HoldOrder, charge_nanos: int) -> StoredReply:
    """A reply kept for an idempotency key."""
    return StoredReply(
        request_id=order.id,
        status=200,
        content_type="application/json",
        body=b'{"choices":[]}',
        charge_nanos=charge_nanos,
    )


async def funded(storage: LedgerStorage, amount_nanos: int, *, mode: Mode = Mode.LIVE) -> str:
    """A new organization whose only money, in a mode without starting credit, is `amount_nanos`."""
    organization = await storage.create_organization(f"organization {os.urandom(6).hex()}")
    if amount_nanos:
        await storage.add_credit(organization.id, mode, amount_nanos, kind="manual", note="for a test")
    return organization.id


async def commit_together(storage: LedgerStorage, orders: Sequence[Order]) -> list[Answer]:
    """All of them in one group, before which nothing is remembered. Fails if they are written one by one instead."""
    committer = storage._committer

    def apart(_orders: Sequence[Order]) -> NoReturn:
        raise AssertionError("the group could not be written")

    def commit() -> list[Answer]:
        committer.books.clear()
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(committer, "_apart", apart)
            return committer.commit([*orders])

    answers: list[Answer] = await storage._writer_call(commit)
    return answers


def faults(checks: tuple[Check, ...]) -> dict[str, str]:
    """Name and detail of every check that found something."""
    return {check.name: check.detail for check in checks if not check.ok}


def database(data_dir: Path) -> Path:
    """The ledger's file."""
    return data_dir / "tessera.db"


async def eventually(holds: Callable[[], Awaitable[bool]], *, seconds: float = 10) -> None:
    """Waits until something is so; fails when it is not in time."""
    for _ in range(int(seconds / 0.005)):
        if await holds():
            return
        await asyncio.sleep(0.005)
    raise AssertionError("it did not happen in time")
