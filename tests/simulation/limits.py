"""What keys and organizations may use: limits set beside the server, and what must hold after every commit."""

from typing import TYPE_CHECKING

from simulation.invariants import claim
from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.domain.ledger.limits import Limits, SubjectKind
from tessera.domain.money import Mode

if TYPE_CHECKING:
    from simulation.engine import Look
    from simulation.world import Simulation

_USED = """
SELECT hold.wallet_id, {subject}, sum(hold.charge_nanos), sum(iif(state = 'open', amount_nanos, 0)), sum(state = 'open')
FROM hold JOIN wallet ON wallet.id = hold.wallet_id GROUP BY hold.wallet_id, {subject}
"""
_SUBJECTS = {"key": "key_id", "project": "project_id", "organization": "organization_id"}
_METERS = """
SELECT wallet_id, subject_id, spent_nanos, held_nanos, open_calls, budget_total_nanos, concurrent_max FROM meter
WHERE kind = '{kind}'
"""
_HOLDS = """
SELECT number, hold.wallet_id, key_id, project_id, organization_id FROM hold JOIN wallet ON wallet.id = hold.wallet_id
ORDER BY number
"""

Key = tuple[str, int, str]


class LimitRules:
    """Looks at meters after every commit."""

    def __init__(self, simulation: "Simulation", connection: "Look") -> None:
        self._simulation = simulation
        self._connection = connection
        self._known: set[int] = set()
        self._before: dict[Key, tuple[int | None, int | None]] = {}

    def check(self) -> None:
        """Meters count what there is, and no hold is placed past a limit."""
        placed = self._placed()
        limits: dict[Key, tuple[int | None, int | None]] = {}
        for kind, subject in _SUBJECTS.items():
            used = {row[:2]: row[2:] for row in self._connection.execute(_USED.format(subject=subject))}
            for wallet, name, *counted, budget, concurrent in self._connection.execute(_METERS.format(kind=kind)):
                found = used.pop((wallet, name), (0, 0, 0))
                claim(tuple(counted) == found, f"meter of {kind} {name}: {counted}, its calls say {found}")
                limits[kind, wallet, name] = (budget, concurrent)
                if (kind, wallet, name) in placed and self._before.get((kind, wallet, name)) == (budget, concurrent):
                    spent, held, running = counted
                    claim(budget is None or spent + held <= budget, f"{kind} {name}: {spent} + {held} of {budget}")
                    claim(concurrent is None or running <= concurrent, f"{kind} {name} runs {running} of {concurrent}")
            claim(not used, f"no meter counts {kind}s {used}")
        self._before = limits

    def _placed(self) -> set[Key]:
        """Whose holds are new."""
        found: set[Key] = set()
        for number, wallet, *names in self._connection.execute(_HOLDS):
            if number in self._known:
                continue
            self._known.add(number)
            found |= {(kind, wallet, name) for kind, name in zip(_SUBJECTS, names, strict=True)}
        return found


async def limit(simulation: "Simulation", storage: LedgerStorage) -> None:
    """An operator limits a key, or all of an organization, or lifts the limits."""
    random = simulation.random
    account = random.choice(simulation.accounts)
    whole = random.random() < 0.4
    kind, name = (SubjectKind.ORGANIZATION, account.organization_id) if whole else (SubjectKind.KEY, account.key_id)
    chosen = random.choice(
        (
            Limits(),
            Limits(budget_total_nanos=random.choice((0, 500_000, 3_000_000))),
            Limits(budget_day_nanos=random.choice((200_000, 2_000_000)), concurrent_max=3),
            Limits(concurrent_max=random.choice((0, 1, 2))),
            Limits(requests_per_minute=random.choice((1, 5, 60)), tokens_per_minute=5_000),
        )
    )
    await storage.set_limits(account.organization_id, Mode(account.mode), kind, name, chosen)
