"""The database a run works on: what differs between SQLite and PostgreSQL, and nothing else."""

import shutil
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from simulation.disk import Disk
from simulation.faults import FAULTS, KINDS
from simulation.folder import template
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.adapters.storage.sqlite.connection import DATABASE_FILE

if TYPE_CHECKING:
    from simulation.process import Process
    from simulation.world import Simulation


class Look(Protocol):
    """How the checker looks at the rows."""

    def execute(self, sql: str, parameters: Any = (), /) -> Any:
        """Runs one statement."""
        raise NotImplementedError


class Engine(Protocol):
    """One kind of database. `replicas` servers work beside each other; `kinds` are the faults a run may draw and how
    likely they are, `faults` the names of all that can fire, `failures` those after which promises about time pause."""

    name: str
    replicas: int
    kinds: dict[str, float]
    faults: set[str]

    def begin(self, simulation: "Simulation") -> Look:
        """Makes a ledger of its own for a run."""
        raise NotImplementedError

    def end(self) -> None:
        """Removes it."""
        raise NotImplementedError

    def data_dir(self, simulation: "Simulation", place: int) -> Path:
        """The data folder of a process at this place."""
        raise NotImplementedError

    def disk(self, process: "Process") -> Disk:
        """What goes wrong below a process."""
        raise NotImplementedError

    async def open(self, process: "Process") -> LedgerStorage:
        """Opens the ledger. Raises [storage_unavailable]."""
        raise NotImplementedError

    def happenings(self, simulation: "Simulation") -> dict[str, Any]:
        """What may befall this database at a moment of a run, by kind of fault."""
        raise NotImplementedError


class SqliteEngine:
    """A file in memory, one server."""

    name = "sqlite"
    replicas = 1
    kinds = KINDS
    faults = FAULTS

    def begin(self, simulation: "Simulation") -> Look:
        """See `Engine`."""
        shutil.copytree(template().name, simulation.folder)
        database = simulation.folder / DATABASE_FILE
        self._look = sqlite3.connect(
            f"{database.as_uri()}?mode=ro", uri=True, isolation_level=None, cached_statements=64
        )
        return self._look

    def end(self) -> None:
        """See `Engine`."""
        self._look.close()

    def data_dir(self, simulation: "Simulation", _place: int) -> Path:
        """See `Engine`."""
        return simulation.folder

    def disk(self, process: "Process") -> Disk:
        """See `Engine`."""
        return Disk(process)

    async def open(self, process: "Process") -> SqliteStorage:
        """See `Engine`."""
        simulation = process.simulation
        return await SqliteStorage.open(
            simulation.folder, machine=process.disk.machine(simulation.random.randbytes), limits=simulation.limits
        )

    def happenings(self, _simulation: "Simulation") -> dict[str, Any]:
        """See `Engine`."""
        return {}
