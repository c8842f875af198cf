"""Measures the ledger alone: durable hold + durable settle, one by one and with many calls in flight.

    python benchmarks/ledger.py [--seconds 3] [--folder DIR] [--quote-bytes 1200] [--organizations 1]
    taskset -c 1 python benchmarks/ledger.py --postgres 0 [--replicas 1]

With `--postgres CORE` the ledger is on a PostgreSQL of its own (the wheel of the tests, with its defaults and every
commit flushed), which has that core to itself; `--replicas 2` has two storages on it, each with half of the callers.

Every pair is two awaited calls, as a flow makes them; the reply to each is on disk (WAL, synchronous=FULL) before it
is given. CPU is that of the whole process, both threads, divided by pairs. The audit runs at the end.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path

from tessera.adapters.storage.postgres import PostgresStorage
from tessera.adapters.storage.sqlite import SqliteStorage
from tessera.domain.ids import make_id
from tessera.domain.ledger.orders import HoldOrder, Outcome
from tessera.domain.money import NANOS_PER_USD, Mode, format_usd
from tessera.domain.quantities import Quantities
from tessera.domain.usage import Attempt, UsageEvent, UsageSource

AMOUNT_NANOS = 26_460_000
TOKENS = 1_105


def hold_order(organization_id: str, owner: str, quote: bytes) -> HoldOrder:
    """An order as the call path makes it."""
    now_us = time.time_ns() // 1000
    return HoldOrder(
        id=make_id("req", now_us // 1000, os.urandom(10)),
        organization_id=organization_id,
        project_id="prj_00000000000000000000000000",
        key_id="key_00000000000000000000000000",
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
    storages: list[SqliteStorage], organizations: list[str], seconds: float, in_flight: int, quote: bytes
) -> None:
    """One case; prints a line."""
    ends_at = time.monotonic() + seconds
    latencies_us: list[int] = []

    async def caller(storage: SqliteStorage, organization_id: str) -> None:
        while time.monotonic() < ends_at:
            order = hold_order(organization_id, storage.owner, quote)
            started_ns = time.perf_counter_ns()
            await storage.hold(order)
            await storage.settle(usage_event(order))
            latencies_us.append((time.perf_counter_ns() - started_ns) // 1000)

    cpu_started, started = time.process_time_ns(), time.monotonic()
    await asyncio.gather(
        *(caller(storages[i % len(storages)], organizations[i % len(organizations)]) for i in range(in_flight))
    )
    elapsed, cpu = time.monotonic() - started, time.process_time_ns() - cpu_started
    latencies_us.sort()
    pairs = len(latencies_us)
    p50, p99 = latencies_us[pairs // 2], latencies_us[pairs * 99 // 100]
    print(
        f"{in_flight:4d} in flight: {pairs / elapsed:8.0f} pairs/s, {cpu / pairs / 1000:6.1f} us CPU a pair, "
        f"p50 {p50 / 1000:.2f} ms, p99 {p99 / 1000:.2f} ms",
        flush=True,
    )


async def measure(storages: list[SqliteStorage], arguments: argparse.Namespace) -> None:
    """All cases, then the audit."""
    quote = json.dumps({"max_nanos": AMOUNT_NANOS, "padding": "x" * arguments.quote_bytes}).encode()
    organizations = []
    for number in range(arguments.organizations):
        organization = await storages[0].create_organization(f"organization {number}")
        await storages[0].add_credit(
            organization.id, Mode.TEST, 1_000_000 * NANOS_PER_USD, kind="manual", note="benchmark"
        )
        organizations.append(organization.id)
    for in_flight in arguments.in_flight:
        await run(storages, organizations, arguments.seconds, in_flight, quote)
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
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=arguments.folder) as folder:
        if arguments.postgres is None:
            await measure([await SqliteStorage.open(Path(folder))], arguments)
            print(f"file: {(Path(folder) / 'tessera.db').stat().st_size / 1e6:.1f} MB")
            return
        sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
        from postgres_server import fresh_database, running_postgres

        options = {"fsync": "on", "shared_buffers": "256MB", "max_wal_size": "2GB"}
        with running_postgres(core=arguments.postgres, **options) as server, fresh_database(server) as url:
            folders = [Path(folder) / str(number) for number in range(arguments.replicas)]
            storages: list[SqliteStorage] = [
                await PostgresStorage.connect(url, own, secrets_dir=Path(folder)) for own in folders
            ]
            await measure(storages, arguments)
            size = server.execute("SELECT sum(pg_database_size(oid)) FROM pg_database WHERE datname LIKE 'tessera_%'")
            print(f"database: {int(str(size[0][0])) / 1e6:.1f} MB")


if __name__ == "__main__":
    asyncio.run(main())
