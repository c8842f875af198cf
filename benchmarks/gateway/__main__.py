"""Measures nginx as a proxy, Tessera and the LiteLLM proxy in one run.

    python -m benchmarks.gateway                                        everything, three rounds; writes the results
    python -m benchmarks.gateway --only tessera --case small --seconds 5     one figure a line, writes nothing

`make bench` runs the first and then writes docs/benchmarks.md from the results.
"""

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.gateway import bodies, machine, programs, servers
from benchmarks.gateway.cases import CASES, DIRECT_CASES, Figures, Plan
from benchmarks.gateway.exact import exact
from benchmarks.gateway.load import Load
from benchmarks.gateway.turns import turns

RESULTS = Path(__file__).parent / "results.json"
ONCE = ("many_streams",)
"""Cases that take long and decide nothing by a few percent: first round only."""
ALONE = "turns"
"""A case of both together, which is no part of a whole run."""


def main() -> None:
    """Reads the arguments, runs the rounds, keeps the results."""
    asked = _arguments()
    programs.need_programs()
    cores = machine.choose_cores()
    os.sched_setaffinity(0, {cores.load})
    plan = Plan(asked.seconds, asked.many_streams)
    results: dict[str, Any] = {
        "date": time.strftime("%Y-%m-%d", time.gmtime()),
        "machine": machine.describe(),
        "versions": _versions(asked.only),
        "settings": {
            "seconds": asked.seconds,
            "rounds": asked.rounds,
            "many_streams": asked.many_streams,
            "nice": asked.nice,
        },
        "rounds": [],
    }
    if machine.load_average()[0] > 1:
        print(
            f"The machine is busy (load average {machine.load_average()[0]}): read CPU time, not speed.",
            file=sys.stderr,
        )
    with machine.priority(asked.nice), _folder() as folder:
        load = Load(cores, folder)
        with servers.provider(folder, cores) as upstream:
            for number in range(asked.rounds):
                results["rounds"].append(_round(number, asked.only, asked.case, folder, load, upstream, plan))
            if "exact" in asked.case and "tessera" in asked.only:
                results["exact"] = exact(_own(folder, "exact"), load, upstream)
                _show("tessera", "exact", results["exact"])
            if ALONE in asked.case and {"tessera", "litellm"} <= set(asked.only):
                results["turns"] = turns(_own(folder, "turns"), load, upstream)
                _show("both", "turns", results["turns"])
    if asked.save:
        if "small" in asked.case:
            from benchmarks.micro import measure

            results["micro"] = measure()
        asked.save.write_text(json.dumps(results, indent=1) + "\n")


def _round(
    number: int, names: list[str], cases: list[str], folder: Path, load: Load, upstream: servers.Server, plan: Plan
) -> dict[str, Any]:
    """Every candidate once, each started anew; the order turns with the round's number."""
    turn = number % len(names)
    order = names[turn:] + names[:turn]
    found: dict[str, Any] = {"order": order, "load_average": machine.load_average(), "figures": {}, "settled": {}}
    chosen = [case for case in cases if case in CASES and (number == 0 or case not in ONCE)]
    if not chosen:
        return found
    found["figures"]["direct"] = _measure(upstream, load, plan, [case for case in chosen if case in DIRECT_CASES])
    for name in order:
        own = _own(folder, f"{name}-{number}")
        with servers.CANDIDATES[name](own, load.cores, upstream) as server:
            found["figures"][name] = _measure(server, load, plan, chosen)
        if name == "tessera":
            found["settled"] = {"calls": servers.calls_settled(own), "checks": servers.verify(own)}
            _show(name, "ledger", found["settled"])
    _add_latency(found["figures"])
    return found


def _measure(server: servers.Server, load: Load, plan: Plan, cases: list[str]) -> dict[str, Figures]:
    found: dict[str, Figures] = {}
    # A first call, answered: some candidates build themselves only then.
    load.client(server, bodies.small_body(), "calls", 4, 1)
    for case in cases:
        found[case] = CASES[case](server, load, plan)
        _show(server.name, case, found[case])
    return found


def _add_latency(figures: dict[str, dict[str, Figures]]) -> None:
    """What each candidate adds to a call at one connection: its time less the provider's own, in the same round."""
    direct = figures["direct"].get("latency")
    for name, cases in figures.items():
        if direct is None or name == "direct":
            continue
        own = cases["latency"]
        own["added_p50_ms"] = own["p50_ms"] - direct["p50_ms"]
        own["added_p99_ms"] = own["p99_ms"] - direct["p99_ms"]
        _show(name, "latency", {key: own[key] for key in ("added_p50_ms", "added_p99_ms")})


def _show(name: str, case: str, figures: Figures) -> None:
    for figure, value in figures.items():
        print(f"{name:8} {case:12} {figure:24} {value:14,.3f}", flush=True)


def _versions(names: list[str]) -> dict[str, str]:
    found = {
        "tessera": machine.commit(),
        "nginx": programs.version(["nginx", "-v"]).rpartition("/")[2],
        "wrk": programs.version(["wrk", "-v"]).split(" [")[0].removeprefix("wrk debian/"),
    }
    if "litellm" in names:
        programs.litellm()
        found["litellm"] = programs.litellm_version()
    return found


@contextlib.contextmanager
def _folder() -> Iterator[Path]:
    """A folder for one run, on the disk that the checkout is on; its data goes when the run ends."""
    folder = programs.CACHE / f"run-{os.getpid()}"
    folder.mkdir(parents=True)
    try:
        yield folder
    finally:
        if sys.exc_info()[0] is None:
            shutil.rmtree(folder)
        else:
            print(f"Settings, logs and data of this run are in {folder}", file=sys.stderr)


def _own(folder: Path, name: str) -> Path:
    own = folder / name
    own.mkdir()
    return own


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.gateway", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    names, cases = list(servers.CANDIDATES), [*CASES, "exact"]
    parser.add_argument("--only", action="append", choices=names, help="This candidate; may be given again.")
    parser.add_argument("--case", action="append", choices=[*cases, ALONE], help="This case; may be given again.")
    parser.add_argument("--seconds", type=float, default=5, help="Length of one measurement.")
    parser.add_argument("--rounds", type=int, default=None, help="Default: 3, and 1 with --only or --case.")
    parser.add_argument("--nice", type=int, default=0, help="-10 takes both cores from what else runs (root).")
    parser.add_argument("--many-streams", type=int, default=1500, help="Streams of the many_streams case.")
    parser.add_argument("--save", type=Path, help="Where results go; a whole run writes them beside the harness.")
    asked = parser.parse_args()
    whole = not (asked.only or asked.case)
    asked.rounds = asked.rounds or (3 if whole else 1)
    asked.save = asked.save or (RESULTS if whole else None)
    asked.only, asked.case = asked.only or names, asked.case or cases
    return asked


if __name__ == "__main__":
    main()
