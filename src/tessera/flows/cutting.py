"""Cut running calls whose key was revoked at once, also by a command beside this server."""

import asyncio

from tessera.domain.errors import TesseraError
from tessera.flows.world import World
from tessera.log import get_logger

log = get_logger(__name__)

LOOK_EVERY_S = 1.0
"""How often the keys of running calls are looked up: well within the five seconds of faults F28."""


async def watch_cuts(world: World) -> None:
    """Cuts calls until it is cancelled. A call that settles already is let go on: it is paid for."""
    while True:
        await asyncio.sleep(LOOK_EVERY_S)
        keys = {call.key_id for call in world.calls.values()}
        if not keys:
            continue
        try:
            cut = await world.storage.find_cut_keys(tuple(keys))
        except TesseraError as error:
            log.error("cutting.failed", error=repr(error))
            continue
        for call in tuple(world.calls.values()):
            if call.key_id in cut:
                call.cut()
