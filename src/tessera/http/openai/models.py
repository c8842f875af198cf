"""GET /v1/models and /v1/models/{id}: OpenAI's shape, with what Tessera knows of each model beside it."""

from tessera.domain.auth import Caller
from tessera.flows.models import list_models, show_model
from tessera.flows.world import World
from tessera.http.exchange import Exchange


async def models(world: World, caller: Caller, exchange: Exchange) -> None:
    """Lists the models this key can call."""
    await exchange.reply_json(200, await list_models(world, caller))


async def model(world: World, caller: Caller, exchange: Exchange) -> None:
    """Shows one model, with its prices for this key."""
    await exchange.reply_json(200, await show_model(world, caller, exchange.path_params["model"]))
