"""One try of one delivery: a letter, a notice by mail, or a signed request to a webhook."""

import msgspec

from tessera.domain.deliveries import DeliveryKind, DeliveryState, Errand, Notice, retry_at
from tessera.domain.errors import TesseraError
from tessera.domain.payments.signatures import sign
from tessera.domain.people.roles import RIGHTS, Right
from tessera.flows.alerts.webhooks import secret_of
from tessera.flows.people.accounts import Accounts
from tessera.flows.people.letters import written
from tessera.log import get_logger
from tessera.ports.people import Letter

log = get_logger(__name__)

ERROR_CHARS_MAX = 200


class _NobodyError(Exception):
    """Whoever should receive this is not there any more."""


async def run_errand(accounts: Accounts, errand: Errand) -> None:
    """One try of one delivery, and how it ended."""
    error, state = None, DeliveryState.SENT
    next_at = errand.delivery.next_at
    try:
        await _deliver(accounts, errand)
    except _NobodyError as why:
        error, state = str(why), DeliveryState.GIVEN_UP
    except (OSError, ValueError, TesseraError) as why:
        error = str(why)[:ERROR_CHARS_MAX] or type(why).__name__
        again_at = retry_at(errand.delivery.tries, accounts.now())
        state = DeliveryState.GIVEN_UP if again_at is None else DeliveryState.WAITING
        next_at = next_at if again_at is None else again_at
    if error is not None:
        # Never a letter's address or text: what is secret in it would stand in the log.
        event = "mail.failed" if errand.letter is not None else "alerts.not_delivered"
        write = log.error if state is DeliveryState.GIVEN_UP else log.warning
        write(event, delivery=errand.delivery.id, state=state.value, error=error)
    try:
        await accounts.alerts.end_errand(errand, state, error=error, next_at=next_at, now=accounts.now())
    except TesseraError as failure:
        log.error("deliveries.not_noted", delivery=errand.delivery.id, error=repr(failure))


async def _deliver(accounts: Accounts, errand: Errand) -> None:
    if errand.letter is not None:
        letter = await written(accounts, errand.letter, errand.delivery.target)
        if letter is not None:
            await accounts.mail.send(letter)
        return
    assert errand.notice is not None
    if errand.delivery.kind is DeliveryKind.MAIL:
        await _send_notice(accounts, errand, errand.notice)
    else:
        await _call_webhook(accounts, errand, errand.notice)


async def _send_notice(accounts: Accounts, errand: Errand, notice: Notice) -> None:
    member = await accounts.people.find_membership(notice.organization_id, errand.delivery.target)
    if member is None or Right.MONEY_CHANGE not in RIGHTS[member.role]:
        raise _NobodyError("no longer a member who looks after the money")
    await accounts.mail.send(alert_letter(accounts, member.email, member.organization, notice))


async def _call_webhook(accounts: Accounts, errand: Errand, notice: Notice) -> None:
    if errand.webhook is None:
        raise _NobodyError("the webhook was removed")
    event = {"id": notice.id, "type": "alert.raised", "created_at": notice.created_at, "data": notice.data}
    body = msgspec.json.encode(event)
    headers = {
        "Content-Type": "application/json",
        "Accept": "*/*",
        "User-Agent": "Tessera webhooks",
        "Tessera-Signature": sign(body, secret_of(accounts, errand.webhook), accounts.now()),
    }
    await accounts.webhooks.send(errand.webhook.url, body, headers)


def alert_letter(accounts: Accounts, email: str, organization: str, notice: Notice) -> Letter:
    """Tells a member what was crossed. The id in it is the same if the letter comes twice."""
    data = notice.data
    subject, mode = data["subject"], data["mode"]
    whose = "the organization" if subject["kind"] == "organization" else f"{subject['kind']} {subject['id']}"
    within = {"total": "in all", "month": "this month", "day": "today"}[data["period"]] + " (UTC)"
    if data["kind"] == "balance":
        title = f"{organization}: the balance is low"
        text = f"“{organization}” has ${data['value']} left to spend, less than ${data['threshold']} ({mode} mode)."
    else:
        part = "" if data["percent"] is None else f", which is {data['percent']} % of its budget"
        title = f"{organization}: spending has passed ${data['threshold']}"
        text = (
            f"In “{organization}”, {whose} has spent ${data['value']} {within}, past ${data['threshold']}{part} "
            f"({mode} mode)."
        )
    text += f"\n\nThis letter is notice {notice.id} of {accounts.base_url}. You get it because you look after the money"
    text += "\nof this organization; its alerts can be changed there.\n"
    return Letter(to=email, subject=f"Tessera: {' '.join(title.split())}", text=text)
