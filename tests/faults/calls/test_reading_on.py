"""Fault F13 with a provider that bills the full answer: it is read to its end without its client, within bounds."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from fault_calls import live_server, settled, start, until
from live_calls import Live
from scripted_provider import Pause, Reply, chat_events, endless_sse, sse_reply

BYTES_MAX = 20_000
LIMITS = f"ejection_seconds = 0\nread_on_seconds_max = 3\nread_on_calls_max = 1\nread_on_bytes_max = {BYTES_MAX}\n"
IN_FULL = 'on_cancel = "bills_in_full"\n'
SOON = 0.02


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server whose first provider bills every answer in full."""
    with live_server(tmp_path_factory.mktemp("full"), LIMITS, IN_FULL) as live:
        yield live


@pytest.fixture
def live(full: Live) -> Live:
    full.first.received.clear()
    account = full.server.account(mode="live", credit="5.00")
    return Live(full.server, full.first, full.second, full.images, account)


def leave_after_a_word(live: Live, reply: Reply) -> None:
    """A client that takes one word of an answer and hangs up."""
    before = len(live.first.received)
    live.first.script(reply)
    connection = start(live, stream=True)
    seen = b""
    while b"word" not in seen:
        seen += connection.recv(4096)
    connection.close()
    assert len(live.first.received) == before + 1


def answer(words: int, delay_s: float, **more: Any) -> Reply:
    return sse_reply(chat_events(["word "] * words, **more), delay_s=delay_s)


def test_f13_the_answer_is_read_on_and_charged_by_its_final_usage(live: Live) -> None:
    leave_after_a_word(live, answer(20, SOON, prompt_tokens=11, completion_tokens=20))
    receipt = settled(live)
    assert live.first.received[0].finished.wait(10)
    assert not live.first.received[0].left_early.is_set(), "the provider was heard to its end"
    assert (receipt["outcome"], receipt["policy"]) == ("client_disconnected", "left-mid-stream-bills-in-full")
    assert receipt["usage"]["source"] == "provider"
    assert receipt["charge"]["nanos"] == 11 * 2_500 + 20 * 10_000


def test_f13_a_usage_beyond_the_hold_is_charged_at_the_hold_and_no_more(live: Live) -> None:
    leave_after_a_word(live, answer(20, SOON, prompt_tokens=11, completion_tokens=5_000))
    receipt = settled(live)
    assert receipt["charge"]["nanos"] == receipt["quote"]["price"]["max_nanos"]
    assert receipt["waived_nanos"] > 0


def test_f13_after_its_time_an_answer_is_hung_up_on_and_our_own_count_is_charged(live: Live) -> None:
    leave_after_a_word(live, answer(45, 0.2))
    assert live.first.received[0].left_early.wait(10)
    receipt = settled(live)
    assert (receipt["policy"], receipt["usage"]["source"]) == ("left-mid-stream-bills-in-full", "local")
    assert 1 < receipt["usage"]["output_tokens"] < 45


def test_f13_past_its_bytes_an_answer_is_hung_up_on(live: Live) -> None:
    event = chat_events(["word " * 50])[1]
    leave_after_a_word(live, endless_sse(event, delay_s=0.001))
    assert live.first.received[0].left_early.wait(10)
    receipt = settled(live)
    assert receipt["usage"]["source"] == "local"
    assert receipt["charge"]["nanos"] <= receipt["quote"]["price"]["max_nanos"]


def test_f13_past_their_number_answers_are_hung_up_on_at_once(live: Live) -> None:
    leave_after_a_word(live, answer(45, SOON, completion_tokens=45))
    leave_after_a_word(live, answer(45, SOON, completion_tokens=45))
    assert live.first.received[1].left_early.wait(10)
    until(lambda: live.first.received[0].finished.is_set())
    settled(live)
    assert not live.first.received[0].left_early.is_set()
    sources = sorted(receipt["usage"]["source"] for receipt in live.get("/requests?limit=2")["data"])
    assert sources == ["local", "provider"]


def test_f14_an_answer_nobody_heard_is_read_on_and_its_whole_cost_is_the_operators(live: Live) -> None:
    whole = answer(5, 0, prompt_tokens=11, completion_tokens=5)
    live.first.script(Reply((*whole.pieces[:2], Pause(0.5), *whole.pieces[2:])))
    connection = start(live, stream=True)
    seen = b""
    while b"assistant" not in seen:
        seen += connection.recv(4096)
    assert b"word" not in seen
    connection.close()
    receipt = settled(live)
    assert not live.first.received[0].left_early.is_set()
    assert (receipt["policy"], receipt["charge"]["nanos"]) == ("left-before-output", 0)
    loss = [entry["amount_nanos"] for entry in receipt["entries"] if entry["account"] == "operator_loss"]
    assert loss == [-(11 * 2_500 + 5 * 10_000)]


def test_f34_a_server_that_is_stopped_settles_what_it_was_reading_on(tmp_path: Path) -> None:
    limits = "ejection_seconds = 0\nread_on_seconds_max = 60\n"
    with live_server(tmp_path, limits, IN_FULL) as live:
        leave_after_a_word(live, answer(500, 0.1))
        assert live.server.stop() == 0
        assert live.first.received[0].left_early.wait(10)
        live.server.verify()
        balances = live.server.tessera("usage", "--org", live.account.organization, "--json").stdout
        assert '"calls":1' in balances
