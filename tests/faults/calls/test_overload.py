"""F33: at five times what a server can serve it goes on serving, and refuses the rest at once.

Its capacity is its bound on calls in hand over the time a call takes, or what its processor can do. Server and load
have a core each.
"""

import contextlib
import json
import os
import subprocess
import sys
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from servers import Account, TesseraServer, running_server

LOAD = Path(__file__).with_name("overload_load.py")
CALLS_MAX = 21
DELAY_MS = 200
GOODPUT_SHARE_MIN = 0.8
BUSY_SHARE_MIN = 0.4
"""Where the processor is the bound, and other tests want it too. Without a limit it was 0.15."""
CONNECTIONS = 900
REFUSED_WITHIN_MS = 100
RUNS_MAX = 3
"""Other work on the machine only makes things slower: one run in which the bars are met shows that they can be."""


def good(found: dict[str, Any], peak: dict[str, Any]) -> bool:
    """Whether a run meets the bars."""
    kept = found["served_per_second"] >= GOODPUT_SHARE_MIN * peak["served_per_second"]
    return bool(kept and found["refused_p99_ms"] < REFUSED_WITHIN_MS)


def load(server: TesseraServer, account: Account, *arguments: str) -> dict[str, Any]:
    address = urlsplit(server.base_url)
    place = ("--host", str(address.hostname), "--port", str(address.port), "--key", account.key)
    cores = sorted(os.sched_getaffinity(0))
    done = subprocess.run(
        [sys.executable, str(LOAD), *place, *arguments],
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
        preexec_fn=lambda: os.sched_setaffinity(0, cores[-1:]),
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return found


@contextlib.contextmanager
def pinned_server(folder: Path, config: str = "") -> Iterator[TesseraServer]:
    """A server on the first core."""
    with running_server(folder, config=config) as server:
        for thread in Path(f"/proc/{server.process.pid}/task").iterdir():
            os.sched_setaffinity(int(thread.name), sorted(os.sched_getaffinity(0))[:1])
        yield server


two_cores = pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="server and load need a core each")


@two_cores
def test_f33_at_five_times_capacity_goodput_stays_and_the_rest_is_refused_at_once(tmp_path: Path) -> None:
    with pinned_server(tmp_path, f"[limits]\ncalls_max = {CALLS_MAX}\n") as server:
        account = server.account()
        closed = ("--delay-ms", str(DELAY_MS), "--connections", str(int(CALLS_MAX * 0.95)))
        load(server, account, *closed, "--seconds", "1")
        peak = load(server, account, *closed, "--seconds", "3")
        assert (peak["refused"], peak["other"]) == (0, {})
        pace = 5 * peak["served_per_second"]
        many = ("--delay-ms", str(DELAY_MS), "--connections", "200", "--pace", str(pace), "--deadline", "0.5")
        for _ in range(RUNS_MAX):
            found = load(server, account, *many, "--seconds", "3")
            print(json.dumps({"peak": peak, "five times": found}))
            assert found["sent"] >= 0.95 * pace * 3, "the injector fired"
            assert found["refused"] > 2 * found["served_per_second"] * 3
            assert (found["other"], found["without_retry_after"], found["unsent"]) == ({}, 0, 0)
            if good(found, peak):
                break
        assert good(found, peak), found
        server.verify()


@two_cores
def test_f33_where_the_processor_is_the_bound_it_goes_on_serving_too_and_says_how_it_is(tmp_path: Path) -> None:
    with pinned_server(tmp_path, "[limits]\ncalls_max = 1000\n") as server:
        account = server.account(credit="1000.00")
        peak = load(server, account, "--connections", "300", "--seconds", "2")
        assert peak["other"] == {}
        pace = str(5 * peak["served_per_second"])
        many = ("--connections", str(CONNECTIONS), "--pace", pace, "--seconds", "3", "--watch")
        for _ in range(RUNS_MAX):
            found = load(server, account, *many)
            print(json.dumps({"peak": peak, "five times": found}))
            assert found["refused"] > 0
            assert (found["other"], found["without_retry_after"]) == ({}, 0)
            assert found["watched"] > 0
            assert found["watched_failed"] == 0
            if found["good_per_second"] >= BUSY_SHARE_MIN * peak["served_per_second"]:
                break
        assert found["good_per_second"] >= BUSY_SHARE_MIN * peak["served_per_second"], found
        refused = shed(server)
        assert refused.get("processor", 0) >= found["refused"] * 0.9
        server.verify()


def shed(server: TesseraServer) -> dict[str, float]:
    """What the server counts as refused, by reason."""
    with urllib.request.urlopen(f"{server.base_url}/metrics", timeout=10) as reply:
        rows = [row for row in reply.read().decode().splitlines() if row.startswith("tessera_http_shed_total{")]
    return {row.split('"')[1]: float(row.split()[-1]) for row in rows}
