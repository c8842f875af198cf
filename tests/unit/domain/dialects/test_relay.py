"""Relaying streams: every byte as it came, the last word only after the settle."""

import json
from itertools import pairwise
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai._streaming import SSEDecoder

from tessera.domain.dialects.frames import FRAME_BYTES_MAX
from tessera.domain.dialects.relay import StreamRelay
from tessera.domain.dialects.usage import OUTPUT_TEXT_MAX
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.quantities import Quantities
from tessera.domain.request import Surface, Tier

from .streams import (
    CALL,
    CHAT,
    CHAT_TEXT,
    CHAT_TOOLS,
    CHAT_USAGE,
    DONE,
    RECEIPT,
    RESPONSE,
    RESPONSES,
    RESPONSES_TOOLS,
    USAGE,
    chunk,
    frame,
    message,
    read_chat,
    read_responses,
    relay,
    response_stream,
    run,
    tool,
)

C, R = Surface.CHAT, Surface.RESPONSES
BROKEN = TesseraError(ErrorCode.PROVIDER_ERROR, "The provider cut the stream off.")


def data(raw: bytes) -> list[dict[str, Any]]:
    return [event.json() for event in SSEDecoder().iter_bytes(iter([raw])) if event.data != "[DONE]"]


def test_ordinary_chat_frames_pass_as_they_came_and_the_last_ones_wait() -> None:
    through = relay(C, C)
    assert b"".join(piece for part in CHAT for piece in through.feed(part)) == b"".join(CHAT_TEXT)
    assert through.finished
    usage, done = through.finish(RECEIPT)
    assert done == DONE
    said = data(usage)[0]["usage"]
    assert said == {
        "charge": "0.01",
        "charge_nanos": 10_000_000,
        "request_id": "req_1",
        "cost": 0.01,
        "prompt_tokens": 10,
        "completion_tokens": 4,
        "total_tokens": 14,
    }


def test_the_usage_chunk_is_shown_only_to_those_who_asked() -> None:
    assert run(CHAT, C, C, include_usage=False) == b"".join([*CHAT_TEXT, DONE])
    assert read_chat(run(CHAT, C, C))[-1].choices == []


@pytest.mark.parametrize("include_usage", [True, False])
def test_usage_beside_text_is_taken_and_not_passed_on(include_usage: bool) -> None:
    """Some providers say it with every chunk, or with the last one, and beside it what the operator pays."""
    told = {**USAGE, "cost": 9.5, "charge": "7", "charge_nanos": 7}
    early = frame(chunk({"content": "A"}, usage=told))
    last = frame(chunk({}, "stop", usage=told))
    through = relay(C, C, include_usage=include_usage)
    out = b"".join(piece for part in (early, last, DONE) for piece in through.feed(part))
    assert through.facts.usage == Quantities(input_tokens=10, output_tokens=4)
    assert [event["usage"] for event in data(out)] == [None, None]
    assert [event["choices"][0]["delta"] for event in data(out)] == [{"content": "A"}, {}]
    shown = [event["usage"] for event in data(b"".join(through.finish(RECEIPT)))]
    assert [usage["charge_nanos"] for usage in shown] == [RECEIPT.charge_nanos] * include_usage


def test_chat_facts_are_the_last_cumulative_usage_once() -> None:
    through = relay(C, C)
    for part in (
        frame(chunk({"content": "A"}, usage={"prompt_tokens": 10, "completion_tokens": 1, "total_tokens": 11})),
        frame(chunk({"content": "B"}, "stop", service_tier="priority")),
        CHAT_USAGE,
        frame(chunk(usage={"prompt_tokens": 10, "completion_tokens": 6, "total_tokens": 16})),
        DONE,
    ):
        through.feed(part)
    facts = through.facts
    assert facts.usage == Quantities(input_tokens=10, output_tokens=6)
    assert (facts.output_text, facts.finish_reason, facts.served_tier) == ("AB", "stop", Tier.PRIORITY)


def test_an_explicit_zero_is_told_from_missing_and_from_absurd() -> None:
    for usage, expected, absurd in (
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, Quantities(), False),
        (None, None, False),
        ({"prompt_tokens": -1, "completion_tokens": 0}, None, True),
    ):
        through = relay(C, C)
        through.feed(frame(chunk({}, "stop")) + (frame(chunk(usage=usage)) if usage else b"") + DONE)
        assert (through.facts.usage, through.facts.absurd) == (expected, absurd)
        assert through.facts.has_output is False


def test_tool_calls_count_as_delivered_text() -> None:
    through = relay(C, C)
    for part in CHAT_TOOLS:
        through.feed(part)
    assert through.facts.output_text == 'Hm.Look:zoom{"x":1}zoom{}'
    through = relay(R, R)
    for part in RESPONSES_TOOLS:
        through.feed(part)
    assert through.facts.output_text == 'Look:zoom{"x":1}zoom{"x":1}'
    assert through.facts.finish_reason == "tool_calls"


def test_responses_frames_pass_as_they_came_and_the_final_event_waits() -> None:
    through = relay(R, R)
    assert b"".join(piece for part in RESPONSES for piece in through.feed(part)) == b"".join(RESPONSES[:-1])
    assert through.finished
    events = read_responses(b"".join(RESPONSES[:-1] + through.finish(RECEIPT)))
    usage = events[-1].response.usage
    assert (usage.charge_nanos, usage.request_id, usage.input_tokens) == (10_000_000, "req_1", 10)
    assert through.facts.output_text == "A cat é 🐈."
    assert through.facts.usage == Quantities(
        input_tokens=10, cached_input_tokens=2, output_tokens=4, reasoning_tokens=1
    )


def test_a_usage_the_provider_forgot_is_what_was_charged_for() -> None:
    usage = read_chat(run([*CHAT_TEXT, DONE], C, C))[-1].usage
    assert usage is not None
    assert (usage.prompt_tokens, usage.completion_tokens) == (7, 3)
    stream = response_stream([message("Hi")], usage=None)
    assert read_responses(run(stream, R, R))[-1].response.usage.input_tokens == 7


@pytest.mark.parametrize("key", ["usage", "model", "id"])
def test_a_last_event_that_says_one_thing_twice_still_carries_the_charge(key: str) -> None:
    twice = CHAT_USAGE.replace(b"data: {", b'data: {"%s":null,' % key.encode())
    assert twice != CHAT_USAGE
    last = read_chat(run([*CHAT_TEXT, twice, DONE], Surface.CHAT, Surface.CHAT))[-1]
    assert last.usage is not None
    assert last.usage.model_dump()["charge_nanos"] == RECEIPT.charge_nanos
    assert last.usage.prompt_tokens == 10
    final = RESPONSES[-1].replace(b'"response": {', b'"response": {"%s":null,' % key.encode())
    assert final != RESPONSES[-1]
    done = read_responses(run([*RESPONSES[:-1], final], Surface.RESPONSES, Surface.RESPONSES))[-1]
    assert done.response.usage.model_dump()["charge_nanos"] == RECEIPT.charge_nanos


def test_a_choice_that_ended_is_not_opened_again_by_the_chunk_that_brings_its_usage() -> None:
    through = relay(C, C)
    for part in (frame(chunk({"content": "A"})), frame(chunk({}, "stop")), frame(chunk({"content": ""}, usage=USAGE))):
        through.feed(part)
    assert not through.finished
    through.end()  # without [DONE]
    assert through.finished
    assert through.facts.usage == Quantities(input_tokens=10, output_tokens=4)
    through = relay(C, C)
    through.feed(frame(chunk({"content": "A"})) + frame(chunk({}, "stop")))
    through.feed(frame({**chunk(), "choices": [{"index": 1, "delta": {"content": "B"}, "finish_reason": None}]}))
    through.end()
    assert not through.finished, "the second choice has not ended"


def test_text_that_only_the_final_event_carries_is_delivered_text() -> None:
    through = relay(R, R)
    through.feed(response_stream([message("Hi there")])[-1])
    assert (through.facts.output_text, through.facts.has_output) == ("Hi there", True)


@pytest.mark.parametrize(("upstream", "caller"), [(C, C), (R, R), (C, R), (R, C)])
def test_a_broken_stream_ends_with_a_top_level_error_and_no_done(upstream: Surface, caller: Surface) -> None:
    through = relay(upstream, caller)
    stream = CHAT if upstream is C else RESPONSES
    sent = b"".join(piece for part in stream[:4] for piece in through.feed(part))
    assert not through.finished
    sent += b"".join(through.fail(BROKEN))
    last = data(sent)[-1]
    assert last["error"]["code"] == "provider_error"
    assert b"[DONE]" not in sent
    if caller is C:
        assert last["choices"][0]["finish_reason"] == "error"
        assert last["object"] == "chat.completion.chunk"
    else:
        assert (last["type"], last["code"]) == ("error", "provider_error")
        assert [event["sequence_number"] for event in data(sent)] == list(range(len(data(sent))))


@pytest.mark.parametrize(
    ("upstream", "bad"),
    [
        (C, frame({"error": {"message": "boom", "code": "server_error"}})),
        (C, frame({"error": "boom"})),
        (C, frame({**chunk({}, "error"), "error": {"message": "boom"}})),
        (C, b"data: <html>\n\n"),
        (C, b"data: [1]\n\n"),
        (C, frame({"choices": [{"index": "x", "delta": {}}]})),
        (C, frame({"choices": {"a": 1}})),
        (R, frame({"type": "error", "message": "boom", "code": "server_error"}, "error")),
        (R, frame({"type": "response.failed", "response": {**RESPONSE, "status": "failed"}}, "response.failed")),
        (R, frame({"type": "response.completed"}, "response.completed")),
        (R, frame({"type": "response.output_text.delta", "delta": 5})),
        (R, frame({"type": "response.output_text.delta", "delta": ["A", " cat"]})),
        (R, frame({"type": "response.created", "response": [1]}, "response.created")),
        (R, b"data: nope\n\n"),
    ],
)
def test_what_the_provider_reports_or_garbles_ends_the_stream_as_an_error(upstream: Surface, bad: bytes) -> None:
    for caller in (C, R):
        through = relay(upstream, caller)
        through.feed((CHAT if upstream is C else RESPONSES)[0])
        through.feed(bad + b"data: more\n\n")
        assert through.finished
        assert through.error is not None
        assert through.error.code is ErrorCode.PROVIDER_ERROR
        assert through.facts.finish_reason == "error"
        assert through.feed(CHAT[2]) == []
        assert through.fail(through.error)


@pytest.mark.parametrize(
    "delta",
    [
        {"content": [{"type": "text", "text": 5}]},
        tool(0, id="call_1", function={"name": "zoom", "arguments": {"x": 1}}),
    ],
)
def test_what_is_no_text_is_not_said_as_a_response(delta: dict[str, Any]) -> None:
    through = relay(C, R)
    through.feed(CHAT[0])
    through.feed(frame(chunk(delta)))
    assert through.error is not None
    assert through.error.code is ErrorCode.PROVIDER_ERROR


def test_a_stream_cut_at_its_cap_ends_with_length() -> None:
    through = relay(C, C)
    sent = [piece for part in CHAT[:3] for piece in through.feed(part)]
    through.cut_length()
    assert through.finished
    chunks = read_chat(b"".join([*sent, *through.finish(RECEIPT)]))
    assert [choice.finish_reason for c in chunks for choice in c.choices][-1] == "length"
    through = relay(R, R)
    sent = [piece for part in RESPONSES[:-4] for piece in through.feed(part)]
    through.cut_length()
    final = read_responses(b"".join([*sent, *through.finish(RECEIPT)]))[-1]
    assert (final.type, final.response.incomplete_details.reason) == ("response.incomplete", "max_output_tokens")
    assert final.response.output[-1].content[0].text == "A cat é 🐈."
    assert final.response.usage.output_tokens == 3


@pytest.mark.parametrize(("upstream", "caller"), [(C, R), (R, C)])
def test_a_translated_stream_cut_at_its_cap_ends_with_length(upstream: Surface, caller: Surface) -> None:
    through = relay(upstream, caller)
    sent = [piece for part in (CHAT[:3] if upstream is C else RESPONSES[:7]) for piece in through.feed(part)]
    through.cut_length()
    raw = b"".join([*sent, *through.finish(RECEIPT)])
    if caller is C:
        assert read_chat(raw)[-2].choices[0].finish_reason == "length"
    else:
        assert read_responses(raw)[-1].response.status == "incomplete"


def test_a_stream_without_done_counts_when_it_said_how_it_ended() -> None:
    through = relay(C, C)
    for part in CHAT_TEXT[:-1]:
        through.feed(part)
    through.end()
    assert not through.finished
    through.feed(CHAT_TEXT[-1])
    through.end()
    assert through.finished
    assert through.finish(RECEIPT)[-1] == DONE
    cut = relay(R, R)
    cut.feed(RESPONSES[0])
    cut.end()
    assert not cut.finished


@pytest.mark.parametrize("caller", [C, R])
@pytest.mark.parametrize(
    "last", [b'{"usage": {"prompt_tokens": 10}, "tokens_per_second": NaN}', b"[1]", b'{"choices": 7}']
)
def test_what_cannot_be_read_after_every_choice_ended_undoes_no_answer(caller: Surface, last: bytes) -> None:
    through = relay(C, caller)
    for part in CHAT_TEXT:
        through.feed(part)
    through.feed(b"data: " + last + b"\n\n" + DONE)
    assert (through.finished, through.error, through.facts.finish_reason) == (True, None, "stop")
    assert (through.facts.usage, through.facts.absurd) == (None, True)
    assert b"10000000" in b"".join(through.finish(RECEIPT))


def test_usage_that_came_before_what_cannot_be_read_stands() -> None:
    through = relay(C, C)
    for part in [*CHAT_TEXT, CHAT_USAGE, b"data: NaN\n\n"]:
        through.feed(part)
    assert through.finished
    assert through.facts.absurd is False
    assert through.facts.usage is not None
    assert through.facts.usage.input_tokens == 10


def test_an_event_that_never_ends_is_an_error_and_memory_stays_bounded() -> None:
    through = relay(C, C)
    piece = b"data: " + b"x" * 2**20
    for _ in range(FRAME_BYTES_MAX // 2**20 + 1):
        through.feed(piece)
    assert through.error is not None
    through = relay(C, C)
    for _ in range(20):
        through.feed(frame(chunk({"content": "y" * 100_000})))
    assert len(through.facts.output_text) == OUTPUT_TEXT_MAX
    assert through.facts.output_chars == 2_000_000


def rewritten(stream: list[bytes], style: str) -> bytes:
    """The same stream in other legal spellings."""
    raw = b"".join(stream)
    if style == "crlf":
        return raw.replace(b"\n", b"\r\n")
    if style == "cr":
        return raw.replace(b"\n", b"\r") + b": end\r\r\r"
    if style == "bom":
        return b"\xef\xbb\xbf" + raw
    if style == "lines":
        return raw.replace(b', "choices"', b',\ndata: "choices"').replace(b"data: ", b"data:")
    if style == "fields":
        return raw.replace(b"data: ", b"id: 1\nretry: 10\n: note\ndata: ")
    return raw


STREAMS = {"chat": (CHAT, C), "tools": (CHAT_TOOLS, C), "responses": (RESPONSES, R), "calls": (RESPONSES_TOOLS, R)}


@given(
    st.sampled_from(sorted(STREAMS)),
    st.sampled_from(["plain", "crlf", "cr", "bom", "lines", "fields"]),
    st.sampled_from([C, R]),
    st.lists(st.integers(0, 4000), max_size=30),
)
def test_cuts_anywhere_change_nothing(name: str, style: str, caller: Surface, cuts: list[int]) -> None:
    stream, upstream = STREAMS[name]
    raw = rewritten(stream, style)
    places = sorted({0, len(raw), *(cut % len(raw) for cut in cuts)})
    parts = [raw[a:b] for a, b in pairwise(places)]
    assert run(parts, upstream, caller) == run([raw], upstream, caller)
    through = relay(upstream, caller)
    out = b"".join(piece for part in parts for piece in through.feed(part))
    if upstream is caller:
        assert raw.startswith(out)
    plain = relay(upstream, caller)
    for part in stream:
        plain.feed(part)
    assert through.facts == plain.facts


@given(
    st.sampled_from([C, R]),
    st.sampled_from([C, R]),
    st.lists(st.binary(max_size=40) | st.sampled_from(CHAT + RESPONSES)),
)
def test_nothing_but_an_error_comes_out_of_rubbish(upstream: Surface, caller: Surface, parts: list[bytes]) -> None:
    through = relay(upstream, caller)
    for part in parts:
        through.feed(part)
    through.end()
    through.facts  # noqa: B018
    if through.finished and through.error is None:
        assert through.finish(RECEIPT)
    else:
        assert through.fail(BROKEN)


def test_other_surfaces_are_refused() -> None:
    with pytest.raises(ValueError, match="no relay"):
        StreamRelay(Surface.MESSAGES, C, include_usage=True, model="m")


def test_the_official_client_raises_the_error_of_a_broken_stream() -> None:
    last = json.loads(relay(C, C).fail(BROKEN)[0][6:])
    assert last["error"]["message"] == BROKEN.message
    assert relay(R, R).fail(BROKEN)[0].startswith(b"event: error\n")
    assert CALL["name"] == "zoom"
