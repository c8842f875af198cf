"""The servers of a run: one, or on PostgreSQL two, each with a place it comes back to when it died."""

import asyncio
import functools
from typing import TYPE_CHECKING, Any

from simulation.invariants import claim
from simulation.process import Process

if TYPE_CHECKING:
    from simulation.world import Simulation


class Replicas:
    """Which server is at which place. A place is a data folder of its own."""

    def __init__(self, simulation: "Simulation", count: int) -> None:
        self._simulation = simulation
        self.places: list[Process | None] = [None] * count
        self._owners: dict[str, int] = {}

    def start_missing(self) -> None:
        """Starts a server wherever there is none."""
        for place, server in enumerate(self.places):
            if server is None:
                self._start(place)

    @property
    def all_serve(self) -> bool:
        """Whether every place has a server that takes calls."""
        return all(server is not None and server.app is not None for server in self.places)

    def first(self) -> Process:
        """A server that takes calls. For moments in which all do."""
        server = self.places[0]
        assert server is not None
        return server

    def any(self) -> Process | None:
        """The server somebody meets who comes now."""
        return self.places[0] if len(self.places) == 1 else self._simulation.random.choice(self.places)

    def _start(self, place: int) -> None:
        simulation = self._simulation
        process = Process(simulation, f"server{len(simulation.processes)}-{simulation._steps}", place)
        simulation.processes.append(process)
        self.places[place] = process
        process.loop.create_task(self._serve(process)).add_done_callback(_served)

    async def _serve(self, process: Process) -> None:
        simulation = self._simulation
        await process.serve()
        assert process.storage is not None
        self._owners[process.storage.owner] = process.place
        if not simulation.stormy:
            # What a server left that lived elsewhere, its successor there ends.
            elsewhere = {owner for owner, place in self._owners.items() if place != process.place}
            simulation.checker.no_orphans(self._alive() | elsewhere, "a process has opened the ledger")
        simulation.note("serves", process.name)

    def _alive(self) -> set[str]:
        processes = self._simulation.processes
        return {process.storage.owner for process in processes if process.storage is not None and not process.dead}

    def kill(self, process: Process | None, why: str) -> None:
        """Ends a server as a crash does."""
        if process is not None and process.app is not None:
            self._simulation.fired(why)
            process.die(why)
            self.bury(process)

    def kill_any(self, why: str) -> None:
        """Ends one of the servers as a crash does."""
        self.kill(self.any(), why)

    def bury(self, process: Process) -> None:
        """Cleans up after a process that has ended; a server comes back after a while."""
        simulation = self._simulation
        process.bury()
        simulation.processes.remove(process)
        for task in process.calls:
            simulation.call_ended(simulation.running.pop(task), None)
        process.calls.clear()
        if simulation.strikes("torn outbox line") and process.storage is not None:
            path = process.storage._committer.outbox.path
            if path.is_file():
                simulation.fired("torn outbox line")
                with path.open("ab") as file:
                    file.write(b'\n{"hold_id":"req_')
        if process in self.places:
            place = self.places.index(process)
            self.places[place] = None
            simulation.at(simulation.random.random() * 5, functools.partial(self._revive, place))

    def _revive(self, place: int) -> None:
        if self.places[place] is None:
            self._start(place)

    def restart_any(self) -> None:
        """Stops one of the servers as an operator does who updates it."""
        server = self.any()
        if server is None or server.app is None or server.stopping:
            return
        self._simulation.fired("graceful restart")
        server.stopping = True
        task = server.loop.create_task(server.stop())
        task.add_done_callback(functools.partial(self._stopped, server))

    def _stopped(self, server: Process, task: "asyncio.Task[Any]") -> None:
        task.result()
        owner = server.storage.owner if server.storage else ""
        if not self._simulation.odds:
            left = [hold for hold, holder in self._simulation.checker.open_holds() if holder == owner]
            claim(not left, f"a server ended and left holds open: {left}")
        server.dead = True


def _served(task: "asyncio.Task[Any]") -> None:
    task.result()
