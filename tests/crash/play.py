"""Plays a scene with the product's own application, ledger and provider client, and judges the money afterwards."""

import asyncio
import contextlib
import faulthandler
import fcntl
import json
import os
import sys
import threading
import time
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import msgspec

from crash.points import PROBE
from crash.scenes import Connection, Scene, Weather
from simulation.rules import rules
from tessera.adapters.media import GuardedFetch, MediaLimits, MediaProber
from tessera.adapters.providers.openai import OpenAIProvider
from tessera.adapters.storage.ledger import storage as storage_module
from tessera.adapters.storage.ledger import writer as writer_module
from tessera.adapters.storage.sqlite import SqliteMachine, SqliteStorage
from tessera.adapters.tokenizers import counter_for
from tessera.bootstrap import SystemClock, new_id
from tessera.domain.auth import key_digest, make_key
from tessera.domain.ledger.losses import LossLimits
from tessera.domain.ledger.orders import Outcome
from tessera.domain.money import Mode, parse_usd
from tessera.domain.request import Surface
from tessera.domain.usage import OnCancel
from tessera.flows.world import CallLimits, World
from tessera.http.app import build_app
from tessera.http.load import Load
from tessera.ports import Deployment, Page, UpstreamCall, UpstreamReply

PATIENCE_S = 10
LOCK_TRIES = 5
"""How often a lease tries to take its lock."""
# The ledger's thread looks again soon, so that what it puts off happens while the scene lasts.
writer_module.LOOK_EVERY_S = 0.01
writer_module.AGAIN_EVERY_S = storage_module.RETRY_EVERY_S = 0.01


def warm_up() -> None:
    """Reads what every process needs once, so that those forked off this one need not."""
    rules(False)
    counter_for("o200k_base")("one")


@dataclass(frozen=True)
class Account:
    """An organization, its key, and the credit it began with."""

    organization_id: str
    key: str
    credit_nanos: int


@dataclass
class Seen:
    """What the client got. `complete` with the last byte."""

    status: int = 0
    body: bytes = b""
    complete: bool = False

    def charge(self) -> tuple[str, int] | None:
        """Request id and charge of a complete answer that names them."""
        for line in self.body.decode().splitlines() if self.complete else ():
            with contextlib.suppress(ValueError, TypeError, KeyError, AttributeError):
                usage = json.loads(line.removeprefix("data: "))["usage"]
                return usage["request_id"], usage["charge_nanos"]
        return None


class SlowReply:
    """A real reply whose end takes a moment, as a port's may; counts how often it was closed."""

    def __init__(self, reply: UpstreamReply, stage: "Stage") -> None:
        self.status, self.headers, self._reply, self._stage = reply.status, reply.headers, reply, stage
        self.chunks = reply.chunks
        stage.opened += 1

    async def close(self) -> None:
        self._stage.closed += 1
        try:
            await asyncio.sleep(0)
        finally:
            await self._reply.close()


class SlowProvider:
    """The real provider client; see `SlowReply`."""

    def __init__(self, provider: OpenAIProvider, stage: "Stage") -> None:
        self._provider = provider
        self._stage = stage
        self.close = provider.close

    async def send(self, call: UpstreamCall) -> UpstreamReply:
        reply = SlowReply(await self._provider.send(call), self._stage)
        await self._stage.reached_provider(call.request_id)
        return reply


@dataclass
class Stage:
    """One life of a server on a data folder."""

    storage: SqliteStorage
    world: World
    addresses: tuple[str, str]
    clients: list[OpenAIProvider] = field(default_factory=list)
    scene: Scene | None = None
    account: Account | None = None
    opened: int = 0
    closed: int = 0
    app: Any = None
    task: "asyncio.Task[None] | None" = None
    seen: Seen = field(default_factory=Seen)

    async def reached_provider(self, request_id: str) -> None:
        """The call is on its way: from here on the database is as the scene wants it."""
        assert self.scene is not None
        assert self.account is not None
        weather = self.scene.database
        if weather in ("settlement unreachable", "settlement nowhere"):
            Weather.set("unreachable", 2 if weather == "settlement unreachable" else 4)
        if weather == "settlement nowhere":
            outbox = self.storage._committer.outbox.path
            outbox.mkdir()
            threading.Timer(0.05, outbox.rmdir).start()
        if weather == "bad settlement":
            Weather.set(weather, 2)
        if weather == "expired":
            # As the sweeper of another process does with a hold whose owner seems dead.
            from tessera.adapters.storage.ledger.group import VoidOrder

            await self.storage._running().order(
                VoidOrder(request_id, self.account.organization_id, Mode.LIVE, Outcome.EXPIRED)
            )

    async def play(self, scene: Scene, account: Account) -> Seen:
        """Makes the call of a scene and waits until nothing of it runs any more."""
        self.scene, self.account, self.seen = scene, account, Seen()
        self.world.stopping = False
        self.world.limits = _limits(scene)
        self.world.health.clear()
        on_cancel = OnCancel.BILLS_IN_FULL if scene.bills_in_full else OnCancel.UNKNOWN
        self.world.on_cancel = lambda provider, surface, as_of: on_cancel
        self.storage._committer._limits = LossLimits(loss_max_nanos=scene.loss_max_nanos)
        await self._connect_anew()
        if scene.database in ("hold unreachable", "bad hold"):
            Weather.set("unreachable" if scene.database == "hold unreachable" else "bad hold", 1)
        elif scene.database == "lease busy":
            self._lease_is_looked_at()
        self.task = asyncio.get_running_loop().create_task(self._call(scene, account))
        await asyncio.wait({self.task}, timeout=PATIENCE_S)
        if not self.task.done():
            for task in asyncio.all_tasks():
                task.print_stack(file=sys.stderr)
            faulthandler.dump_traceback()
            raise AssertionError(f"{scene.name}: the call never ended")
        Weather.set("")
        while self.world.reading_on and not scene.stops:
            await asyncio.wait(self.world.reading_on, timeout=PATIENCE_S)
        await asyncio.wait_for(self.world.drain(), PATIENCE_S)
        await self._nothing_waits()
        return self.seen

    async def _connect_anew(self) -> None:
        """No connection is left of the scene before; the second provider is given by its name, which is looked up."""
        await self.disconnect()
        names = ("first", "second")
        self.clients = [OpenAIProvider(address, "sk-of-the-provider") for address in self.addresses]
        providers = {name: SlowProvider(client, self) for name, client in zip(names, self.clients, strict=True)}
        self.world.providers = providers  # type: ignore[assignment]

    async def disconnect(self) -> None:
        """Closes the connections to the providers."""
        for client in self.clients:
            await client.close()

    def cut(self) -> None:
        """The client has left; or the server ends, and its time for calls in flight is over."""
        assert self.task is not None
        assert self.scene is not None
        if self.scene.stops:
            self.world.stopping = True
        self.task.cancel()

    async def _nothing_waits(self) -> None:
        committer, writer = self.storage._committer, self.storage._running()
        until = time.monotonic() + PATIENCE_S
        while committer.outbox.waiting or committer._doubtful or writer._undurable:
            assert time.monotonic() < until, "something still waits for the database"
            await asyncio.sleep(0.005)
        # The first turn may leave the void of a hold nobody took; the second one commits it.
        await self.storage._writer_call(lambda: None)
        await self.storage._writer_call(lambda: None)

    def _lease_is_looked_at(self) -> None:
        path = self.storage._data_dir / "processes" / f"{self.storage.owner}.lock"
        path.parent.mkdir(exist_ok=True)
        handle = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        fcntl.flock(handle, fcntl.LOCK_EX)
        tries = 0

        def let_go(point: str) -> None:
            nonlocal tries
            tries += point.startswith("lease._lock")
            if tries == LOCK_TRIES:
                PROBE.heard = None
                os.close(handle)

        PROBE.heard = let_go

    async def _call(self, scene: Scene, account: Account) -> None:
        headers = {"host": "test", "authorization": f"Bearer {account.key}", "content-type": "application/json"}
        if scene.key:
            headers["idempotency-key"] = f"key-{account.organization_id}"
        scope = {
            "type": "http",
            "method": "POST",
            "path": "/v1/chat/completions",
            "query_string": b"",
            "http_version": "1.1",
            "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
        }
        body = [scene.body()]
        over = asyncio.Event()

        async def receive() -> dict[str, Any]:
            if body:
                return {"type": "http.request", "body": body.pop(), "more_body": False}
            await over.wait()
            return {"type": "http.disconnect"}

        async def send(message: dict[str, Any]) -> None:
            await asyncio.sleep(0)
            if message["type"] == "http.response.start":
                self.seen = Seen(message["status"])
                return
            self.seen.body += message.get("body", b"")
            self.seen.complete = not message.get("more_body", False)

        with contextlib.suppress(asyncio.CancelledError):
            await self.app(scope, receive, send)
            if scene.twice:
                body.append(scene.body())
                await self.app(scope, receive, send)
        over.set()


def _limits(scene: Scene) -> CallLimits:
    limits = CallLimits(ejection_seconds=0, body_bytes_max=64 << 20)
    # Whole seconds are too long for a test.
    return msgspec.structs.replace(limits, keep_alive_seconds=scene.keep_alive_s, read_on_seconds_max=0.2)


def _deployment(provider: str) -> Deployment:
    return Deployment(
        name=f"{provider}/gpt-4o", provider=provider, model="gpt-4o", upstream_model="gpt-4o", surfaces=(Surface.CHAT,)
    )


@contextlib.asynccontextmanager
async def stage(folder: Path, addresses: tuple[str, str]) -> AsyncIterator[Stage]:
    """Opens a data folder as a server does."""
    catalogue, prices = rules(False)
    storage = await SqliteStorage.open(folder, machine=SqliteMachine(connection=Connection))
    limits = MediaLimits()
    fetch = GuardedFetch(limits, allow_private_networks=False, ports=(80, 443))
    world = World(
        storage=storage,
        media=MediaProber(fetch, limits),
        providers={},
        catalogue=catalogue,
        prices=prices,
        deployments={"gpt-4o": (_deployment("first"), _deployment("second"))},
        counter_for=counter_for,
        digest=lambda key: key_digest(key, storage.secrets.pepper),
        make_id=new_id,
        clock=SystemClock(),
        owner=storage.owner,
    )
    opened = Stage(storage, world, addresses)
    opened.app = build_app(world, Load(1000, 1 << 30))
    try:
        yield opened
    finally:
        await opened.disconnect()
        await fetch.close()
        await storage.close()


async def new_account(storage: SqliteStorage, credit: str) -> Account:
    """An organization of its own, with a live key."""
    organization = await storage.create_organization(new_id("org"))
    await storage.add_credit(organization.id, Mode.LIVE, parse_usd(credit), kind="manual", note="for a test")
    key = make_key(Mode.LIVE, os.urandom(32))
    digest = key_digest(key, storage.secrets.pepper)
    await storage.create_key(
        organization.id, project="default", mode=Mode.LIVE, name="test", digest=digest, display="sk-…"
    )
    return Account(organization.id, key, parse_usd(credit))


async def judge(storage: SqliteStorage, account: Account, seen: tuple[str, int] | None) -> list[str]:
    """What is wrong with the money of an account whose only call is over."""
    problems: list[str] = []
    mode = Mode.LIVE
    records = await storage.list_requests(account.organization_id, mode, Page(limit=10))
    if len(records) > 1:
        problems.append(f"one call left {len(records)} holds")
    for record in records:
        if record.state not in ("settled", "released", "expired") or record.event is None:
            problems.append(f"the hold is {record.state}, its event {record.event}")
        elif seen is not None and seen != (record.hold.id, record.event.charge_nanos):
            problems.append(f"the client was told {seen}, the ledger says {record.event.charge_nanos}")
        else:
            await storage.settle(record.event)
    if seen is not None and not records:
        problems.append(f"the client was told {seen}, and the ledger knows of nothing")
    before = await storage.balance(account.organization_id, mode)
    await storage.sweep()
    after = await storage.balance(account.organization_id, mode)
    charged = sum(record.event.charge_nanos for record in records if record.event)
    if before != after or after.held_nanos or after.spent_nanos != charged:
        problems.append(f"charged {charged}, but the balance is {before}, then {after}")
    if after.available_nanos + after.spent_nanos != account.credit_nanos:
        problems.append(f"{account.credit_nanos} became {after}")
    return problems
