"""F23: the wall clock of a real server jumps, crosses a change of daylight saving and a new year, with calls in flight.

The server's own C library is told another time by libfaketime (Debian has it); the monotonic clock is left alone, as a
real jump leaves it.
"""

import concurrent.futures
import contextlib
import datetime
import json
import threading
import time
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_calls import Seen, call, settled, until
from live_calls import CONFIG, CREDENTIAL, Live
from scripted_provider import ScriptedProvider
from scripted_replies import chat_reply
from servers import running_server, tessera

LIBRARY = next(iter(sorted(Path("/usr/lib").glob("*/faketime/libfaketimeMT.so.1"))), None)
DAY_S = 86_400
PRICES = """
[[price]]
model = "gpt-4o"
input = "1"
output = "1"

[[price]]
model = "gpt-4o"
input = "50"
output = "50"
valid_from = "{tomorrow}"
"""

pytestmark = pytest.mark.skipif(LIBRARY is None, reason="libfaketime is not installed: no clock was made to jump")


class Clock:
    """The wall clock of the processes that run with `environment`."""

    def __init__(self, folder: Path) -> None:
        self._file = folder / "clock"
        self.move(0)
        self.environment = {
            "LD_PRELOAD": str(LIBRARY),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "TZ": "Europe/Berlin",
        }

    def move(self, seconds: float) -> None:
        """So far from the true time."""
        new = self._file.with_suffix(".new")
        new.write_text(f"{seconds:+.3f}\n")
        new.rename(self._file)

    def set(self, moment: datetime.datetime) -> None:
        """To a moment."""
        self.move(moment.timestamp() - time.time())


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Live, Clock]]:
    folder = tmp_path_factory.mktemp("clock")
    clock = Clock(folder)
    tomorrow = datetime.datetime.now(datetime.UTC).date() + datetime.timedelta(days=1)
    with ScriptedProvider() as first, ScriptedProvider() as second, ScriptedProvider() as images:
        config = CONFIG.format(first=first.base_url, second=second.base_url, image_ports=json.dumps([images.port]))
        config += PRICES.format(tomorrow=tomorrow)
        with running_server(folder, config=config, env={"LOCAL_KEY": CREDENTIAL, **clock.environment}) as server:
            yield Live(server, first, second, images, server.account(mode="live", credit="5.00")), clock
            clock.move(0)
            server.verify()


@pytest.fixture
def live(place: tuple[Live, Clock]) -> Iterator[Live]:
    shared, clock = place
    clock.move(0)
    shared.first.received.clear()
    shared.first._scripts.clear()
    account = shared.server.account(mode="live", credit="5.00")
    yield Live(shared.server, shared.first, shared.second, shared.images, account)
    clock.move(0)


@pytest.fixture
def clock(place: tuple[Live, Clock]) -> Clock:
    return place[1]


@contextlib.contextmanager
def in_flight(live: Live, **headers: str) -> Iterator["concurrent.futures.Future[Seen]"]:
    """A call whose provider answers when the block is left."""
    gate = threading.Event()
    live.first.script(lambda request: (gate.wait(30), chat_reply(prompt_tokens=9, completion_tokens=2))[1])
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        running = pool.submit(call, live, headers=headers)
        try:
            until(lambda: live.first.received)
            yield running
        finally:
            gate.set()
        assert running.result().status == 200


@pytest.mark.parametrize("jump_s", [DAY_S, -DAY_S, 3650 * DAY_S])
def test_f23_a_jump_expires_no_hold_of_a_living_server_and_the_price_is_that_of_the_hold(
    live: Live, clock: Clock, jump_s: int
) -> None:
    started = time.monotonic()
    with in_flight(live):
        clock.move(jump_s)
        beside = tessera("orgs", "list", "--data", str(live.server.data_dir), env=clock.environment)
        assert beside.returncode == 0, "another process swept the same data at the other time"
        assert live.get("/balance")["held_nanos"] > 0
    receipt = settled(live)
    assert (receipt["status"], receipt["outcome"]) == ("settled", "completed")
    assert receipt["charge"]["nanos"] == 11 * 1_000, "the price of the day of the hold"
    lasted_ms = (time.monotonic() - started) * 1000
    assert 0 <= receipt["first_byte_ms"] <= receipt["latency_ms"] <= lasted_ms
    assert 0 <= receipt["attempts"][0]["duration_ms"] <= lasted_ms
    assert abs(receipt["created_at"] - time.time()) < 60
    balance = live.get("/balance")
    assert (balance["held_nanos"], balance["spent_nanos"]) == (0, 11_000)


def test_f23_new_calls_follow_the_day_of_the_clock_there_and_back(live: Live, clock: Clock) -> None:
    live.first.always = chat_reply(prompt_tokens=9, completion_tokens=2)
    charges = []
    for jump_s in (0, DAY_S, 0):
        clock.move(jump_s)
        assert call(live).status == 200
        charges.append(live.last_receipt()["charge"]["nanos"] if not charges else settled_newest(live, charges))
    live.first.always = None
    assert charges == [11_000, 11 * 50_000, 11_000]
    assert live.get("/balance")["spent_nanos"] == sum(charges)


def settled_newest(live: Live, charges: list[int]) -> int:
    """What the call after those was charged: lists are in the order of the clock, which has jumped."""
    seen = [receipt["charge"]["nanos"] for receipt in live.get("/requests?limit=10")["data"]]
    assert len(seen) == len(charges) + 1
    return sum(seen) - sum(charges)


def test_f23_an_idempotency_key_answers_the_same_on_both_sides_of_a_jump(live: Live, clock: Clock) -> None:
    headers = {"idempotency-key": str(uuid.uuid4())}
    with in_flight(live, **headers) as running:
        clock.move(-DAY_S)
        assert call(live, headers=headers).status == 409, "the first is still running"
    again = call(live, headers=headers)
    clock.move(DAY_S)
    later = call(live, headers=headers)
    assert {again.body, later.body} == {running.result().body}
    assert len(live.first.received) == 1
    assert live.get("/balance")["spent_nanos"] == 11_000


MOMENTS = {
    "daylight saving ends": "2026-10-25T01:00:00+00:00",
    "daylight saving begins": "2026-03-29T01:00:00+00:00",
    "a month ends where a leap second could be": "2026-07-01T00:00:00+00:00",
}


@pytest.mark.parametrize("what", MOMENTS)
def test_f23_what_people_do_with_their_clocks_changes_nothing(live: Live, clock: Clock, what: str) -> None:
    moment = datetime.datetime.fromisoformat(MOMENTS[what])
    clock.set(moment - datetime.timedelta(seconds=1.5))
    with in_flight(live):
        clock.set(moment + datetime.timedelta(seconds=1))
    receipt = settled(live)
    assert receipt["charge"]["nanos"] == 11 * 1_000
    entries = live.get("/ledger?limit=20")["data"]
    settles = [entry["created_at"] for entry in entries if entry["kind"] == "settle"]
    assert receipt["created_at"] < moment.timestamp() <= settles[0] <= moment.timestamp() + 20
    assert 0 <= receipt["latency_ms"] < 15_000


def test_f23_holds_of_a_killed_server_are_given_back_once_though_the_next_one_lives_a_day_before(
    tmp_path: Path,
) -> None:
    clock = Clock(tmp_path)
    with ScriptedProvider() as provider:
        gate = threading.Event()
        provider.always = lambda request: (gate.wait(30), chat_reply())[1]
        config = CONFIG.format(first=provider.base_url, second=provider.base_url, image_ports="[80]")
        env = {"LOCAL_KEY": CREDENTIAL, **clock.environment}
        with running_server(tmp_path, config=config, env=env) as server:
            live = Live(server, provider, provider, provider, server.account(mode="live", credit="5.00"))
            with concurrent.futures.ThreadPoolExecutor(1) as pool:
                running = pool.submit(call, live)
                until(lambda: provider.received)
                server.process.kill()
                server.process.wait()
                assert running.exception() is not None, "the connection dropped"
            gate.set()
        clock.move(-DAY_S)
        with running_server(tmp_path, config=config, env=env, data_dir=server.data_dir) as again:
            live = Live(again, provider, provider, provider, live.account)
            receipt = settled(live)
            assert (receipt["status"], receipt["charge"]["nanos"]) == ("expired", 0)
            assert live.get("/balance")["available"] == "5.00"
            again.verify()
