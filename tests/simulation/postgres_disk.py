"""What goes wrong between one process and a real PostgreSQL.

Most of it is done to the server, whose own errors the product then meets: connections are ended from its side, locks
are held by a rival, roles may not connect. What a test cannot bring about in a moment (a full disk) the server is told
to raise, on the connection of the product.
"""

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import psycopg
from psycopg.pq import TransactionStatus

from simulation.disk import Disk, DrivenWriter
from simulation.faults import COMMIT_FAULTS, POSTGRES_TURN_FAULTS, POSTGRES_WEATHERS
from simulation.invariants import claim
from tessera.adapters.storage.ledger.committer import Committer
from tessera.adapters.storage.ledger.writer import Duties, Writer
from tessera.adapters.storage.postgres import PostgresMachine

if TYPE_CHECKING:
    from simulation.postgres_engine import PostgresEngine
    from simulation.process import Process

_WRITES = ("INSERT", "UPDATE", "DELETE", "WITH")
_STATES = {
    "serialization failure": "40001",
    "deadlock": "40P01",
    "disk full": "53100",
    "constraint refuses": "23514",
}
_TIMEOUTS = {"lock timeout": ("lock_timeout", "5s"), "statement timeout": ("statement_timeout", "30s")}
_ADMISSIONS = {
    "too many connections": ("CONNECTION LIMIT 0", "CONNECTION LIMIT -1"),
    "server refuses": ("NOLOGIN", "LOGIN"),
    "database cannot be opened": ("NOLOGIN", "LOGIN"),
}
_RAISE = "DO $$ BEGIN RAISE EXCEPTION 'simulated' USING ERRCODE = '{state}'; END $$"


class PostgresDisk(Disk):
    """The faults of one process's connections."""

    turn_faults = POSTGRES_TURN_FAULTS
    weathers = POSTGRES_WEATHERS
    calls_max = 5

    def __init__(self, process: "Process", engine: "PostgresEngine") -> None:
        super().__init__(process)
        self._engine = engine
        self.drivers: list[FaultyDriver] = []

    def machine(self, random: Callable[[int], bytes]) -> PostgresMachine:
        """See `Disk.machine`."""
        disk = self

        class Driver(FaultyDriver):
            below = disk

        def writer(committer: Committer, duties: Duties) -> Writer:
            return DrivenWriter(self, committer, duties)

        return PostgresMachine(
            clock=self.process.simulation.time.wall_us,
            random=random,
            writer=writer,
            driver=Driver,
            pause=lambda _: None,
            undisturbed_min=2,
        )

    def bury(self) -> None:
        """See `Disk.bury`; the server notices at once."""
        drivers = [driver for driver in self.drivers if not driver.closed]
        self._engine.cut([driver.info.backend_pid for driver in drivers])
        for driver in drivers:
            driver.close()

    def before_turn(self) -> None:
        """See `Disk.before_turn`. Where nobody may connect any more, those who are connected are cut off first."""
        weather = self._weather
        super().before_turn()
        if self._weather != weather and self._weather in _ADMISSIONS:
            self._engine.cut([driver.info.backend_pid for driver in self.drivers if not driver.closed])

    def open(self, connect: "Callable[[], FaultyDriver]") -> "FaultyDriver":
        """Makes a connection, or lets the server refuse it."""
        self._check_alive()
        kind = self._weather if self._weather in _ADMISSIONS else "database cannot be opened"
        if kind != self._weather and not self.process.simulation.strikes(kind):
            driver = connect()
            self.drivers.append(driver)
            return driver
        closed, opened = _ADMISSIONS[kind]
        self._engine.admit(closed)
        self.process.simulation.fired(kind)
        try:
            driver = connect()
        finally:
            self._engine.admit(opened)
        driver.close()
        raise AssertionError(f"{kind}, and a connection was made all the same")

    def run(self, driver: "FaultyDriver", sql: str, run: Callable[[], Any]) -> Any:
        """Runs one statement, or does to it what is armed."""
        self._check_alive()
        driver.reset()
        if not driver.writing:
            if sql == "BEGIN" and self.process.simulation.strikes("read fails"):
                return self._cut(driver, "read fails", run)
            return run()
        commits = sql == "COMMIT" or (driver.info.transaction_status == TransactionStatus.IDLE and _is_group(sql))
        if self._weather == "commit fails" and commits:
            return self._cut(driver, self._weather, run)
        if self._weather in ("disk full", "database read-only") and _writes(sql):
            return self._strike_one(driver, self._weather, run)
        kind = self._armed
        if kind in COMMIT_FAULTS and commits:
            self._armed = None
            return self._strike_the_commit(driver, kind, run)
        if kind is not None and kind not in COMMIT_FAULTS and self._is_hit(sql, kind):
            self._armed = None
            return self._strike_one(driver, kind, run)
        result = run()
        if commits:
            self.process.simulation.committed()
        return result

    def _is_hit(self, sql: str, kind: str) -> bool:
        if kind in _TIMEOUTS:
            return "lock_wallets" in sql or _writes(sql)
        if kind in ("disk full", "database read-only", "constraint refuses"):
            return _writes(sql)
        if kind == "deadlock":
            return _is_group(sql)
        if sql in ("ROLLBACK", "COMMIT"):
            return False
        self._calls_left -= 1
        return self._calls_left < 0

    def _strike_the_commit(self, driver: "FaultyDriver", kind: str, run: Callable[[], Any]) -> Any:
        if kind == "killed before the commit":
            self._kill(kind)
        if kind == "commit fails":
            return self._cut(driver, kind, run)
        run()
        self.process.simulation.committed()
        if kind == "killed after the commit":
            self._kill(kind)
        return self._cut(driver, kind, lambda: driver.tell("SELECT 1"))

    def _strike_one(self, driver: "FaultyDriver", kind: str, run: Callable[[], Any]) -> Any:
        if kind == "killed inside a transaction":
            self._kill(kind)
        if kind == "connection killed":
            return self._cut(driver, kind, run)
        if kind in _TIMEOUTS:
            return self._time_out(driver, kind, run)
        if kind == "deadlock" and driver.info.transaction_status == TransactionStatus.INTRANS:
            return self._deadlock(driver, run)
        self.process.simulation.fired(kind)
        if kind == "database read-only":
            if driver.info.transaction_status == TransactionStatus.IDLE:
                driver.set_until_idle("default_transaction_read_only", "on", "off")
            else:
                driver.tell("SET LOCAL transaction_read_only = on")
            run()
        else:
            driver.tell(_RAISE.format(state=_STATES[kind]))
        raise AssertionError(f"{kind}, and the statement was run all the same")

    def _cut(self, driver: "FaultyDriver", kind: str, run: Callable[[], Any]) -> Any:
        """Runs something on a connection that the server has ended."""
        self.process.simulation.fired(kind)
        self._engine.cut([driver.info.backend_pid])
        run()
        raise AssertionError(f"{kind}, and the connection was still there")

    def _time_out(self, driver: "FaultyDriver", kind: str, run: Callable[[], Any]) -> Any:
        """Runs a statement that needs a wallet while somebody else has locked all of them."""
        with self._rival("SELECT id FROM wallet ORDER BY id FOR UPDATE") as rival:
            if rival is None:
                return run()
            setting, usual = _TIMEOUTS[kind]
            driver.set_until_idle(setting, "20ms", usual)
            try:
                return run()
            except psycopg.OperationalError:
                self.process.simulation.fired(kind)
                raise

    def _deadlock(self, driver: "FaultyDriver", run: Callable[[], Any]) -> Any:
        """Runs a statement that needs lots, which somebody has locked who waits for a wallet of this transaction."""
        with self._rival("SELECT id FROM lot ORDER BY id FOR UPDATE") as rival:
            if rival is None:
                return run()
            rival.pgconn.send_query(b"SELECT id FROM wallet ORDER BY id FOR UPDATE")
            rival.pgconn.flush()
            while rival.pgconn.is_busy() and not self._engine.is_waiting(rival.info.backend_pid):
                rival.pgconn.consume_input()
            try:
                return run()
            except psycopg.errors.DeadlockDetected:
                self.process.simulation.fired("deadlock")
                raise
            finally:
                self._engine.cut([rival.info.backend_pid])
                rival.close()

    @contextlib.contextmanager
    def _rival(self, lock: str) -> "Iterator[psycopg.Connection[Any] | None]":
        """Somebody else who has locked something; None if it is locked already."""
        rival = self._engine.rival()
        rival.execute("BEGIN")
        try:
            rival.execute("SET LOCAL lock_timeout = '100ms'")
            try:
                rival.execute(lock.encode())
            except psycopg.errors.LockNotAvailable:
                yield None
            else:
                rival.execute("SET LOCAL lock_timeout = 0")
                yield rival
        finally:
            if not rival.closed:
                rival.execute("ROLLBACK")


class FaultyDriver(psycopg.Connection[Any]):
    """A real connection that asks its disk before every statement."""

    below: ClassVar[PostgresDisk]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self.writing = True
        self._usual: dict[str, str] = {}

    @classmethod
    def connect(cls, conninfo: str = "", **options: Any) -> "FaultyDriver":  # type: ignore[override]
        """See `psycopg.Connection.connect`."""
        options["cursor_factory"] = FaultyCursor
        connect = super().connect
        return cls.below.open(lambda: connect(conninfo, **options))  # type: ignore[arg-type,return-value]

    def tell(self, sql: str) -> None:
        """Runs a statement of the simulation's own."""
        psycopg.RawCursor(self).execute(sql.encode())

    def set_until_idle(self, setting: str, value: str, usual: str) -> None:
        """Changes a setting until the transaction, or the statement, is over."""
        self.tell(f"SET {setting} = '{value}'")
        self._usual[setting] = usual

    def reset(self) -> None:
        """Puts settings back that were changed for one statement."""
        if self._usual and self.info.transaction_status == TransactionStatus.IDLE:
            for setting, usual in self._usual.items():
                self.tell(f"SET {setting} = '{usual}'")
            self._usual.clear()


class FaultyCursor(psycopg.RawCursor[Any]):
    """What the product runs its statements on."""

    def execute(self, query: Any, params: Any = None, **options: Any) -> "FaultyCursor":
        """See `psycopg.RawCursor.execute`."""
        sql = query.decode() if isinstance(query, bytes) else str(query)
        driver = self._driver
        if "'repeatable read'" in sql:
            driver.writing = False
        run = super().execute
        driver.below.run(driver, sql, lambda: run(query, params, **options))
        return self

    def executemany(self, query: Any, params_seq: Any, **options: Any) -> None:  # type: ignore[override]
        """See `psycopg.RawCursor.executemany`."""
        sql = query.decode() if isinstance(query, bytes) else str(query)
        run = super().executemany
        self._driver.below.run(self._driver, sql, lambda: run(query, params_seq, **options))

    @property
    def _driver(self) -> FaultyDriver:
        connection = self.connection
        claim(isinstance(connection, FaultyDriver), "a cursor of another connection")
        assert isinstance(connection, FaultyDriver)
        return connection


def _writes(sql: str) -> bool:
    return sql.lstrip().startswith(_WRITES)


def _is_group(sql: str) -> bool:
    """Whether it is the statement that writes what a group decided, or compares what it was decided on."""
    return sql.startswith(("WITH part0", "SELECT conflict("))
