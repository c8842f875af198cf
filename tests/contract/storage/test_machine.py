"""The random walk over everything that moves money, on every database."""

import pytest
from hypothesis import settings
from hypothesis.stateful import run_state_machine_as_test

from ledger_machine import LedgerMachine, TwoReplicas
from postgres_server import PostgresServer

WALK = settings(max_examples=20, stateful_step_count=25, deadline=None)


def test_the_ledger_stays_right_whatever_happens() -> None:
    run_state_machine_as_test(LedgerMachine, settings=WALK)


def test_the_ledger_of_two_replicas_stays_right_whatever_happens(
    postgres: PostgresServer, schema_template: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(TwoReplicas, "server", postgres, raising=False)
    monkeypatch.setattr(TwoReplicas, "template", schema_template, raising=False)
    run_state_machine_as_test(TwoReplicas, settings=WALK)
