"""Fees: what a payment service keeps of each payment, asked for until it is known, off every call's path."""

from tessera.domain.errors import TesseraError
from tessera.domain.payments.news import Outcome, PaymentEvent
from tessera.domain.payments.records import TopUp
from tessera.flows.money.treasury import Treasury
from tessera.flows.money.webhooks import report
from tessera.log import get_logger
from tessera.ports.money import Payments

log = get_logger(__name__)

AGAIN_MIN_S = 60
AGAIN_MAX_S = 24 * 3600
ASKED_FOR_S = 14 * 24 * 3600
"""How long a fee is asked for: a bank debit is settled within a week or so."""


async def learn_fees(treasury: Treasury) -> None:
    """Asks for the fees that are due and books what is known. A fee that is not known yet is asked for again after as
    long as its payment is old."""
    for payments in treasury.payments.values():
        for topup in await treasury.store.list_fee_due(payments.service, payments.mode):
            await _learn(treasury, payments, topup)


async def _learn(treasury: Treasury, payments: Payments, topup: TopUp) -> None:
    assert topup.payment_id is not None
    news = None
    try:
        news = await payments.find_fee(topup.payment_id)
    except TesseraError as error:
        log.error("payment_fee.waits", topup_id=topup.id, code=error.code)
    if news is not None:
        event = PaymentEvent(
            service=payments.service,
            id=news.fee.id,
            type="balance_transaction",
            mode=payments.mode,
            body=b"",
            news=news,
        )
        verdict = await treasury.store.take_news(event)
        report(event, verdict)
        if verdict.outcome is not Outcome.REFUSED:
            return
    age_s = treasury.now() - (topup.paid_at or 0)
    again_at: int | None = treasury.now() + min(AGAIN_MAX_S, max(AGAIN_MIN_S, age_s))
    if news is not None or age_s > ASKED_FOR_S:
        log.error("payment_fee.given_up", topup_id=topup.id, payment_id=topup.payment_id)
        again_at = None
    await treasury.store.postpone_fee(topup, again_at)
