"""Top-ups, vouchers, receipts, statements and automatic top-up, for API keys, admin keys and members alike."""

from typing import Any

from tessera.domain.auth import Caller
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.payments.documents import Document, statement_document
from tessera.domain.people.records import Actor
from tessera.flows.money import automatic, statements, topups, vouchers, webhooks
from tessera.flows.money.treasury import Treasury, owner_of
from tessera.http.account.bodies import read_fields
from tessera.http.exchange import Exchange
from tessera.http.money import bodies
from tessera.http.requests import page_of

EVENT_BYTES_MAX = 1024 * 1024
EVENT_SECONDS_MAX = 10
SIGNATURE = b"stripe-signature"


async def create_topup(treasury: Treasury, who: Caller | Actor, exchange: Exchange) -> None:
    """Opens a top-up and says where to pay it; the Idempotency-Key makes a repeated click pay once."""
    exchange.query(())
    fields = await read_fields(exchange, bodies.CreateTopUp)
    topup, repeated = await topups.create_topup(
        treasury,
        owner_of(who, fields.mode),
        amount=fields.amount,
        currency=fields.currency,
        key=exchange.header(b"idempotency-key"),
        save_card=fields.save_card,
    )
    if repeated:
        exchange.add_header(b"idempotent-replayed", "true")
    await exchange.reply_json(200, topups.topup_object(topup))


async def list_topups(treasury: Treasury, who: Caller | Actor, exchange: Exchange) -> None:
    """Lists top-ups, newest first."""
    mode = exchange.query(("limit", "after", "mode")).get("mode")
    page = page_of(exchange, ("mode",))
    await exchange.reply_json(200, await topups.list_topups(treasury, owner_of(who, mode), page))


async def show_topup(treasury: Treasury, who: Caller | Actor, exchange: Exchange) -> None:
    """Shows one top-up as it stands."""
    owner = owner_of(who, exchange.query(("mode",)).get("mode"))
    topup = await topups.find_topup(treasury, owner, exchange.path_params["topup"])
    await exchange.reply_json(200, topups.topup_object(topup))


async def show_receipt(treasury: Treasury, who: Caller | Actor, exchange: Exchange) -> None:
    """Shows the receipt of a payment: JSON, or with format=csv or pdf a file."""
    query = exchange.query(("mode", "format"))
    kind = _format(query)
    document = await statements.read_receipt(treasury, owner_of(who, query.get("mode")), exchange.path_params["topup"])
    await _reply(treasury, exchange, kind, document, statements.receipt_object(document))


async def show_statement(treasury: Treasury, who: Caller | Actor, exchange: Exchange) -> None:
    """Shows the statement of a month such as 2026-11: JSON, or with format=csv or pdf a file."""
    query = exchange.query(("mode", "format"))
    kind = _format(query)
    owner = owner_of(who, query.get("mode"))
    statement = await statements.read_statement(treasury, owner, exchange.path_params["month"])
    shown = statements.statement_object(statement)
    await _reply(treasury, exchange, kind, statement_document(statement), shown)


async def redeem_voucher(treasury: Treasury, who: Caller | Actor, exchange: Exchange) -> None:
    """Turns a voucher into credit, once per organization."""
    exchange.query(())
    fields = await read_fields(exchange, bodies.RedeemVoucher)
    redeemed = await vouchers.redeem_voucher(treasury, owner_of(who, fields.mode), fields.code)
    await exchange.reply_json(200, redeemed)


async def show_automatic(treasury: Treasury, who: Caller | Actor, exchange: Exchange) -> None:
    """Shows how automatic top-up is set."""
    owner = owner_of(who, exchange.query(("mode",)).get("mode"))
    await exchange.reply_json(200, await automatic.show_automatic(treasury, owner))


async def set_automatic(treasury: Treasury, who: Caller | Actor, exchange: Exchange) -> None:
    """Sets automatic top-up: below which balance, how much, and at most how much a month."""
    fields = await read_fields(exchange, bodies.SetAutomaticTopUp)
    changed = await automatic.set_automatic(
        treasury,
        owner_of(who, fields.mode),
        enabled=fields.enabled,
        threshold=fields.threshold,
        amount=fields.amount,
        month_max=fields.month_max,
    )
    await exchange.reply_json(200, changed)


async def stripe(treasury: Treasury, _: None, exchange: Exchange) -> None:
    """Takes an event of Stripe's: its signature is checked over the bytes as they came."""
    exchange.query(())
    if sum(name == SIGNATURE for name, _ in exchange.scope["headers"]) != 1:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "This event is not signed by our payment service.")
    body = await exchange.body(EVENT_BYTES_MAX, EVENT_SECONDS_MAX)
    verdict = await webhooks.take_stripe_event(treasury, body, exchange.header(SIGNATURE))
    await exchange.reply_json(200, {"object": "event.taken", "outcome": verdict.outcome, "reason": verdict.reason})


def _format(query: dict[str, str]) -> str:
    """What a document is asked for as, before anything is read for it. Raises [invalid_request]."""
    kind = query.get("format") or "json"
    statements.check_format(kind)
    return kind


async def _reply(treasury: Treasury, exchange: Exchange, kind: str, document: Document, shown: dict[str, Any]) -> None:
    if kind == "json":
        await exchange.reply_json(200, shown)
        return
    file = await statements.printed(treasury, document, kind)
    headers = [
        (b"content-type", file.content_type.encode() + (b"; charset=utf-8" if kind == "csv" else b"")),
        (b"content-disposition", f'attachment; filename="{file.name}"'.encode()),
        (b"x-content-type-options", b"nosniff"),
    ]
    await exchange.reply(200, file.content, headers)
