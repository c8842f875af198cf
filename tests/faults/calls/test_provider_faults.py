"""Faults F1 to F12 and F36: whatever a provider does, what the client sees, who pays, and what the receipt says.

Each test asserts that its fault happened: the scripted provider received the call that it spoiled.
"""

import json
from pathlib import Path

import pytest

from fault_calls import HELLO, assert_free, call, live_server, settled
from live_calls import CREDENTIAL, Live
from scripted_provider import (
    End,
    Pause,
    Reply,
    bytes_reply,
    chat_completion,
    chat_events,
    chat_reply,
    close_silently,
    endless_sse,
    error_reply,
    gzip_bomb,
    head,
    html_reply,
    json_reply,
    raw_reply,
    reset,
    sse_reply,
)
from tessera.domain.dialects.frames import FRAME_BYTES_MAX

STREAM = {"stream": True, "stream_options": {"include_usage": True}}


@pytest.mark.parametrize("status", [429, 503, 529])
def test_f01_a_busy_provider_is_passed_over_and_costs_nothing(live: Live, status: int) -> None:
    live.first.script(error_reply(status))
    live.second.script(chat_reply("second"))
    assert call(live).status == 200
    receipt = settled(live)
    assert [attempt["status"] for attempt in receipt["attempts"]] == [status, 200]
    assert len(live.first.received) == len(live.second.received) == 1


@pytest.mark.parametrize(("status", "seen"), [(429, 429), (503, 503), (529, 503)])
@pytest.mark.parametrize("stream", [False, True])
def test_f01_when_all_are_busy_the_client_is_told_when_to_come_back(
    live: Live, status: int, seen: int, stream: bool
) -> None:
    live.first.always = live.second.always = error_reply(status, headers={"retry-after": "7"})
    refused = call(live, stream=stream)
    assert (refused.status, refused.headers["retry-after"]) == (seen, "7")
    assert "x-should-retry" not in refused.headers
    assert len(assert_free(live)["attempts"]) == len(live.first.received) + len(live.second.received) == 2


@pytest.mark.parametrize("failure", [error_reply(500), error_reply(502), reset(), close_silently()])
def test_f02_a_broken_provider_is_passed_over_else_502(live: Live, failure: Reply) -> None:
    live.first.script(failure)
    assert call(live).status == 200
    assert settled(live)["deployment"] == "second/gpt-4o"
    live.first.always = live.second.always = failure
    assert call(live).status == 502
    assert settled(live)["charge"]["nanos"] == 0
    assert len(live.first.received) == 2


@pytest.mark.parametrize("status", [400, 413, 422])
def test_f04_what_the_request_caused_is_the_callers_400_and_not_retried(live: Live, status: int) -> None:
    live.first.script(error_reply(status, message="too long for https://inner.example sk-secret-4711"))
    refused = call(live)
    assert refused.status == 400
    assert b"inner.example" not in refused.body
    assert b"4711" not in refused.body
    assert len(assert_free(live)["attempts"]) == 1
    assert live.second.received == []


@pytest.mark.parametrize("status", [401, 402, 403])
def test_f05_our_own_bad_credential_is_503_never_401(live: Live, status: int) -> None:
    live.first.always = live.second.always = error_reply(status)
    refused = call(live)
    assert (refused.status, refused.error["code"]) == (503, "provider_credential_rejected")
    assert assert_free(live)["attempts"][0]["error"] == "provider_credential_rejected"
    assert live.first.received


@pytest.mark.parametrize(
    "nonsense",
    [
        html_reply(),
        bytes_reply(b"{", content_type="application/json"),
        bytes_reply(b"[1]", content_type="application/json"),
        bytes_reply(b"", content_type="application/json"),
        bytes_reply(b"\xff\xfe", content_type="application/json"),
        json_reply({"choices": "none"}),
        json_reply({"error": {"message": "broken inside"}}),
        bytes_reply(b"[" * 100_000, content_type="application/json"),
    ],
)
def test_f06_an_answer_that_is_none_is_asked_for_once_more_elsewhere_else_502(live: Live, nonsense: Reply) -> None:
    live.first.script(nonsense)
    live.second.script(chat_reply("sound"))
    assert json.loads(call(live).body)["choices"][0]["message"]["content"] == "sound"
    receipt = settled(live)
    assert [attempt["error"] for attempt in receipt["attempts"]] == ["provider_error", None]
    live.first.always = live.second.always = nonsense
    refused = call(live)
    assert (refused.status, refused.headers.get("x-should-retry")) in ((502, "false"), (502, None))
    assert settled(live)["charge"]["nanos"] == 0
    assert (len(live.first.received), len(live.second.received)) == (2, 2)


@pytest.mark.parametrize(
    "nonsense",
    [
        sse_reply(["{not json"]),
        sse_reply([]),
        sse_reply([{"error": {"message": "overloaded", "code": "x"}}]),
        raw_reply(head(200, {"content-type": "text/event-stream", "content-length": "9"}), end=End.CLOSE),
    ],
)
def test_f06_a_stream_that_fails_before_its_first_frame_is_asked_for_elsewhere(live: Live, nonsense: Reply) -> None:
    live.first.script(nonsense)
    live.second.script(sse_reply(chat_events(["sound"])))
    seen = call(live, **STREAM)
    assert (seen.text, seen.events[-1]) == ("sound", "[DONE]")
    receipt = settled(live)
    assert [attempt["error"] for attempt in receipt["attempts"]] == ["provider_error", None]
    assert len(live.first.received) == 1


FAILING = {"message": "it burns at https://inner.example", "type": "server_error", "code": None}


@pytest.mark.parametrize(
    "broken",
    [
        sse_reply(chat_events(["one ", "two ", "three"]), cut_at=600),
        sse_reply([*chat_events(["one ", "two "])[:3], {"error": FAILING}]),
        sse_reply(chat_events(["one ", "two "])[:3]),
        sse_reply([*chat_events(["one ", "two "])[:3], "{nonsense"]),
    ],
)
def test_f08_a_stream_broken_after_its_first_token_ends_in_an_error_and_is_free(live: Live, broken: Reply) -> None:
    live.first.script(broken)
    seen = call(live, **STREAM)
    assert seen.status == 200
    assert seen.text.startswith("one ")
    last = seen.events[-1]
    assert last["error"]["code"] == "provider_error"
    assert last["choices"][0]["finish_reason"] == "error"
    assert "[DONE]" not in seen.events
    receipt = assert_free(live)
    assert (receipt["outcome"], len(receipt["attempts"])) == ("provider_error", 1)
    assert live.second.received == []


def test_f08_a_stream_whose_text_is_no_text_ends_in_an_error_and_its_hold_ends_too(live: Live) -> None:
    opening = {"type": "response.created", "response": {"id": "resp_1", "object": "response", "output": []}}
    said = [{"type": "response.output_text.delta", "delta": delta} for delta in ("one ", ["two "])]
    live.first.script(sse_reply([opening, *said, {"type": "response.completed", "response": {}}]))
    body = {"model": "gpt-5.2-pro", "input": "Hello", "max_output_tokens": 50, "stream": True}
    status, _, sent = live.post("/responses", json.dumps(body).encode())
    assert (status, len(live.first.received)) == (200, 1)
    assert json.loads(sent.decode().splitlines()[-2].removeprefix("data: "))["code"] == "provider_error"
    assert assert_free(live)["outcome"] == "provider_error"


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("begun", [False, True])
def test_f08_what_a_provider_says_of_its_failure_names_no_host_key_or_account(
    live: Live, begun: bool, stream: bool
) -> None:
    said = f"worker at http://10.1.2.3:8000/v1 of org-AbCdEf123 refused {CREDENTIAL}, ask ops@provider.example"
    failed = {"error": {"message": said}}
    events = chat_events(["one ", "two "])[:3] if begun else []
    answer = sse_reply([*events, failed]) if stream else json_reply({**(chat_completion() if begun else {}), **failed})
    live.first.script(answer)
    live.second.always = answer
    seen = call(live, **(STREAM if stream else {}))
    error = seen.events[-1]["error"] if stream and begun else seen.error
    assert error["message"] == "The provider failed: worker at … of … refused …, ask …"
    assert live.first.received
    assert_free(live)


def test_f08_a_whole_answer_that_says_it_failed_is_asked_for_elsewhere_else_502_and_free(live: Live) -> None:
    choice = {"index": 0, "message": {"role": "assistant", "content": "half an"}, "finish_reason": "error"}
    failed = json_reply(chat_completion(choices=[choice]))
    live.first.script(failed, failed)
    live.second.script(chat_reply("sound"), failed)
    assert json.loads(call(live).body)["choices"][0]["message"]["content"] == "sound"
    refused = call(live)
    assert (refused.status, refused.headers["x-should-retry"]) == (502, "false")
    assert settled(live)["charge"]["nanos"] == 0
    assert (len(live.first.received), len(live.second.received)) == (2, 2)


@pytest.mark.parametrize("word", ["again ", "字", "😀", "7"])
def test_f09_a_stream_that_ignores_the_cap_is_cut_there_and_its_provider_hung_up_on(live: Live, word: str) -> None:
    live.first.script(endless_sse(chat_events([word])[1], delay_s=0))
    seen = call(live, **STREAM)
    finish = [chunk["choices"][0]["finish_reason"] for chunk in seen.events[:-1] if chunk["choices"]]
    assert finish[-1] == "length"
    assert seen.events[-1] == "[DONE]"
    assert 50 <= len(seen.text) < 4000
    assert live.first.received[0].left_early.wait(10)
    receipt = settled(live)
    assert receipt["outcome"] == "completed"
    assert 0 < receipt["charge"]["nanos"] <= receipt["quote"]["price"]["max_nanos"]


def test_f09_a_stream_larger_than_is_accepted_is_cut_there_and_paid_for(tmp_path: Path) -> None:
    with live_server(tmp_path, "reply_bytes_max = 200000\nejection_seconds = 30\n") as live:
        padded = [{**event, "logprobs": "x" * 1_000} for event in chat_events(["word "] * 4_000)[:-2]]
        live.first.script(sse_reply(padded))
        seen = call(live, **{**STREAM, "max_completion_tokens": 5_000})
        assert (seen.status, seen.events[-1]) == (200, "[DONE]")
        assert seen.events[-3]["choices"][0]["finish_reason"] == "length"
        receipt = settled(live)
        assert receipt["outcome"] == "completed"
        delivered = seen.text.count("word")
        assert 100 < delivered < 2_000
        assert delivered <= receipt["usage"]["output_tokens"] <= delivered + 2


def test_f09_a_stream_that_lasts_longer_than_a_call_may_is_cut_then_and_paid_for(tmp_path: Path) -> None:
    with live_server(tmp_path, "call_seconds_max = 1\nejection_seconds = 30\n") as live:
        live.first.script(sse_reply(chat_events(["word "] * 400), delay_s=0.05))
        seen = call(live, **{**STREAM, "max_completion_tokens": 5_000})
        assert (seen.status, seen.events[-1]) == (200, "[DONE]")
        assert seen.events[-3]["choices"][0]["finish_reason"] == "length"
        assert live.first.received[0].left_early.wait(10)
        receipt = settled(live)
        delivered = seen.text.count("word")
        assert 0 < delivered < 300
        assert receipt["outcome"] == "completed"
        assert delivered <= receipt["usage"]["output_tokens"] <= delivered + 2


def test_f12_a_whole_answer_larger_than_is_accepted_is_asked_for_once_and_a_loss_as_large_as_it_can_be(
    tmp_path: Path,
) -> None:
    with live_server(tmp_path, "reply_bytes_max = 200000\nejection_seconds = 30\n") as live:
        live.first.always = json_reply({**chat_completion("word " * 400), "logprobs": "x" * 250_000})
        for _ in range(6):
            refused = call(live, max_completion_tokens=1_000, n=2)
            assert (refused.status, refused.error["code"]) == (502, "provider_error")
            assert "Ask for a stream" in refused.error["message"]
        # Nobody else is asked, and the deployment is not left alone for what a caller asked of it.
        assert (len(live.first.received), live.second.received) == (6, [])
        receipt = assert_free(live)
        assert [attempt["error"] for attempt in receipt["attempts"]] == ["provider_error"]
        lost = {entry["account"]: entry["amount_nanos"] for entry in receipt["entries"]}["operator_loss"]
        assert lost <= -2 * 1_000 * 10_000


def test_f09_a_last_event_larger_than_an_event_may_be_ends_the_stream_and_what_came_is_paid_for(live: Live) -> None:
    opening = {"type": "response.created", "response": {"id": "resp_1", "object": "response", "output": []}}
    said = [{"type": "response.output_text.delta", "delta": "word "}] * 40
    last = {"type": "response.completed", "response": {"id": "resp_1", "logprobs": "x" * (2 * FRAME_BYTES_MAX)}}
    live.first.script(sse_reply([opening, *said, last]))
    body = {"model": "gpt-5.2-pro", "input": "Hello", "max_output_tokens": 50, "stream": True}
    status, _, sent = live.post("/responses", json.dumps(body).encode())
    end = json.loads(sent.decode().splitlines()[-2].removeprefix("data: "))
    assert (status, end["type"], end["response"]["status"]) == (200, "response.incomplete", "incomplete")
    receipt = settled(live)
    assert (receipt["outcome"], receipt["usage"]["source"]) == ("completed", "local")
    assert 40 <= receipt["usage"]["output_tokens"] <= 42


def test_f09_a_stream_within_its_cap_is_never_cut(live: Live) -> None:
    words = [f"word{number} " for number in range(15)]
    live.first.script(sse_reply(chat_events(words, completion_tokens=50)))
    seen = call(live, **STREAM)
    assert seen.text == "".join(words)
    assert settled(live)["usage"]["output_tokens"] == 50


ABSURD = [
    None,
    {"prompt_tokens": -1, "completion_tokens": 5, "total_tokens": 4},
    {"prompt_tokens": 10**18, "completion_tokens": 5, "total_tokens": 10**18},
    {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0},
    {"prompt_tokens": "10", "completion_tokens": 5, "total_tokens": 15},
    {"prompt_tokens": 5, "completion_tokens": 1.5, "total_tokens": 7},
    "many",
]


@pytest.mark.parametrize("usage", ABSURD)
def test_f10_usage_that_cannot_be_true_is_replaced_by_our_own_count(live: Live, usage: object) -> None:
    live.first.script(json_reply({**chat_completion("one two three"), "usage": usage}))
    assert call(live).status == 200
    receipt = settled(live)
    assert receipt["usage"]["source"] in ("local", "quarantined")
    assert receipt["usage"]["output_tokens"] == 3
    assert 0 < receipt["charge"]["nanos"] <= receipt["quote"]["price"]["max_nanos"]


def test_f10_an_explicit_zero_with_nothing_delivered_is_zero(live: Live) -> None:
    live.first.script(chat_reply("", prompt_tokens=0, completion_tokens=0))
    assert call(live).status == 200
    assert assert_free(live)["usage"]["source"] == "provider"


@pytest.mark.parametrize("stream", [False, True])
def test_f10_usage_for_neither_output_nor_end_is_the_operators(live: Live, stream: bool) -> None:
    nothing = {"index": 0, "message": {"role": "assistant", "content": None}, "finish_reason": None}
    live.first.script(
        sse_reply([chat_events([])[-2], "[DONE]"]) if stream else json_reply(chat_completion(choices=[nothing]))
    )
    assert call(live, **(STREAM if stream else {})).status == 200
    receipt = assert_free(live)
    assert (receipt["outcome"], receipt["policy"]) == ("completed", "finished-empty")
    assert receipt["usage"]["source"] == "none"


def test_f10_an_answer_of_a_million_blanks_without_usage_is_counted(live: Live) -> None:
    """In one piece, the tokenizer runs out of stack on it."""
    live.first.script(json_reply({**chat_completion(" " * 1_000_000), "usage": None}))
    assert call(live).status == 200
    assert settled(live)["usage"]["output_tokens"] == 50


def test_f11_usage_told_twice_and_cumulatively_is_taken_once_and_last(live: Live) -> None:
    events = chat_events(["one ", "two"], prompt_tokens=9, completion_tokens=2)
    early = {**events[-2], "usage": {"prompt_tokens": 9, "completion_tokens": 1, "total_tokens": 10}}
    live.first.script(sse_reply([*events[:2], early, *events[2:-2], events[-2], events[-2], "[DONE]"]))
    seen = call(live, **STREAM)
    receipt = settled(live)
    assert receipt["charge"]["nanos"] == 9 * 2_500 + 2 * 10_000
    told = [chunk["usage"] for chunk in seen.events[:-1] if chunk.get("usage")]
    assert [usage["charge_nanos"] for usage in told] == [receipt["charge"]["nanos"]]


SHORT = json.dumps(chat_completion("short")).encode()


@pytest.mark.parametrize(
    "wrong",
    [
        bytes_reply(SHORT, content_length=len(SHORT) + 10, end=End.CLOSE),
        bytes_reply(SHORT, content_length=len(SHORT) - 10),
        bytes_reply(SHORT, cut_at=20),
        gzip_bomb(20_000_000),
        bytes_reply(b"\x1f\x8b\x08\x00broken", headers={"content-encoding": "gzip"}),
        raw_reply(head(200, {"content-type": "application/json", "content-length": "-5"}) + SHORT),
        raw_reply(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\ncontent-length: 5\r\n\r\n0\r\n\r\n"),
        raw_reply(b"not http at all\r\n\r\n"),
        raw_reply(head(200, {"content-type": "application/json"}) + b" " * 100, Pause(0.1), end=End.RESET),
    ],
)
def test_f12_a_reply_whose_bytes_are_wrong_is_502_and_free(live: Live, wrong: Reply) -> None:
    live.first.always = live.second.always = wrong
    refused = call(live)
    assert (refused.status, refused.error["code"]) == (502, "provider_error")
    assert assert_free(live)["outcome"] == "provider_error"
    assert live.first.received


def test_f36_the_tier_that_served_is_the_one_that_is_charged(live: Live) -> None:
    live.first.script(chat_reply(prompt_tokens=9, completion_tokens=3, service_tier="default"))
    assert call(live, service_tier="priority").status == 200
    assert live.first.received[0].json()["service_tier"] == "priority"
    receipt = settled(live)
    assert receipt["served_tier"] == "default"
    assert receipt["charge"]["nanos"] == 9 * 2_500 + 3 * 10_000


def test_f36_no_flex_capacity_is_429_and_free(live: Live) -> None:
    live.first.always = error_reply(429, code="resource_unavailable")
    refused = call(live, model="gpt-5.2", service_tier="flex")
    assert (refused.status, refused.error["code"]) == (429, "resource_unavailable")
    assert int(refused.headers["retry-after"]) > 0
    assert_free(live)
    assert live.first.received[0].json()["service_tier"] == "flex"


def test_no_fault_at_all_leaves_one_attempt_and_the_providers_usage(live: Live) -> None:
    live.first.script(chat_reply(prompt_tokens=9, completion_tokens=3))
    assert call(live).status == 200
    receipt = settled(live)
    assert (len(receipt["attempts"]), receipt["usage"]["source"]) == (1, "provider")
    assert json.loads(live.first.received[0].body)["messages"] == HELLO["messages"]
