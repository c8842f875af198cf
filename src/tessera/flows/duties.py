"""Duties: what a server does beside calls until it ends. One that fails is begun again, and never silently over."""

import asyncio
from collections.abc import Awaitable, Callable

from tessera.log import get_logger

log = get_logger(__name__)

AGAIN_AFTER_S = 5.0


def start_duty(
    name: str, duty: Callable[[], Awaitable[None]], again_after_s: float = AGAIN_AFTER_S
) -> "asyncio.Task[None]":
    """Begins a duty that runs until its task is cancelled. An error that it does not expect itself goes to the log with
    its name, and after `again_after_s` it is begun again."""
    return asyncio.get_running_loop().create_task(_keep_on(name, duty, again_after_s), name=name)


async def _keep_on(name: str, duty: Callable[[], Awaitable[None]], again_after_s: float) -> None:
    while True:
        try:
            await duty()
        except Exception:  # Whatever it is: nobody else would notice that the duty is over.
            log.exception("duty.failed", duty=name)
        await asyncio.sleep(again_after_s)
