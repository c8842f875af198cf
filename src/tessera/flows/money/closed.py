"""Payments of organizations that were deleted: their pages are closed, and what was paid all the same goes back."""

from tessera.domain.errors import TesseraError
from tessera.domain.money import format_usd
from tessera.domain.payments.news import PaymentEvent, Unpaid
from tessera.domain.payments.records import TopUp
from tessera.flows.money.refunds import send_refund
from tessera.flows.money.treasury import Treasury
from tessera.flows.money.webhooks import report
from tessera.log import get_logger
from tessera.ports.money import Payments

log = get_logger(__name__)

LATE_S = 60 * 24 * 3600
"""How long after a deletion a payment is looked for: a page is open for a day, and some banks take weeks."""

_REASON = "its organization was deleted"


async def close_what_was_left(treasury: Treasury) -> None:
    """Closes the pages that deleted organizations have left open, and sends back in full what was paid to them.

    A page is asked to be closed until the service has answered. A payment is refunded once: what the service refuses,
    or does not answer, is in the log, and `list_stranded` names it for as long as it is in the ledger.
    """
    for payments in treasury.payments.values():
        for topup in await treasury.store.list_left_open(payments.service, payments.mode):
            await _close(treasury, payments, topup)
        for topup in await _paid_late(treasury, payments, untouched=True):
            await _send_back(treasury, topup)


async def list_stranded(treasury: Treasury, payments: Payments) -> list[str]:
    """What was paid or came back to deleted organizations and has not been sent back, in words for the operator."""
    since = treasury.now() - LATE_S
    came_back = await treasury.store.list_came_back(payments.service, payments.mode, since)
    return [
        f"top-up {topup.id} of ${format_usd(topup.amount_nanos)} {what} after {_REASON}: refund it"
        for what, found in (
            ("was paid", await _paid_late(treasury, payments, untouched=False)),
            ("has credit again", came_back),
        )
        for topup in found
    ]


async def _paid_late(treasury: Treasury, payments: Payments, *, untouched: bool) -> tuple[TopUp, ...]:
    since = treasury.now() - LATE_S
    return await treasury.store.list_paid_late(payments.service, payments.mode, since, untouched=untouched)


async def _close(treasury: Treasury, payments: Payments, topup: TopUp) -> None:
    try:
        await payments.close_checkout(topup)
    except TesseraError as error:
        log.error("topup.page_stays_open", topup_id=topup.id, code=error.code)
        return
    news = Unpaid(topup_id=topup.id, expired=True, reason=_REASON)
    event = PaymentEvent(service=topup.service, id=topup.id, type="closed", mode=topup.mode, body=b"", news=news)
    report(event, await treasury.store.take_news(event))


async def _send_back(treasury: Treasury, topup: TopUp) -> None:
    try:
        refund = await send_refund(treasury, await treasury.store.begin_refund(topup.id, None, f"paid after {_REASON}"))
    except TesseraError as error:
        log.error("topup.not_sent_back", topup_id=topup.id, code=error.code, message=error.message)
        return
    log.warning("topup.sent_back", topup_id=topup.id, refund_id=refund.id, reason=f"paid after {_REASON}")
