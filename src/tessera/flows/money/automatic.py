"""Automatic top-up: set by a member, done off the call path by a saved card, within a month's ceiling."""

from typing import Any

from tessera.domain.amounts import asked_usd
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import format_usd
from tessera.domain.payments.news import Paid, PaymentEvent, Unpaid
from tessera.domain.payments.records import CURRENCY, AutomaticTopUp, TopUp, cents_of, parse_payment
from tessera.flows.money.topups import OPENED_WITHIN_S
from tessera.flows.money.treasury import Owner, Treasury
from tessera.flows.money.webhooks import report
from tessera.log import get_logger

log = get_logger(__name__)


async def show_automatic(treasury: Treasury, owner: Owner) -> dict[str, Any]:
    """How it is set; what was never set is off."""
    found = await treasury.store.find_automatic(owner.organization_id, owner.mode)
    return automatic_object(found or _off(owner))


async def set_automatic(
    treasury: Treasury, owner: Owner, *, enabled: bool, threshold: str, amount: str, month_max: str
) -> dict[str, Any]:
    """Sets it. Raises [invalid_request]: amounts out of bounds, or switched on before a card was saved."""
    limits = treasury.limits
    nanos = parse_payment(amount, param="amount", least_nanos=limits.least_nanos, most_nanos=limits.most_nanos)
    ceiling = asked_usd(month_max, "month_max")
    if ceiling < nanos:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "month_max must be at least amount.", param="month_max")
    wanted = AutomaticTopUp(
        organization_id=owner.organization_id,
        mode=owner.mode,
        customer_id=None,
        enabled=enabled,
        threshold_nanos=asked_usd(threshold, "threshold"),
        amount_nanos=nanos,
        month_max_nanos=ceiling,
        failure=None,
    )
    act = owner.act(
        "automatic_topup.set",
        owner.organization_id,
        enabled=enabled,
        threshold_nanos=wanted.threshold_nanos,
        amount_nanos=nanos,
        month_max_nanos=ceiling,
    )
    return automatic_object(await treasury.store.set_automatic(wanted, act))


async def top_up_what_is_low(treasury: Treasury) -> int:
    """Charges saved cards for every balance below its threshold, and asks again for payments of unknown outcome.

    Gives how many top-ups were paid. A service that cannot be reached is asked again the next time, as long as it
    knows the payment by its key: after that, asking would pay again. The comparison finds what was paid after all.
    """
    paid = 0
    for topup in await treasury.store.list_started():
        found = await treasury.store.find_automatic(topup.organization_id, topup.mode)
        if treasury.now() - topup.created_at > OPENED_WITHIN_S:
            await _fail(
                treasury, topup, "it is not known whether the last payment was made; look at your card's account"
            )
        elif found is not None and found.customer_id is not None:
            paid += await _charge(treasury, topup, found.customer_id)
    for organization_id, mode in await treasury.store.list_due():
        if mode in treasury.payments:
            started = await treasury.store.start_automatic(organization_id, mode, taxed=treasury.automatic_tax)
            if started is not None:
                paid += await _charge(treasury, *started)
    return paid


async def _charge(treasury: Treasury, topup: TopUp, customer_id: str) -> bool:
    payments = treasury.payments.get(topup.mode)
    if payments is None:
        return False
    try:
        charge = await payments.charge_saved_card(topup, customer_id)
    except TesseraError as error:
        log.error("automatic_topup.waits", topup_id=topup.id, code=error.code)
        return False
    if charge.settled and charge.payment_id is not None:
        news = Paid(
            topup_id=topup.id,
            payment_id=charge.payment_id,
            amount_cents=cents_of(topup.amount_nanos) + charge.tax_cents,
            currency=CURRENCY,
            tax_cents=charge.tax_cents,
        )
        await _tell(treasury, topup, news)
        return True
    if charge.failure is not None:
        await _fail(treasury, topup, charge.failure)
    return False


async def _fail(treasury: Treasury, topup: TopUp, reason: str) -> None:
    await _tell(treasury, topup, Unpaid(topup_id=topup.id, expired=False, reason=reason))
    log.error("automatic_topup.switched_off", organization_id=topup.organization_id, reason=reason)


async def _tell(treasury: Treasury, topup: TopUp, news: Paid | Unpaid) -> None:
    event = PaymentEvent(service=topup.service, id=topup.id, type="automatic", mode=topup.mode, body=b"", news=news)
    report(event, await treasury.store.take_news(event))


def automatic_object(found: AutomaticTopUp) -> dict[str, Any]:
    """The settings as the API shows them; never the service's names for card or customer."""
    return {
        "object": "automatic_topup",
        "mode": found.mode,
        "enabled": found.enabled,
        "card_saved": found.customer_id is not None,
        "threshold": format_usd(found.threshold_nanos),
        "threshold_nanos": found.threshold_nanos,
        "amount": format_usd(found.amount_nanos),
        "amount_nanos": found.amount_nanos,
        "month_max": format_usd(found.month_max_nanos),
        "month_max_nanos": found.month_max_nanos,
        "failure": found.failure,
    }


def _off(owner: Owner) -> AutomaticTopUp:
    return AutomaticTopUp(
        organization_id=owner.organization_id,
        mode=owner.mode,
        customer_id=None,
        enabled=False,
        threshold_nanos=0,
        amount_nanos=0,
        month_max_nanos=0,
        failure=None,
    )
