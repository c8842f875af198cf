"""POST /v1/quotes and GET /v1/quotes/{id}: what a call will cost, before it is sent."""

from tessera.domain.auth import Caller
from tessera.flows.quotes import find_quote, make_quote
from tessera.flows.world import World
from tessera.http.exchange import Exchange


async def create(world: World, caller: Caller, exchange: Exchange) -> None:
    """Quotes a real request; nothing is sent and nothing is held."""
    exchange.query(())
    body = await exchange.body(world.limits.body_bytes_max, world.limits.body_seconds_max)
    await exchange.reply(200, await make_quote(world, caller, body, exchange.take))


async def show(world: World, caller: Caller, exchange: Exchange) -> None:
    """Shows a quote made earlier."""
    exchange.query(())
    await exchange.reply(200, await find_quote(world, caller, exchange.path_params["id"]))
