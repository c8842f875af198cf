"""GET /v1/requests, /v1/balance and /v1/ledger: what happened to calls and money."""

from tessera.domain.auth import Caller
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.flows import receipts
from tessera.flows.world import World
from tessera.http.exchange import Exchange
from tessera.ports import Page

PAGE_LIMIT_MAX = 100
PAGE = {
    "limit": {"type": "integer", "minimum": 1, "maximum": PAGE_LIMIT_MAX, "default": 20},
    "after": {"type": "string", "minLength": 1, "maxLength": 64},
}
"""The query of a list, as the API's description shows it."""


async def show(world: World, caller: Caller, exchange: Exchange) -> None:
    """Shows the receipt of one call."""
    exchange.query(())
    await exchange.reply_json(200, await receipts.find_request(world, caller, exchange.path_params["id"]))


async def index(world: World, caller: Caller, exchange: Exchange) -> None:
    """Lists receipts, newest first."""
    await exchange.reply_json(200, await receipts.list_requests(world, caller, page_of(exchange)))


async def balance(world: World, caller: Caller, exchange: Exchange) -> None:
    """Shows what can be spent, what running calls hold and what was spent."""
    exchange.query(())
    await exchange.reply_json(200, await receipts.read_balance(world, caller))


async def ledger(world: World, caller: Caller, exchange: Exchange) -> None:
    """Lists ledger entries, newest first."""
    await exchange.reply_json(200, await receipts.list_entries(world, caller, page_of(exchange)))


def page_of(exchange: Exchange, others: tuple[str, ...] = ()) -> Page:
    """The page a query asks for; `others` are parameters the route takes beside. Raises [invalid_request]."""
    query = exchange.query(("limit", "after", *others))
    return checked_page(query.get("limit"), query.get("after"))


def checked_page(limit: str | None, after: str | None) -> Page:
    """The page that these parameters of a query ask for. Raises [invalid_request]."""
    limit = "20" if limit is None else limit
    if not limit.isascii() or not limit.isdecimal() or len(limit) > 3 or not 1 <= int(limit) <= PAGE_LIMIT_MAX:
        raise TesseraError(
            ErrorCode.INVALID_REQUEST, f"limit must be a number from 1 to {PAGE_LIMIT_MAX}.", param="limit"
        )
    if after is not None and not 1 <= len(after) <= 64:
        raise TesseraError(ErrorCode.INVALID_REQUEST, "after must be an id from this list.", param="after")
    return Page(limit=int(limit), after=after)
