"""The port `Payments` on Stripe's SDK, whose calls block and so run in threads."""

import asyncio
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

import msgspec
import stripe

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode, format_usd
from tessera.domain.payments.news import FeeTaken, News, Nothing, PaymentEvent
from tessera.domain.payments.records import CURRENCY, PaymentRefund, Service, TopUp, TopUpKind, cents_of
from tessera.domain.payments.stripe_events import (
    BY_PAGE,
    KIND_KEY,
    REFUND_KEY,
    TAX_KEY,
    TOPUP_KEY,
    dispute_news,
    fee_news,
    news_of,
    payment_news,
    refund_news,
)
from tessera.log import get_logger
from tessera.ports.money import Checkout, SavedCardCharge

log = get_logger(__name__)

TIMEOUT_S = 30
RETRIES_MAX = 2
CALLS_AT_ONCE = 4
PAGE = 100
_FEE = "latest_charge.balance_transaction"
_PREFIXES = {Mode.LIVE: ("sk_live_", "rk_live_"), Mode.TEST: ("sk_test_", "rk_test_")}

T = TypeVar("T")


class StripePayments:
    """One Stripe account in one mode. Raises ValueError for a key of the other mode, without showing it."""

    service = Service.STRIPE

    def __init__(self, mode: Mode, key: str, base_url: str | None = None) -> None:
        if not key.startswith(_PREFIXES[mode]):
            raise ValueError(f"a Stripe key for {mode} mode begins with {' or '.join(_PREFIXES[mode])}")
        self.mode = mode
        stripe.enable_telemetry = False
        self._client = stripe.StripeClient(
            key,
            base_addresses={"api": base_url} if base_url else {},
            http_client=stripe.RequestsClient(timeout=TIMEOUT_S),
            max_network_retries=RETRIES_MAX,
        )
        self._threads = ThreadPoolExecutor(CALLS_AT_ONCE, thread_name_prefix="tessera-stripe")

    async def open_checkout(
        self, topup: TopUp, *, success_url: str, cancel_url: str, customer_id: str | None
    ) -> Checkout:
        """See the port."""
        metadata = {TOPUP_KEY: topup.id, KIND_KEY: topup.kind.value}
        of_payment = metadata | ({TAX_KEY: BY_PAGE} if topup.taxed else {})
        payment: dict[str, Any] = {"metadata": of_payment, "description": f"Tessera top-up {topup.id}"}
        price: dict[str, Any] = {
            "currency": CURRENCY,
            "unit_amount": cents_of(topup.amount_nanos),
            "product_data": {"name": f"Prepaid credit, ${format_usd(topup.amount_nanos)}"},
        }
        params: dict[str, Any] = {
            "mode": "payment",
            "line_items": [{"quantity": 1, "price_data": price}],
            "metadata": metadata,
            "client_reference_id": topup.id,
            "payment_intent_data": payment,
            "success_url": success_url,
            "cancel_url": cancel_url,
        }
        if topup.taxed:
            # Beside the price, never out of it: what is credited is what was ordered.
            price["tax_behavior"] = "exclusive"
            params["automatic_tax"] = {"enabled": True}
        if not topup.save_card:
            return await self._open_page(params, topup.id)
        payment["setup_future_usage"] = "off_session"
        new = {"customer_creation": "always"}
        if customer_id is None:
            return await self._open_page(params | new, topup.id)
        known = {"customer": customer_id} | ({"customer_update": {"address": "auto"}} if topup.taxed else {})
        try:
            return await self._open_page(params | known, topup.id)
        except _RefusedError as refusal:
            if not refusal.is_missing:
                raise
        # The customer was deleted at Stripe. Another key: Stripe may have kept the refusal under the first.
        return await self._open_page(params | new, f"{topup.id}.new")

    async def _open_page(self, params: Any, key: str) -> Checkout:
        options: Any = {"idempotency_key": key}
        session = await self._call(lambda: self._client.v1.checkout.sessions.create(params=params, options=options))
        if session.url is None:
            raise _unavailable("Stripe gave no address to pay at.")
        return Checkout(session_id=session.id, url=session.url)

    async def close_checkout(self, topup: TopUp) -> None:
        """See the port."""
        session_id = topup.session_id
        assert session_id is not None
        try:
            await self._call(lambda: self._client.v1.checkout.sessions.expire(session_id))
        except _RefusedError as refusal:
            # Stripe expires pages that are open, and no others.
            log.info("stripe.page_is_over", topup_id=topup.id, said=refusal.said)

    async def charge_saved_card(self, topup: TopUp, customer_id: str) -> SavedCardCharge:
        """See the port. The card is the customer's newest."""
        try:
            methods = await self._call(
                lambda: self._client.v1.customers.payment_methods.list(customer_id, params={"type": "card", "limit": 1})
            )
        except _RefusedError as refusal:
            if not refusal.is_missing:
                raise
            methods = None
        if methods is None or not methods.data:
            return SavedCardCharge(payment_id=None, settled=False, failure="there is no saved card any more")
        cents = cents_of(topup.amount_nanos)
        params: Any = {
            "amount": cents,
            "currency": CURRENCY,
            "customer": customer_id,
            "payment_method": methods.data[0].id,
            "off_session": True,
            "confirm": True,
            "description": f"Tessera automatic top-up {topup.id}",
            "metadata": {TOPUP_KEY: topup.id, KIND_KEY: TopUpKind.AUTOMATIC.value},
        }
        tax_cents = 0
        try:
            if topup.taxed:
                calculation = await self._calculate_tax(topup, customer_id)
                tax_cents = calculation.tax_amount_exclusive
                params["amount"] = cents + tax_cents
                params["metadata"][TAX_KEY] = str(tax_cents)
                # Stripe's tax reports then take the payment, and what of it is refunded.
                params["hooks"] = {"inputs": {"tax": {"calculation": calculation.id}}}
            payment = await self._call(
                lambda: self._client.v1.payment_intents.create(params=params, options={"idempotency_key": topup.id})
            )
        except _RefusedError as refusal:
            return SavedCardCharge(payment_id=None, settled=False, failure=refusal.for_payer)
        settled = payment.status == "succeeded"
        waiting = settled or payment.status == "processing"
        failure = None if waiting else f"the payment is {payment.status}"
        return SavedCardCharge(payment_id=payment.id, settled=settled, failure=failure, tax_cents=tax_cents)

    async def _calculate_tax(self, topup: TopUp, customer_id: str) -> "stripe.tax.Calculation":
        """Stripe's calculation of the tax beside a top-up, from where its customer is. Raises _RefusedError, for a
        customer whose address is not known among others."""
        line: Any = {"amount": cents_of(topup.amount_nanos), "reference": topup.id, "tax_behavior": "exclusive"}
        params: Any = {"currency": CURRENCY, "customer": customer_id, "line_items": [line]}
        options: Any = {"idempotency_key": f"{topup.id}.tax"}
        return await self._call(lambda: self._client.v1.tax.calculations.create(params=params, options=options))

    async def refund(self, refund: PaymentRefund) -> None:
        """See the port."""
        assert refund.topup.payment_id is not None
        params: Any = {
            "payment_intent": refund.topup.payment_id,
            "amount": cents_of(refund.amount_nanos),
            "metadata": {REFUND_KEY: refund.id, TOPUP_KEY: refund.topup.id},
        }
        try:
            sent = await self._call(
                lambda: self._client.v1.refunds.create(params=params, options={"idempotency_key": refund.id})
            )
        except _RefusedError as refusal:
            raise TesseraError(ErrorCode.INVALID_REQUEST, f"Stripe refuses this refund: {refusal.said}") from None
        if sent.status in ("failed", "canceled"):
            raise TesseraError(ErrorCode.INVALID_REQUEST, f"Stripe says that this refund has {sent.status}.")

    async def events_since(self, since: int) -> AsyncIterator[PaymentEvent]:
        """See the port: PaymentIntents that name a top-up and have succeeded, their fees, refunds, disputes."""
        params: Any = {"created": {"gte": since}, "limit": PAGE}
        with_fees: Any = params | {"expand": [f"data.{_FEE}"]}
        v1 = self._client.v1
        lists: list[tuple[str, Callable[[], Any], Callable[[dict[str, Any]], News]]] = [
            ("payment_intent.succeeded", lambda: v1.payment_intents.list(params=with_fees), _succeeded),
            ("refund.created", lambda: v1.refunds.list(params=params), refund_news),
            ("charge.dispute.created", lambda: v1.disputes.list(params=params), lambda it: dispute_news("created", it)),
        ]
        for kind, list_first, news_of_kind in lists:
            page = await self._call(list_first)
            while True:
                for thing in page.data:
                    fields = thing.to_dict()
                    news = news_of_kind(fields)
                    if isinstance(news, Nothing) and _is_taxed(fields):
                        news = await self._page_news(str(fields["id"]))
                    yield self._event(fields, kind, news)
                    fee = fee_news(fields)
                    if isinstance(fee, FeeTaken):
                        yield self._event(fields, "balance_transaction", fee)
                if not page.has_more:
                    break
                page = await self._call(page.next_page)

    async def find_fee(self, payment_id: str) -> FeeTaken | None:
        """See the port."""
        params: Any = {"expand": [_FEE]}
        payment = await self._call(lambda: self._client.v1.payment_intents.retrieve(payment_id, params=params))
        news = fee_news(payment.to_dict())
        return news if isinstance(news, FeeTaken) else None

    async def _page_news(self, payment_id: str) -> News:
        """What the page of a payment says: how much of it is tax."""
        params: Any = {"payment_intent": payment_id, "limit": 1}
        pages = await self._call(lambda: self._client.v1.checkout.sessions.list(params=params))
        if not pages.data:
            return Nothing(reason="Stripe knows no page of it")
        return news_of("checkout.session.completed", pages.data[0].to_dict())

    def _event(self, fields: dict[str, Any], kind: str, news: News) -> PaymentEvent:
        id_ = news.fee.id if isinstance(news, FeeTaken) else str(fields.get("id"))
        body = msgspec.json.encode(fields)
        return PaymentEvent(service=self.service, id=id_, type=kind, mode=self.mode, body=body, news=news)

    async def close(self) -> None:
        """Ends the threads; calls under way end first."""
        await asyncio.to_thread(self._threads.shutdown)

    async def _call(self, call: Callable[[], T]) -> T:
        """Runs a call of the SDK in a thread. Raises [payments_unavailable, idempotency_in_progress]; the former is a
        _RefusedError where asking again would be refused again."""
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, call)
        except (stripe.CardError, stripe.InvalidRequestError) as error:
            raise _RefusedError(error) from None
        except stripe.IdempotencyError:
            raise _in_progress() from None
        except stripe.StripeError as error:
            if error.http_status == 409:
                raise _in_progress() from None
            log.error("stripe.failed", kind=type(error).__name__, status=error.http_status, request=error.request_id)
            raise _unavailable("Stripe cannot be reached at the moment; try again shortly.") from None


def _is_taxed(payment: dict[str, Any]) -> bool:
    metadata = payment.get("metadata")
    return payment.get("status") == "succeeded" and isinstance(metadata, dict) and TAX_KEY in metadata


class _RefusedError(TesseraError):
    """Stripe refuses a call for good. Whoever does not catch it hears that payments are not available, and no more:
    what Stripe says may name the account or its customers. `said` is that, for the operator; `for_payer` what whoever
    pays may read, `is_missing` whether something in the call is not at Stripe any more."""

    def __init__(self, error: "stripe.CardError | stripe.InvalidRequestError") -> None:
        super().__init__(
            ErrorCode.PAYMENTS_UNAVAILABLE,
            "Stripe refuses this. The operator of this gateway finds the reason in its log.",
            should_retry=False,
        )
        self.said = error.user_message or str(error.code or "it was refused")
        self.for_payer = "Stripe refused the payment"
        if isinstance(error, stripe.CardError):
            self.for_payer = self.said
        elif error.code == "customer_tax_location_invalid":
            self.for_payer = "Stripe does not know where you are taxed: pay once on its page, and save the card there"
        self.is_missing = error.code == "resource_missing"
        log.error("stripe.refused", code=error.code, param=error.param, said=self.said, request=error.request_id)


def _succeeded(payment: dict[str, Any]) -> News:
    if payment.get("status") != "succeeded":
        return Nothing(reason="it has not succeeded")
    return payment_news("succeeded", payment)


def _in_progress() -> TesseraError:
    return TesseraError(ErrorCode.IDEMPOTENCY_IN_PROGRESS, "The same payment is being made. Ask again shortly.")


def _unavailable(message: str) -> TesseraError:
    return TesseraError(ErrorCode.PAYMENTS_UNAVAILABLE, message, retry_after_s=5)
