"""The world of flows that decide about money: data and prices, a clock that stands still, and nothing to call."""

import json
from typing import Any, cast

from simulation.loop import VirtualTime
from simulation.process import DEPLOYMENTS, SimClock
from simulation.rules import rules
from tessera.adapters.tokenizers import counter_for
from tessera.domain.auth import Caller
from tessera.domain.money import Mode
from tessera.flows.world import World

NOW_US = 1_795_000_000_000_000


def priced_world(operator: bool = True, **parts: Any) -> World:
    """With the simulation's operator and its prices, or the list's; `parts` stand in place of what is missing."""
    catalogue, prices = rules(operator)
    unused = cast(Any, None)
    known: dict[str, Any] = {
        "storage": unused,
        "media": unused,
        "providers": {},
        "catalogue": catalogue,
        "prices": prices,
        "deployments": DEPLOYMENTS,
        "counter_for": counter_for,
        "digest": unused,
        "make_id": lambda prefix: f"{prefix}_1",
        "clock": SimClock(VirtualTime(NOW_US)),
        "owner": "prc_1",
    }
    return World(**(known | parts))


def caller(mode: Mode = Mode.LIVE, **facts: Any) -> Caller:
    """Who calls."""
    return Caller(**({"organization_id": "org_1", "project_id": "prj_1", "key_id": "key_1", "mode": mode} | facts))


def body(model: str = "gpt-4o", **fields: Any) -> bytes:
    """A call in the dialect of Chat; a field of None is left out."""
    known = {"model": model, "messages": [{"role": "user", "content": "Hi"}], "max_completion_tokens": 50}
    return json.dumps({name: value for name, value in (known | fields).items() if value is not None}).encode()
