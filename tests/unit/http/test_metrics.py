"""Requests are counted and timed as Prometheus' own client library would have it."""

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.metrics_core import Metric

from tessera.http.metrics import BOUNDS_S, Requests

SECOND_NS = 1_000_000_000
OBSERVED = st.lists(
    st.tuples(
        st.sampled_from(["/v1/chat/completions", "/healthz"]),
        st.sampled_from(["ok", "invalid_request"]),
        st.sampled_from([round(bound * SECOND_NS) for bound in BOUNDS_S]) | st.integers(0, 2000 * SECOND_NS),
    ),
    max_size=30,
)


class Only(CollectorRegistry):
    """A registry of what one collector gives."""

    def __init__(self, requests: Requests) -> None:
        super().__init__()
        self._requests = requests

    def collect(self) -> Iterator[Metric]:
        return self._requests.collect()


@given(OBSERVED)
def test_counts_and_times_are_those_of_the_client_library(observed: list[tuple[str, str, int]]) -> None:
    requests, registry = Requests(), CollectorRegistry()
    counter = Counter("tessera_http_requests", "", ["route", "outcome"], registry=registry)
    seconds = Histogram("tessera_http_request_seconds", "", ["route"], registry=registry, buckets=BOUNDS_S)
    for route, outcome, duration_ns in observed:
        requests.observe(route, outcome, duration_ns)
        counter.labels(route, outcome).inc()
        seconds.labels(route).observe(duration_ns / SECOND_NS)
    assert lines(generate_latest(Only(requests))) == pytest.approx(lines(generate_latest(registry)), rel=1e-9)


def lines(text: bytes) -> dict[str, float]:
    """Samples by name and labels; when a series began is left out."""
    samples = [line.rpartition(" ") for line in text.decode().splitlines() if not line.startswith("#")]
    return {name: float(value) for name, _, value in samples if "_created" not in name}
