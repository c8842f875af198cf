"""Deployments are tried in the operator's order, those that speak the caller's surface first."""

from dataclasses import dataclass

import pytest

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface
from tessera.domain.routing import plan


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
