"""How SQLite goes about what is read of a wallet with very many calls: never all of them for a few."""

import sqlite3

import pytest

from tessera.adapters.storage.ledger import sweep, usage_events, usage_reads
from tessera.adapters.storage.ledger.usage_sums import CHARGED
from tessera.adapters.storage.money import statements
from tessera.adapters.storage.sqlite.migrations import _statements, migrations


@pytest.fixture(scope="module")
def schema() -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for _, script in migrations():
        for statement in _statements(script):
            connection.execute(statement)
    return connection


def plan(connection: sqlite3.Connection, sql: str) -> list[str]:
    return [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {sql}", [1] * sql.count("?"))]


def test_a_page_of_an_export_follows_the_index_of_its_wallet_and_sorts_nothing(schema: sqlite3.Connection) -> None:
    steps = plan(schema, usage_reads._USED)
    assert "(wallet_id=? AND id>?)" in steps[0]
    assert not [step for step in steps if "TEMP B-TREE" in step or step.startswith("SCAN")]


def test_who_follows_a_wallet_looks_at_open_calls_only(schema: sqlite3.Connection) -> None:
    assert plan(schema, usage_events._OPEN_IDS)[0] == "SCAN hold USING INDEX hold_open"


@pytest.mark.parametrize("sql", [CHARGED, statements._USAGE])
def test_a_statement_reads_the_sums_of_days_and_no_single_call(schema: sqlite3.Connection, sql: str) -> None:
    steps = plan(schema, sql)
    assert any(step.startswith("SEARCH usage_sum USING PRIMARY KEY (wallet_id=? AND width_s=?") for step in steps)
    assert not [step for step in steps if "hold" in step or "usage_event" in step]


@pytest.mark.parametrize("sql", [sweep._FIND_OLD, sweep._DROP_KEYS, sweep._DROP_QUOTES])
def test_a_sweep_looks_at_keys_and_quotes_that_are_old_only(schema: sqlite3.Connection, sql: str) -> None:
    steps = plan(schema, sql)
    assert any("INDEX idempotency_age (placed_at_us<?)" in step or "(expires_at_us<?)" in step for step in steps)
    assert not [step for step in steps if "TEMP B-TREE" in step or step.startswith("SCAN idempotency")]
