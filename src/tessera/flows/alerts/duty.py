"""The background duty: raises what crossed its threshold, delivers what was raised and letters that a process left when
it died or was refused by a mail server. No call waits for it."""

import asyncio
import time

from tessera.domain.errors import TesseraError
from tessera.domain.ledger.losses import DAY_US, day_of
from tessera.flows.alerts.delivering import run_errand
from tessera.flows.people.accounts import Accounts
from tessera.log import get_logger

log = get_logger(__name__)

LOOK_EVERY_S = 2.0
AT_ONCE_MAX = 64
ENDED_US = 30_000_000
"""How long after a day its end is looked at: what was settled in it is committed by then."""

STARTED_AFTER_US = 3_600_000_000
"""Until how long after that a process that starts looks at it still."""


async def watch_alerts(accounts: Accounts) -> None:
    """Raises and delivers until it is cancelled; a slow receiver holds up none of other organizations."""
    running: dict[asyncio.Task[None], str | None] = {}
    seen_day = day_of(time.time_ns() // 1_000 - ENDED_US - STARTED_AFTER_US)
    try:
        while True:
            try:
                now_us = time.time_ns() // 1_000
                await accounts.alerts.raise_alerts(now_us)
                # What crossed in a day's last moments was not seen before its meter counted the next day.
                day = day_of(now_us - ENDED_US)
                if day > seen_day:
                    await accounts.alerts.raise_ended(day * DAY_US)
                    seen_day = day
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
