"""A stand-in for Stripe's API on loopback: a real HTTP server, its webhooks really signed.

    with StripeStandIn() as stripe:
        with running_server(folder, config=stripe.config(), env=stripe.environment()) as server: ...
        session = stripe.sessions[-1]
        stripe.pay(session)                      # a card pays: the payment exists
        stripe.send(server, "checkout.session.completed", session)

It has just what Tessera asks: Checkout Sessions with automatic tax, opened and expired, PaymentIntents with their
charges' balance transactions and tax calculations, payment methods, refunds, disputes, idempotency keys.
"""

import json
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from itertools import count
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from people_calls import Reply, send
from servers import TesseraServer
from stripe_answers import error, list_of, nested, no_such, page
from tessera.domain.payments.signatures import sign

LIVE_KEY, TEST_KEY = "sk_live_standin", "sk_test_standin"
LIVE_SECRET, TEST_SECRET, OLD_SECRET = "whsec_live", "whsec_test", "whsec_old"
CONFIG = """
[payments]
stripe_key = "env:STRIPE_KEY"
stripe_webhook_secrets = ["env:STRIPE_SECRET", "env:STRIPE_OLD_SECRET"]
stripe_base_url = "{address}"
{more}
"""
TEST_MODE = 'stripe_test_key = "env:STRIPE_TEST_KEY"\nstripe_test_webhook_secrets = ["env:STRIPE_TEST_SECRET"]'


@dataclass
class StripeStandIn:
    """Everything it was told and made; `declines` makes saved cards fail, `fails` every answer an error, `gone` are
    customers that were deleted, `nowhere` such without an address, `refuses_pages` makes every page a mistake of the
    account."""

    sessions: list[dict[str, Any]] = field(default_factory=list)
    payments: list[dict[str, Any]] = field(default_factory=list)
    refunds: list[dict[str, Any]] = field(default_factory=list)
    disputes: list[dict[str, Any]] = field(default_factory=list)
    asked: list[tuple[str, str, str | None]] = field(default_factory=list)
    declines: bool = False
    refuses_refunds: bool = False
    refuses_pages: bool = False
    gone: set[str] = field(default_factory=set)
    nowhere: set[str] = field(default_factory=set)
    calculations: dict[str, dict[str, Any]] = field(default_factory=dict)
    knows_fees: bool = True
    tax_percent: int = 19
    charges: dict[str, dict[str, Any]] = field(default_factory=dict)
    fails: int = 0
    kept: dict[str, tuple[int, Any]] = field(default_factory=dict)
    lock: threading.Lock = field(default_factory=threading.Lock)
    _numbers: Any = field(default_factory=lambda: count(1))

    def __enter__(self) -> "StripeStandIn":
        stand_in = self

        class Handler(_Handler):
            stripe = stand_in

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self._server.server_address[1]}"

    def config(self, more: str = "", *, test_mode: bool = True) -> str:
        """Settings for a server that takes payments here."""
        return CONFIG.format(address=self.address, more=(TEST_MODE if test_mode else "") + "\n" + more)

    def environment(self) -> dict[str, str]:
        """The secrets those settings name."""
        return {
            "STRIPE_KEY": LIVE_KEY,
            "STRIPE_SECRET": LIVE_SECRET,
            "STRIPE_OLD_SECRET": OLD_SECRET,
            "STRIPE_TEST_KEY": TEST_KEY,
            "STRIPE_TEST_SECRET": TEST_SECRET,
        }

    # ---- what happens at Stripe ---------------------------------------------------------------------------------

    def new_id(self, prefix: str) -> str:
        return f"{prefix}_{next(self._numbers)}"

    def pay(self, session: dict[str, Any], *, settled: bool = True) -> dict[str, Any]:
        """A card pays a page; unsettled, the page is done and the money on its way. Gives the payment."""
        if session["automatic_tax"]["enabled"]:
            tax = session["amount_subtotal"] * self.tax_percent // 100
            session |= {"amount_total": session["amount_subtotal"] + tax, "total_details": {"amount_tax": tax}}
        payment = self._payment(
            session["amount_total"], session["payment_intent_data"]["metadata"], session["livemode"]
        )
        payment["customer"] = self.new_id("cus") if session["customer_creation"] else session["customer"]
        session |= {
            "status": "complete",
            "payment_status": "paid" if settled else "unpaid",
            "payment_intent": payment["id"],
            "customer": payment["customer"],
        }
        if not settled:
            payment["status"] = "processing"
        return payment

    def _payment(self, amount: int, metadata: dict[str, str], livemode: bool) -> dict[str, Any]:
        payment = {
            "id": self.new_id("pi"),
            "object": "payment_intent",
            "created": int(time.time()),
            "amount": amount,
            "amount_received": amount,
            "currency": "usd",
            "customer": None,
            "livemode": livemode,
            "metadata": metadata,
            "status": "succeeded",
            "latest_charge": self.new_id("ch"),
        }
        self.payments.append(payment)
        charge = {
            "id": payment["latest_charge"],
            "object": "charge",
            "amount": amount,
            "payment_intent": payment["id"],
            "balance_transaction": None,
        }
        self.charges[charge["id"]] = charge
        if self.knows_fees:
            self.learn_fee(payment)
        return payment

    def learn_fee(self, payment: dict[str, Any]) -> dict[str, Any]:
        """Stripe books a payment on the account's balance: 2.9 % and 30 cents are kept. Gives its charge."""
        charge = self.charges[payment["latest_charge"]]
        charge["balance_transaction"] = self._booked(charge["amount"], charge["amount"] * 29 // 1000 + 30)
        return charge

    def _booked(self, amount: int, fee: int) -> dict[str, Any]:
        return {
            "id": self.new_id("txn"),
            "object": "balance_transaction",
            "amount": amount,
            "fee": fee,
            "net": amount - fee,
            "currency": "usd",
            "created": int(time.time()),
        }

    def refund(self, payment_id: str, amount: int, **changes: Any) -> dict[str, Any]:
        """A refund made on Stripe's own pages."""
        refund = {
            "id": self.new_id("re"),
            "object": "refund",
            "created": int(time.time()),
            "amount": amount,
            "currency": "usd",
            "payment_intent": payment_id,
            "livemode": self._livemode(payment_id),
            "metadata": {},
            "status": "succeeded",
        } | changes
        self.refunds.append(refund)
        return refund

    def dispute(self, payment_id: str, amount: int, **changes: Any) -> dict[str, Any]:
        """A bank takes a payment back."""
        dispute = {
            "id": self.new_id("dp"),
            "object": "dispute",
            "created": int(time.time()),
            "amount": amount,
            "currency": "usd",
            "payment_intent": payment_id,
            "livemode": self._livemode(payment_id),
            "status": "needs_response",
            "balance_transactions": [self._booked(-amount, 1500)],
        } | changes
        self.disputes.append(dispute)
        return dispute

    def _livemode(self, payment_id: str) -> bool:
        """The mode of a payment, which what comes back to it shares."""
        return next((bool(one["livemode"]) for one in self.payments if one["id"] == payment_id), True)

    # ---- webhooks -----------------------------------------------------------------------------------------------

    def event(self, kind: str, thing: dict[str, Any], **changes: Any) -> dict[str, Any]:
        """An event about an object, as it is now."""
        return {
            "id": self.new_id("evt"),
            "object": "event",
            "api_version": "2026-10-28",
            "created": int(time.time()),
            "livemode": True,
            "type": kind,
            "data": {"object": {name: value for name, value in thing.items() if name != "payment_intent_data"}},
        } | changes

    def send(self, server: TesseraServer, kind: str, thing: dict[str, Any], **changes: Any) -> Reply:
        """Makes an event and sends it, signed."""
        return self.deliver(server, self.event(kind, thing, **changes))

    def deliver(self, server: TesseraServer, event: dict[str, Any], *, secret: str = LIVE_SECRET) -> Reply:
        """Sends an event, signed now."""
        body = json.dumps(event).encode()
        return post_event(server, body, sign(body, secret, int(time.time())))


def post_event(server: TesseraServer, body: bytes, signature: str | None) -> Reply:
    """Bytes to the webhook, under a signature or none."""
    headers = {"Content-Type": "application/json; charset=utf-8"}
    if signature is not None:
        headers["Stripe-Signature"] = signature
    return send(server.base_url, "POST", "/webhooks/stripe", body, headers)


class _Handler(BaseHTTPRequestHandler):
    stripe: StripeStandIn
    protocol_version = "HTTP/1.1"

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self._answer(b"")

    def do_POST(self) -> None:
        self._answer(self.rfile.read(int(self.headers.get("Content-Length", "0"))))

    def _answer(self, body: bytes) -> None:
        stripe = self.stripe
        address = urlsplit(self.path)
        fields = nested(parse_qsl((body.decode() or address.query), keep_blank_values=True))
        key = self.headers.get("Idempotency-Key") if self.command == "POST" else None
        with stripe.lock:
            stripe.asked.append((self.command, address.path, key))
            live = self.headers.get("Authorization") == f"Bearer {LIVE_KEY}"
            if not live and self.headers.get("Authorization") != f"Bearer {TEST_KEY}":
                status, answer = 401, error("authentication_error", "no such key")
            elif stripe.fails:
                stripe.fails -= 1
                status, answer = 503, error("api_error", "down")
            elif key is not None and key in stripe.kept:
                status, answer = stripe.kept[key]
            else:
                status, answer = self._do(address.path, fields, live)
                if key is not None:
                    stripe.kept[key] = (status, answer)
            content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def _do(self, path: str, fields: dict[str, Any], live: bool) -> tuple[int, Any]:
        stripe = self.stripe
        if self.command == "GET":
            return self._found(path, fields, live)
        if path == "/v1/checkout/sessions":
            if stripe.refuses_pages:
                return 400, error("invalid_request_error", "acct_1 cannot take payments yet.", code="account_invalid")
            if fields.get("customer") in stripe.gone:
                return 400, no_such("customer", fields["customer"], param="customer")
            return 200, self._session(fields, live)
        if path.startswith("/v1/checkout/sessions/") and path.endswith("/expire"):
            return self._expire(path.split("/")[4])
        if path == "/v1/payment_intents":
            if stripe.declines:
                return 402, error("card_error", "Your card was declined.", code="card_declined")
            return self._charge(fields, live)
        if path == "/v1/tax/calculations":
            return self._calculate(fields)
        if stripe.refuses_refunds:
            return 400, error("invalid_request_error", "The charge is disputed.", code="charge_disputed")
        refund = stripe.refund(fields["payment_intent"], int(fields["amount"]), metadata=fields["metadata"])
        return 200, refund

    def _charge(self, fields: dict[str, Any], live: bool) -> tuple[int, Any]:
        """A payment by a saved card; with a calculation of its tax, of just the total of that."""
        hooks = fields.get("hooks")
        if hooks is not None:
            total = self.stripe.calculations[hooks["inputs"]["tax"]["calculation"]]["amount_total"]
            if int(fields["amount"]) != total:
                return 400, error("invalid_request_error", "The amount is not the total of its calculation.")
        payment = self.stripe._payment(int(fields["amount"]), fields["metadata"], live)
        payment |= {"customer": fields["customer"], "hooks": hooks}
        return 200, payment

    def _calculate(self, fields: dict[str, Any]) -> tuple[int, Any]:
        """The tax beside the one thing that is sold."""
        if fields["customer"] in self.stripe.nowhere:
            code = "customer_tax_location_invalid"
            return 400, error("invalid_request_error", "The customer's location isn't recognized.", code=code)
        line = fields["line_items"]["0"]
        if line["tax_behavior"] != "exclusive":
            return 400, error("invalid_request_error", "Tax is to stand beside the price.")
        tax = int(line["amount"]) * self.stripe.tax_percent // 100
        calculation = {
            "id": self.stripe.new_id("taxcalc"),
            "object": "tax.calculation",
            "customer": fields["customer"],
            "amount_total": int(line["amount"]) + tax,
            "tax_amount_exclusive": tax,
            "tax_amount_inclusive": 0,
        }
        self.stripe.calculations[calculation["id"]] = calculation
        return 200, calculation

    def _expire(self, session_id: str) -> tuple[int, Any]:
        """Only a page that is open can be made to expire."""
        known = [one for one in self.stripe.sessions if one["id"] == session_id]
        if not known:
            return 404, no_such("checkout.session", session_id, param="session")
        if known[0]["status"] != "open":
            return 400, error("invalid_request_error", "Only Checkout Sessions that are open can be expired.")
        known[0] |= {"status": "expired", "url": None}
        return 200, known[0]

    def _found(self, path: str, fields: dict[str, Any], live: bool) -> tuple[int, Any]:
        stripe = self.stripe
        parts = path.strip("/").split("/")
        if parts[1] == "customers":
            if parts[2] in stripe.gone:
                return 404, no_such("customer", parts[2], param="id")
            return 200, list_of(path, [{"id": "pm_1", "object": "payment_method", "customer": parts[2]}])
        if path == "/v1/checkout/sessions":
            return 200, list_of(
                path, [one for one in stripe.sessions if one["payment_intent"] == fields["payment_intent"]]
            )
        if parts[1] == "payment_intents" and len(parts) == 3:
            known = [one for one in stripe.payments if one["id"] == parts[2]]
            if not known:
                return 404, no_such("payment_intent", parts[2], param="intent")
            return 200, self._expanded(known[0], fields)
        things = {"payment_intents": stripe.payments, "refunds": stripe.refunds, "disputes": stripe.disputes}
        found = [one for one in things[parts[1]] if one.get("livemode", live) is live]
        listed = page(path, found, fields)
        return 200, listed | {"data": [self._expanded(one, fields) for one in listed["data"]]}

    def _expanded(self, thing: dict[str, Any], fields: dict[str, Any]) -> dict[str, Any]:
        """A payment with its charge and what was booked of it in it, where that was asked for; else their ids."""
        if "latest_charge" not in thing:
            return thing
        asked = {name.removeprefix("data.") for name in fields.get("expand", {}).values()}
        if "latest_charge.balance_transaction" not in asked:
            return thing
        return thing | {"latest_charge": self.stripe.charges[thing["latest_charge"]]}

    def _session(self, fields: dict[str, Any], live: bool) -> dict[str, Any]:
        price = fields["line_items"]["0"]["price_data"]
        amount = int(price["unit_amount"]) * int(fields["line_items"]["0"]["quantity"])
        session = {
            "id": self.stripe.new_id("cs"),
            "object": "checkout.session",
            "created": int(time.time()),
            "livemode": live,
            "mode": fields["mode"],
            "status": "open",
            "payment_status": "unpaid",
            "payment_intent": None,
            "amount_subtotal": amount,
            "amount_total": amount,
            "total_details": {"amount_tax": 0},
            "automatic_tax": {"enabled": fields.get("automatic_tax", {}).get("enabled") == "true"},
            "tax_behavior": price.get("tax_behavior"),
            "currency": price["currency"],
            "customer": fields.get("customer"),
            "customer_creation": fields.get("customer_creation"),
            "client_reference_id": fields["client_reference_id"],
            "metadata": fields["metadata"],
            "payment_intent_data": fields["payment_intent_data"],
            "success_url": fields["success_url"],
            "cancel_url": fields["cancel_url"],
        }
        session["url"] = f"https://checkout.example/{session['id']}"
        self.stripe.sessions.append(session)
        return session
