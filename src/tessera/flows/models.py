"""Which models a key can call, and at what price."""

from datetime import UTC, datetime, time
from typing import Any

from tessera.catalog.listing import model_object
from tessera.catalog.models import Model
from tessera.domain.auth import Caller
from tessera.domain.money import Mode
from tessera.flows.quoting import check_model_rule, deployments, may_use, paid_provider, volume_of
from tessera.flows.world import World


async def list_models(world: World, caller: Caller) -> dict[str, Any]:
    """Every model this key can call today, in OpenAI's list shape. Raises storage_unavailable."""
    today = world.clock.today()
    volume_nanos = await volume_of(world, caller, today)
    offered = [
        model
        for model in world.catalogue.models()
        if (caller.mode is Mode.TEST or (model.serves_on(today) and world.deployments.get(model.canonical)))
        and (caller.rules is None or may_use(world, caller.rules, model))
    ]
    return {"object": "list", "data": [_object(world, caller, model, volume_nanos) for model in offered]}


async def show_model(world: World, caller: Caller, model_id: str) -> dict[str, Any]:
    """One model of the catalogue. Raises model_not_found, permission_denied, storage_unavailable."""
    model = world.catalogue.model(model_id)
    check_model_rule(world, caller, model)
    return _object(world, caller, model, await volume_of(world, caller, world.clock.today()))


def _object(world: World, caller: Caller, model: Model, volume_nanos: int | None) -> dict[str, Any]:
    """OpenAI's model object; `created` is the start of the day its first price holds from.

    Its price is that of the deployment a call goes to first, at the caller's volume.
    """
    ways = deployments(world, caller, model)
    released = datetime.combine(model.released_on, time(), UTC) if model.released_on else datetime.fromtimestamp(0, UTC)
    return {
        "id": model.id,
        "object": "model",
        "created": int(released.timestamp()),
        "owned_by": model.provider,
        "tessera": model_object(
            model,
            world.catalogue,
            world.prices,
            world.clock.today(),
            provider=paid_provider(caller, model, ways[0]) if ways else None,
            organization=caller.organization_names,
            volume_nanos=volume_nanos or 0,
        ),
    }
