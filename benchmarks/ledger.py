"""Measures the ledger alone: durable hold + durable settle, one by one and with many calls in flight.

    python benchmarks/ledger.py [--seconds 3] [--folder DIR] [--quote-bytes 1200] [--organizations 1] [--limits]
    taskset -c 1 python benchmarks/ledger.py --postgres 0 [--replicas 1] [--limits]

With `--limits` the key, its project and its organization have every kind of limit, none of which is reached.

With `--postgres CORE` the ledger is on a PostgreSQL of its own (the wheel of the tests, with its defaults and every
commit flushed), which has that core to itself; `--replicas 2` has two storages on it, each with half of the callers.

Every pair is two awaited calls, as a flow makes them; the reply to each is on disk (WAL, synchronous=FULL) before it
is given. CPU is that of the whole process, both threads, divided by pairs; that of PostgreSQL is that of all its
processes. It says more than the pairs of a second where the machine has other work. The audit runs at the end.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from tessera.adapters.storage.ledger.storage import LedgerStorage
from tessera.adapters.storage.postgres import PostgresStorage
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.ids import make_id
from tessera.domain.ledger.limits import Limits, SubjectKind
from tessera.domain.ledger.orders import HoldOrder, Outcome
from tessera.domain.money import NANOS_PER_USD, Mode, format_usd
from tessera.domain.quantities import Quantities
from tessera.domain.usage import Attempt, UsageEvent, UsageSource

LIMITS = Limits(
    budget_total_nanos=10**15,
    budget_month_nanos=10**15,
    budget_day_nanos=10**15,
    requests_per_minute=10**9,
    tokens_per_minute=10**9,
    concurrent_max=10_000,
)
AMOUNT_NANOS = 26_460_000
TOKENS = 1_105


@dataclass(frozen=True)
class Payer:
    """Who pays for a call."""

    organization_id: str
    project_id: str
    key_id: str


def hold_order(payer: Payer, owner: str, quote: bytes) -> HoldOrder:
    """An order as the call path makes it."""
    now_us = time.time_ns() // 1000
    return HoldOrder(
        id=make_id("req", now_us // 1000, os.urandom(10)),
        organization_id=payer.organization_id,
        project_id=payer.project_id,
        key_id=payer.key_id,
        mode=Mode.TEST,
        amount_nanos=AMOUNT_NANOS,
        amount_min_nanos=AMOUNT_NANOS,
        idempotency_key=None,
        fingerprint=bytes(32),
        endpoint="/v1/chat/completions",
        model="gpt-5.2-pro",
        stream=False,
        quote=quote,
        owner=owner,
        placed_at_us=now_us,
    )


def usage_event(order: HoldOrder) -> UsageEvent:
    """An event as the call path makes it: 1,105 input tokens at $21 per million."""
    nanos = TOKENS * 21_000
    line = {"unit": "input", "quantity": TOKENS, "price_per_million": "21", "nanos": nanos}
    return UsageEvent(
        hold_id=order.id,
        organization_id=order.organization_id,
        mode=order.mode,
        outcome=Outcome.COMPLETED,
        status=200,
        deployment="sandbox/gpt-5.2-pro",
        served_tier="default",
        price_version="2026-11-22",
        usage=Quantities(input_tokens=TOKENS, input_image_tokens=TOKENS),
        usage_source=UsageSource.PROVIDER,
        predicted_input_tokens=TOKENS,
        predicted_image_tokens=TOKENS,
        charge_nanos=nanos,
        waived_nanos=0,
        cost_nanos=nanos,
        loss_nanos=0,
        charge=json.dumps({"amount": format_usd(nanos), "nanos": nanos, "lines": [line]}).encode(),
        attempts=(Attempt(deployment="sandbox/gpt-5.2-pro", status=200, error=None, started_at=0, duration_ms=3),),
        settled_at_us=time.time_ns() // 1000,
        latency_ms=4,
        first_byte_ms=3,
    )


async def run(
    storages: list[LedgerStorage],
    payers: list[Payer],
    seconds: float,
    in_flight: int,
    quote: bytes,
    server_cpu_s: Callable[[], float] | None,
) -> None:
    """One case; prints a line."""
    ends_at = time.monotonic() + seconds
    latencies_us: list[int] = []

    async def caller(storage: LedgerStorage, payer: Payer) -> None:
        while time.monotonic() < ends_at:
            order = hold_order(payer, storage.owner, quote)
            started_ns = time.perf_counter_ns()
            await storage.hold(order)
            await storage.settle(usage_event(order))
            latencies_us.append((time.perf_counter_ns() - started_ns) // 1000)

    server_started_s = server_cpu_s() if server_cpu_s else 0.0
    cpu_started, started = time.process_time_ns(), time.monotonic()
    await asyncio.gather(*(caller(storages[i % len(storages)], payers[i % len(payers)]) for i in range(in_flight)))
    elapsed, cpu = time.monotonic() - started, time.process_time_ns() - cpu_started
    server_s = server_cpu_s() - server_started_s if server_cpu_s else 0.0
    latencies_us.sort()
    pairs = len(latencies_us)
    p50, p99 = latencies_us[pairs // 2], latencies_us[pairs * 99 // 100]
    print(
        f"{in_flight:4d} in flight: {pairs / elapsed:8.0f} pairs/s, {cpu / pairs / 1000:6.1f} us CPU a pair, "
        f"{server_s * 1e6 / pairs:6.1f} us of PostgreSQL, "
        f"p50 {p50 / 1000:.2f} ms, p99 {p99 / 1000:.2f} ms",
        flush=True,
    )


async def pay(storage: LedgerStorage, number: int, *, limited: bool) -> Payer:
    """An organization with money and a key."""
    organization = await storage.create_organization(f"organization {number}")
    await storage.add_credit(organization.id, Mode.TEST, 1_000_000 * NANOS_PER_USD, kind="manual", note="benchmark")
    key = await storage.create_key(
        organization.id, project="default", mode=Mode.TEST, name="", digest=os.urandom(32), display="…"
    )
    payer = Payer(organization.id, key.project_id, key.id)
    subjects = {
        SubjectKind.KEY: payer.key_id,
        SubjectKind.PROJECT: payer.project_id,
        SubjectKind.ORGANIZATION: payer.organization_id,
    }
    for kind, subject in subjects.items() if limited else ():
        await storage.set_limits(organization.id, Mode.TEST, kind, subject, LIMITS)
    return payer


async def measure(
    storages: list[LedgerStorage], arguments: argparse.Namespace, server_cpu_s: Callable[[], float] | None = None
) -> None:
    """All cases, then the audit."""
    quote = json.dumps({"max_nanos": AMOUNT_NANOS, "padding": "x" * arguments.quote_bytes}).encode()
    payers = [await pay(storages[0], number, limited=arguments.limits) for number in range(arguments.organizations)]
    for in_flight in arguments.in_flight:
        await run(storages, payers, arguments.seconds, in_flight, quote, server_cpu_s)
    wrong = [check for check in await storages[0].verify() if not check.ok]
    print("audit:", wrong if wrong else "every check right")
    for storage in storages:
        await storage.close()


async def main() -> None:
    """The ledger on the database that was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--folder", type=Path, default=None)
    parser.add_argument("--quote-bytes", type=int, default=1200)
    parser.add_argument("--organizations", type=int, default=1)
    parser.add_argument("--in-flight", type=int, nargs="+", default=[1, 32, 128])
    parser.add_argument("--postgres", type=int, metavar="CORE")
    parser.add_argument("--replicas", type=int, default=1)
    parser.add_argument("--limits", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if arguments.postgres is None:
            await measure([await SqliteStorage.open(Path(folder))], arguments)
            print(f"file: {(Path(folder) / 'tessera.db').stat().st_size / 1e6:.1f} MB")
            return
        root = Path(__file__).parents[1]
        sys.path[:0] = [str(root), str(root / "tests")]
        from benchmarks.gateway.machine import cpu_seconds

        from postgres_server import fresh_database, running_postgres

        options = {"fsync": "on", "shared_buffers": "256MB", "max_wal_size": "2GB"}
        with running_postgres(core=arguments.postgres, **options) as server, fresh_database(server) as url:
            folders = [Path(folder) / str(number) for number in range(arguments.replicas)]
            storages: list[LedgerStorage] = [
                await PostgresStorage.connect(url, own, secrets_dir=Path(folder)) for own in folders
            ]
            assert server.process is not None
            main_process = server.process.pid
            await measure(storages, arguments, lambda: cpu_seconds(main_process))
            size = server.execute("SELECT sum(pg_database_size(oid)) FROM pg_database WHERE datname LIKE 'tessera_%'")
            print(f"database: {int(str(size[0][0])) / 1e6:.1f} MB")


if __name__ == "__main__":
    asyncio.run(main())
