"""The database's machine: real SQLite on a real file, whose calls fail, lie, dawdle or kill when told to."""

import asyncio
import sqlite3
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, ClassVar

from simulation.faults import COMMIT_FAULTS, TURN_FAULTS, WEATHERS
from simulation.loop import ProcessDiedError, SimLoop
from tessera.adapters.storage.ledger.committer import Committer
from tessera.adapters.storage.ledger.writer import LOOK_EVERY_S, Duties, Writer
from tessera.adapters.storage.sqlite import SqliteMachine

if TYPE_CHECKING:
    from simulation.process import Process

CALLS_BEFORE_FAILURE_MAX = 12
SLOWEST_TURN_S = 6.0
_MESSAGES = {
    "database locked": "database is locked",
    "disk full": "database or disk is full",
    "database read-only": "attempt to write a readonly database",
    "disk I/O error": "disk I/O error",
    "commit fails": "disk I/O error",
    "commit answer lost": "disk I/O error",
    "read fails": "disk I/O error",
    "database cannot be opened": "unable to open database file",
}
_WRITES = ("INSERT", "UPDATE", "DELETE")


class Disk:
    """What goes wrong below one process. A fault is armed for one turn of its writer, or lasts as weather does."""

    turn_faults: ClassVar[tuple[str, ...]] = TURN_FAULTS
    weathers: ClassVar[tuple[str, ...]] = WEATHERS
    calls_max: ClassVar[int] = CALLS_BEFORE_FAILURE_MAX

    def __init__(self, process: "Process") -> None:
        self.process = process
        self.connections: list[sqlite3.Connection] = []
        self._armed: str | None = None
        self._calls_left = 0
        self._weather: str | None = None
        self._weather_until = 0.0

    def machine(self, random: Callable[[int], bytes]) -> SqliteMachine:
        """The machine a storage runs on."""
        disk = self

        class Connection(FaultyConnection):
            below = disk

        def writer(committer: Committer, duties: Duties) -> Writer:
            return DrivenWriter(self, committer, duties)

        return SqliteMachine(
            clock=self.process.simulation.time.wall_us, random=random, connection=Connection, writer=writer
        )

    def before_turn(self) -> None:
        """Draws the fault of the next turn."""
        simulation = self.process.simulation
        self._armed = None
        if simulation.time.now >= self._weather_until:
            self._weather = None
        for kind in self.turn_faults:
            if simulation.strikes(kind):
                self._armed = kind
                self._calls_left = simulation.random.randrange(self.calls_max)
                break
        if simulation.strikes("outage"):
            self._weather = simulation.random.choice(self.weathers)
            self._weather_until = simulation.time.now + simulation.random.random() * 20
        if simulation.strikes("outbox unwritable"):
            self.process.block_outbox(simulation.random.random() * 15)

    def bury(self) -> None:
        """What the kernel does for a dead process: its files are closed."""
        for connection in self.connections:
            sqlite3.Connection.close(connection)

    def calm(self) -> None:
        """Ends all faults."""
        self._armed = self._weather = None

    def strike_open(self) -> None:
        """A connection is about to be made."""
        self._check_alive()
        if self._weather == "database cannot be opened" or self.process.simulation.strikes("database cannot be opened"):
            raise self._failure("database cannot be opened")

    def strike(self, sql: str, run: Callable[[], Any], *, writing: bool) -> Any:
        """Runs one call of a connection, or does to it what is armed."""
        self._check_alive()
        if not writing:
            if sql == "BEGIN" and self.process.simulation.strikes("read fails"):
                raise self._failure("read fails")
            return run()
        if self._weather is not None:
            self._bad_weather(sql, self._weather)
        kind = self._armed
        if kind in COMMIT_FAULTS and sql == "COMMIT":
            self._armed = None
            return self._strike_commit(kind, run)
        if kind is not None and kind not in COMMIT_FAULTS and self._is_hit(sql, kind):
            self._armed = None
            self._strike_call(kind)
        result = run()
        if sql == "COMMIT":
            self.process.simulation.committed()
        return result

    def _strike_call(self, kind: str) -> None:
        if kind == "killed inside a transaction":
            self._kill(kind)
        if kind == "constraint refuses":
            self.process.simulation.fired(kind)
            raise sqlite3.IntegrityError("CHECK constraint failed: simulated")
        raise self._failure(kind)

    def _is_hit(self, sql: str, kind: str) -> bool:
        if kind == "database locked":
            return sql == "BEGIN IMMEDIATE"
        if kind in ("disk full", "database read-only", "constraint refuses") and not sql.lstrip().startswith(_WRITES):
            return False
        if sql in ("ROLLBACK", "COMMIT"):
            return False
        self._calls_left -= 1
        return self._calls_left < 0

    def _strike_commit(self, kind: str, run: Callable[[], Any]) -> Any:
        simulation = self.process.simulation
        if kind == "killed before the commit":
            self._kill(kind)
        if kind == "commit fails":
            raise self._failure(kind)
        result = run()
        simulation.committed()
        if kind == "killed after the commit":
            self._kill(kind)
        if kind == "commit answer lost":
            raise self._failure(kind)
        return result

    def _bad_weather(self, sql: str, kind: str) -> None:
        if kind == "database locked":
            if sql == "BEGIN IMMEDIATE":
                raise self._failure(kind)
        elif kind == "commit fails":
            if sql == "COMMIT":
                raise self._failure(kind)
        elif kind == "database cannot be opened":
            if sql == "BEGIN IMMEDIATE":
                raise self._failure(kind)
        elif sql.lstrip().startswith(_WRITES):
            raise self._failure(kind)

    def _failure(self, kind: str) -> sqlite3.OperationalError:
        self.process.simulation.fired(kind)
        return sqlite3.OperationalError(_MESSAGES[kind])

    def _kill(self, kind: str) -> None:
        self.process.simulation.fired(kind)
        self.process.die(kind)
        raise ProcessDiedError

    def _check_alive(self) -> None:
        if self.process.dead:
            raise ProcessDiedError


class FaultyConnection(sqlite3.Connection):
    """A real connection that asks its disk before every call."""

    below: ClassVar[Disk]

    def __init__(self, *args: Any, **options: Any) -> None:
        self.below.strike_open()
        super().__init__(*args, **options)
        self._writing = True
        self.below.connections.append(self)

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        if sql == "PRAGMA query_only = ON":
            self._writing = False
        run = super().execute
        result: sqlite3.Cursor = self.below.strike(sql, lambda: run(sql, parameters), writing=self._writing)
        return result

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        run = super().executemany
        result: sqlite3.Cursor = self.below.strike(sql, lambda: run(sql, parameters), writing=self._writing)
        return result


class DrivenWriter(Writer):
    """The ledger's writer without its thread: the simulated loop gives it its turns, now or later."""

    def __init__(self, disk: Disk, committer: Committer, duties: Duties) -> None:
        loop = asyncio.get_running_loop()
        assert isinstance(loop, SimLoop)
        self._disk = disk
        self._loop = loop
        self._last = loop.create_future()
        self._scheduled = False
        super().__init__(committer, duties, monotonic=loop.time)

    def start(self) -> None:
        self._loop.call_later(LOOK_EVERY_S, self._tick)

    async def ended(self) -> None:
        self._schedule()
        await self._last

    def _hand_in(self, waiting: Any) -> "asyncio.Future[Any]":
        future = super()._hand_in(waiting)
        self._schedule()
        return future

    def _tick(self) -> None:
        if not self._last.done():
            self._schedule()
            self._loop.call_later(LOOK_EVERY_S, self._tick)

    def _schedule(self) -> None:
        if self._scheduled or self._last.done():
            return
        self._scheduled = True
        simulation = self._disk.process.simulation
        delay = simulation.random.random() * 0.002
        if simulation.strikes("disk slow"):
            simulation.fired("disk slow")
            delay = simulation.random.random() * SLOWEST_TURN_S
        self._loop.call_later(delay, self._turn)

    def _turn(self) -> None:
        self._scheduled = False
        self._disk.before_turn()
        if not self.turn(0) and not self._last.done():
            self._last.set_result(None)
