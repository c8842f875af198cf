"""Tessera and the LiteLLM proxy in turn: both stand, and the small call goes now to one, then to the other.

A machine's own speed can change by a factor of two within a minute, so what is compared has to be measured within
seconds. Each turn is a known number of calls, every one waited for: no work that a load leaves unfinished is counted as
if it had been for nothing, nor falls into the other's turn.
"""

from pathlib import Path
from statistics import median

from benchmarks.gateway import bodies, machine, servers
from benchmarks.gateway.cases import CONNECTIONS, Figures
from benchmarks.gateway.load import Load

TURNS = 15
CALLS = {"tessera": 1_600, "litellm": 96}
"""So many of each turn's calls take some seconds."""


def turns(folder: Path, load: Load, upstream: servers.Server) -> Figures:
    """Medians of the turns, and of the ratios of each turn. Ends the run when a call fails."""
    found: dict[str, list[Figures]] = {name: [] for name in CALLS}
    own = {name: folder / name for name in CALLS}
    for place in own.values():
        place.mkdir()
    with (
        servers.tessera(own["tessera"], load.cores, upstream) as ours,
        servers.litellm(own["litellm"], load.cores, upstream) as theirs,
    ):
        for server in (ours, theirs):
            load.client(server, bodies.small_body(), "calls", 2 * CALLS[server.name], CONNECTIONS)
        for number in range(TURNS):
            for server in (ours, theirs) if number % 2 else (theirs, ours):
                found[server.name].append(_turn(server, load))
    pairs = list(zip(found["tessera"], found["litellm"], strict=True))
    return {
        "turns": TURNS,
        "requests_times": median(our["requests_per_s"] / their["requests_per_s"] for our, their in pairs),
        "cpu_times": median(their["cpu_us"] / our["cpu_us"] for our, their in pairs),
        "cpu_times_least": min(their["cpu_us"] / our["cpu_us"] for our, their in pairs),
        "cpu_times_most": max(their["cpu_us"] / our["cpu_us"] for our, their in pairs),
        **{f"{name}_cpu_us": median(one["cpu_us"] for one in found[name]) for name in CALLS},
        **{f"{name}_requests_per_s": median(one["requests_per_s"] for one in found[name]) for name in CALLS},
    }


def _turn(server: servers.Server, load: Load) -> Figures:
    cpu_s = machine.cpu_seconds(server.pid)
    made = load.client(server, bodies.small_body(), "calls", CALLS[server.name], CONNECTIONS)
    used_s = machine.cpu_seconds(server.pid) - cpu_s
    if made["replies"] != CALLS[server.name]:
        raise SystemExit(f"{server.name} answered {made['replies']} of {CALLS[server.name]} calls.")
    return {
        "requests_per_s": made["replies"] / (made["ended_at"] - made["started_at"]),
        "cpu_us": 1e6 * used_s / made["replies"],
    }
