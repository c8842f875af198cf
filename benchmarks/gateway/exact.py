"""Is every reply settled, and how often does the disk flush? A count of its own, in the same run as the speeds.

The server runs under strace, which notes each fsync and fdatasync of all its threads with the time (a filter in the
kernel keeps every other system call at full speed). A known number of calls is made and every reply waited for; flushes
between the first call and the last reply are counted. Then the server stops and the ledger is read.
"""

import time
from pathlib import Path

from benchmarks.gateway import bodies, servers
from benchmarks.gateway.cases import Figures
from benchmarks.gateway.load import Load

CALLS = {32: 4_000, 1: 400}
"""Calls by connections."""
_STRACE = ["strace", "-D", "-f", "-q", "--seccomp-bpf", "-ttt", "-e", "trace=fsync,fdatasync", "-e", "signal=none"]
"""`-D` makes the server this process's child and strace its own: the signal that stops goes to the server."""


def exact(folder: Path, load: Load, upstream: servers.Server) -> Figures:
    """Replies, settles, flushes and the audit of one short run. Ends the run when settles are not replies."""
    log = folder / "flushes.log"
    log.unlink(missing_ok=True)
    found: Figures = {}
    replies = 0
    with servers.tessera(folder, load.cores, upstream, [*_STRACE, "-o", log]) as server:
        spans = {}
        for connections, count in CALLS.items():
            made = load.client(server, bodies.small_body(), "calls", count, connections)
            spans[connections] = (made["started_at"], made["ended_at"], made["replies"])
            replies += made["replies"]
    _wait_for_end(log)
    flushed_at = [float(line.split()[1]) for line in log.read_text().splitlines() if "sync(" in line]
    for connections, (started_at, ended_at, count) in spans.items():
        flushes = sum(started_at <= at <= ended_at for at in flushed_at)
        found[f"flushes_per_call_at_{connections}"] = flushes / count
        found[f"calls_at_{connections}"] = count
    settled = servers.calls_settled(folder)
    if settled != replies:
        raise SystemExit(f"{replies} replies, but {settled} settles.")
    return {**found, "replies": replies, "settled": settled, "checks": servers.verify(folder)}


def _wait_for_end(log: Path) -> None:
    """strace writes its last lines just after the server has gone."""
    deadline = time.monotonic() + 10
    while " +++ exited with " not in log.read_text().rpartition("sync(")[2]:
        if time.monotonic() > deadline:
            raise SystemExit("strace did not finish.")
        time.sleep(0.05)
