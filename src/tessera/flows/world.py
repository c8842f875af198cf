"""Everything a flow reaches the world through, in one place; made by the composition root."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Hashable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any, Protocol

import msgspec

from tessera.catalog.catalogue import Catalogue
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.pricing.book import PriceBook
from tessera.domain.request import Surface
from tessera.domain.routing import Health
from tessera.domain.usage import OnCancel
from tessera.flows.usage.live import Live
from tessera.flows.volumes import Volumes
from tessera.ports import Deployment, Media, Provider, Storage, TextCounter


class Clock(Protocol):
    """Wall time for records and prices, monotonic time for durations."""

    def now_us(self) -> int:
        """Microseconds since 1970."""
        ...

    def today(self) -> date:
        """Today in UTC: the day prices and image rules are looked up for."""
        ...

    def monotonic_ms(self) -> int:
        """Milliseconds that never jump."""
        ...


class RunningCall(Protocol):
    """A held call that has not ended. `key_id` is the API key it runs under."""

    @property
    def key_id(self) -> str: ...

    def cut(self) -> None:
        """Ends it now, unless it is being settled already."""
        ...


class CallLimits(msgspec.Struct, frozen=True, kw_only=True):
    """Bounds on what one call may make Tessera do."""

    body_bytes_max: int = 64 * 1024 * 1024
    body_seconds_max: int = 30
    reply_bytes_max: int = 64 * 1024 * 1024
    call_seconds_max: int = 3600
    stored_reply_bytes_max: int = 1024 * 1024
    attempts_max: int = 3
    ejection_seconds: int = 30
    quote_seconds: int = 900
    keep_alive_seconds: int = 15
    forward_images: str = "inline"
    read_on_calls_max: int = 64
    read_on_seconds_max: int = 120
    read_on_bytes_max: int = 8 * 1024 * 1024


def _unknown(_provider: str, _surface: Surface, _as_of: date) -> OnCancel:
    return OnCancel.UNKNOWN


def _nobody_notes(_provider: str, _status: int) -> None:
    return None


@dataclass(slots=True)
class World:
    """The ports, the data and the limits every flow works with.

    `deployments` lists, by canonical model id, what can serve live calls, best first. `digest` turns an API key into
    what the database looks up. `owner` names this process as the one whose heartbeat keeps its holds alive. `health`
    holds, by name, deployments and providers that failed since they last served. `counts_at_once` says of an encoding
    whether its vocabulary is in memory; where it must be read first, a thread counts. `stopping` is set when the time
    for calls in flight is over: from then on a cancelled call was cut by us, not left by its client. `on_cancel` says
    what a provider bills on a surface for an answer that is not read to its end, `reading_on` are the tasks that read
    such answers to their end after their client has left. `calls` are those that are held, by request id;
    `live` are those who listen to what happens, `volumes` what organizations were charged lately. `credential_rejected`
    notes that a provider refused its credential, and with which status; `providers` and, by `deploy`, `deployments` are
    put in place anew when stored credentials change. `offers` are remembered plans and price rows (`quoting.offer`).
    """

    storage: Storage
    media: Media
    providers: Mapping[str, Provider]
    catalogue: Catalogue
    prices: PriceBook
    deployments: Mapping[str, tuple[Deployment, ...]]
    counter_for: Callable[[str], TextCounter]
    digest: Callable[[str], bytes]
    make_id: Callable[[str], str]
    clock: Clock
    owner: str
    limits: CallLimits = field(default_factory=CallLimits)
    tasks: set[asyncio.Task[Any]] = field(default_factory=set)
    health: dict[str, Health] = field(default_factory=dict)
    quarantined: Counter[str] = field(default_factory=Counter)
    counts_at_once: Callable[[str], bool] = lambda _: True
    stopping: bool = False
    on_cancel: Callable[[str, Surface, date], OnCancel] = _unknown
    calls: dict[str, RunningCall] = field(default_factory=dict)
    reading_on: set[asyncio.Task[Any]] = field(default_factory=set)
    live: Live = field(default_factory=Live)
    volumes: Volumes = field(default_factory=Volumes)
    credential_rejected: Callable[[str, int], None] = _nobody_notes
    offers: dict[Hashable, Any] = field(default_factory=dict)

    def deploy(self, deployments: Mapping[str, tuple[Deployment, ...]]) -> None:
        """Puts other deployments in place; what was offered of those before is forgotten."""
        self.deployments = deployments
        self.offers.clear()

    def provider(self, name: str) -> Provider:
        """A provider by name. Raises [no_deployment] for one that was removed since the call was planned."""
        found = self.providers.get(name)
        if found is None:
            raise TesseraError(
                ErrorCode.NO_DEPLOYMENT, "The provider of this call was removed a moment ago. Try again."
            )
        return found

    def spawn(self, work: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs work that must end even when the call that started it is cancelled; awaited at shutdown."""
        task = asyncio.get_running_loop().create_task(work)
        self.tasks.add(task)
        task.add_done_callback(self.tasks.discard)
        return task

    async def drain(self) -> None:
        """Waits for all such work. Answers that are only read to learn their usage are not read any further."""
        for task in self.reading_on:
            task.cancel()
        while self.tasks:
            await asyncio.wait(self.tasks)


def date_of(time_us: int) -> date:
    """The UTC day of a time in microseconds since 1970."""
    return datetime.fromtimestamp(time_us // 1_000_000, UTC).date()
