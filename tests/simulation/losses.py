"""What the operator may lose on an organization: the limits of a run, and what must hold after every commit."""

from random import Random
from typing import TYPE_CHECKING, Any

from simulation.invariants import claim
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.ledger.losses import LossLimits

if TYPE_CHECKING:
    from simulation.engine import Look
    from simulation.world import Simulation

DAY_US = 86_400_000_000

_EVENTS = """
SELECT wallet_id, settled_at_us / 86400000000, sum(loss_nanos),
    sum(json_extract(CAST(event.charge AS TEXT), '$.policy') = 'left-before-output'),
    sum(iif(json_extract(CAST(event.charge AS TEXT), '$.policy') = 'left-before-output', loss_nanos, 0))
FROM usage_event AS event JOIN hold ON hold.number = event.hold_number WHERE loss_nanos > 0
GROUP BY wallet_id, settled_at_us / 86400000000
"""
_DAYS = """
SELECT wallet_id, day, loss_nanos, left_calls, left_loss_nanos, forgiven_nanos, suspended, organization_id FROM loss_day
JOIN wallet ON wallet.id = wallet_id JOIN organization ON organization.id = organization_id
"""
_SUSPENDED = "SELECT id, suspended_for FROM organization WHERE suspended = 1"
_HOLDS = """
SELECT number, organization_id FROM hold JOIN wallet ON wallet.id = wallet_id ORDER BY number
"""


def draw_limits(seed: int) -> LossLimits:
    """The limits of a run: often so low that they are met. Of its own randomness, so that they change nothing else."""
    random = Random(f"losses {seed}")
    return LossLimits(
        loss_max_nanos=random.choice((20_000_000_000, 20_000_000_000, 2_000_000, 100_000)),
        left_calls_max=random.choice((100, 3, 1, 0)),
        left_loss_max_nanos=random.choice((1_000_000_000, 300_000, 50_000)),
    )


class LossRules:
    """Looks at losses and suspensions after every commit."""

    def __init__(self, simulation: "Simulation", connection: "Look") -> None:
        self._simulation = simulation
        self._connection = connection
        self._suspended: dict[str, str] = {}
        self._known: set[int] = set()

    def check(self) -> None:
        """Sums, bounds, and that who is suspended places no hold."""
        limits = self._simulation.limits
        rows = self._connection.execute
        events: dict[tuple[int, int], Any] = {row[:2]: row[2:] for row in rows(_EVENTS)}
        for wallet, day, loss, left, left_loss, forgiven, suspended, _ in rows(_DAYS):
            found = events.pop((wallet, day), (0, 0, 0))
            claim(
                (loss, left, left_loss) == found, f"losses of {wallet} on {day}: {loss, left, left_loss}, not {found}"
            )
            claim(left <= limits.left_calls_max, f"{left} calls were left for nothing on a day")
            claim(left_loss <= limits.left_loss_max_nanos, f"{left_loss} was lost on left calls on a day")
            too_much = loss - forgiven > limits.loss_max_nanos
            claim(not too_much or suspended == 1, f"wallet {wallet} lost {loss - forgiven} and may go on")
        claim(not events, f"losses are not noted: {events}")
        now = dict(rows(_SUSPENDED))
        for number, organization in rows(_HOLDS):
            if number in self._known:
                continue
            self._known.add(number)
            stays = organization in now and organization in self._suspended
            claim(not stays, f"{organization} is suspended and hold {number} was placed")
        for organization, reason in now.items():
            if reason == "loss" and organization not in self._suspended:
                self._simulation.fired("losses past the limit")
        self._suspended = now

    def may_be_charged(self, model: str, policy: str, mode: str) -> bool:
        """Whether a call that was left before its first output may cost its customer something, by this rule."""
        if policy == "left-while-thinking":
            return model != "gpt-4o"
        limits = self._simulation.limits
        bounded = limits.left_calls_max < 100 or limits.left_loss_max_nanos < 1_000_000_000
        return policy == "left-past-allowance" and mode == "live" and bounded


async def suspend(simulation: "Simulation", storage: LedgerStorage) -> None:
    """An operator suspends an organization."""
    await storage.suspend_organization(simulation.random.choice(simulation.accounts).organization_id)


async def resume(simulation: "Simulation", storage: LedgerStorage) -> None:
    """An operator lifts whatever suspension there is."""
    await storage.resume_organization(simulation.random.choice(simulation.accounts).organization_id)
