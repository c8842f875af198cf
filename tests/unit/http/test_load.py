"""Whose a request is, and how late the loop is seen to be."""

import time
from typing import Any

from tessera.http.admission import LATE_SECONDS_MAX
from tessera.http.load import Load

ADDRESSES: dict[str, Any] = {"client": ("192.0.2.1", 5)}
FLOOD, SMALL = b"sk-tess-live-flood", b"sk-tess-live-small"


def limiting() -> Load:
    """One that lets in 100 requests at each look, of a server that has much in hand."""
    load = Load(10_000, 1 << 30)
    load.calls = 5000
    load.admission.look(1.0, 1.0, load.calls, 1000, crowded=True)
    assert load.admission.limiting
    deal(load)
    return load


def deal(load: Load) -> None:
    load.admission.rate = 1000.0
    load.admission.look(0.1, LATE_SECONDS_MAX, load.calls, 100, crowded=True)


def test_keys_from_one_address_are_told_apart_once_each_was_let_in() -> None:
    load = limiting()
    # A flood and another, behind the same proxy.
    load.remember_owner(FLOOD.decode(), "org_flood")
    for _ in range(5):
        found = [load.sheds(FLOOD, ADDRESSES, 5000) for _ in range(400)]
        assert sum(found) >= 240
        assert not any(load.sheds(SMALL, ADDRESSES, 5000) for _ in range(20)), "not known yet, alone at its address"
        deal(load)
    load.remember_owner(SMALL.decode(), "org_small")
    for _ in range(5):
        assert sum(load.sheds(FLOOD, ADDRESSES, 5000) for _ in range(400)) >= 240
        assert not any(load.sheds(SMALL, ADDRESSES, 5000) for _ in range(20))
        deal(load)


def test_keys_are_remembered_only_while_it_matters_and_never_as_they_are() -> None:
    load = Load(100, 1 << 30)
    load.remember_owner(FLOOD.decode(), "org")
    assert load.sheds(FLOOD, {"client": None}, 0) is False
    load = limiting()
    load.remember_owner(FLOOD.decode(), "org")
    assert FLOOD.decode() not in repr(vars(load))


def test_a_crowd_is_noticed_within_a_turn_of_a_late_loop() -> None:
    load = Load(1000, 1 << 30)
    assert not load.is_tight(399)
    assert load.is_tight(400)
    load.due_at = time.monotonic() + 60
    assert not load.sheds(b"", ADDRESSES, 400)
    assert not load.admission.limiting
    load.due_at = time.monotonic() - 2 * LATE_SECONDS_MAX
    load.sheds(b"", ADDRESSES, 400)
    assert load.admission.limiting


def test_fixed_bounds_are_seen_too() -> None:
    load = Load(100, 1 << 30)
    load.calls = 95
    assert load.sheds(b"", ADDRESSES, 95)
    load.calls = 94
    assert not load.sheds(b"", ADDRESSES, 95)
    load.pressed = True
    assert load.is_tight(0)
    assert load.sheds(b"", ADDRESSES, 0)
