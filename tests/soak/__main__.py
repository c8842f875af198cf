"""`python -m soak --minutes N`: runs the load, prints a table of what the server held, and what was wrong."""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
import urllib.request
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from scripted_provider import ScriptedProvider
from servers import Account, TesseraServer, running_server
from soak.load import Load, Provider, image_reply
from soak.samples import Sample, look, slope_kib_a_minute

CONFIG = """
[limits]
ejection_seconds = 0

[media]
allow_private_networks = true
ports = {ports}

[[provider]]
name = "scripted"
dialect = "openai"
surfaces = ["chat"]
base_url = "{base_url}"

[[deployment]]
model = "gpt-4o"
provider = "scripted"
"""
REST_SECONDS_MAX = 45
SLOPE_KIB_A_MINUTE_MAX = 128
POOL_THREADS = min(32, (os.cpu_count() or 1) + 4)
"""The most threads of the event loop's own pool (the standard library's default)."""
SLOPE_MINUTES_MIN = 8.0
WAL_BYTES_MAX = 64 * 1024 * 1024
WARM_UP_SHARE = 0.5  # what remembers a bounded number of things fills for minutes
READY_SECONDS = 5.0


@dataclass
class Outcome:
    """A soak: what was seen, what callers were told, and what was wrong (nothing, if all is well)."""

    before: Sample
    samples: list[Sample]
    after: Sample
    told: dict[str, int]
    seconds: float
    wrong: list[str] = field(default_factory=list)

    @property
    def settled(self) -> list[Sample]:
        """The samples after the warm-up."""
        first = self.seconds * WARM_UP_SHARE
        return [sample for sample in self.samples if sample.at >= first]


def soak(seconds: float, *, callers: int = 12, every_s: float = 2.0, pause_s: float = 0.05, seed: int = 1) -> Outcome:
    """Runs a server under load for so long and looks at it before, during and after."""
    with tempfile.TemporaryDirectory() as folder, ScriptedProvider() as provider, ScriptedProvider() as pictures:
        provider.always = Provider(seed)
        pictures.always = image_reply
        config = CONFIG.format(base_url=provider.base_url, ports=json.dumps([pictures.port]))
        with running_server(Path(folder), config=config, fresh=True) as server:
            live = server.account(credit="10000.00", mode="live")
            test = server.account(credit="10000.00", mode="test")
            address = f"http://127.0.0.1:{pictures.port}/a.jpg"
            load = Load(server.api, live, test, address, seed=seed, pause_s=pause_s)
            outcome = asyncio.run(_run(server, load, [provider, pictures], seconds, callers, every_s))
            outcome.wrong += _check(outcome, load)
            outcome.wrong += _check_money(server, (live, test))
    return outcome


async def _run(
    server: TesseraServer,
    load: Load,
    providers: Sequence[ScriptedProvider],
    seconds: float,
    callers: int,
    every_s: float,
) -> Outcome:
    started = time.monotonic()

    async def seen() -> Sample:
        at = time.monotonic() - started
        return await asyncio.to_thread(look, server.process.pid, server.base_url, server.data_dir, at)

    await load.one_of_each()
    running = asyncio.ensure_future(load.run(callers))  # pools of threads and files open as many as calls need at once
    await asyncio.sleep(READY_SECONDS)
    load.stopped = True
    await running
    before = await _at_rest(seen, None)
    load.told.clear()
    load.stopped = False
    started = time.monotonic()
    running = asyncio.ensure_future(load.run(callers))
    samples = []
    while time.monotonic() - started < seconds and not running.done():
        await asyncio.sleep(every_s)
        samples.append(await seen())
        for provider in providers:
            provider.received.clear()
    load.stopped = True
    await running
    took = time.monotonic() - started
    after = await _at_rest(seen, before)
    return Outcome(before, samples, after, dict(load.told), took)


async def _at_rest(seen, before: Sample | None) -> Sample:  # type: ignore[no-untyped-def]
    """Waits until sockets and tasks are back, or, without a `before`, until they have stood still for a while."""
    still, last = 0, await seen()
    for _ in range(REST_SECONDS_MAX):
        await asyncio.sleep(1)
        now = await seen()
        still = still + 1 if (now.sockets, now.tasks) == (last.sockets, last.tasks) else 0
        last = now
        back = before is not None and now.sockets <= before.sockets and now.tasks <= before.tasks
        if back or (before is None and still >= 6):
            break
    return last


def _check(outcome: Outcome, load: Load) -> list[str]:
    before, after = outcome.before, outcome.after
    wrong = list(dict.fromkeys(load.strange))[:10]
    for name in ("sockets", "files", "tasks"):
        if getattr(after, name) > getattr(before, name):
            wrong.append(f"{name}: {getattr(before, name)} before, {getattr(after, name)} after")
    half = len(outcome.samples) // 2
    threads = [max((s.threads for s in part), default=0) for part in (outcome.samples[:half], outcome.samples[half:])]
    # A pool has as many threads as were ever needed at once; in a short run the last may come late.
    if half and threads[1] > (threads[0] if outcome.seconds >= SLOPE_MINUTES_MIN * 60 else threads[0] + POOL_THREADS):
        wrong.append(f"threads: at most {threads[0]} in the first half, {threads[1]} in the second")
    if max(sample.wal_bytes for sample in [before, *outcome.samples, after]) > WAL_BYTES_MAX:
        wrong.append("the write-ahead log outgrew its bound")
    if outcome.seconds >= SLOPE_MINUTES_MIN * 60:
        slope = slope_kib_a_minute(outcome.settled)
        if slope > SLOPE_KIB_A_MINUTE_MAX:
            wrong.append(f"memory grows by {slope:.0f} KiB a minute")
    if not any(key.endswith(": 200") for key in outcome.told):
        wrong.append("no call was answered")
    return wrong


def _check_money(server: TesseraServer, accounts: Sequence[Account]) -> list[str]:
    wrong = []
    for account in accounts:
        request = urllib.request.Request(f"{server.api}/balance", headers={"Authorization": f"Bearer {account.key}"})
        with urllib.request.urlopen(request, timeout=30) as reply:
            balance = json.load(reply)
        if balance["held_nanos"] != 0:
            wrong.append(f"{account.mode} money is still held: {balance}")
    found = server.tessera("verify", "--json", check=False)
    if found.returncode != 0:
        wrong.append(f"verify: {found.stdout[:2000]}")
    return wrong


def describe(outcome: Outcome) -> str:
    """The table."""
    lines = [f"{'':>9}{'RSS MiB':>9}{'workers':>9}{'sockets':>9}{'files':>7}{'threads':>9}{'tasks':>7}{'WAL KiB':>9}"]
    step = max(1, len(outcome.samples) // 20)
    rows = [
        ("before", outcome.before),
        *((f"{s.at:.0f} s", s) for s in outcome.samples[::step]),
        ("after", outcome.after),
    ]
    for name, s in rows:
        memory = f"{s.rss_kib / 1024:>9.1f}{s.worker_rss_kib / 1024:>9.1f}"
        lines.append(f"{name:>9}{memory}{s.sockets:>9}{s.files:>7}{s.threads:>9}{s.tasks:>7}{s.wal_bytes // 1024:>9}")
    calls = sum(outcome.told.values())
    lines.append(f"{calls} calls in {outcome.seconds:.0f} s ({calls / outcome.seconds:.0f} a second)")
    lines += [f"{count:>9}  {what}" for what, count in sorted(outcome.told.items())]
    if len(outcome.settled) > 2:
        lines.append(
            f"memory after the warm-up: {slope_kib_a_minute(outcome.settled):+.0f} KiB a minute (least squares)"
        )
    lines += [f"WRONG  {what}" for what in outcome.wrong] or ["nothing wrong"]
    return "\n".join(lines)


def main() -> int:
    """Soaks; 1 if anything was wrong."""
    parser = argparse.ArgumentParser(prog="python -m soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=30)
    parser.add_argument("--callers", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    outcome = soak(arguments.minutes * 60, callers=arguments.callers, seed=arguments.seed)
    print(describe(outcome))
    return 1 if outcome.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
