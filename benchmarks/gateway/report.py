"""Writes docs/benchmarks.md from the results of a whole run: `python -m benchmarks.gateway.report [--check]`.

`--check` writes nothing and fails when the page is not what the results say.
"""

import argparse
import json
from collections.abc import Callable, Iterable
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.gateway.cases import (
    BIG_BODIES,
    CONNECTIONS,
    IMAGE_CONNECTIONS,
    MANY_STREAMS_DIVISOR,
    STREAMS_AT_ONCE,
)
from benchmarks.gateway.machine import ROOT

RESULTS = Path(__file__).parent / "results.json"
PAGE = ROOT / "docs" / "benchmarks.md"
TEXT = Path(__file__).parent / "page.md"
STEADY_P99_MS = 1.0
"""Calls straight to the provider take 0.02 ms on a quiet machine; above this something else is being measured."""
QUIET_LOAD = 1.0
BUSY = """
**The machine was busy with other work during this run.** That lowers requests/s and lengthens latencies, of each
candidate by a different share; CPU time a call and memory are what to compare here. A dash stands where calls straight
to the provider were unsteady themselves.
"""
COUNTING_STEPS = (
    "body opened, parsed, spliced: 555 B",
    "quote: the small body's text, counted and priced",
    "usage of a reply of 888 B read",
    "charge",
)
NAMES = {"nginx": "nginx, plain proxy", "tessera": "**Tessera**", "litellm": "LiteLLM proxy"}

Results = dict[str, Any]


def main() -> None:
    """Writes or checks the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="Fail when the page differs from the results.")
    asked = parser.parse_args()
    page = render(json.loads(RESULTS.read_text()), TEXT.read_text())
    if not asked.check:
        PAGE.write_text(page)
    elif not PAGE.exists() or PAGE.read_text() != page:
        raise SystemExit("docs/benchmarks.md is not what results.json and page.md say: run the report again.")


def render(results: Results, text: str) -> str:
    """The page: the text with its places filled."""
    settings, versions, machine = results["settings"], results["versions"], results["machine"]
    loads = [found["load_average"][0] for found in results["rounds"]]
    places = {
        "date": results["date"],
        "machine": f"{machine['class']}, {machine['processor']}, {machine['system']}, Python {machine['python']}",
        "tessera": versions["tessera"],
        "litellm": versions["litellm"],
        "nginx": versions["nginx"],
        "wrk": versions["wrk"],
        "rounds": str(settings["rounds"]),
        "seconds": f"{settings['seconds']:g}",
        "load": " and ".join(sorted({f"{load:.1f}" for load in loads})),
        "busy": BUSY.strip() if max(loads) > QUIET_LOAD else "",
        "others": ", ".join(
            f"{NAMES[name].strip('*')} {_of(results, name, 'small', 'others_percent'):.0f} %" for name in NAMES
        ),
        "priority": "raised above other work on the machine" if settings["nice"] < 0 else "the ordinary one",
        "connections": str(CONNECTIONS),
        "image_connections": str(IMAGE_CONNECTIONS),
        "at_once": ", ".join(f"{NAMES[name].strip('*')} {count}" for name, count in STREAMS_AT_ONCE.items()),
        "many_streams": f"{settings['many_streams']:,}",
        "many_divisor": str(MANY_STREAMS_DIVISOR["litellm"]),
        "bodies": str(BIG_BODIES),
        "speed": _speed(results),
        "images": _images(results),
        "streams": _streams(results),
        "beside": _beside(results),
        "ledger": _ledger(results),
        "micro": _micro(results),
        "goals": _goals(results),
        "small_us": f"{_of(results, 'tessera', 'small', 'cpu_us'):,.0f}",
        "steps_us": f"{sum(results['micro'][step] for step in COUNTING_STEPS):,.0f}",
        "flushes": f"{results['exact']['flushes_per_call_at_1']:.2f}",
    }
    for name, value in places.items():
        text = text.replace("{{" + name + "}}", value)
    if "{{" in text:
        raise SystemExit(f"page.md has a place that nothing fills: {text[text.index('{{') :][:40]}")
    return text.replace("\n\n\n\n", "\n\n")


# ---- figures ---------------------------------------------------------------------------------------------------------


def _of(results: Results, name: str, case: str, figure: str) -> float:
    """The median over the rounds that have it."""
    return median(_each(results, name, case, figure))


def _each(results: Results, name: str, case: str, figure: str) -> list[float]:
    return [found["figures"][name][case][figure] for found in results["rounds"] if case in found["figures"][name]]


def _times(results: Results, case: str, figure: str, *, inverse: bool = False) -> float:
    """Tessera against LiteLLM: the ratio is taken inside each round, then the median."""
    pairs = zip(_each(results, "tessera", case, figure), _each(results, "litellm", case, figure), strict=True)
    return median(theirs / ours if inverse else ours / theirs for ours, theirs in pairs)


# ---- tables ----------------------------------------------------------------------------------------------------------


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    head = list(head)
    lines = [head, ["---", *["--:"] * (len(head) - 1)], *map(list, rows)]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _per_candidate(head: list[str], cells: Callable[[str], list[str]]) -> str:
    return _table(head, ([shown, *cells(name)] for name, shown in NAMES.items()))


def _speed(results: Results) -> str:
    def cells(name: str) -> list[str]:
        return [
            f"{_of(results, name, 'small', 'requests_per_s'):,.0f}",
            f"{_of(results, name, 'small', 'cpu_us'):,.0f}",
            f"{_of(results, name, 'latency', 'added_p50_ms'):.2f}",
            _added_p99(results, name),
            f"{_of(results, name, 'small', 'memory_peak_mib'):,.0f}",
            f"{_of(results, name, 'small', 'errors'):.0f}",
        ]

    head = ["small body", "requests/s", "CPU µs a call", "added p50, ms", "added p99, ms", "peak memory, MiB", "errors"]
    return _per_candidate(head, cells)


def _added_p99(results: Results, name: str) -> str:
    """Only from rounds in which the provider alone was answering steadily; otherwise the machine is measured."""
    found = [
        each["figures"][name]["latency"]["added_p99_ms"]
        for each in results["rounds"]
        if each["figures"]["direct"]["latency"]["p99_ms"] <= STEADY_P99_MS
    ]
    return f"{median(found):.1f}" if found else "–"


def _images(results: Results) -> str:
    def cells(name: str) -> list[str]:
        found = []
        for case in ("image_1mb", "image_5mb"):
            found.append(f"{_of(results, name, case, 'requests_per_s'):,.0f}")
            found.append(f"{_of(results, name, case, 'cpu_us'):,.0f}")
        found.append(f"{_of(results, name, 'image_5mb', 'memory_peak_mib'):,.0f}")
        found.append(f"{_of(results, name, 'image_5mb', 'growth_per_body'):.1f}")
        return found

    head = [
        "image bodies",
        "1 MB/s",
        "CPU µs",
        "5 MB/s",
        "CPU µs",
        "peak memory at 5 MB, MiB",
        "growth, × bodies in flight",
    ]
    return _per_candidate(head, cells)


def _streams(results: Results) -> str:
    def cells(name: str) -> list[str]:
        return [
            f"{_of(results, name, 'streams', 'streams_per_s'):,.0f}",
            f"{_of(results, name, 'streams', 'cpu_us'):,.0f}",
            f"{_of(results, name, 'many_streams', 'streams'):,.0f}",
            f"{_of(results, name, 'many_streams', 'failed'):,.0f}",
            f"{_of(results, name, 'many_streams', 'seconds'):.1f}",
            f"{_of(results, name, 'many_streams', 'memory_peak_mib'):,.0f}",
        ]

    head = [
        "streams",
        "streams/s",
        "CPU µs a stream",
        "open at once",
        "of them not whole",
        "seconds",
        "peak memory, MiB",
    ]
    return _per_candidate(head, cells)


def _beside(results: Results) -> str:
    names = {"direct": "straight to the provider", **NAMES}
    rows = [
        [
            shown,
            f"{_of(results, name, 'big_body', 'quiet_p50_ms'):.2f}",
            f"{_of(results, name, 'big_body', 'quiet_max_ms'):.1f}",
            f"{_of(results, name, 'big_body', 'delay_median_ms'):.1f}",
            f"{_of(results, name, 'big_body', 'delay_max_ms'):.1f}",
        ]
        for name, shown in names.items()
    ]
    head = [
        "small calls beside 20 MB bodies, ms",
        "usual",
        "slowest alone",
        "slowest beside one, median",
        "slowest of all",
    ]
    return _table(head, rows)


def _ledger(results: Results) -> str:
    exact = results["exact"]
    calls = sum(found["settled"]["calls"] for found in results["rounds"])
    rows = [
        ["replies counted by the client", f"{exact['replies']:,.0f}"],
        ["settled calls in the ledger", f"{exact['settled']:,.0f}"],
        ["flushes a call at 1 connection", f"{exact['flushes_per_call_at_1']:.2f}"],
        ["flushes a call at 32 connections", f"{exact['flushes_per_call_at_32']:.2f}"],
        ["calls settled in the measured runs", f"{calls:,}"],
        ["checks of `tessera verify`, all right, after each run", f"{exact['checks']:.0f}"],
    ]
    return _table(["ledger", ""], rows)


def _micro(results: Results) -> str:
    return _table(["step", "µs"], ([name, f"{figure:,.1f}"] for name, figure in results["micro"].items()))


def _goals(results: Results) -> str:
    small, exact = "small", results["exact"]
    header_us = results["micro"]["image header: PNG"]
    quote_us = results["micro"]["quote: one image by its size, every size another"]
    many = _of(results, "tessera", "many_streams", "complete")
    memory = 1 / _times(results, small, "memory_peak_mib")
    added = _of(results, "tessera", "latency", "added_p50_ms")
    growth = _of(results, "tessera", "image_5mb", "growth_per_body")
    delay = _of(results, "tessera", "big_body", "delay_max_ms")
    found = [
        ("requests/s, small body, × LiteLLM", 50, _times(results, small, "requests_per_s"), True),
        ("the same by CPU a call, × LiteLLM", 50, _times(results, small, "cpu_us", inverse=True), True),
        ("CPU a call, µs", 142, _of(results, "tessera", small, "cpu_us"), False),
        ("added p50 at one connection, ms", 1.5, added, False),
        ("1 MB image bodies/s, × LiteLLM", 6, _times(results, "image_1mb", "requests_per_s"), True),
        ("5 MB image bodies/s, × LiteLLM", 4, _times(results, "image_5mb", "requests_per_s"), True),
        ("streams/s, × LiteLLM", 15, _times(results, "streams", "streams_per_s"), True),
        ("100-chunk streams open at once, whole", 1_500, many, True),
        ("peak memory, small body: LiteLLM's, × ours", 3, memory, True),
        ("memory growth, × bodies in flight", 3, growth, False),
        ("delay by a 20 MB body, ms, worst", 10, delay, False),
        ("image header, µs", 10, header_us, False),
        ("quote of an image, µs", 20, quote_us, False),
        ("settles for each reply", 1, exact["settled"] / exact["replies"], True),
    ]
    rows = [
        [
            name,
            f"{'≥' if more else '≤'} {goal:,g}",
            f"{value:,.0f}" if value >= 100 else f"{value:.1f}",
            "yes" if (value >= goal if more else value <= goal) else "**no**",
        ]
        for name, goal, value, more in found
    ]
    return _table(["goal", "at", "measured", "reached"], rows)


if __name__ == "__main__":
    main()
