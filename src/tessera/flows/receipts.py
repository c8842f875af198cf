"""What happened to a call, and to the money: receipts, the balance and the ledger, as the API shows them."""

from typing import Any

import msgspec

from tessera.domain.auth import Caller
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ids import is_id
from tessera.domain.money import format_usd
from tessera.domain.pricing.quote import Quote, quote_object
from tessera.flows.forecasts import read_forecast
from tessera.flows.world import World
from tessera.ports import Balance, LedgerEntry, Page, RequestRecord

_decode_quote = msgspec.json.Decoder(Quote).decode


async def find_request(world: World, caller: Caller, request_id: str) -> dict[str, Any]:
    """The receipt of a call by its `x-request-id`. Raises not_found, for another organization's call too."""
    record = await world.storage.find_request(caller.organization_id, caller.mode, request_id)
    if record is None:
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no request {request_id[:64]!r} for this key.")
    return request_object(record)


async def list_requests(world: World, caller: Caller, page: Page) -> dict[str, Any]:
    """Receipts, newest first, a page at a time."""
    records = await world.storage.list_requests(caller.organization_id, caller.mode, _one_more(page))
    return list_object([request_object(record) for record in records], page)


async def list_entries(world: World, caller: Caller, page: Page) -> dict[str, Any]:
    """Ledger entries of the caller's organization and mode, newest first, a page at a time."""
    entries = await world.storage.list_entries(caller.organization_id, caller.mode, _one_more(page))
    return list_object([entry_object(entry) for entry in entries], page)


async def read_balance(world: World, caller: Caller) -> dict[str, Any]:
    """The balance of the caller's organization and mode, and what its month will cost."""
    found = balance_object(await world.storage.balance(caller.organization_id, caller.mode))
    return {**found, "forecast": await read_forecast(world, caller)}


def request_object(record: RequestRecord) -> dict[str, Any]:
    """A call as the contract shows it. Until it is resolved, what is not known yet is null."""
    hold, event = record.hold, record.event
    charge = msgspec.json.decode(event.charge) if event else None
    policy = charge.pop("policy", None) if charge else None
    return {
        "id": hold.id,
        "object": "request",
        "created_at": hold.placed_at_us // 1_000_000,
        "mode": hold.mode,
        "model": hold.model,
        "endpoint": hold.endpoint,
        "stream": hold.stream,
        "status": record.state,
        "outcome": event.outcome if event else None,
        "quote": quote_object(_decode_quote(hold.quote)),
        "usage": {**msgspec.structs.asdict(event.usage), "source": event.usage_source} if event else None,
        "predicted": {
            "input_tokens": event.predicted_input_tokens,
            "input_image_tokens": event.predicted_image_tokens,
        }
        if event
        else None,
        "charge": charge,
        "policy": policy,
        "waived_nanos": event.waived_nanos if event else 0,
        "refunded": format_usd(record.refunded_nanos),
        "refunded_nanos": record.refunded_nanos,
        "deployment": event.deployment or None if event else None,
        "attempts": [msgspec.structs.asdict(attempt) for attempt in event.attempts] if event else [],
        "entries": [{"account": entry.account, "amount_nanos": entry.amount_nanos} for entry in record.entries],
        "latency_ms": event.latency_ms if event else None,
        "first_byte_ms": event.first_byte_ms if event else None,
        "served_tier": event.served_tier if event else None,
    }


def balance_object(balance: Balance) -> dict[str, Any]:
    """A balance as the contract shows it."""
    return {
        "object": "balance",
        "mode": balance.mode,
        "currency": "usd",
        "available": format_usd(balance.available_nanos),
        "available_nanos": balance.available_nanos,
        "held": format_usd(balance.held_nanos),
        "held_nanos": balance.held_nanos,
        "spent": format_usd(balance.spent_nanos),
        "spent_nanos": balance.spent_nanos,
        "disputed": format_usd(balance.disputed_nanos),
        "disputed_nanos": balance.disputed_nanos,
        "owed": format_usd(balance.owed_nanos),
        "owed_nanos": balance.owed_nanos,
        "lots": [
            {
                "id": lot.id,
                "kind": lot.kind,
                "amount": format_usd(lot.amount_nanos),
                "amount_nanos": lot.amount_nanos,
                "remaining": format_usd(lot.remaining_nanos),
                "remaining_nanos": lot.remaining_nanos,
                "created_at": lot.created_at,
                "expires_at": lot.expires_at,
            }
            for lot in balance.lots
        ],
    }


def entry_object(entry: LedgerEntry) -> dict[str, Any]:
    """One side of a transfer, as `/v1/ledger` lists it."""
    return {
        "id": entry.id,
        "object": "ledger_entry",
        "transfer_id": entry.transfer_id,
        "kind": entry.kind,
        "account": entry.account,
        "amount": format_usd(entry.amount_nanos),
        "amount_nanos": entry.amount_nanos,
        "request_id": entry.request_id,
        "created_at": entry.created_at,
        "note": entry.note,
    }


def list_object(data: list[dict[str, Any]], page: Page) -> dict[str, Any]:
    """A page in OpenAI's list shape; one element beyond the page's limit says that there is more."""
    shown = data[: page.limit]
    return {
        "object": "list",
        "data": shown,
        "has_more": len(data) > page.limit,
        "first_id": shown[0]["id"] if shown else None,
        "last_id": shown[-1]["id"] if shown else None,
    }


def page_after(page: Page, prefix: str) -> Page:
    """One element more than a page of a list whose ids have this prefix, and whose objects may be removed while it is
    read: what is after an id that is not there any more is known all the same.

    Raises [invalid_request] for an `after` that is no id of such a list: it would begin anywhere.
    """
    if page.after is not None and not is_id(page.after, prefix):
        raise TesseraError(ErrorCode.INVALID_REQUEST, "after must be an id from this list.", param="after")
    return _one_more(page)


def _one_more(page: Page) -> Page:
    return Page(limit=page.limit + 1, after=page.after)
