"""The end of a run: all faults have ended, so everything must be resolved, audited, and deaf to repeats."""

from typing import TYPE_CHECKING

from simulation.invariants import claim
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.money import Mode

if TYPE_CHECKING:
    from simulation.world import Simulation


def check_the_end(simulation: "Simulation") -> None:
    """All faults have ended: everything is resolved, audited, and repeats change nothing."""
    servers = [server for server in simulation.replicas.places if server is not None]
    checker = simulation.checker
    for server in servers:
        assert server.world is not None
        claim(not server.world.tasks, f"liveness: work is left over: {server.world.tasks}")
    claim(not checker.open_holds(), f"liveness: holds are still open: {checker.open_holds()}")
    claim(
        not simulation.waiting_in_outbox(),
        f"liveness: settlements wait in the outbox: {simulation.waiting_in_outbox()}",
    )
    refused = checker.connection.execute("SELECT hold_id, reason FROM refused_settlement").fetchall()
    claim(not refused, f"settlements were refused: {refused}")
    for request_id in simulation.refused:
        found = checker.outcome(request_id)
        claim(found is None or found[1] == 0, f"{request_id} was refused and charged {found}")
    for deed in (deed for server in servers for deed in server.replies):
        claim(deed.closings == 1, f"the reply of {deed.request_id} was closed {deed.closings} times")
    lots = {row[0] for row in checker.connection.execute("SELECT id FROM lot")}
    claim(simulation.lots_known <= lots, f"acknowledged credit is gone: {simulation.lots_known - lots}")
    test_lots = sum(1 for account in simulation.accounts if account.mode == "test")
    made = len(lots) - test_lots
    acknowledged = len(simulation.lots_known)
    claim(
        acknowledged <= made <= acknowledged + simulation.credits_tried, f"I5: {made} lots for {acknowledged} credits"
    )
    if checker.connection.execute("SELECT count(*) FROM credit WHERE kind = 'expiry'").fetchone()[0]:
        simulation.fired("lot expires")
    storage = servers[0].storage
    assert storage is not None
    simulation.complete(_repeat_everything(simulation, storage))
    simulation.complete(_audit(storage))
    for server in servers:
        simulation.complete(server.stop(), server)
    claim(not checker.open_holds(), "a hold was left open by a server that ended")


async def _repeat_everything(simulation: "Simulation", storage: LedgerStorage) -> None:
    """I10: settling again what is settled, and sweeping again, changes no row."""
    await storage.sweep()
    before = simulation.checker.everything()
    for account in simulation.accounts:
        mode = Mode(account.mode)
        for hold_id in sorted(simulation.checker._outcomes):
            record = await storage.find_request(account.organization_id, mode, hold_id)
            if record is not None and record.event is not None:
                await storage.settle(record.event)
    await storage.sweep()
    claim(simulation.checker.everything() == before, "I10: a repeat changed the ledger")


async def _audit(storage: LedgerStorage) -> None:
    wrong = [f"{check.name}: {check.detail}" for check in await storage.verify() if not check.ok]
    claim(not wrong, f"verify: {wrong}")
