"""What a payment service sends by itself: believed only with its signature, kept as it came, applied once."""

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.payments.news import Outcome, PaymentEvent, Verdict
from tessera.domain.payments.signatures import signing_secret
from tessera.domain.payments.stripe_events import read_event
from tessera.flows.money.treasury import Treasury
from tessera.log import get_logger

log = get_logger(__name__)


async def take_stripe_event(treasury: Treasury, body: bytes, signature: str | None) -> Verdict:
    """What came of an event of Stripe's. Raises [invalid_request] for one that is not signed, which leaves no trace,
    and for one that is signed and cannot be true, which is kept; [storage_unavailable]: Stripe sends it again."""
    secrets = [secret for _, secret in treasury.webhook_secrets]
    place = signing_secret(body, signature or "", secrets, treasury.now())
    if place is None:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "This event is not signed by our payment service.")
    try:
        event = read_event(body, treasury.webhook_secrets[place][0])
    except ValueError:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "This is no event.") from None
    verdict = await treasury.store.take_event(event)
    report(event, verdict)
    if verdict.outcome is Outcome.REFUSED:
        raise TesseraError(ErrorCode.INVALID_REQUEST, f"This event was refused: {verdict.reason}.")
    return verdict


def report(event: PaymentEvent, verdict: Verdict) -> None:
    """Tells the operator what came of an event: what was refused is an error to look at."""
    write = log.error if verdict.outcome is Outcome.REFUSED else log.info
    write("payment.event", event_id=event.id, type=event.type, outcome=verdict.outcome.value, reason=verdict.reason)
