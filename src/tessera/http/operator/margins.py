"""/account/operator/margins: what customers were charged against what providers bill."""

from typing import Any

from tessera.domain.margins import MarginGroup, Period
from tessera.domain.people.records import Actor
from tessera.flows.operator.margins import asked, list_margins
from tessera.flows.people.accounts import Accounts
from tessera.http.exchange import Exchange
from tessera.http.usage.query import ReportQuery

_BY = {group.value: group for group in MarginGroup}
_PER = {period.value: period for period in Period}
_DAY: dict[str, Any] = {"type": "string", "format": "date"}

QUERY: dict[str, dict[str, Any]] = {
    "start": {**_DAY, "description": "The first day (UTC); by default the first of end's month."},
    "end": {**_DAY, "description": "The day after the last; by default tomorrow."},
    "by": {"type": "array", "items": {"enum": list(_BY)}},
    "per": {"enum": list(_PER), "default": Period.ALL.value},
    "mode": {"enum": ["live", "test"], "default": "live"},
}


async def index(accounts: Accounts, _: Actor, exchange: Exchange) -> None:
    """Lists what customers were charged and what it cost, by organization, model and provider."""
    query = ReportQuery(exchange, ("start", "end", "per", "mode"), ("by",))
    by, per = tuple(query.choices("by", _BY).values()), query.choice("per", _PER, Period.ALL)
    wanted = asked(query.mode(), query.text("start"), query.text("end"), by, per)
    await exchange.reply_json(200, await list_margins(accounts.usage, wanted))
