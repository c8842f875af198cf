"""Deployments are tried in the operator's order, those that speak the caller's surface first."""

from dataclasses import dataclass

import pytest

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface
from tessera.domain.routing import FAILURES_MAX, Health, plan, standing


@dataclass(frozen=True)
class Server:
    name: str
    surfaces: tuple[Surface, ...]


CHAT = Server("chat", (Surface.CHAT,))
RESPONSES = Server("responses", (Surface.RESPONSES,))
BOTH = Server("both", (Surface.CHAT, Surface.RESPONSES))
MESSAGES = Server("messages", (Surface.MESSAGES,))


def test_the_same_surface_comes_before_a_translated_one() -> None:
    assert plan(Surface.CHAT, [RESPONSES, CHAT, BOTH], "m") == (
        (CHAT, Surface.CHAT),
        (BOTH, Surface.CHAT),
        (RESPONSES, Surface.RESPONSES),
    )


@pytest.mark.parametrize("servers", [[], [MESSAGES]])
def test_no_server_that_understands_is_no_deployment(servers: list[Server]) -> None:
    with pytest.raises(TesseraError) as refused:
        plan(Surface.CHAT, servers, "m")
    assert refused.value.code is ErrorCode.NO_DEPLOYMENT


@dataclass(frozen=True)
class Way:
    name: str
    provider: str


FIRST, SECOND = Way("a/one", "a"), Way("b/one", "b")
WAYS = ((FIRST, Surface.CHAT), (SECOND, Surface.CHAT))
EJECTION_MS = 30_000


def failed(times: int, now_ms: int = 0, health: Health | None = None) -> Health:
    health = health or Health()
    for _ in range(times):
        health.failed(now_ms, EJECTION_MS)
    return health


def test_a_deployment_is_ejected_after_five_failures_in_a_row() -> None:
    assert not failed(FAILURES_MAX - 1).ejected(0)
    health = failed(FAILURES_MAX)
    assert health.ejected(0)
    assert health.ejected(EJECTION_MS - 1)
    assert not health.ejected(EJECTION_MS)


def test_calls_already_on_their_way_when_it_was_ejected_do_not_prolong_it() -> None:
    assert not failed(100).ejected(EJECTION_MS)


@pytest.mark.parametrize("times", range(1, 15))
def test_each_ejection_without_a_success_in_between_is_longer_up_to_ten_times(times: int) -> None:
    health, now_ms = Health(), 0
    for number in range(1, times + 1):
        failed(FAILURES_MAX, now_ms, health)
        length = EJECTION_MS * min(number, 10)
        assert health.ejected(now_ms + length - 1)
        now_ms += length
        assert not health.ejected(now_ms)


def test_a_refused_credential_ejects_at_once_and_says_so_once() -> None:
    health = Health()
    assert health.reject(0, EJECTION_MS)
    assert not health.reject(1, EJECTION_MS)
    assert health.ejected(EJECTION_MS - 1)
    assert not health.ejected(EJECTION_MS)


def test_an_ejection_of_no_time_ejects_nothing() -> None:
    health = Health()
    for _ in range(20):
        health.failed(5, 0)
    assert not health.ejected(5)


@pytest.mark.parametrize("name", ["a/one", "a"])
def test_what_is_ejected_by_name_or_by_provider_is_left_alone(name: str) -> None:
    assert standing(WAYS, {name: failed(FAILURES_MAX)}, 0) == ((SECOND, Surface.CHAT),)
    assert standing(WAYS, {name: failed(FAILURES_MAX)}, EJECTION_MS) == WAYS


def test_the_last_deployment_is_never_ejected() -> None:
    gone = failed(FAILURES_MAX)
    assert standing(WAYS, {"a": gone, "b": gone}, 0) == WAYS
    assert standing(WAYS[:1], {"a": gone}, 0) == WAYS[:1]
