"""One seeded world: processes that live and die on one ledger, their clients and providers, and what befalls them."""

import asyncio
import functools
import gc
import hashlib
import heapq
import shutil
import sqlite3
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import structlog

from simulation.client import RETRIES_MAX, RETRY_STATUSES, Account, Client, Plan, Reply, draw_plan
from simulation.disk import TURN_FAULTS, WEATHERS, Disk
from simulation.invariants import Checker, ViolationError, claim, violations
from simulation.loop import ProcessDiedError, SimLoop, VirtualTime, finish_generators
from simulation.provider import BEFORE_HEAD, BODY_FAULTS, TIER_FAULTS, USAGE_FAULTS, Deed, SimProvider
from tessera.adapters.storage.sqlite import SqliteStorage, load_secrets
from tessera.adapters.storage.sqlite.connection import DATABASE_FILE, connect, create_file
from tessera.adapters.storage.sqlite.migrations import migrate
from tessera.adapters.storage.sqlite.outbox import outboxes, read_outbox
from tessera.adapters.tokenizers import counter_for
from tessera.domain.auth import key_digest, make_key
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.ids import make_id
from tessera.domain.money import Mode
from tessera.domain.request import ImagePart, Surface
from tessera.flows.world import CallLimits, World, date_of
from tessera.http.app import build_app
from tessera.ports import Deployment, ProbedImage
from tessera.settings import load_settings
from tessera.settings.rows import catalogue_of, price_book_of

WALL_START_US = 1_795_000_000_000_000
"""19 November 2026: every run begins at the same moment."""

STEPS_MAX = 60_000
REST_S = 45.0
REVOKED_WITHIN_S = 5.0
CALM_S = 15.0
"""How long the disk must have been well for what is promised of revoked keys (faults F28)."""

KINDS: dict[str, float] = {
    **dict.fromkeys(BEFORE_HEAD, 0.12),
    **dict.fromkeys(BODY_FAULTS, 0.1),
    **dict.fromkeys(USAGE_FAULTS, 0.15),
    **dict.fromkeys(TIER_FAULTS, 0.15),
    **dict.fromkeys(TURN_FAULTS, 0.02),
    "read fails": 0.05,
    "database cannot be opened": 0.1,
    "outage": 0.02,
    "outbox unwritable": 0.05,
    "disk slow": 0.05,
    "provider slow": 0.1,
    "client leaves": 0.4,
    "client leaves at a piece": 0.05,
    "client leaves at a step": 0.01,
    "client slow": 0.05,
    "image gone": 0.3,
    "process killed": 0.6,
    "process killed at a step": 0.0005,
    "torn outbox line": 0.5,
    "graceful restart": 0.6,
    "clock jumps forward": 0.6,
    "clock jumps back": 0.6,
    "credit added beside": 0.9,
    "key revoked beside": 0.5,
    "command killed": 0.02,
    "lot expires": 0.8,
}
"""How likely each thing is where it can happen, in a run that has it at all."""

_NOT_FIRED_BY_NAME = {"outage", "client leaves", "client leaves at a piece", "client leaves at a step"}
FAULTS = (
    {kind for kind in KINDS if kind not in _NOT_FIRED_BY_NAME}
    | set(WEATHERS)
    | {"client leaves before the head", "client leaves mid-stream", "same key again", "reply replayed"}
)
"""Every kind of fault; the tests show that each one fires."""


DISK_FAULTS = {*TURN_FAULTS, *WEATHERS, "read fails", "disk slow"}


@functools.cache
def _rules() -> tuple[Any, Any]:
    settings = load_settings({})
    catalogue = catalogue_of(settings)
    return catalogue, price_book_of(settings, catalogue)


@functools.cache
def _template() -> tempfile.TemporaryDirectory[str]:
    """A data folder with secrets and schema, copied for every run."""
    folder = tempfile.TemporaryDirectory(prefix="tessera-simulation-", dir=_memory())
    path = Path(folder.name)
    (path / "pepper").write_bytes(b"p" * 32)
    (path / "checkpoint-key").write_bytes(b"c" * 32)
    load_secrets(path)
    create_file(path / DATABASE_FILE)
    connection = connect(path / DATABASE_FILE, writable=True)
    migrate(connection)
    connection.close()
    return folder


def _memory() -> str | None:
    """A folder in memory, where there is one."""
    return "/dev/shm" if Path("/dev/shm").is_dir() else None


class SimMedia:
    """Images by their address: `…/640x480.png`. Implements the `Media` port."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    async def probe(self, images: tuple[ImagePart, ...]) -> tuple[ProbedImage, ...]:
        await self._process.pause(5.0)
        if self._process.simulation.strikes("image gone"):
            self._process.simulation.fired("image gone")
            raise TesseraError(ErrorCode.FAILED_TO_DOWNLOAD_IMAGE, "The image could not be downloaded.")
        probed = []
        for image in images:
            width, _, height = image.url.rpartition("/")[2].removesuffix(".png").partition("x")
            size = {"width": int(width), "height": int(height), "size_bytes": 67, "content": b"simulated"}
            probed.append(ProbedImage(index=image.index, source="url", format="png", orientation=1, **size))
        return tuple(probed)


class SimClock:
    """The `Clock` of flows, on virtual time."""

    def __init__(self, time: VirtualTime) -> None:
        self._time = time

    def now_us(self) -> int:
        return self._time.wall_us()

    def today(self) -> Any:
        return date_of(self._time.wall_us())

    def monotonic_ms(self) -> int:
        return int(self._time.now * 1000)


class Process:
    """One life of a server, or of a command beside it."""

    def __init__(self, simulation: "Simulation", name: str) -> None:
        self.simulation = simulation
        self.name = name
        self.loop = SimLoop(simulation.time, simulation.random, shuffled=simulation.shuffled)
        self.disk = Disk(self)
        self.storage: SqliteStorage | None = None
        self.world: World | None = None
        self.app: Any = None
        self.dead = False
        self.stopping = False
        self.clients: list[Client] = []
        self.replies: list[Deed] = []
        self.calls: list[asyncio.Task[Any]] = []

    async def open(self) -> None:
        """Opens the ledger, as often as it takes."""
        simulation = self.simulation
        while self.storage is None:
            try:
                self.storage = await SqliteStorage.open(
                    simulation.folder, machine=self.disk.machine(simulation.random.randbytes)
                )
            except TesseraError as error:
                claim(error.code is ErrorCode.STORAGE_UNAVAILABLE, f"opening the ledger: {error!r}")
                await asyncio.sleep(1)

    async def serve(self) -> None:
        """Opens the ledger and takes calls."""
        await self.open()
        simulation = self.simulation
        catalogue, prices = _rules()
        assert self.storage is not None
        self.world = World(
            storage=self.storage,
            media=SimMedia(self),
            providers={name: SimProvider(self, name) for name in ("first", "second", "sandbox")},
            catalogue=catalogue,
            prices=prices,
            deployments=DEPLOYMENTS,
            counter_for=counter_for,
            digest=simulation.digest,
            make_id=simulation.make_id,
            clock=SimClock(simulation.time),
            owner=self.storage.owner,
            limits=CallLimits(
                reply_bytes_max=40_000, stored_reply_bytes_max=simulation.random.choice((400, 40_000)), quote_seconds=60
            ),
        )
        self.app = build_app(self.world)

    async def stop(self) -> None:
        """Ends as a server ends on SIGTERM: running calls are cut, everything is settled, the ledger is closed."""
        self.stopping = True
        for task in self.calls:
            task.cancel()
        for task in self.calls:
            await asyncio.wait({task})
        if self.world is not None:
            await self.world.drain()
        if self.storage is not None:
            await self.storage.close()

    def take_call(self, plan: Plan) -> None:
        """Has a client make a call."""
        task = self.loop.create_task(self._call(plan))
        self.calls.append(task)
        self.simulation.running[task] = plan
        task.add_done_callback(self._ended)

    def _ended(self, task: "asyncio.Task[Any]") -> None:
        self.calls.remove(task)
        plan = self.simulation.running.pop(task)
        reply = None if task.cancelled() else task.result()
        self.simulation.call_ended(plan, reply)

    async def _call(self, plan: Plan) -> Any:
        headers = plan.headers
        if plan.quote_first:
            asked = b'{"url": "' + plan.path.encode() + b'", "body": ' + plan.body + b"}"
            quote = await Client(self, "POST", "/v1/quotes", plan.account, None).run(asked)
            if quote.complete and quote.status == 200:
                quote_id = quote.body.split(b'"id":"', 1)[1].split(b'"', 1)[0]
                headers = (*headers, (b"tessera-quote", quote_id))
                await self.pause(90)
        return await Client(self, "POST", plan.path, plan.account, plan).run(plan.body, headers)

    async def pause(self, longest_s: float, *, slowly: str | None = None) -> None:
        """Takes a moment."""
        random = self.simulation.random
        if slowly is not None:
            if not self.simulation.strikes(slowly):
                longest_s = 0.05
            else:
                self.simulation.fired(slowly)
        draw = random.random()
        await asyncio.sleep(0 if draw < 0.5 else longest_s * random.random() ** 3)

    def block_outbox(self, seconds: float) -> None:
        """The outbox cannot be written for a while: there is a folder in its place."""
        storage = self.storage
        if storage is None:
            return
        path = storage._committer.outbox.path
        if path.exists():
            return
        path.mkdir(parents=True)
        self.simulation.note("outbox blocked")
        self.simulation.at(seconds, path.rmdir)

    def check_alive(self) -> None:
        """Raises ProcessDiedError in a process that is dead."""
        if self.dead:
            raise ProcessDiedError

    def die(self, why: str) -> None:
        """Ends now: nothing of this process has an effect any more."""
        if not self.dead:
            self.dead = True
            self.simulation.note("dies", self.name, why)

    def bury(self) -> None:
        """What the kernel does for a dead process: its files are closed, its locks let go."""
        self.loop.run_dead()
        for connection in self.disk.connections:
            sqlite3.Connection.close(connection)
        if self.storage is not None:
            self.storage._committer.lease.drop()


def _said(reply: Reply) -> bytes:
    """A reply without what keeps its connection alive."""
    return reply.body.replace(b": keep-alive\n\n", b"")


def _deployment(provider: str, model: str, *surfaces: Surface) -> Deployment:
    return Deployment(
        name=f"{provider}/{model}", provider=provider, model=model, upstream_model=model, surfaces=surfaces
    )


DEPLOYMENTS = {
    "gpt-4o": (_deployment("first", "gpt-4o", Surface.CHAT), _deployment("second", "gpt-4o", Surface.CHAT)),
    "gpt-5.2": (
        _deployment("first", "gpt-5.2", Surface.CHAT, Surface.RESPONSES),
        _deployment("second", "gpt-5.2", Surface.RESPONSES),
    ),
    "gpt-5.2-pro": (_deployment("first", "gpt-5.2-pro", Surface.RESPONSES),),
}


@dataclass(frozen=True)
class Outcome:
    """What a run came to. `trace` is the hash of everything that happened, in order."""

    seed: int
    trace: str
    steps: int
    checks: int
    calls: int
    charged: int
    fired: Counter[str]
    violation: str | None
    log: tuple[str, ...]


class Simulation:
    """A run. `run` plays it and says what came of it."""

    def __init__(self, seed: int, odds: dict[str, float] | None = None) -> None:
        """`odds` are the chances of each kind of fault where it can happen; drawn from the seed if they are not given."""
        self.seed = seed
        self.random = Random(seed)
        self.time = VirtualTime(WALL_START_US)
        self.shuffled = self.random.random() < 0.5
        self.stormy = False
        self.odds = self._draw_odds() if odds is None else odds
        self.counts: Counter[str] = Counter()
        self.deeds: dict[str, list[Deed]] = {}
        self.running: dict[asyncio.Task[Any], Plan] = {}
        self.processes: list[Process] = []
        self.server: Process | None = None
        self.calls_ended = 0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._agenda_made = 0
        self._digest = hashlib.sha256()
        self._log: deque[str] = deque(maxlen=4000)
        self._dirty = False
        self._steps = 0
        self._accounts: list[Account] = []
        self._revoked: dict[str, float] = {}
        self._disk_failed_at = 0.0
        self._lots_known: set[str] = set()
        self._credits_tried = 0
        self._refused: list[str] = []
        self._replayable: dict[tuple[str, str, str], tuple[str, bytes]] = {}

    def _draw_odds(self) -> dict[str, float]:
        """Each run has some kinds of fault, rare or common; a few runs have none."""
        if self.random.random() < 0.04:
            return {}
        share = self.random.choice((0.1, 0.3, 0.6))
        return {
            kind: chance * self.random.choice((0.3, 1, 1, 2))
            for kind, chance in KINDS.items()
            if self.random.random() < share
        }

    # ---- what everything else asks ----------------------------------------------------------------------------------

    def strikes(self, kind: str) -> bool:
        """Whether a fault of this kind happens here."""
        chance = self.odds.get(kind, 0.0)
        return self.stormy and chance > 0 and self.random.random() < chance

    def fired(self, kind: str) -> None:
        """Notes that a fault has happened."""
        self.counts[kind] += 1
        if kind in DISK_FAULTS:
            self._disk_failed_at = self.time.now
        self.note("fault", kind)

    def note(self, *words: object) -> None:
        """Adds to the trace."""
        line = f"{self.time.now:.6f} {' '.join(map(str, words))}"
        self._digest.update(line.encode())
        self._log.append(line)

    def committed(self) -> None:
        """A commit has happened: the ledger is to be looked at before anything else does."""
        self._dirty = True

    def make_id(self, prefix: str) -> str:
        """An id by virtual time and seeded randomness."""
        return make_id(prefix, self.time.wall_us() // 1000, self.random.randbytes(10))

    def digest(self, key: str) -> bytes:
        """What the database knows a key by."""
        return key_digest(key, b"p" * 32)

    def at(self, delay: float, action: Callable[[], None]) -> None:
        """Has something happen later."""
        self._agenda_made += 1
        heapq.heappush(self._agenda, (self.time.now + delay, self._agenda_made, action))

    def waiting_in_outbox(self) -> dict[str, tuple[str, int]]:
        """Settlements that are durable outside the database: hold, outcome and charge."""
        found: dict[str, tuple[str, int]] = {}
        for path in outboxes(self.folder).values():
            if path.is_file():
                for event in read_outbox(path)[0]:
                    found[event.hold_id] = (event.outcome.value, event.charge_nanos)
        return found

    # ---- the run ----------------------------------------------------------------------------------------------------

    def run(self) -> Outcome:
        """Plays the whole run. Never raises for a violation: it is in the outcome."""
        violation: str | None = None
        violations.clear()
        undo = finish_generators()
        gc.disable()
        holder = tempfile.TemporaryDirectory(prefix="tessera-simulation-", dir=_memory())
        self.folder = Path(holder.name) / "data"
        shutil.copytree(_template().name, self.folder)
        self.checker = Checker(self, self.folder / DATABASE_FILE)
        try:
            with structlog.testing.capture_logs() as logs:
                try:
                    self._play()
                    self.counts["outbox unwritable"] += sum(e["event"] == "ledger.outbox_failed" for e in logs)
                except ViolationError as error:
                    violation = str(error)
                except BaseException:
                    self._log.extend(str(entry) for entry in logs[-20:])
                    raise
                self._log.extend(str(entry) for entry in logs[-20:])
        finally:
            for process in self.processes:
                process.dead = True
                process.bury()
            self.checker.close()
            holder.cleanup()
            gc.enable()
            undo()
        charged = sum(1 for _, charge in self.checker._outcomes.values() if charge)
        return Outcome(
            self.seed,
            self._digest.hexdigest(),
            self._steps,
            self.checker.checks,
            self.calls_ended,
            charged,
            self.counts,
            violation,
            tuple(self._log),
        )

    def _play(self) -> None:
        self._begin()
        self.stormy = True
        self._until(self._at_rest, "the run")
        self.stormy = False
        for process in self.processes:
            process.disk.calm()
        if self.server is None:
            self._start_server()
        end = self.time.now + REST_S
        self._until(lambda: self.time.now >= end and self._at_rest(), "coming to rest")
        self._at_the_end()

    def _begin(self) -> None:
        """A server, organizations with little money, and everything that is to happen."""
        random = self.random
        self._start_server()
        server = self.server
        assert server is not None
        self._until(lambda: server.app is not None, "the start")
        self._complete(self._make_accounts())
        keys = [f"key-{number}" for number in range(random.randint(1, 6))]
        plans: list[Plan] = []
        for _ in range(random.randint(8, 30)):
            again = [plan for plan in plans if plan.idempotency_key is not None]
            plan = random.choice(again) if again and random.random() < 0.15 else None
            plan = plan or draw_plan(random, self._accounts, keys)
            plans.append(plan)
            self.at(random.expovariate(1 / 8), functools.partial(self._arrive, plan))
        span = 30.0
        happenings: dict[str, Callable[[], None]] = {
            "process killed": functools.partial(self._kill_server, "process killed"),
            "graceful restart": self._restart_server,
            "clock jumps forward": functools.partial(self._jump, "clock jumps forward", 1),
            "clock jumps back": functools.partial(self._jump, "clock jumps back", -1),
            "credit added beside": functools.partial(self._command, self._add_credit, "credit added beside"),
            "key revoked beside": functools.partial(self._command, self._revoke_key, "key revoked beside"),
        }
        for kind, happening in happenings.items():
            for _ in range(2):
                if random.random() < self.odds.get(kind, 0):
                    self.at(random.random() * span, happening)

    async def _make_accounts(self) -> None:
        assert self.server is not None
        storage = self.server.storage
        assert storage is not None
        random = self.random
        for number in range(random.randint(1, 2)):
            organization = await storage.create_organization(f"organization {number}")
            for _ in range(random.randint(1, 3)):
                expires = random.random() < self.odds.get("lot expires", 0)
                lot = await storage.add_credit(
                    organization.id,
                    Mode.LIVE,
                    random.choice((1_000_003, 5_000_000, 20_000_001, 300_000_000)),
                    kind=random.choice(("purchase", "promotion", "manual")),
                    note="simulated",
                    expires_at=self.time.wall_us() // 1_000_000 + random.randint(2, 40) if expires else None,
                )
                self._lots_known.add(lot.id)
            for mode in (Mode.LIVE, Mode.LIVE, Mode.TEST):
                key = make_key(mode, random.randbytes(32))
                stored = await storage.create_key(
                    organization.id, project="default", mode=mode, name="", digest=self.digest(key), display="…"
                )
                self._accounts.append(Account(organization.id, mode.value, key, stored.id))

    def _at_rest(self) -> bool:
        return not (self._agenda or self.running or any(p is not self.server for p in self.processes))

    def _until(self, done: Callable[[], bool], what: str) -> None:
        """Runs step after step until something is so."""
        while not done():
            claim(self._steps < STEPS_MAX, f"liveness: {what} took more than {STEPS_MAX} steps")
            self._step()

    def _step(self) -> None:
        ready = [process for process in self.processes if process.loop.has_ready()]
        if not ready:
            self._pass_time()
            return
        process = ready[0] if len(ready) == 1 else self.random.choice(ready)
        self._steps += 1
        chosen = process.loop.step()
        self.note("step", process.name, chosen)
        if self._dirty:
            self._dirty = False
            self.checker.check()
        if violations:
            raise ViolationError(violations[0])
        if process.loop.problems and not process.dead:
            claim(False, f"a task failed unseen: {process.loop.problems}")
        if process.dead:
            self._bury(process)
            return
        if process is self.server:
            if process.clients and self.strikes("client leaves at a step"):
                self.random.choice(process.clients).leave()
            if self.strikes("process killed at a step"):
                self._kill_server("process killed at a step")

    def _pass_time(self) -> None:
        times = [when for process in self.processes if (when := process.loop.next_time()) is not None]
        if self._agenda:
            times.append(self._agenda[0][0])
        claim(bool(times), "liveness: nothing will ever happen again")
        self.time.now = max(self.time.now, min(times))
        for process in self.processes:
            process.loop.wake()
        while self._agenda and self._agenda[0][0] <= self.time.now:
            heapq.heappop(self._agenda)[2]()

    def _complete(self, work: Coroutine[Any, Any, Any]) -> Any:
        """Runs something in the server to its end."""
        assert self.server is not None
        task = self.server.loop.create_task(work)
        self._until(task.done, "a task")
        return task.result()

    # ---- what happens to processes ----------------------------------------------------------------------------------

    def _start_server(self) -> None:
        process = Process(self, f"server{len(self.processes)}-{self._steps}")
        self.processes.append(process)
        self.server = process
        process.loop.create_task(self._serve(process))

    async def _serve(self, process: Process) -> None:
        await process.serve()
        if not self.stormy:
            self.checker.no_orphans(self._alive(), "a process has opened the ledger")
        self.note("serves", process.name)

    def _alive(self) -> set[str]:
        return {process.storage.owner for process in self.processes if process.storage is not None and not process.dead}

    def _kill_server(self, why: str) -> None:
        if self.server is not None and self.server.app is not None:
            self.fired(why)
            self.server.die(why)
            self._bury(self.server)

    def _bury(self, process: Process) -> None:
        process.bury()
        self.processes.remove(process)
        for task in process.calls:
            self.call_ended(self.running.pop(task), None)
        process.calls.clear()
        if self.strikes("torn outbox line") and process.storage is not None:
            path = process.storage._committer.outbox.path
            if path.is_file():
                self.fired("torn outbox line")
                with path.open("ab") as file:
                    file.write(b'\n{"hold_id":"req_')
        if process is self.server:
            self.server = None
            self.at(self.random.random() * 5, self._revive)

    def _revive(self) -> None:
        if self.server is None:
            self._start_server()

    def _restart_server(self) -> None:
        server = self.server
        if server is None or server.app is None or server.stopping:
            return
        self.fired("graceful restart")
        server.stopping = True
        task = server.loop.create_task(server.stop())
        task.add_done_callback(functools.partial(self._stopped, server))

    def _stopped(self, server: Process, task: "asyncio.Task[Any]") -> None:
        task.result()
        owner = server.storage.owner if server.storage else ""
        if not self.odds:
            left = [hold for hold, holder in self.checker.open_holds() if holder == owner]
            claim(not left, f"a server ended and left holds open: {left}")
        server.dead = True

    def _jump(self, kind: str, direction: int) -> None:
        self.fired(kind)
        shift = direction * self.random.randrange(1, 20 * 3600) * 1_000_000
        limit = 20 * 3600 * 1_000_000
        self.time.wall_shift_us = max(-limit, min(limit, self.time.wall_shift_us + shift))

    def _command(self, work: Callable[[SqliteStorage], Coroutine[Any, Any, None]], kind: str) -> None:
        """A command beside the server: a process of its own, with its own luck."""
        process = Process(self, f"command{self._steps}")
        self.processes.append(process)
        self.fired(kind)

        async def run() -> None:
            await process.open()
            assert process.storage is not None
            if self.strikes("command killed"):
                self.fired("command killed")
                process.die("command killed")
                return
            try:
                await work(process.storage)
            except TesseraError as error:
                claim(error.code is ErrorCode.STORAGE_UNAVAILABLE, f"a command failed: {error!r}")
            await process.storage.close()
            process.dead = True

        process.loop.create_task(run())

    async def _add_credit(self, storage: SqliteStorage) -> None:
        account = self.random.choice(self._accounts)
        self._credits_tried += 1
        lot = await storage.add_credit(
            account.organization_id, Mode(account.mode), 7_000_001, kind="purchase", note="simulated"
        )
        self._lots_known.add(lot.id)

    async def _revoke_key(self, storage: SqliteStorage) -> None:
        account = self.random.choice(self._accounts)
        await storage.revoke_key(account.key_id)
        self._revoked.setdefault(account.key, self.time.now)

    # ---- what happens to calls --------------------------------------------------------------------------------------

    def _arrive(self, plan: Plan) -> None:
        server = self.server
        if server is None or server.app is None or server.stopping:
            self.call_ended(plan, None)
            return
        if plan.idempotency_key is not None and plan.tries:
            self.fired("same key again")
        revoked_at = self._revoked.get(plan.account.key, self.time.now)
        if min(self.time.now - revoked_at - REVOKED_WITHIN_S, self.time.now - self._disk_failed_at - CALM_S) > 0:
            plan = replace(plan, revoked=True)
        server.take_call(plan)

    def call_ended(self, plan: Plan, reply: Any) -> None:
        """A client has its reply, or has lost its connection, or has left."""
        self.calls_ended += 1
        status = reply.status if reply is not None and reply.complete else 0
        self.note("ended", plan.path, status, plan.tries)
        if status:
            self._check_reply(plan, reply)
        if (status in RETRY_STATUSES or status == 0) and plan.idempotency_key and plan.tries < RETRIES_MAX:
            again = replace(plan, tries=plan.tries + 1, quote_first=False)
            self.at(0.5 + self.random.random() * 8, functools.partial(self._arrive, again))

    def _check_reply(self, plan: Plan, reply: Any) -> None:
        request_id = reply.headers["x-request-id"]
        claim(not plan.revoked or reply.status != 200, f"F28: {request_id} was served with a key revoked before")
        claim(
            reply.status != 500, f"{request_id} was answered with 500: {reply.body[:300]!r}"
        ) if not self.odds else None
        if reply.status != 200:
            self._refused.append(request_id)
            return
        claim("tessera-price-max" in reply.headers, f"{request_id} does not say what it could cost")
        if plan.idempotency_key is None:
            return
        replayed = reply.headers.get("tessera-replayed")
        place = (plan.account.organization_id, plan.account.mode, plan.idempotency_key)
        if replayed is not None:
            self.fired("reply replayed")
            first = self._replayable.get(place)
            if first is not None and first[0] == replayed:
                claim(first[1] == _said(reply), f"{replayed} was replayed with other bytes")
        elif b'"error"' not in reply.body:
            self._replayable[place] = (request_id, _said(reply))

    # ---- the end ----------------------------------------------------------------------------------------------------

    def _at_the_end(self) -> None:
        """All faults have ended: everything is resolved, audited, and repeats change nothing."""
        server = self.server
        assert server is not None
        assert server.storage is not None
        assert server.world is not None
        checker = self.checker
        claim(not server.world.tasks, f"liveness: work is left over: {server.world.tasks}")
        claim(not checker.open_holds(), f"liveness: holds are still open: {checker.open_holds()}")
        claim(not self.waiting_in_outbox(), f"liveness: settlements wait in the outbox: {self.waiting_in_outbox()}")
        refused = checker.connection.execute("SELECT hold_id, reason FROM refused_settlement").fetchall()
        claim(not refused, f"settlements were refused: {refused}")
        for request_id in self._refused:
            found = checker.outcome(request_id)
            claim(found is None or found[1] == 0, f"{request_id} was refused and charged {found}")
        for deed in server.replies:
            claim(deed.closings == 1, f"the reply of {deed.request_id} was closed {deed.closings} times")
        lots = {row[0] for row in checker.connection.execute("SELECT id FROM lot")}
        claim(self._lots_known <= lots, f"acknowledged credit is gone: {self._lots_known - lots}")
        test_lots = sum(1 for account in self._accounts if account.mode == "test")
        made = len(lots) - test_lots
        acknowledged = len(self._lots_known)
        claim(acknowledged <= made <= acknowledged + self._credits_tried, f"I5: {made} lots for {acknowledged} credits")
        if checker.connection.execute("SELECT count(*) FROM credit WHERE kind = 'expiry'").fetchone()[0]:
            self.fired("lot expires")
        self._complete(self._repeat_everything(server.storage))
        self._complete(self._audit(server.storage))
        self._complete(server.stop())
        claim(not checker.open_holds(), "a hold was left open by a server that ended")

    async def _repeat_everything(self, storage: SqliteStorage) -> None:
        """I10: settling again what is settled, and sweeping again, changes no row."""
        await storage.sweep()
        before = self.checker.everything()
        for account in self._accounts:
            mode = Mode(account.mode)
            for hold_id in sorted(self.checker._outcomes):
                record = await storage.find_request(account.organization_id, mode, hold_id)
                if record is not None and record.event is not None:
                    await storage.settle(record.event)
        await storage.sweep()
        claim(self.checker.everything() == before, "I10: a repeat changed the ledger")

    async def _audit(self, storage: SqliteStorage) -> None:
        wrong = [f"{check.name}: {check.detail}" for check in await storage.verify() if not check.ok]
        claim(not wrong, f"verify: {wrong}")
