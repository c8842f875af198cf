"""Refunds by the operator. A payment's: out of the ledger first, then sent; what is not sent comes back."""

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.payments.records import ChargeRefund, PaymentRefund, cents_of
from tessera.domain.people.records import Act
from tessera.flows.money.treasury import OPERATOR, Treasury
from tessera.log import get_logger

log = get_logger(__name__)


async def refund_call(treasury: Treasury, request_id: str, amount_nanos: int | None, note: str) -> ChargeRefund:
    """Gives back what a call was charged, or a part of it, once. Raises [not_found, invalid_request]."""
    act = Act(actor=OPERATOR, action="charge.refunded", object_id=request_id)
    return await treasury.store.refund_call(request_id, amount_nanos, note, act)


async def refund_topup(treasury: Treasury, topup_id: str, amount_nanos: int | None, note: str) -> PaymentRefund:
    """Refunds a payment, all that was not spent of it or a part. Raises [not_found, invalid_request,
    payments_unavailable]: then it may have been sent, stays out of the balance, and the comparison finds out."""
    if amount_nanos is not None:
        try:
            cents_of(amount_nanos)
        except ValueError:
            raise TesseraError(ErrorCode.INVALID_REQUEST, "A refund is in whole cents.", param="amount") from None
    act = Act(actor=OPERATOR, action="payment.refunded", object_id=topup_id)
    return await send_refund(treasury, await treasury.store.begin_refund(topup_id, amount_nanos, note, act))


async def send_refund(treasury: Treasury, refund: PaymentRefund) -> PaymentRefund:
    """Sends a refund that has left the ledger; what is refused comes back. Raises [invalid_request,
    payments_unavailable]."""
    payments = treasury.payments.get(refund.topup.mode)
    try:
        if payments is None:
            raise TesseraError(ErrorCode.INVALID_REQUEST, f"No payment service is set up for {refund.topup.mode} mode.")
        await payments.refund(refund)
    except TesseraError as error:
        if error.code is ErrorCode.INVALID_REQUEST:
            await treasury.store.fail_refund(refund, error.message)
        else:
            log.error("payment_refund.unknown", refund_id=refund.id, topup_id=refund.topup.id, code=error.code)
        raise
    return refund
