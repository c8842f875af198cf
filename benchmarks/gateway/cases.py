"""What is measured of a running server: one function a case, figures by name, units last."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median

from benchmarks.gateway import bodies, machine
from benchmarks.gateway.load import Load
from benchmarks.gateway.servers import Server

Figures = dict[str, float]

CONNECTIONS = 32
IMAGE_CONNECTIONS = 16
STREAMS_AT_ONCE = {"nginx": 800, "tessera": 400, "litellm": 32}
"""Paced streams kept open while streams a second are counted: enough to fill the candidate's core."""
MANY_STREAMS_DIVISOR = {"litellm": 5}
"""A candidate that would take minutes for as many streams as the others opens this part of them."""
BIG_BODY_BYTES = 20_000_000
BIG_BODIES = 12
_MANY_SECONDS_MAX = 180
_MIB = 2**20


@dataclass(frozen=True)
class Plan:
    """How long and how much."""

    seconds: float
    many_streams: int


@dataclass
class Used:
    """What a candidate used while it was loaded; filled when the block ends."""

    cpu_s: float = 0.0
    memory_before_mib: float = 0.0
    memory_peak_mib: float = 0.0
    others_percent: float = 0.0


@contextmanager
def watching(server: Server, load: Load) -> Iterator[Used]:
    """CPU time and peak memory of a candidate over a block, and what else used its core meanwhile."""
    used = Used(memory_before_mib=machine.memory_mib(server.pid))
    machine.forget_peak(server.pid)
    core = load.cores.candidate
    busy, whole = machine.core_seconds(core)
    cpu = machine.cpu_seconds(server.pid)
    yield used
    used.cpu_s = machine.cpu_seconds(server.pid) - cpu
    busy_after, whole_after = machine.core_seconds(core)
    used.memory_peak_mib = machine.memory_peak_mib(server.pid)
    others = max(0.0, busy_after - busy - used.cpu_s)
    used.others_percent = 100 * others / max(whole_after - whole, 0.01)


def small(server: Server, load: Load, plan: Plan) -> Figures:
    """The small chat body at 32 connections."""
    return _closed_loop(server, load, bodies.small_body(), CONNECTIONS, plan.seconds)


def latency(server: Server, load: Load, plan: Plan) -> Figures:
    """The small chat body at one connection: the time a call takes."""
    body = bodies.small_body()
    load.wrk(server, body, kind="plain", connections=1, seconds=1)
    found = load.wrk(server, body, kind="plain", connections=1, seconds=plan.seconds)
    return {"p50_ms": found["p50_us"] / 1000, "p99_ms": found["p99_us"] / 1000}


def image_1mb(server: Server, load: Load, plan: Plan) -> Figures:
    """Bodies of 1 MB with an image at 16 connections."""
    return _images(server, load, 1_000_000, plan.seconds)


def image_5mb(server: Server, load: Load, plan: Plan) -> Figures:
    """Bodies of 5 MB with an image at 16 connections."""
    return _images(server, load, 5_000_000, plan.seconds)


def streams(server: Server, load: Load, plan: Plan) -> Figures:
    """Streams of 100 words, one every 10 ms: how many a second; a part of a stream counts as that part."""
    body = bodies.stream_body("paced")
    one = load.client(server, body, "streams", 1, 60, kind="paced")
    if one["failed"]:
        raise SystemExit(f"{server.name} did not relay a stream whole.")
    at_once, seconds = STREAMS_AT_ONCE[server.name], max(plan.seconds, 5)
    with watching(server, load) as used:
        found = load.wrk(server, body, kind="paced", connections=at_once, seconds=seconds, stream=True)
    count = found["bytes"] / one["bytes"]
    return {
        "streams_per_s": count / found["seconds"],
        "cpu_us": 1e6 * used.cpu_s / count,
        "at_once": at_once,
        "errors": found["errors"] + found["unfinished"],
        "memory_peak_mib": used.memory_peak_mib,
        "others_percent": used.others_percent,
    }


def many_streams(server: Server, load: Load, plan: Plan) -> Figures:
    """So many streams of 100 words, one every 50 ms, all open at once; each must arrive whole."""
    body = bodies.stream_body("slow")
    count = plan.many_streams // MANY_STREAMS_DIVISOR.get(server.name, 1)
    with watching(server, load) as used:
        found = load.client(server, body, "streams", count, _MANY_SECONDS_MAX, kind="slow")
    names = ("streams", "complete", "failed", "seconds", "first_byte_p50_ms", "first_byte_max_ms")
    return {
        **{name: found[name] for name in names},
        "memory_peak_mib": used.memory_peak_mib,
        "others_percent": used.others_percent,
    }


def big_body(server: Server, load: Load, _: Plan) -> Figures:
    """What a 20 MB body does to small calls beside it: the slowest of them while it passes, less the usual time."""
    big, call = bodies.image_body(BIG_BODY_BYTES), bodies.small_body()
    load.client(server, big, "bodies", 2, 0)
    quiet = load.client(server, call, "probe", 2)["calls"]
    usual_s = median(seconds for _, seconds in quiet)
    with watching(server, load) as used:
        seconds = BIG_BODIES * 0.6
        probed, sent = load.clients(server, (call, "probe", seconds), (big, "bodies", BIG_BODIES, 0.2))
    worst = []
    for began, ended in sent["spans"]:
        beside = [took for at, took in probed["calls"] if at < ended and at + took > began]
        if beside:
            worst.append(1000 * (max(beside) - usual_s))
    if not worst:
        raise SystemExit("No small call ran beside a large body.")
    return {
        "delay_median_ms": median(worst),
        "delay_max_ms": max(worst),
        "bodies": len(worst),
        "body_median_ms": 1000 * median(ended - began for began, ended in sent["spans"]),
        "quiet_p50_ms": 1000 * usual_s,
        "quiet_max_ms": 1000 * (max(seconds for _, seconds in quiet) - usual_s),
        "memory_peak_mib": used.memory_peak_mib,
    }


Case = Callable[[Server, Load, Plan], Figures]

CASES: dict[str, Case] = {
    case.__name__: case for case in (small, latency, image_1mb, image_5mb, streams, big_body, many_streams)
}
DIRECT_CASES = ("latency", "big_body")
"""Also measured against the provider itself, with nothing in between."""


def _images(server: Server, load: Load, size: int, seconds: float) -> Figures:
    # What an ordinary load makes resident is no growth by images.
    load.wrk(server, bodies.small_body(), kind="plain", connections=IMAGE_CONNECTIONS, seconds=1)
    found = _closed_loop(server, load, bodies.image_body(size), IMAGE_CONNECTIONS, seconds)
    growth_mib = found["memory_peak_mib"] - found["memory_before_mib"]
    return {**found, "growth_per_body": growth_mib / (IMAGE_CONNECTIONS * size / _MIB)}


def _closed_loop(server: Server, load: Load, body: bytes, connections: int, seconds: float) -> Figures:
    memory_before = machine.memory_mib(server.pid)
    load.wrk(server, body, kind="plain", connections=connections, seconds=1)
    with watching(server, load) as used:
        found = load.wrk(server, body, kind="plain", connections=connections, seconds=seconds)
    if found["replies"] == 0:
        raise SystemExit(f"{server.name} answered nothing in {seconds} s.")
    return {
        "requests_per_s": found["replies"] / found["seconds"],
        "cpu_us": 1e6 * used.cpu_s / found["replies"],
        "p50_ms": found["p50_us"] / 1000,
        "p99_ms": found["p99_us"] / 1000,
        "errors": found["errors"],
        "memory_before_mib": memory_before,
        "memory_peak_mib": used.memory_peak_mib,
        "others_percent": used.others_percent,
    }
