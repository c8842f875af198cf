"""What befalls a world beside its calls: accounts, clocks that jump, commands that write beside the server."""

from collections.abc import Callable, Coroutine
from typing import TYPE_CHECKING, Any

from simulation.client import Account
from simulation.invariants import claim
from simulation.process import Process
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.auth import make_key
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.money import Mode

if TYPE_CHECKING:
    from simulation.world import Simulation


async def make_accounts(simulation: "Simulation") -> None:
    """Organizations with little money and a few keys."""
    storage = simulation.replicas.first().storage
    assert storage is not None
    random = simulation.random
    for number in range(random.randint(1, 2)):
        organization = await storage.create_organization(f"organization {number}")
        for _ in range(random.randint(1, 3)):
            expires = random.random() < simulation.odds.get("lot expires", 0)
            lot = await storage.add_credit(
                organization.id,
                Mode.LIVE,
                random.choice((1_000_003, 5_000_000, 20_000_001, 300_000_000)),
                kind=random.choice(("purchase", "promotion", "manual")),
                note="simulated",
                expires_at=simulation.time.wall_us() // 1_000_000 + random.randint(2, 40) if expires else None,
            )
            simulation.lots_known.add(lot.id)
        for mode in (Mode.LIVE, Mode.LIVE, Mode.TEST):
            key = make_key(mode, random.randbytes(32))
            stored = await storage.create_key(
                organization.id, project="default", mode=mode, name="", digest=simulation.digest(key), display="…"
            )
            simulation.accounts.append(Account(organization.id, mode.value, key, stored.id))


def jump(simulation: "Simulation", kind: str, direction: int) -> None:
    """The wall clock is set, up to 20 hours off."""
    simulation.fired(kind)
    shift = direction * simulation.random.randrange(1, 20 * 3600) * 1_000_000
    limit = 20 * 3600 * 1_000_000
    simulation.time.wall_shift_us = max(-limit, min(limit, simulation.time.wall_shift_us + shift))


def command(simulation: "Simulation", work: Callable[[LedgerStorage], Coroutine[Any, Any, None]], kind: str) -> None:
    """A command beside the server: a process of its own, with its own luck."""
    places = simulation.engine.replicas
    place = simulation.random.randrange(places) if places > 1 else 0
    process = Process(simulation, f"command{simulation._steps}", place)
    simulation.processes.append(process)
    simulation.fired(kind)

    async def run() -> None:
        await process.open()
        assert process.storage is not None
        if simulation.strikes("command killed"):
            simulation.fired("command killed")
            process.die("command killed")
            return
        try:
            await work(process.storage)
        except TesseraError as error:
            claim(error.code is ErrorCode.STORAGE_UNAVAILABLE, f"a command failed: {error!r}")
        await process.storage.close()
        process.dead = True

    process.loop.create_task(run())


async def add_credit(simulation: "Simulation", storage: LedgerStorage) -> None:
    """An operator adds credit; whether it worked may stay unknown."""
    account = simulation.random.choice(simulation.accounts)
    simulation.credits_tried += 1
    lot = await storage.add_credit(
        account.organization_id, Mode(account.mode), 7_000_001, kind="purchase", note="simulated"
    )
    simulation.lots_known.add(lot.id)


async def revoke_key(simulation: "Simulation", storage: LedgerStorage) -> None:
    """An operator revokes a key."""
    account = simulation.random.choice(simulation.accounts)
    await storage.revoke_key(account.key_id)
    simulation.revoked.setdefault(account.key, simulation.time.now)


async def revoke_key_now(simulation: "Simulation", storage: LedgerStorage) -> None:
    """An operator revokes a key and has the calls under it cut: most likely one that is in use."""
    busy = sorted({plan.account.key_id for plan in simulation.running.values()})
    chosen = simulation.random.choice(busy or [account.key_id for account in simulation.accounts])
    await storage.revoke_key(chosen, cut=True)
    for account in simulation.accounts:
        if account.key_id == chosen:
            simulation.revoked.setdefault(account.key, simulation.time.now)
