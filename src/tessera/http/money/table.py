"""The routes for money in and out."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tessera.domain.people.roles import Right
from tessera.flows.money.statements import CSV, FORMATS, PDF
from tessera.http.money import bodies, handlers
from tessera.http.requests import PAGE
from tessera.http.route import Door, Handler, Route

_MODE = {"mode": {"enum": ["live", "test"]}}
_FORMAT = {"format": {"enum": list(FORMATS), "default": "json"}}
_FILES = (CSV, PDF)
_IDEMPOTENCY = {"Idempotency-Key": "1 to 255 printable characters: a repeat with the same key and body pays once."}
_SIGNATURE = {"Stripe-Signature": "t=seconds,v1=HMAC-SHA-256 of the time, a dot and the body, as Stripe sends it."}
_Body = type[msgspec.Struct] | None


def _money(
    method: str,
    path: str,
    handler: Handler,
    reply: str,
    right: Right,
    body: _Body = None,
    *,
    query: Mapping[str, Any] | None = None,
    files: tuple[str, ...] = (),
    headers: Mapping[str, str] | None = None,
    by_key: bool = True,
) -> Iterator[Route]:
    """One handler behind every door: an API key's own mode needs no parameter."""
    doors = [(Door.ADMIN, "/v1/organization"), (Door.MEMBER, "/account/organizations/{organization}")]
    for door, prefix in [(Door.KEY, "/v1"), *doors] if by_key else doors:
        asked = {**(query or {}), **(_MODE if method == "GET" else {})}
        yield Route(
            method,
            prefix + path,
            handler,
            reply,
            body,
            query=asked,
            door=door,
            right=None if door is Door.KEY else right,
            money=True,
            files=files,
            headers=headers or {},
        )


_READ, _CHANGE = Right.MONEY_READ, Right.MONEY_CHANGE

MONEY_ROUTES: tuple[Route, ...] = (
    *_money("POST", "/topups", handlers.create_topup, "TopUp", _CHANGE, bodies.CreateTopUp, headers=_IDEMPOTENCY),
    *_money("GET", "/topups", handlers.list_topups, "TopUpList", _READ, query=PAGE),
    *_money("GET", "/topups/{topup}", handlers.show_topup, "TopUp", _READ),
    *_money("GET", "/topups/{topup}/receipt", handlers.show_receipt, "Receipt", _READ, query=_FORMAT, files=_FILES),
    *_money("POST", "/vouchers/redeem", handlers.redeem_voucher, "Redemption", _CHANGE, bodies.RedeemVoucher),
    *_money("GET", "/statements/{month}", handlers.show_statement, "Statement", _READ, query=_FORMAT, files=_FILES),
    *_money("GET", "/automatic_topup", handlers.show_automatic, "AutomaticTopUp", _READ, by_key=False),
    *_money(
        "POST",
        "/automatic_topup",
        handlers.set_automatic,
        "AutomaticTopUp",
        _CHANGE,
        bodies.SetAutomaticTopUp,
        by_key=False,
    ),
    Route(
        "POST",
        "/webhooks/stripe",
        handlers.stripe,
        "EventTaken",
        "StripeEvent",
        door=Door.SIGNED,
        money=True,
        headers=_SIGNATURE,
    ),
)
