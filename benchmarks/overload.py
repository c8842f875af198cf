"""What a server goes on serving when it is sent more than it can: goodput at 0.5, 1, 2 and 5 times its capacity.

    python -m benchmarks.overload --nice -10
    python -m benchmarks.overload --nice -10 --rounds 1 --kind kept --share 5 --src OTHER_CHECKOUT/src

The server has the first core to itself, the load another, which sends at a steady pace whether or not it is answered.
Capacity is what a closed loop of 400 connections gets; goodput is whole 200 replies within two seconds of when their
call was due, and is held against the most that was served at any pace of its round. Kinds: `kept` sends over 6,000
connections that stay open, `split` sends heads and bodies apart, `new` opens a connection for every call, and `beside`
sends like `kept` while another organization sends a twentieth of the capacity over 100 connections. `--src` serves from
another checkout's source, to compare. Calls go to the sandbox, which answers at once: all work is the gateway's.
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gateway import machine, programs
from benchmarks.gateway.servers import ADDRESS, Server, run_tessera, tessera, verify

LOAD = machine.ROOT / "tests" / "faults" / "calls" / "overload_load.py"
SHARES = (0.5, 1.0, 2.0, 5.0)
CLOSED_CONNECTIONS = 400
OPEN_CONNECTIONS = 6000
BESIDE_SHARE = 0.05
KINDS: dict[str, tuple[str, ...]] = {"kept": (), "split": ("--split",), "new": ("--new",), "beside": ()}
SHOWN = ("good_per_second", "good_p50_ms", "good_p99_ms", "refused", "refused_p50_ms", "refused_p99_ms")
SHOWN += ("watched_failed", "watched_max_ms", "unsent", "late_max_ms")


@dataclass(frozen=True)
class Running:
    """A server under load, and the keys of two organizations."""

    server: Server
    cores: machine.Cores
    keys: tuple[str, str]

    def start(self, *words: str, place: int = 0) -> "subprocess.Popen[str]":
        """Starts sending with one of the keys."""
        whom = ("--host", ADDRESS, "--port", str(self.server.port), "--key", self.keys[place])
        command = machine.pinned(self.cores.load, [sys.executable, LOAD, *whom, *words])
        return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)

    def load(self, *words: str) -> dict[str, Any]:
        """Sends, and says what came back and what the server took of its processor."""
        cpu = machine.cpu_seconds(self.server.pid)
        found = result(self.start(*words))
        return {**found, "cpu_s": machine.cpu_seconds(self.server.pid) - cpu}


def result(process: "subprocess.Popen[str]") -> dict[str, Any]:
    """What a load printed. Ends the run when it failed."""
    said, _ = process.communicate(timeout=300)
    if process.returncode:
        raise SystemExit("The load failed.")
    found: dict[str, Any] = json.loads(said)
    return found


def main() -> None:
    """Measures and prints medians."""
    asked = arguments()
    # What the server and the commands beside it run, in place of the installed source.
    os.environ["PYTHONPATH"] = str(asked.src)
    cores = machine.choose_cores()
    folder = programs.CACHE / f"overload-{os.getpid()}"
    rounds: list[dict[str, Any]] = []
    try:
        with machine.priority(asked.nice):
            for number in range(asked.rounds):
                rounds.append(measure_round(asked, cores, folder / str(number)))
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    for kind in asked.kind:
        for share in asked.share:
            kept = median(one[kind][share]["good_per_second"] / best(one[kind]) for one in rounds)
            print(f"{kind:6} {share:4.1f} x capacity: goodput {kept:5.0%} of the peak, median of {len(rounds)}")


def best(found: dict[Any, Any]) -> float:
    """The largest rate at which a server served in a round, whatever it was sent."""
    return float(max(found["peak"], *(one["good_per_second"] for share, one in found.items() if share != "peak")))


def measure_round(asked: argparse.Namespace, cores: machine.Cores, folder: Path) -> dict[str, Any]:
    """One server, everything once."""
    folder.mkdir(parents=True)
    place = ("--data", str(folder / "data"))
    # The provider's port is never used: keys are for tests, which the sandbox answers.
    with tessera(folder, cores, Server("direct", 9, 0)) as server:
        run_tessera("orgs", "create", "other", *place)
        keys = []
        for name in ("bench", "other"):
            run_tessera("credit", "add", "--org", name, "--mode", "test", "--amount", "100000", *place)
            made = run_tessera("keys", "create", "--org", name, "--mode", "test", "--json", *place)
            keys.append(json.loads(made)["key"])
        running = Running(server, cores, (keys[0], keys[1]))
        running.load("--connections", str(CLOSED_CONNECTIONS), "--seconds", "3")
        found = {kind: measure_kind(asked, kind, running) for kind in asked.kind}
    verify(folder)
    return found


def measure_kind(asked: argparse.Namespace, kind: str, running: Running) -> dict[Any, Any]:
    """The peak, then each share of it."""
    seconds = ("--seconds", str(asked.seconds))
    peak = running.load("--connections", str(CLOSED_CONNECTIONS), *seconds, *KINDS[kind])
    rate = peak["served_per_second"]
    if not rate:
        raise SystemExit(f"Nothing was served: {peak}")
    print(f"{kind:6} peak {rate:.0f}/s, {1e6 * peak['cpu_s'] / (rate * asked.seconds):.0f} us of processor a call")
    found: dict[Any, Any] = {"peak": rate}
    for share in asked.share:
        words = ("--connections", str(OPEN_CONNECTIONS), *KINDS[kind], "--pace", str(share * rate), *seconds, "--watch")
        beside = None
        if kind == "beside":
            # It goes on until the other has ended, which first opens its connections.
            small = ("--connections", "100", "--pace", str(BESIDE_SHARE * rate), "--seconds", str(asked.seconds + 1))
            beside = running.start(*small, place=1)
        found[share] = one = running.load(*words)
        figures = ", ".join(f"{name} {one[name]:.0f}" for name in SHOWN if one[name] is not None)
        print(f"{kind:6} {share:4.1f} x {figures}, other {one['other']}, cpu {one['cpu_s']:.2f} s", flush=True)
        if beside is not None:
            small_one = result(beside)
            one["beside"] = small_one["good_per_second"] * (asked.seconds + 1) / small_one["sent"]
            print(f"{kind:6} {share:4.1f} x beside it, {one['beside']:.0%} of {small_one['sent']} calls were served")
    return found


def arguments() -> argparse.Namespace:
    """What was asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4)
    parser.add_argument("--nice", type=int, default=0, help="-10 takes both cores from what else runs (root)")
    parser.add_argument("--kind", action="append", choices=KINDS)
    parser.add_argument("--share", action="append", type=float, help="times the capacity; may be given again")
    parser.add_argument("--src", type=Path, default=machine.ROOT / "src")
    asked = parser.parse_args()
    asked.kind, asked.share = asked.kind or list(KINDS), asked.share or list(SHARES)
    return asked


if __name__ == "__main__":
    main()
