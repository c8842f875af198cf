"""/account/operator/prices: the price book as it is in force."""

from typing import Any

from tessera.domain.people.records import Actor
from tessera.flows.operator.prices import PricesAsked, list_prices
from tessera.flows.people.accounts import Accounts
from tessera.http.exchange import Exchange
from tessera.http.usage.query import ReportQuery

QUERY: dict[str, dict[str, Any]] = {
    "model": {"type": "string", "description": "An id or alias; by default all models."},
    "organization": {"type": "string", "description": "An id or name; by default all that rows name."},
    "provider": {"type": "string", "description": "By default all that serve."},
    "as_of": {"type": "string", "format": "date", "description": "The day (UTC); by default today."},
}


async def index(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Lists what models cost customers and the operator, and which row decides."""
    query = ReportQuery(exchange, tuple(QUERY), ())
    asked = PricesAsked(**{name: query.text(name) or None for name in QUERY})
    await exchange.reply_json(200, await list_prices(accounts.prices, asked))
