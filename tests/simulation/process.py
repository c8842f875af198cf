"""One life of a server or of a command: the real application on simulated ports, which can die at any step."""

import asyncio
from collections.abc import Sequence
from datetime import date
from typing import TYPE_CHECKING, Any

from simulation.client import Client, Plan
from simulation.invariants import claim
from simulation.loop import ProcessDiedError, SimLoop, VirtualTime
from simulation.provider import Deed, SimProvider
from simulation.rules import rules
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.tokenizers import counter_for
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import ImagePart, Surface
from tessera.domain.usage import OnCancel
from tessera.flows.cutting import watch_cuts
from tessera.flows.world import CallLimits, World, date_of
from tessera.http.app import build_app
from tessera.http.load import Load
from tessera.ports import Deployment, ProbedImage

if TYPE_CHECKING:
    from simulation.world import Simulation


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


def _on_cancel(provider: str, _surface: Surface, _as_of: date) -> OnCancel:
    """The second provider bills every answer in full; of the first nothing is known."""
    return OnCancel.BILLS_IN_FULL if provider == "second" else OnCancel.UNKNOWN


CALLS_MAX = 12
BODIES_BYTES_MAX = 1_000_000
"""Small enough that a server is sometimes asked for more than it carries."""


class SimMedia:
    """Images by their address: `…/640x480.png`. Implements the `Media` port."""

    def __init__(self, process: "Process") -> None:
        self._process = process

    async def probe(self, images: Sequence[ImagePart], take: object = None) -> tuple[ProbedImage, ...]:
        await self._process.pause(5.0)
        if self._process.simulation.strikes("image gone"):
            self._process.simulation.fired("image gone")
            raise TesseraError(ErrorCode.FAILED_TO_DOWNLOAD_IMAGE, "The image could not be downloaded.")
        probed = []
        for image in images:
            width, _, height = image.url.rpartition("/")[2].removesuffix(".png").partition("x")
            probed.append(
                ProbedImage(
                    index=image.index,
                    source="url",
                    format="png",
                    width=int(width),
                    height=int(height),
                    orientation=1,
                    size_bytes=67,
                    content=b"simulated",
                )
            )
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
    """One life of a server, or of a command beside it. `place` is that of its data folder."""

    def __init__(self, simulation: "Simulation", name: str, place: int) -> None:
        self.simulation = simulation
        self.name = name
        self.loop = SimLoop(simulation.time, simulation.random, shuffled=simulation.shuffled)  # type: ignore[abstract]
        self.place = place
        self.disk = simulation.engine.disk(self)
        self.storage: LedgerStorage | None = None
        self.world: World | None = None
        self.app: Any = None
        self.dead = False
        self.cuts: asyncio.Task[None] | None = None
        self.stopping = False
        self.clients: list[Client] = []
        self.replies: list[Deed] = []
        self.calls: list[asyncio.Task[Any]] = []

    async def open(self) -> None:
        """Opens the ledger, as often as it takes."""
        while self.storage is None:
            try:
                self.storage = await self.simulation.engine.open(self)
            except TesseraError as error:
                claim(error.code is ErrorCode.STORAGE_UNAVAILABLE, f"opening the ledger: {error!r}")
                await asyncio.sleep(1)

    async def serve(self) -> None:
        """Opens the ledger and takes calls."""
        await self.open()
        simulation = self.simulation
        catalogue, prices = rules(simulation.operator_prices)
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
                reply_bytes_max=40_000,
                stored_reply_bytes_max=simulation.random.choice((400, 40_000)),
                quote_seconds=60,
                read_on_calls_max=2,
                read_on_seconds_max=10,
                read_on_bytes_max=20_000,
            ),
            on_cancel=_on_cancel,
        )
        self.cuts = asyncio.get_running_loop().create_task(watch_cuts(self.world))
        self.app = build_app(self.world, Load(CALLS_MAX, BODIES_BYTES_MAX))

    async def stop(self) -> None:
        """Ends as a server ends on SIGTERM: running calls are cut, everything is settled, the ledger is closed."""
        self.stopping = True
        if self.cuts is not None:
            self.cuts.cancel()
        if self.world is not None:
            self.world.stopping = True
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
        self.disk.bury()
        if self.storage is not None:
            self.storage._committer.lease.drop()
