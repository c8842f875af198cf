"""An organization's alerts, webhooks and notices, for admin keys and sessions."""

from tessera.domain.people.records import Actor
from tessera.flows.alerts import rules, webhooks
from tessera.flows.people.accounts import Accounts
from tessera.http.account import bodies
from tessera.http.account.bodies import read_fields
from tessera.http.exchange import Exchange
from tessera.http.requests import page_of


async def list_alerts(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Lists alerts, oldest first."""
    await exchange.reply_json(200, await rules.list_alerts(accounts, actor, page_of(exchange)))


async def create_alert(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Sets a new alert: on a percent of a budget, on an amount spent, or on a low balance."""
    fields = await read_fields(exchange, bodies.CreateAlert)
    made = await rules.create_alert(
        accounts,
        actor,
        kind=fields.kind,
        mode=fields.mode,
        key=fields.key,
        project=fields.project,
        period=fields.period,
        percent=fields.percent,
        amount=fields.amount,
    )
    await exchange.reply_json(200, made)


async def remove_alert(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Removes an alert."""
    await exchange.reply_json(200, await rules.remove_alert(accounts, actor, exchange.path_params["alert"]))


async def list_notices(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Lists what was raised, newest first, with who was told and how far that got."""
    await exchange.reply_json(200, await rules.list_notices(accounts, actor, page_of(exchange)))


async def list_webhooks(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Lists webhooks, never their secrets."""
    await exchange.reply_json(200, await webhooks.list_webhooks(accounts, actor, page_of(exchange)))


async def create_webhook(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Adds a webhook; the secret it verifies with is in this reply and nowhere else."""
    fields = await read_fields(exchange, bodies.CreateWebhook)
    await exchange.reply_json(200, await webhooks.create_webhook(accounts, actor, fields.url))


async def remove_webhook(accounts: Accounts, actor: Actor, exchange: Exchange) -> None:
    """Removes a webhook."""
    await exchange.reply_json(200, await webhooks.remove_webhook(accounts, actor, exchange.path_params["webhook"]))
