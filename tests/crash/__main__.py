"""Cuts calls off at every point, and prints what was found as JSON.

python -m crash cancel|kill ["forgotten settlement"|"one scene"]

The last argument puts a defect in, which must be found.
"""

import asyncio
import json
import os
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import structlog

from crash.points import PROBE, all_points, install

install()
structlog.configure(logger_factory=structlog.PrintLoggerFactory(sys.stderr))

from crash.play import Account, Stage, judge, new_account, stage, warm_up  # noqa: E402
from crash.scenes import SCENES, Scene, answer  # noqa: E402
from memory_folder import memory_folder  # noqa: E402
from scripted_provider import ScriptedProvider  # noqa: E402
from tessera.adapters.storage.sqlite import SqliteStorage  # noqa: E402
from tessera.domain.ledger.orders import Outcome  # noqa: E402
from tessera.flows import serving  # noqa: E402

CUTS_A_POINT = 4
LIVES_A_POINT = 3
"""Some scenes wait for a moment that a machine which stands still for a tenth of a second lets pass by."""
CHILD_SECONDS_MAX = 20
NOT_KILLED = 7


@dataclass
class Findings:
    """What a run did. `unreached` are points no scene passes; `problems` what was wrong, by point."""

    points: int = 0
    cut: dict[str, int] = field(default_factory=dict)
    unreached: list[str] = field(default_factory=list)
    never_waits: list[str] = field(default_factory=list)
    unfired: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)


@contextmanager
def providers() -> Iterator[tuple[str, str]]:
    """Two providers in a process of their own, which no cut-off call takes with it."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        with ScriptedProvider() as first, ScriptedProvider() as second:
            first.always = lambda request: answer(0, request)
            second.always = lambda request: answer(1, request)
            first.large_body_delay_s = second.large_body_delay_s = 0.05
            addresses = (first.base_url, second.base_url.replace("127.0.0.1", "localhost"))
            os.write(writing, json.dumps(addresses).encode())
            while True:
                time.sleep(1)
                first.received.clear()
                second.received.clear()
    os.close(writing)
    try:
        yield tuple(json.loads(os.read(reading, 1000)))  # type: ignore[misc]
    finally:
        os.close(reading)
        os.kill(child, signal.SIGKILL)
        os.waitpid(child, 0)


def _watch(stage_: Stage, scene: Scene, cancel_at: str | None) -> None:
    """Arms the probe for a scene: where its client leaves by itself, and where it is cut off on top of that."""
    PROBE.cancel_at, PROBE.cancel, PROBE.fired = cancel_at, stage_.cut, False
    PROBE.leaves, PROBE.left = scene.leaves, not scene.leaves


async def _record(folder: Path, addresses: tuple[str, str]) -> tuple[dict[str, list[Scene]], dict[str, list[Scene]]]:
    """Which scenes reach each point, and which wait there. Every scene must end as it is meant to."""
    reach: dict[str, list[Scene]] = {}
    wait: dict[str, list[Scene]] = {}
    for scene in SCENES:
        if scene.fresh:
            shutil.rmtree(folder, ignore_errors=True)
        async with stage(folder, addresses) as opened:
            account = await new_account(opened.storage, scene.credit)
            PROBE.reached.clear()
            PROBE.suspended.clear()
            _watch(opened, scene, None)
            seen = await opened.play(scene, account)
            if not scene.leaves:
                assert seen.status in scene.status, f"{scene.name}: {seen}"
            for name in PROBE.reached:
                reach.setdefault(name, []).append(scene)
            for name in PROBE.suspended:
                wait.setdefault(name, []).append(scene)
            problems = await judge(opened.storage, account, seen.charge())
            assert not problems, f"{scene.name}: {problems}"
    return reach, wait


async def _cancel_everywhere(folder: Path, addresses: tuple[str, str], findings: Findings) -> None:
    # Read before anything runs: once some tracebacks were printed, Python 3.11 may not parse (CPython issue 106905).
    awaits = [point.name for point in all_points() if not point.step]
    reach, wait = await _record(folder / "record", addresses)
    findings.points = len(awaits)
    findings.unreached = [name for name in awaits if name not in reach]
    findings.never_waits = [name for name in awaits if name in reach and name not in wait]
    async with stage(folder / "cancel", addresses) as opened:
        for name in awaits:
            for scene in [scene for scene in wait.get(name, []) if not scene.fresh]:
                for stops in (False, True):
                    await _cancel(opened, replace(scene, stops=scene.stops or stops), name, findings)
                if findings.cut.get(name, 0) >= CUTS_A_POINT:
                    break
            if name in wait and not findings.cut.get(name):
                findings.unfired.append(name)
        wrong = [f"verify: {check}" for check in await opened.storage.verify() if not check.ok]
        findings.problems += wrong


async def _cancel(opened: Stage, scene: Scene, name: str, findings: Findings) -> None:
    account = await new_account(opened.storage, scene.credit)
    opened.opened = opened.closed = 0
    _watch(opened, scene, name)
    try:
        seen = await opened.play(scene, account)
        problems = await judge(opened.storage, account, seen.charge())
    except Exception as error:
        problems = [repr(error)]
    if opened.opened != opened.closed:
        problems.append(f"{opened.opened} replies were opened and {opened.closed} closed")
    if PROBE.fired:
        findings.cut[name] = findings.cut.get(name, 0) + 1
    PROBE.cancel_at = None
    findings.problems += [f"{name} in {scene.name!r}, stops={scene.stops}: {problem}" for problem in problems]


# ---- kill -9 -----------------------------------------------------------------------------------------------------


async def _templates(folder: Path) -> dict[str, tuple[Path, Account]]:
    """A data folder with an account, for each amount of credit."""
    made = {}
    for number, credit in enumerate(sorted({scene.credit for scene in SCENES})):
        path = folder / f"template-{number}"
        storage = await SqliteStorage.open(path)
        made[credit] = (path, await new_account(storage, credit))
        await storage.close()
    return made


@dataclass(frozen=True)
class Life:
    """How a server's process ended, and what its client had been told of a charge."""

    killed: bool
    status: int
    told: tuple[str, int] | None


class Nursery:
    """A process that has loaded everything and runs nothing. Servers are forked off it, to be killed at a point."""

    def __init__(self) -> None:
        self._orders_in, self._orders = os.pipe()
        self._answers, self._answers_in = os.pipe()
        self._child = os.fork()
        if self._child == 0:
            os.close(self._orders)
            with os.fdopen(self._orders_in, "rb") as orders:
                for line in orders:
                    os.write(self._answers_in, json.dumps(_one_life(*json.loads(line))).encode() + b"\n")
            os._exit(0)
        os.close(self._orders_in)
        self._answer_lines = os.fdopen(self._answers, "rb")

    def live(self, path: Path, addresses: tuple[str, str], scene: Scene, account: Account, at: tuple[str, str]) -> Life:
        """One life of a server."""
        account_fields = (account.organization_id, account.key, account.credit_nanos)
        order = (str(path), addresses, SCENES.index(scene), account_fields, at)
        os.write(self._orders, json.dumps(order).encode() + b"\n")
        status, told = json.loads(self._answer_lines.readline())
        return Life(status == -signal.SIGKILL, status, None if told is None else (told[0], told[1]))

    def close(self) -> None:
        """Ends it."""
        os.close(self._orders)
        self._answer_lines.close()
        os.waitpid(self._child, 0)


def _one_life(
    path: str, addresses: tuple[str, str], scene: int, account: tuple[str, str, int], at: tuple[str, str]
) -> tuple[int, object]:
    """In the nursery: a server that plays a scene until it kills itself. Its exit status, and what the client heard."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        status = 1
        try:
            signal.alarm(CHILD_SECONDS_MAX)
            PROBE.kill_at = (at[0], at[1])
            asyncio.run(_live(Path(path), (addresses[0], addresses[1]), SCENES[scene], Account(*account), writing))
            status = NOT_KILLED
        finally:
            os._exit(status)
    os.close(writing)
    told = os.read(reading, 1000)
    os.close(reading)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), json.loads(told) if told else None


async def _live(path: Path, addresses: tuple[str, str], scene: Scene, account: Account, told: int) -> None:
    async with stage(path, addresses) as opened:
        _watch(opened, scene, None)
        seen = await opened.play(scene, account)
        os.write(told, json.dumps(seen.charge()).encode())


async def _look(path: Path, account: Account, told: tuple[str, int] | None) -> list[str]:
    """What is wrong with the money when the next server has started on the data of a killed one."""
    for in_the_way in (path / "outbox").glob("*.jsonl"):
        if in_the_way.is_dir():
            in_the_way.rmdir()
    storage = await SqliteStorage.open(path)
    try:
        problems = await judge(storage, account, told)
        return problems + [f"verify: {check}" for check in await storage.verify() if not check.ok]
    finally:
        await storage.close()


def _kill_everywhere(folder: Path, addresses: tuple[str, str], nursery: Nursery, findings: Findings) -> None:
    reach, _ = asyncio.run(_record(folder / "record", addresses))
    templates = asyncio.run(_templates(folder))
    points = all_points()
    findings.points = len(points)
    findings.unreached = [point.name for point in points if point.name not in reach]
    for point in points:
        if point.name not in reach:
            continue
        scene = reach[point.name][0]
        template, account = templates[scene.credit]
        for moment in ("before", "after") if point.step else ("before",):
            for _ in range(LIVES_A_POINT):
                path = folder / f"{moment}-{points.index(point)}"
                shutil.copytree(template, path)
                life = nursery.live(path, addresses, scene, account, (point.name, moment))
                problems = asyncio.run(_look(path, account, life.told))
                findings.problems += [f"{moment} {point.name} in {scene.name!r}: {problem}" for problem in problems]
                shutil.rmtree(path)
                if life.killed:
                    findings.cut[point.name] = findings.cut.get(point.name, 0) + 1
                    break
            else:
                findings.unfired.append(f"{moment} {point.name} in {scene.name!r}: ended with {life.status}")


def _break(defect: str) -> None:
    """Settlements that are forgotten when a client leaves, or points that nothing passes."""
    kept = ("refused", "leaves mid-stream") if defect == "forgotten settlement" else ("whole",)
    SCENES[:] = [scene for scene in SCENES if scene.name in kept]
    if defect == "forgotten settlement":
        settle = serving.settle

        async def forget(running: Any, outcome: Outcome, *rest: Any) -> None:
            if outcome is not Outcome.CLIENT_DISCONNECTED or running.world.stopping or PROBE.cancel_at is None:
                await settle(running, outcome, *rest)

        serving.settle = forget


def main() -> None:
    """Runs, and prints the findings."""
    findings = Findings()
    all_points()
    if len(sys.argv) > 2:
        _break(sys.argv[2])
    warm_up()
    nursery = Nursery()
    # A killed process loses nothing that it wrote, flushed to a disk or not: memory serves as well, and much faster.
    with tempfile.TemporaryDirectory(dir=memory_folder()) as folder, providers() as addresses:
        if sys.argv[1] == "cancel":
            asyncio.run(_cancel_everywhere(Path(folder), addresses, findings))
        else:
            _kill_everywhere(Path(folder), addresses, nursery, findings)
    nursery.close()
    json.dump(findings.__dict__, sys.stdout, indent=1)


if __name__ == "__main__":
    main()
