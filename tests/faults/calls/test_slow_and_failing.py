"""Faults F2, F3, F5, F7 and F15 with short limits: deployments left alone, deadlines, slow readers."""

import contextlib
import json
import socket
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from fault_calls import Seen, assert_free, call, live_server, settled, start, until
from live_calls import Live
from scripted_provider import Pause, chat_events, chat_reply, drip, error_reply, hang, head, raw_reply, sse_reply

EJECTION_S = 2


@pytest.fixture(scope="module")
def hasty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Live]:
    """A server with short patience that leaves no deployment alone."""
    limits = "first_byte_seconds_max = 1\ngap_seconds_max = 1\nwrite_seconds_max = 1\nejection_seconds = 0\n"
    with live_server(tmp_path_factory.mktemp("hasty"), limits) as live:
        yield live


@pytest.fixture
def live(hasty: Live) -> Live:
    for provider in (hasty.first, hasty.second):
        provider.received.clear()
        provider.always = None
    account = hasty.server.account(mode="live", credit="5.00")
    return Live(hasty.server, hasty.first, hasty.second, hasty.images, account)


def test_f03_silence_before_the_first_byte_is_passed_over_and_its_cost_is_the_operators(live: Live) -> None:
    live.first.script(hang())
    live.second.script(chat_reply(prompt_tokens=9, completion_tokens=2))
    assert call(live).status == 200
    receipt = settled(live)
    assert [attempt["error"] for attempt in receipt["attempts"]] == ["provider_timeout", None]
    assert receipt["charge"]["nanos"] == 9 * 2_500 + 2 * 10_000
    assert live.first.received[0].left_early.wait(10)
    assert live.first.received[0].json()["max_completion_tokens"] == 50


@pytest.mark.parametrize("stream", [False, True])
def test_f03_when_nobody_answers_it_is_504_free_and_not_to_be_repeated_by_itself(live: Live, stream: bool) -> None:
    live.first.always = live.second.always = hang()
    refused = call(live, stream=stream)
    assert (refused.status, refused.error["code"]) == (504, "provider_timeout")
    assert refused.headers["x-should-retry"] == "false"
    assert assert_free(live)["outcome"] == "provider_timeout"
    assert len(live.first.received) == len(live.second.received) == 1


def test_f03_a_lost_attempt_before_a_plain_refusal_is_still_not_to_be_repeated(live: Live) -> None:
    live.first.script(hang())
    live.second.script(error_reply(503))
    refused = call(live)
    assert (refused.status, refused.headers["x-should-retry"]) == (503, "false")
    assert_free(live)


def test_f07_a_provider_that_drips_before_its_first_frame_is_as_silent_as_one_that_does_not_answer(live: Live) -> None:
    start_of_reply = head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
    live.first.script(raw_reply(start_of_reply, Pause(20), b"1\r\nd\r\n"))
    live.second.script(sse_reply(chat_events(["second"])))
    seen = call(live, stream=True)
    assert seen.text == "second"
    assert [attempt["error"] for attempt in settled(live)["attempts"]] == ["provider_timeout", None]
    assert live.first.received[0].left_early.wait(10)


def test_f07_a_gap_after_the_first_token_ends_the_stream_in_an_error(live: Live) -> None:
    live.first.script(sse_reply(chat_events(["one ", "two"]), delay_s=3))
    seen = call(live, stream=True)
    assert seen.events[-1]["error"]["code"] == "provider_timeout"
    assert "[DONE]" not in seen.events
    assert assert_free(live)["outcome"] == "provider_timeout"
    assert live.first.received[0].left_early.wait(10)


def test_f07_a_whole_reply_dripped_slowly_but_steadily_is_waited_for(live: Live) -> None:
    live.first.script(drip(chat_reply("slow"), every_s=0.003))
    assert json.loads(call(live).body)["choices"][0]["message"]["content"] == "slow"
    settled(live)


def test_f15_a_client_that_does_not_read_is_cut_off_and_pays_for_what_was_produced(live: Live) -> None:
    word = "word " * 2000
    live.first.script(sse_reply(chat_events([word] * 3000)))
    connection = start(live, stream=True, max_completion_tokens=16_000_000 // 1000)
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert live.first.received[0].left_early.wait(20)
    receipt = settled(live)
    connection.close()
    assert receipt["outcome"] in ("client_disconnected", "completed")
    assert receipt["charge"]["nanos"] > 0
    assert receipt["charge"]["nanos"] <= receipt["quote"]["price"]["max_nanos"]


def test_f15_a_client_that_does_not_read_its_finished_reply_does_not_stay(live: Live) -> None:
    live.first.script(chat_reply("x" * 20_000_000, completion_tokens=50))
    connection = start(live)
    assert connection.recv(10)
    assert settled(live)["outcome"] == "completed"
    until(lambda: not is_held(connection))
    connection.settimeout(5)
    got = 0
    with contextlib.suppress(ConnectionError):
        while piece := connection.recv(1 << 20):
            got += len(piece)
    connection.close()
    assert got < 20_000_000


def is_held(connection: socket.socket) -> bool:
    """Whether the server has not closed its end of a connection; nobody who does not read would hear of it."""
    ends = connection.getpeername()[1], connection.getsockname()[1]
    for line in Path("/proc/net/tcp").read_text().splitlines()[1:]:
        local, remote, state = line.split()[1:4]
        if (int(local.partition(":")[2], 16), int(remote.partition(":")[2], 16)) == ends:
            return state == "01"
    return False


def test_f02_a_deployment_that_failed_five_times_in_a_row_is_left_alone_for_a_while(tmp_path) -> None:
    with live_server(tmp_path, f"ejection_seconds = {EJECTION_S}\n") as live:
        live.first.always = error_reply(500)
        for _ in range(5):
            assert call(live).status == 200
        assert len(live.first.received) == 5
        ejected_at = time.monotonic()
        for _ in range(5):
            assert call(live).status == 200
        assert len(live.first.received) == 5
        assert len(settled(live)["attempts"]) == 1
        live.first.always = None
        until(lambda: call(live).status == 200 and len(live.first.received) > 5)
        assert time.monotonic() - ejected_at >= EJECTION_S - 0.5
        assert "deployment.ejected" in live.server.log.read_text()
        live.first.always = live.second.always = error_reply(500)
        for _ in range(12):
            assert call(live).status == 502, "with all of them failing, all of them are asked"


def test_f05_a_credential_that_is_refused_is_switched_off_for_a_while_and_the_operator_told(tmp_path) -> None:
    with live_server(tmp_path, f"ejection_seconds = {EJECTION_S}\n") as live:
        live.first.always = error_reply(401)
        seen: list[Seen] = [call(live) for _ in range(4)]
        assert {one.status for one in seen} == {200}
        assert len(live.first.received) == 1
        assert live.server.log.read_text().count("provider.credential_rejected") == 1
        assert call(live, model="gpt-4o-mini").status == 503, "the only deployment is asked all the same"
        assert len(live.first.received) == 2
        live.first.always = None
        until(lambda: call(live).status == 200 and len(live.first.received) > 2)
