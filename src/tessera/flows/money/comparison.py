"""The daily comparison with a payment service's own lists: what it never told us is applied, what differs is named."""

import asyncio
from collections.abc import Coroutine
from typing import Any

import msgspec

from tessera.domain.errors import TesseraError
from tessera.domain.money import Mode, format_usd
from tessera.domain.payments.news import Claimed, FeeTaken, News, Outcome, Paid
from tessera.domain.payments.records import ClaimKind
from tessera.flows.money.automatic import top_up_what_is_low
from tessera.flows.money.closed import close_what_was_left, list_stranded
from tessera.flows.money.fees import learn_fees
from tessera.flows.money.treasury import Treasury
from tessera.flows.money.webhooks import report
from tessera.log import get_logger
from tessera.ports.money import Payments

log = get_logger(__name__)

WINDOW_S = 8 * 24 * 3600
"""How far back is compared: Stripe sends a webhook again for three days, and a comparison may be missed."""

MARGIN_S = 26 * 3600
"""How much further back the service is asked: a payment is begun up to a day before it is settled."""

LOOK_EVERY_MAX_S = 60


class Comparison(msgspec.Struct, frozen=True, kw_only=True):
    """What one comparison found: `missed` was applied now, `drift` is for the operator."""

    mode: Mode
    compared: int
    missed: tuple[str, ...]
    drift: tuple[str, ...]


async def compare(treasury: Treasury, payments: Payments) -> Comparison:
    """Compares the ledger with one service. Raises [payments_unavailable, storage_unavailable]."""
    await learn_fees(treasury)
    since = treasury.now() - WINDOW_S
    missed: list[str] = []
    drift: list[str] = []
    known: set[str] = set()
    credited: set[str] = set()
    compared = 0
    async for event in payments.events_since(since - MARGIN_S):
        news = event.news
        compared += not isinstance(news, FeeTaken)
        known |= _named(news)
        verdict = await treasury.store.take_news(event)
        if verdict.outcome is Outcome.APPLIED:
            report(event, verdict)
            # The fee of a payment that was credited just now is not missed for itself.
            if not (isinstance(news, FeeTaken) and news.payment_id in credited):
                missed.append(f"{event.type} {event.id}: {verdict.reason}")
            if isinstance(news, Paid):
                credited.add(news.payment_id)
        elif verdict.outcome is Outcome.REFUSED:
            drift.append(f"{event.type} {event.id}: {verdict.reason}")
    drift += await _unknown_there(treasury, payments, since, known)
    drift += await list_stranded(treasury, payments)
    found = Comparison(mode=payments.mode, compared=compared, missed=tuple(missed), drift=tuple(drift))
    await treasury.store.note_comparison(payments.service, payments.mode, msgspec.json.encode(found).decode())
    for line in missed:
        log.error("payments.webhook_missed", mode=payments.mode.value, what=line)
    for line in drift:
        log.error("payments.drift", mode=payments.mode.value, what=line)
    return found


def _named(news: News) -> set[str]:
    """What the service knows, by its id: a payment, a fee, a refund or a dispute."""
    if isinstance(news, Paid):
        return {news.payment_id}
    if isinstance(news, FeeTaken):
        return {news.fee.id}
    return {news.claim_id} if isinstance(news, Claimed) else set()


async def _unknown_there(treasury: Treasury, payments: Payments, since: int, known: set[str]) -> list[str]:
    """What the ledger has of payments and the service does not."""
    drift = []
    for topup in await treasury.store.list_paid(payments.service, payments.mode, since):
        if topup.payment_id not in known:
            amount = format_usd(topup.amount_nanos)
            drift.append(f"top-up {topup.id} of ${amount}: {payments.service} knows no payment {topup.payment_id}")
    for fee_id, payment_id, amount_nanos in await treasury.store.list_fees(payments.service, payments.mode, since):
        if fee_id not in known and payment_id in known:
            amount = format_usd(amount_nanos)
            drift.append(f"fee {fee_id} of ${amount}, payment {payment_id}: {payments.service} knows no such fee")
    refunds = await treasury.store.applied_refunds(payments.service, payments.mode, since)
    for claim_id, payment_id, amount_nanos in refunds:
        if claim_id not in known:
            amount = format_usd(amount_nanos)
            drift.append(f"{ClaimKind.REFUND} {claim_id} of ${amount}, payment {payment_id}: it was never sent")
    return drift


async def watch_money(treasury: Treasury, *, automatic_s: int, comparison_s: int) -> None:
    """Until it is cancelled: automatic top-ups, fees, what deleted organizations left, and the comparison when it is
    time. What fails is tried again."""
    pause = min(automatic_s, comparison_s, LOOK_EVERY_MAX_S)
    waited = 0
    while True:
        await asyncio.sleep(pause)
        waited += pause
        if waited >= automatic_s:
            waited = 0
            await _try(top_up_what_is_low(treasury))
            await _try(learn_fees(treasury))
            await _try(close_what_was_left(treasury))
        for payments in treasury.payments.values():
            await _try(_compare_in_time(treasury, payments, comparison_s))


async def _compare_in_time(treasury: Treasury, payments: Payments, comparison_s: int) -> None:
    at = await treasury.store.compared_at(payments.service, payments.mode)
    if treasury.now() - at >= comparison_s:
        await compare(treasury, payments)


async def _try(work: Coroutine[Any, Any, Any]) -> None:
    """Nothing that fails here keeps the rest from being done."""
    try:
        await work
    except TesseraError as error:
        log.error("payments.watch_failed", code=error.code, message=error.message)
    except Exception:
        log.exception("payments.watch_failed")


def comparison_object(found: Comparison) -> dict[str, Any]:
    """A comparison as the command line shows it."""
    return {"mode": found.mode, "compared": found.compared, "missed": found.missed, "drift": found.drift}
