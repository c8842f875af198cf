"""Counters and timings of the HTTP entrance, for Prometheus."""

import asyncio
from collections.abc import Iterator, Mapping
from functools import cache

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.core import CounterMetricFamily

REGISTRY = CollectorRegistry()
REQUESTS = Counter(
    "tessera_http_requests", "HTTP requests by route and outcome", ["route", "outcome"], registry=REGISTRY
)
SECONDS = Histogram(
    "tessera_http_request_seconds",
    "Time from the head of a request to the end of its reply",
    ["route"],
    registry=REGISTRY,
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 900),
)
TASKS = Gauge("tessera_tasks", "Tasks of the event loop that have not ended", registry=REGISTRY)
TASKS.set_function(lambda: len(asyncio.all_tasks()))


# Routes and outcomes are few and known: looking a child up by its labels costs more than counting.
_counter = cache(REQUESTS.labels)
_timer = cache(SECONDS.labels)


def observe_request(route: str, outcome: str, duration_ns: int) -> None:
    """Counts one finished request."""
    _counter(route, outcome).inc()
    _timer(route).observe(duration_ns / 1_000_000_000)


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
    return generate_latest(REGISTRY) + generate_latest(_Families([calls]))


class _Families(CollectorRegistry):
    """Metrics that are gathered only when they are asked for."""

    def __init__(self, families: list[CounterMetricFamily]) -> None:
        super().__init__()
        self._families = families

    def collect(self) -> Iterator[CounterMetricFamily]:
        """See `CollectorRegistry`."""
        yield from self._families
