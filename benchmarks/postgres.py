"""Measures Tessera on PostgreSQL: hold and settle at the storage port, then whole calls over HTTP.

    python -m benchmarks.postgres [--seconds 5] [--rounds 3] [--in-flight 128] [--connections 64]

The first core has a PostgreSQL of its own (the wheel of the tests with its defaults, 256 MB of buffers, every commit
flushed); the last has everything else: at the storage port the callers and the writer, over HTTP `wrk`, one `tessera
serve` and its built-in sandbox as the provider. One hot organization, and every limit set on its key, its project and
itself. A whole call is authenticated, counted, priced, held, served, settled and answered, its settle durable first;
calls that `wrk` counts and settles in the ledger must be the same number, and the audit must find nothing.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.gateway import servers
from benchmarks.gateway.machine import ROOT, choose_cores, cpu_seconds, load_average, pinned

sys.path.insert(0, str(ROOT / "tests"))
from postgres_server import PostgresServer, fresh_database, running_postgres

_OPTIONS = {"fsync": "on", "shared_buffers": "256MB", "max_wal_size": "2GB"}
_LIMITS = (
    *("--budget-total", "1000000", "--budget-month", "1000000", "--budget-day", "1000000"),
    *("--requests-per-minute", "1000000000", "--tokens-per-minute", "1000000000", "--concurrent", "10000"),
)
_BODY = {"model": "gpt-4o", "messages": [{"role": "user", "content": "hello " * 40}], "max_completion_tokens": 16}
_SCRIPT = ROOT / "benchmarks" / "gateway" / "wrk.lua"


def main() -> None:
    """Both measurements, round after round."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=5)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--in-flight", type=int, default=128)
    parser.add_argument("--connections", type=int, default=64)
    arguments = parser.parse_args()
    cores = choose_cores()
    for number in range(arguments.rounds):
        print(f"round {number + 1} of {arguments.rounds}, load average {load_average()}", flush=True)
        ledger = [sys.executable, ROOT / "benchmarks" / "ledger.py", "--postgres", str(cores.candidate), "--limits"]
        ledger += ["--seconds", str(arguments.seconds), "--in-flight", str(arguments.in_flight)]
        subprocess.run(pinned(cores.load, ledger), check=True)
        with (
            tempfile.TemporaryDirectory() as folder,
            running_postgres(core=cores.candidate, **_OPTIONS) as server,
            fresh_database(server) as url,
        ):
            _calls(Path(folder), server, url, cores.load, arguments.seconds, arguments.connections)


def _calls(folder: Path, postgres: PostgresServer, url: str, core: int, seconds: int, connections: int) -> None:
    """Whole calls for some seconds; prints a line."""
    config, body = folder / "tessera.toml", folder / "body.json"
    config.write_text(f'database = "{url}"\n')
    body.write_text(json.dumps(_BODY))
    place = ("--config", str(config), "--data", str(folder / "data"))
    servers.run_tessera("orgs", "create", "bench", *place)
    servers.run_tessera("credit", "add", "--org", "bench", "--mode", "test", "--amount", servers.CREDIT, *place)
    made = json.loads(servers.run_tessera("keys", "create", "--org", "bench", "--mode", "test", "--json", *place))
    for subject in ((), ("--project", "default"), ("--key", made["id"])):
        servers.run_tessera("limits", "set", "--org", "bench", "--mode", "test", *subject, *_LIMITS, *place)
    port = servers.free_port()
    assert postgres.process is not None
    serve = [sys.executable, "-m", "tessera", "serve", "--port", str(port), *place]
    with servers.running(pinned(core, serve), folder / "tessera.log", port) as process:
        address = f"http://{servers.ADDRESS}:{port}/v1/chat/completions"
        load: list[str | Path] = [
            "wrk",
            "-t",
            "1",
            "-c",
            str(connections),
            "--latency",
            "--timeout",
            "60s",
            "-s",
            _SCRIPT,
        ]
        before = (cpu_seconds(process.pid), cpu_seconds(postgres.process.pid))
        done = subprocess.run(
            pinned(core, [*load, "-d", f"{seconds}s", address, "--", body, made["key"], "whole"]),
            capture_output=True,
            text=True,
            check=True,
        )
        after = (cpu_seconds(process.pid), cpu_seconds(postgres.process.pid))
    found = json.loads(done.stdout.splitlines()[-1])
    replies = found["replies"]
    own, database = [(late - early) * 1e6 / replies for early, late in zip(before, after, strict=True)]
    print(
        f"{connections:4d} connections: {replies / found['seconds']:8.0f} whole calls/s, {own:6.1f} us CPU a call, "
        f"{database:6.1f} us of PostgreSQL, p50 {found['p50_us'] / 1000:.2f} ms, p99 {found['p99_us'] / 1000:.2f} ms"
    )
    settled = postgres.execute("SELECT count(*) FROM usage_event", url.rpartition("/")[2])[0][0]
    if found["status"] or not isinstance(settled, int) or not replies <= settled <= replies + connections:
        raise SystemExit(f"{found['status']} errors, {replies} replies and {settled} settles.")
    checks = json.loads(servers.run_tessera("verify", "--json", *place))
    if not checks["ok"]:
        raise SystemExit(f"The audit of the ledger found something: {checks}")


if __name__ == "__main__":
    main()
