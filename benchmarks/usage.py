"""Measures reports of usage over many calls: fills a scratch ledger in bulk, then asks what an organization asks.

    python benchmarks/usage.py [--events 10000000] [--engine sqlite postgres] [--folder DIR] [--rounds 5]

Calls are spread evenly over the 30 days before today, over 5 models and 20 keys of 4 projects. Their rows are inserted
by the engine itself, without chain or quotes; the sums are made by the migration that makes them for older ledgers.
Every question is asked through the storage, as the flows ask it; times are the best and the median of the rounds.
"""

import argparse
import asyncio
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.postgres import PostgresStorage
from tessera.adapters.storage.postgres.migrations import migrations as postgres_migrations
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.adapters.storage.sqlite.migrations import _statements
from tessera.adapters.storage.sqlite.migrations import migrations as sqlite_migrations
from tessera.domain.money import Mode
from tessera.domain.usage_report import Dimension, UsageQuery, Width

DAYS = 30
DAY_S = 86_400

HOLDS = """
INSERT INTO hold (number, id, wallet_id, project_id, key_id, amount_nanos, asked_nanos, asked_min_nanos, draws,
    fingerprint, endpoint, model, stream, owner, placed_at_us, chain_seq, chain_link, state, charge_nanos)
SELECT n, {id}, {wallet}, 'prj_' || (n / 5 % 20 / 5), 'key_' || (n / 5 % 20), 5000, 5000, 5000, '[]', {bytes},
    '/v1/chat/completions', 'model-' || (n % 5), 0, 'prc_bench', {at_us}, 2 * n, {bytes}, 'settled', 1000 + n % 1000
FROM numbers
"""
EVENTS = """
INSERT INTO usage_event
SELECT n, 'completed', 200, 'sandbox/model', 'default', '2026-11-22', 500 + n % 500, n % 7, 0, n % 300, 50 + n % 90,
    n % 11, 0, 'provider', 500, 0, 1000 + n % 1000, 0, 700, 0, {bytes}, {bytes}, {at_us}, 5, 4, 2 * n + 1, {bytes}
FROM numbers
"""
NUMBERS = {
    "sqlite": "WITH RECURSIVE numbers (n) AS (SELECT {first} UNION ALL SELECT n + 1 FROM numbers WHERE n < {last}) ",
    "postgres": "WITH numbers (n) AS (SELECT generate_series({first}::bigint, {last}::bigint)) ",
}
IDS = {"sqlite": "printf('req_%032x', n)", "postgres": "'req_' || lpad(to_hex(n), 32, '0')"}
BYTES = {"sqlite": "zeroblob(32)", "postgres": "'\\x00'::bytea"}
FAST = {
    "sqlite": ("PRAGMA foreign_keys = OFF", "PRAGMA synchronous = OFF", "PRAGMA cache_size = -200000"),
    "postgres": (
        "SET session_replication_role = replica",
        "SET synchronous_commit = off",
        "SET statement_timeout = 0",
        "RESET enable_hashjoin",
        "RESET enable_mergejoin",
        "RESET enable_seqscan",
        "SET plan_cache_mode = auto",
    ),
}
AT_ONCE = 500_000


def fill(connection: Any, engine: str, events: int, wallet: int, start_at: int) -> None:
    """Inserts the calls, and their sums as the migration does."""
    step_us = DAYS * DAY_S * 1_000_000 // events
    words = {"id": IDS[engine], "bytes": BYTES[engine], "wallet": wallet}
    words["at_us"] = f"{start_at * 1_000_000} + n * {step_us}"
    for statement in FAST[engine]:
        connection.execute(statement)
    for first in range(0, events, AT_ONCE):
        numbers = NUMBERS[engine].format(first=first, last=min(first + AT_ONCE, events) - 1)
        for insert in (HOLDS, EVENTS):
            text = insert.format(**words)
            connection.execute(numbers + text if engine == "sqlite" else text.replace("SELECT n", numbers + "SELECT n"))
    started = time.monotonic()
    scripts = postgres_migrations() if engine == "postgres" else sqlite_migrations()
    (script,) = (script for _, script in scripts if "CREATE TABLE usage_sum" in script)
    for statement in _statements(script):
        if "INSERT INTO" in statement:
            connection.execute(statement)
    print(f"{engine}: sums made by the migration in {time.monotonic() - started:.0f} s", flush=True)
    if engine == "postgres":
        for table in ("hold", "usage_event", "usage_sum", "usage_series"):
            connection.execute(f"ANALYZE {table}")


async def measure(storage: LedgerStorage, engine: str, arguments: argparse.Namespace) -> None:
    """Fills, asks, prints."""
    organization = await storage.create_organization("benchmark")
    connection = storage._committer.connection()
    find = "SELECT id FROM wallet WHERE organization_id = ? AND mode = 'live'"
    wallet: int = connection.execute(find, (organization.id,)).fetchone()[0]
    end_at = int(time.time()) // DAY_S * DAY_S
    start_at = end_at - DAYS * DAY_S
    started = time.monotonic()
    await asyncio.to_thread(fill, connection, engine, arguments.events, wallet, start_at)
    print(f"{engine}: {arguments.events} calls in {time.monotonic() - started:.0f} s", flush=True)

    def asked(width: Width, days: int, *by: Dimension, **more: Any) -> UsageQuery:
        return UsageQuery(
            organization_id=organization.id,
            mode=Mode.LIVE,
            width=width,
            start_at=end_at - days * DAY_S,
            end_at=end_at,
            by=by,
            **more,
        )

    questions: dict[str, tuple[UsageQuery, int | None]] = {
        "a month by day and model": (asked(Width.DAY, DAYS, Dimension.MODEL), None),
        "a month by day, model, key and tier": (
            asked(Width.DAY, DAYS, Dimension.MODEL, Dimension.KEY, Dimension.TIER),
            None,
        ),
        "a month by day and member": (asked(Width.DAY, DAYS, Dimension.MEMBER), None),
        "a month by day of one key": (asked(Width.DAY, DAYS, only={Dimension.KEY: ("key_7",)}), None),
        "a week by hour and model": (asked(Width.HOUR, 7, Dimension.MODEL), None),
        "a day by minute and model": (asked(Width.MINUTE, 1, Dimension.MODEL), None),
        "the newest 100 of a month by minute and model": (asked(Width.MINUTE, DAYS, Dimension.MODEL), 101),
    }
    for name, (query, rows_max) in questions.items():
        times = []
        for _ in range(arguments.rounds):
            begun = time.perf_counter()
            rows = await storage.sum_usage(query, rows_max=rows_max)
            times.append((time.perf_counter() - begun) * 1000)
        best, median = min(times), statistics.median(times)
        print(f"{engine}: {name}: {len(rows)} rows, best {best:.1f} ms, median {median:.1f} ms", flush=True)
    report = await storage.sum_usage(asked(Width.DAY, DAYS))
    exact = sum(1000 + n % 1000 for n in range(arguments.events))
    assert sum(row.charge_nanos for row in report) == exact
    assert sum(row.requests for row in report) == arguments.events
    print(f"{engine}: the report's sums are exact", flush=True)


async def main() -> None:
    """Both engines, one after the other."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--engine", nargs="+", choices=["sqlite", "postgres"], default=["sqlite", "postgres"])
    parser.add_argument("--folder", type=Path)
    parser.add_argument("--rounds", type=int, default=5)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if "sqlite" in arguments.engine:
            storage = await SqliteStorage.open(Path(folder) / "sqlite")
            await measure(storage, "sqlite", arguments)
            await storage.close()
        if "postgres" in arguments.engine:
            sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
            from postgres_server import fresh_database, running_postgres

            options = {"fsync": "on", "shared_buffers": "512MB", "max_wal_size": "4GB", "work_mem": "64MB"}
            with running_postgres(**options) as server, fresh_database(server) as url:
                replica = await PostgresStorage.connect(url, Path(folder) / "postgres")
                await measure(replica, "postgres", arguments)
                await replica.close()


if __name__ == "__main__":
    asyncio.run(main())
