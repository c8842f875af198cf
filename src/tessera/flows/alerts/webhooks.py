"""Webhooks: addresses that hear of alerts, and how what they get is signed.

Always holds: a webhook's secret is derived from the operator's pepper and stands in no database and no log.
"""

from typing import Any

from tessera.domain.deliveries import Webhook
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.records import Act, Actor
from tessera.flows.people.accounts import Accounts
from tessera.flows.receipts import list_object, page_after
from tessera.ports import Page

_NONCE_BYTES = 16


async def create_webhook(accounts: Accounts, actor: Actor, url: str) -> dict[str, Any]:
    """A new webhook with its secret, shown this once. Raises [invalid_request]."""
    webhook = Webhook(
        id=accounts.make_id("webhook"),
        organization_id=actor.organization_id,
        url=accounts.webhooks.check(url),
        nonce=accounts.random(_NONCE_BYTES).hex(),
        created_at=accounts.now(),
    )
    act = Act(actor=actor, action="webhook.created", object_id=webhook.id, details={"url": webhook.url})
    made = await accounts.alerts.create_webhook(act, webhook)
    return {**webhook_object(made), "secret": secret_of(accounts, made)}


async def list_webhooks(accounts: Accounts, actor: Actor, page: Page) -> dict[str, Any]:
    """Webhooks, oldest first, a page at a time, never their secrets."""
    found = await accounts.alerts.list_webhooks(actor.organization_id, page_after(page, "webhook"))
    return list_object([webhook_object(webhook) for webhook in found], page)


async def remove_webhook(accounts: Accounts, actor: Actor, webhook_id: str) -> dict[str, Any]:
    """Removes a webhook for good. Raises [not_found]."""
    if not await accounts.alerts.remove_webhook(Act(actor=actor, action="webhook.removed", object_id=webhook_id)):
        raise TesseraError(ErrorCode.NOT_FOUND, f"There is no webhook {webhook_id[:64]!r} in this organization.")
    return {"object": "organization.webhook.deleted", "id": webhook_id, "deleted": True}


def secret_of(accounts: Accounts, webhook: Webhook) -> str:
    """What a webhook's requests are signed with."""
    return f"whsec_{accounts.digest_of('webhook', webhook.nonce)}"


def webhook_object(webhook: Webhook) -> dict[str, Any]:
    """A webhook as the API shows it."""
    return {
        "object": "organization.webhook",
        "id": webhook.id,
        "url": webhook.url,
        "created_at": webhook.created_at,
    }
