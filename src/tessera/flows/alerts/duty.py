"""The background duty: raises what crossed its threshold, delivers what was raised and letters that a process left when
it died or was refused by a mail server. No call waits for it."""

import asyncio
import time

import structlog

from tessera.domain.errors import TesseraError
from tessera.flows.alerts.delivering import run_errand
from tessera.flows.people.accounts import Accounts

log = structlog.get_logger(__name__)

LOOK_EVERY_S = 2.0
AT_ONCE_MAX = 64


async def watch_alerts(accounts: Accounts) -> None:
    """Raises and delivers until it is cancelled; a slow receiver holds up none of other organizations."""
    running: dict[asyncio.Task[None], str | None] = {}
    try:
        while True:
            try:
                await accounts.alerts.raise_alerts(time.time_ns() // 1_000)
                busy = {whose for whose in running.values() if whose is not None}
                for errand in await accounts.alerts.take_errands(accounts.now(), AT_ONCE_MAX - len(running), busy):
                    task = asyncio.create_task(run_errand(accounts, errand))
                    running[task] = None if errand.notice is None else errand.notice.organization_id
                    task.add_done_callback(running.pop)
            except TesseraError as error:
                log.error("alerts.failed", error=repr(error))
            await asyncio.sleep(LOOK_EVERY_S)
    finally:
        # What is cut off here was not noted as sent: it is tried again when its lease is over.
        for task in running:
            task.cancel()
