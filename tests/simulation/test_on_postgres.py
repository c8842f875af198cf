"""The same runs on a real PostgreSQL, with two replicas and with what can go wrong on the way to it."""

from collections import Counter

import pytest

from postgres_server import PostgresServer
from simulation.__main__ import describe
from simulation.faults import KINDS, POSTGRES_KINDS, POSTGRES_TURN_FAULTS, POSTGRES_WEATHERS
from simulation.postgres_engine import PostgresEngine
from simulation.world import Simulation
from tessera.adapters.storage.postgres.presence import Presence

RUNS = 3
GROUPS = 4
TRIES_TO_FIRE = 12
RESTARTS = set(POSTGRES_KINDS) - {*KINDS, *POSTGRES_TURN_FAULTS}


@pytest.fixture(scope="session")
def engine(postgres: PostgresServer) -> PostgresEngine:
    return PostgresEngine(postgres)


@pytest.mark.parametrize("seed", range(RUNS))
def test_no_run_breaks_an_invariant(seed: int, engine: PostgresEngine) -> None:
    outcome = Simulation(seed, engine=engine).run()
    assert outcome.violation is None, describe(outcome)
    assert outcome.checks > 0, "the ledger was looked at"


@pytest.mark.parametrize("group", range(GROUPS))
def test_every_fault_of_postgresql_fires_and_breaks_nothing(group: int, engine: PostgresEngine) -> None:
    kinds = sorted(POSTGRES_TURN_FAULTS)[group::GROUPS]
    weathers = sorted(set(POSTGRES_WEATHERS) - set(POSTGRES_TURN_FAULTS))
    expected = {*kinds, sorted(RESTARTS)[group % 2], weathers[group % len(weathers)]}
    odds = {**dict.fromkeys(kinds, 0.1), **dict.fromkeys(RESTARTS, 0.7), "outage": 0.1}
    fired: Counter[str] = Counter()
    for seed in range(group * TRIES_TO_FIRE, (group + 1) * TRIES_TO_FIRE):
        outcome = Simulation(seed, odds, engine).run()
        assert outcome.violation is None, describe(outcome)
        fired.update(outcome.fired)
        if all(fired[kind] for kind in expected):
            return
    pytest.fail(f"{sorted(kind for kind in expected if not fired[kind])} did not happen in {TRIES_TO_FIRE} runs")


def test_one_seed_is_one_history(engine: PostgresEngine) -> None:
    first, second = Simulation(7, engine=engine).run(), Simulation(7, engine=engine).run()
    assert first.trace == second.trace


def test_taking_a_living_replica_for_dead_is_found(engine: PostgresEngine, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Presence, "is_gone", lambda *_: True)
    assert any(Simulation(seed, {"provider slow": 0.9}, engine).run().violation for seed in range(5))
