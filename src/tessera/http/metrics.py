"""Counters and timings of the HTTP entrance, for Prometheus."""

import asyncio
from bisect import bisect_left
from collections.abc import Iterator, Mapping
from itertools import accumulate

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.metrics_core import Metric

REGISTRY = CollectorRegistry()
TASKS = Gauge("tessera_tasks", "Tasks of the event loop that have not ended", registry=REGISTRY)
TASKS.set_function(lambda: len(asyncio.all_tasks()))

BOUNDS_S = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900)
_BOUNDS_NS = tuple(round(bound * 1_000_000_000) for bound in BOUNDS_S)

_shed: dict[str, int] = {}


def count_shed(reason: str) -> None:
    """Counts a request that was refused for overload. Under overload nothing is called more often."""
    _shed[reason] = _shed.get(reason, 0) + 1


class Requests:
    """Counts and times requests for one event loop, whose thread alone may: the library's own counters take a lock and
    five calls each time, on every call."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}
        self._times: dict[str, tuple[list[int], list[int]]] = {}

    def observe(self, route: str, outcome: str, duration_ns: int) -> None:
        """Counts one finished request."""
        counts = self._counts
        counts[route, outcome] = counts.get((route, outcome), 0) + 1
        times = self._times.get(route)
        if times is None:
            times = self._times[route] = ([0] * (len(_BOUNDS_NS) + 1), [0])
        times[0][bisect_left(_BOUNDS_NS, duration_ns)] += 1
        times[1][0] += duration_ns

    def collect(self) -> Iterator[Metric]:
        """See `CollectorRegistry`."""
        requests = CounterMetricFamily(
            "tessera_http_requests", "HTTP requests by route and outcome", labels=["route", "outcome"]
        )
        for labels, count in sorted(self._counts.items()):
            requests.add_metric(labels, count)
        seconds = HistogramMetricFamily(
            "tessera_http_request_seconds", "Time from the head of a request to the end of its reply", labels=["route"]
        )
        bounds = [str(float(bound)) for bound in BOUNDS_S] + ["+Inf"]
        for route, (counts, (sum_ns,)) in sorted(self._times.items()):
            buckets = list(zip(bounds, accumulate(counts), strict=True))
            seconds.add_metric([route], buckets, sum_ns / 1_000_000_000)
        yield requests
        yield seconds


_requests = Requests()
REGISTRY.register(_requests)
observe_request = _requests.observe


def exposition(quarantined: Mapping[str, int]) -> bytes:
    """All metrics in Prometheus' text format; asked for inside the event loop, whose tasks are among them.

    `quarantined` counts, by deployment, the calls whose usage could not be true.
    """
    calls = CounterMetricFamily(
        "tessera_usage_quarantined",
        "Calls whose provider's usage could not be true, by deployment",
        None,
        ["deployment"],
    )
    for deployment, count in sorted(quarantined.items()):
        calls.add_metric([deployment], count)
    shed = CounterMetricFamily(
        "tessera_http_shed", "Requests refused for overload, by what there was too much of", None, ["reason"]
    )
    for reason, count in sorted(_shed.items()):
        shed.add_metric([reason], count)
    return generate_latest(REGISTRY) + generate_latest(_Families([calls, shed]))


class _Families(CollectorRegistry):
    """Metrics that are gathered only when they are asked for."""

    def __init__(self, families: list[CounterMetricFamily]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Iterator[CounterMetricFamily]:
        """See `CollectorRegistry`."""
        yield from self._families
