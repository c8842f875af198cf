"""One seeded world: processes that live and die on one ledger, their clients and providers, and what befalls them."""

import asyncio
import functools
import gc
import hashlib
import heapq
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Coroutine
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import structlog

from memory_folder import memory_folder
from simulation.client import RETRIES_MAX, RETRY_STATUSES, Account, Plan, draw_plan
from simulation.ending import check_the_end
from simulation.engine import Engine, SqliteEngine
from simulation.faults import DISK_FAULTS
from simulation.folder import PEPPER
from simulation.happenings import add_credit, command, jump, make_accounts, revoke_key, revoke_key_now
from simulation.invariants import Checker, ViolationError, claim, violations
from simulation.limits import limit
from simulation.loop import VirtualTime, finish_generators
from simulation.losses import draw_limits, resume, suspend
from simulation.process import Process
from simulation.provider import Deed
from simulation.replicas import Replicas
from simulation.replies import check_reply
from tessera.adapters.storage.ledger.outbox import outboxes, read_outbox
from tessera.domain.auth import key_digest
from tessera.domain.ids import make_id

WALL_START_US = 1_795_000_000_000_000
"""19 November 2026: every run begins at the same moment."""

STEPS_MAX = 60_000
REST_S = 45.0
REVOKED_WITHIN_S = 5.0
CALM_S = 15.0
"""How long the disk must have been well for what is promised of revoked keys (faults F28)."""


@dataclass(frozen=True)
class Outcome:
    """What a run came to. `trace` is the hash of everything that happened, in order."""

    seed: int
    engine: str
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

    def __init__(self, seed: int, odds: dict[str, float] | None = None, engine: Engine | None = None) -> None:
        """`odds` are the chances of each kind of fault where it can happen; without them the seed draws them."""
        self.engine: Engine = engine or SqliteEngine()
        self.seed = seed
        self.random = Random(seed)
        self.time = VirtualTime(WALL_START_US)
        self.shuffled = self.random.random() < 0.5
        self.operator_prices = self.random.random() < 0.5
        self.stormy = False
        self.limits = draw_limits(seed)
        self.odds = self._draw_odds() if odds is None else odds
        self.counts: Counter[str] = Counter()
        self.deeds: dict[str, list[Deed]] = {}
        self.running: dict[asyncio.Task[Any], Plan] = {}
        self.processes: list[Process] = []
        self.replicas = Replicas(self, self.engine.replicas)
        self.calls_ended = 0
        self._agenda: list[tuple[float, int, Callable[[], None]]] = []
        self._agenda_made = 0
        self._digest = hashlib.sha256()
        self._log: deque[str] = deque(maxlen=4000)
        self._dirty = False
        self._steps = 0
        self.accounts: list[Account] = []
        self.revoked: dict[str, float] = {}
        self._disk_failed_at = 0.0
        self.lots_known: set[str] = set()
        self.credits_tried = 0
        self.refused: list[str] = []
        self.replayable: dict[tuple[str, str, str], tuple[str, bytes]] = {}

    def _draw_odds(self) -> dict[str, float]:
        """Each run has some kinds of fault, rare or common; a few runs have none."""
        if self.random.random() < 0.04:
            return {}
        share = self.random.choice((0.1, 0.3, 0.6))
        return {
            kind: chance * self.random.choice((0.3, 1, 1, 2))
            for kind, chance in self.engine.kinds.items()
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
        return key_digest(key, PEPPER)

    def at(self, delay: float, action: Callable[[], None]) -> None:
        """Has something happen later."""
        self._agenda_made += 1
        heapq.heappush(self._agenda, (self.time.now + delay, self._agenda_made, action))

    def waiting_in_outbox(self) -> dict[str, tuple[str, int]]:
        """Settlements that are durable outside the database: hold, outcome and charge."""
        found: dict[str, tuple[str, int]] = {}
        for place in range(self.engine.replicas):
            for path in outboxes(self.engine.data_dir(self, place)).values():
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
        holder = tempfile.TemporaryDirectory(prefix="tessera-simulation-", dir=memory_folder())
        self.folder = Path(holder.name) / "data"
        self.checker = Checker(self, self.engine.begin(self))
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
            self.engine.end()
            holder.cleanup()
            gc.enable()
            undo()
        charged = sum(1 for _, charge in self.checker._outcomes.values() if charge)
        return Outcome(
            self.seed,
            self.engine.name,
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
        self.replicas.start_missing()
        end = self.time.now + REST_S
        self._until(lambda: self.time.now >= end and self._at_rest(), "coming to rest")
        check_the_end(self)

    def _begin(self) -> None:
        """A server, organizations with little money, and everything that is to happen."""
        random = self.random
        self.replicas.start_missing()
        self._until(lambda: self.replicas.all_serve, "the start")
        self.complete(make_accounts(self))
        keys = [f"key-{number}" for number in range(random.randint(1, 6))]
        plans: list[Plan] = []
        for _ in range(random.randint(8, 30)):
            again = [plan for plan in plans if plan.idempotency_key is not None]
            plan = random.choice(again) if again and random.random() < 0.15 else None
            plan = plan or draw_plan(random, self.accounts, keys)
            plans.append(plan)
            self.at(random.expovariate(1 / 8), functools.partial(self._arrive, plan))
        span = 30.0
        happenings: dict[str, Callable[[], None]] = {
            "process killed": functools.partial(self.replicas.kill_any, "process killed"),
            "graceful restart": self.replicas.restart_any,
            "clock jumps forward": functools.partial(jump, self, "clock jumps forward", 1),
            "clock jumps back": functools.partial(jump, self, "clock jumps back", -1),
            "credit added beside": functools.partial(
                command, self, functools.partial(add_credit, self), "credit added beside"
            ),
            "key revoked beside": functools.partial(
                command, self, functools.partial(revoke_key, self), "key revoked beside"
            ),
        }
        beside = {
            "organization suspended beside": suspend,
            "organization resumed beside": resume,
            "limits set beside": limit,
            "key revoked now beside": revoke_key_now,
        }
        for kind, work in beside.items():
            if kind in self.odds:
                happenings[kind] = functools.partial(command, self, functools.partial(work, self), kind)
        happenings |= self.engine.happenings(self)
        for kind, happening in happenings.items():
            for _ in range(2):
                if random.random() < self.odds.get(kind, 0):
                    self.at(random.random() * span, happening)

    def _at_rest(self) -> bool:
        return not (self._agenda or self.running or any(p not in self.replicas.places for p in self.processes))

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
            self.replicas.bury(process)
            return
        if process in self.replicas.places:
            if process.clients and self.strikes("client leaves at a step"):
                self.random.choice(process.clients).leave()
            if self.strikes("process killed at a step"):
                self.replicas.kill(process, "process killed at a step")

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

    def complete(self, work: Coroutine[Any, Any, Any], server: Process | None = None) -> Any:
        """Runs something in a server to its end."""
        task = (server or self.replicas.first()).loop.create_task(work)
        self._until(task.done, "a task")
        return task.result()

    # ---- what happens to calls --------------------------------------------------------------------------------------

    def _arrive(self, plan: Plan) -> None:
        server = self.replicas.any()
        if server is None or server.app is None or server.stopping:
            self.call_ended(plan, None)
            return
        if plan.idempotency_key is not None and plan.tries:
            self.fired("same key again")
        revoked_at = self.revoked.get(plan.account.key, self.time.now)
        if min(self.time.now - revoked_at - REVOKED_WITHIN_S, self.time.now - self._disk_failed_at - CALM_S) > 0:
            plan = replace(plan, revoked=True)
        server.take_call(plan)

    def call_ended(self, plan: Plan, reply: Any) -> None:
        """A client has its reply, or has lost its connection, or has left."""
        self.calls_ended += 1
        status = reply.status if reply is not None and reply.complete else 0
        self.note("ended", plan.path, status, plan.tries)
        if status:
            check_reply(self, plan, reply)
        if (status in RETRY_STATUSES or status == 0) and plan.idempotency_key and plan.tries < RETRIES_MAX:
            again = replace(plan, tries=plan.tries + 1, quote_first=False)
            self.at(0.5 + self.random.random() * 8, functools.partial(self._arrive, again))
