"""Money under every fault at once: the runs, and what makes the runs worth believing."""

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from simulation.__main__ import describe
from simulation.faults import FAULTS, KINDS, TURN_FAULTS, WEATHERS
from simulation.world import Simulation
from tessera.domain.quantities import Quantities
from tessera.domain.usage import Owed, UsageSource, owed
from tessera.flows import settling

RUNS = 300
RUNS_A_TEST = 10
TRIES_TO_FIRE = 25
CAUSES = {
    "client leaves before the head": "client leaves",
    "client leaves mid-stream": "client leaves at a piece",
    "same key again": "client leaves",
}
WITH: dict[str, dict[str, float]] = {
    "reply replayed": {"client leaves": 0.3, "client slow": 0.3},
    "torn outbox line": {"torn outbox line": 1, "outage": 0.3, "process killed": 1, "process killed at a step": 0.003},
    "outbox unwritable": {"outbox unwritable": 0.5, "outage": 0.3},
    "call cut": {"key revoked now beside": 1.0, "provider slow": 0.7},
    "losses past the limit": {"cut off": 0.5, "gap timeout": 0.5},
    "command killed": {"command killed": 0.5, "credit added beside": 1},
}


@pytest.mark.parametrize("first", range(0, RUNS, RUNS_A_TEST))
def test_no_run_breaks_an_invariant(first: int) -> None:
    for seed in range(first, first + RUNS_A_TEST):
        outcome = Simulation(seed).run()
        assert outcome.violation is None, describe(outcome)
        assert outcome.checks > 0, "the ledger was looked at"


@pytest.mark.parametrize("kind", sorted(FAULTS))
def test_every_kind_of_fault_fires_and_breaks_nothing(kind: str) -> None:
    cause = CAUSES.get(kind, kind)
    odds = WITH.get(kind) or {cause: min(1.0, max(KINDS.get(cause, 0), 0.02) * 5)}
    if kind in WEATHERS and kind not in TURN_FAULTS:
        odds = {"outage": 0.2, **odds}
    for seed in range(TRIES_TO_FIRE):
        outcome = Simulation(seed, odds).run()
        assert outcome.violation is None, describe(outcome)
        if outcome.fired[kind]:
            return
    pytest.fail(f"{kind!r} did not happen in {TRIES_TO_FIRE} runs")


def test_there_are_enough_kinds_of_fault() -> None:
    assert len(FAULTS) >= 20


def test_one_seed_is_one_history_in_any_process() -> None:
    outcome = Simulation(7).run()
    assert outcome.trace == Simulation(7).run().trace
    assert outcome.trace != Simulation(8).run().trace
    for hash_seed in ("1", "2"):
        tests = str(Path(__file__).parents[1])
        environment = {**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": tests}
        played = subprocess.run(
            [sys.executable, "-m", "simulation", "--seed", "7"],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert outcome.trace[:16] in played.stdout


# What the simulation found once, played again under the faults that showed it.


@pytest.mark.parametrize("seed", range(8))
def test_a_client_that_leaves_while_the_head_is_sent_strands_no_hold(seed: int) -> None:
    outcome = Simulation(seed, {"client slow": 0.7, "client leaves": 1.0}).run()
    assert outcome.violation is None, describe(outcome)


@pytest.mark.parametrize("seed", range(18))
def test_a_client_that_leaves_as_its_hold_is_granted_strands_no_hold(seed: int) -> None:
    outcome = Simulation(seed, {"client leaves at a step": 0.1}).run()
    assert outcome.violation is None, describe(outcome)


@pytest.mark.parametrize("seed", range(10))
def test_a_stop_while_an_answer_is_being_paid_for_does_not_say_that_nothing_was_charged(seed: int) -> None:
    outcome = Simulation(seed, {"graceful restart": 1.0, "disk slow": 0.5}).run()
    assert outcome.violation is None, describe(outcome)


# A check that cannot fail proves nothing: the same runs with a defect put in.


def test_charging_for_a_provider_s_failure_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(outcome: Any, delivered: Any) -> Owed:
        found = owed(outcome, delivered)
        if found.source is UsageSource.NONE:
            return Owed(usage=Quantities(input_tokens=5), source=UsageSource.LOCAL, lost=found.lost)
        return found

    monkeypatch.setattr(settling, "owed", wrong)
    violation = Simulation(3, {"provider 500": 1.0}).run().violation
    assert violation is not None
    assert "policy" in violation


def test_charging_more_than_was_used_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def wrong(outcome: Any, delivered: Any) -> Owed:
        found = owed(outcome, delivered)
        usage = Quantities(input_tokens=found.usage.input_tokens + 1, output_tokens=found.usage.output_tokens)
        return Owed(usage=usage, source=found.source, lost=found.lost)

    monkeypatch.setattr(settling, "owed", wrong)
    assert Simulation(3, {}).run().violation is not None


def test_a_settlement_that_is_lost_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    async def forget(running: Any, event: Any) -> None:
        running.event = event

    monkeypatch.setattr("tessera.flows.serving.write", forget)
    violation = Simulation(3, {}).run().violation
    assert violation is not None
    assert "not durable" in violation
