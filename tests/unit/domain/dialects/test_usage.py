"""Usage and replies: what is believed of a provider, and what is not."""

import json
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.dialects.usage import TOKENS_MAX, read_reply, read_usage
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.quantities import Quantities
from tessera.domain.request import Surface, Tier

from .test_body import VALUES

CHAT_USAGE = {
    "prompt_tokens": 100,
    "prompt_tokens_details": {"cached_tokens": 10, "cache_write_tokens": 20, "image_tokens": 50, "audio_tokens": 0},
    "completion_tokens": 30,
    "completion_tokens_details": {"reasoning_tokens": 25, "rejected_prediction_tokens": 0},
    "total_tokens": 130,
}


def completion(**more: Any) -> dict[str, Any]:
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion",
        "created": 1,
        "model": "m",
        "choices": [{"index": 0, "message": {"role": "assistant", "content": "A cat."}, "finish_reason": "stop"}],
        "usage": {"prompt_tokens": 5, "completion_tokens": 3, "total_tokens": 8},
        **more,
    }


def response(**more: Any) -> dict[str, Any]:
    text = {"type": "output_text", "text": "A cat.", "annotations": []}
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1,
        "model": "m",
        "status": "completed",
        "output": [{"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [text]}],
        "usage": {"input_tokens": 5, "output_tokens": 3, "total_tokens": 8},
        **more,
    }


def read(value: dict[str, Any], surface: Surface = Surface.CHAT) -> Any:
    return read_reply(surface, json.dumps(value).encode())


def test_every_kind_of_chat_token_is_read() -> None:
    assert read_usage(Surface.CHAT, CHAT_USAGE) == Quantities(
        input_tokens=100,
        cached_input_tokens=10,
        cache_write_tokens=20,
        input_image_tokens=50,
        output_tokens=30,
        reasoning_tokens=25,
    )


def test_every_kind_of_response_token_is_read() -> None:
    usage = {
        "input_tokens": 9,
        "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 5},
        "output_tokens": 7,
        "output_tokens_details": {"reasoning_tokens": 6},
        "total_tokens": 16,
    }
    assert read_usage(Surface.RESPONSES, usage) == Quantities(
        input_tokens=9, cached_input_tokens=4, cache_write_tokens=5, output_tokens=7, reasoning_tokens=6
    )


@pytest.mark.parametrize("usage", [None, {}, {"prompt_tokens": None}, {"input_tokens": 5, "output_tokens": 5}])
def test_missing_usage_is_not_zero(usage: object) -> None:
    assert read_usage(Surface.CHAT, usage) is None


def test_an_explicit_zero_is_zero() -> None:
    assert read_usage(Surface.CHAT, {"prompt_tokens": 0, "completion_tokens": 0}) == Quantities()


@pytest.mark.parametrize("field", ["prompt_tokens", "completion_tokens", "total_tokens"])
@pytest.mark.parametrize("bad", [-1, TOKENS_MAX + 1, 2**31, 2**53, 2**63, 1.5, 1e300, True, "7", [], {}])
def test_absurd_numbers_are_not_believed(field: str, bad: object) -> None:
    if field == "total_tokens" and bad == 2**31:
        bad = -(2**31)
    with pytest.raises(ValueError, match=r"."):
        read_usage(Surface.CHAT, {**CHAT_USAGE, field: bad})


@pytest.mark.parametrize(
    "change",
    [
        {"prompt_tokens_details": {"cached_tokens": 90, "cache_write_tokens": 11}},
        {"prompt_tokens_details": {"image_tokens": 101}},
        {"prompt_tokens_details": []},
        {"completion_tokens_details": {"reasoning_tokens": 31}},
        {"total_tokens": 129},
        {"completion_tokens": None},
    ],
)
def test_usage_that_contradicts_itself_is_not_believed(change: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_usage(Surface.CHAT, {**CHAT_USAGE, **change})


@given(VALUES, st.dictionaries(st.sampled_from([*CHAT_USAGE, "x"]), VALUES))
def test_whatever_is_believed_is_sound(value: Any, usage: dict[str, Any]) -> None:
    for each in (value, usage, {**CHAT_USAGE, **usage}):
        with suppress(ValueError):
            read = read_usage(Surface.CHAT, each)
            if read is not None:
                assert 0 <= read.cached_input_tokens + read.cache_write_tokens <= read.input_tokens <= TOKENS_MAX
                assert 0 <= read.reasoning_tokens <= read.output_tokens <= TOKENS_MAX


@pytest.mark.parametrize(("value", "surface"), [(completion(), Surface.CHAT), (response(), Surface.RESPONSES)])
def test_a_plain_answer_is_read(value: dict[str, Any], surface: Surface) -> None:
    facts = read({**value, "service_tier": "priority"}, surface)
    assert (facts.output_text, facts.output_chars, facts.has_output) == ("A cat.", 6, True)
    assert facts.finish_reason == "stop"
    assert facts.served_tier is Tier.PRIORITY
    assert facts.usage == Quantities(input_tokens=5, output_tokens=3)


def test_tool_calls_and_refusals_are_delivered_text_too() -> None:
    call = {"id": "c", "type": "function", "function": {"name": "zoom", "arguments": '{"x":1}'}}
    message = {"role": "assistant", "content": None, "refusal": "No.", "tool_calls": [call]}
    facts = read(completion(choices=[{"message": message, "finish_reason": "tool_calls"}]))
    assert facts.output_text == 'No.zoom{"x":1}'
    item = {"type": "function_call", "call_id": "c", "name": "zoom", "arguments": '{"x":1}'}
    facts = read(response(output=[item]), Surface.RESPONSES)
    assert (facts.output_text, facts.finish_reason) == ('zoom{"x":1}', "tool_calls")


def test_a_thought_said_under_two_names_is_delivered_once_and_one_in_parts_is_delivered_too() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "A cat."}]
    for message in ({"reasoning_content": "Hm.", "reasoning": "Hm.", "content": "A cat."}, {"content": parts}):
        reply = {"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}
        assert read_reply(Surface.CHAT, json.dumps(reply).encode()).output_text == "Hm.A cat."


def test_usage_that_cannot_be_true_is_marked_and_dropped() -> None:
    facts = read(completion(usage={"prompt_tokens": -5, "completion_tokens": 3}))
    assert (facts.usage, facts.absurd, facts.output_text) == (None, True, "A cat.")
    facts = read(completion(usage=None))
    assert (facts.usage, facts.absurd) == (None, False)


@pytest.mark.parametrize(
    ("reason", "finish"), [("max_output_tokens", "length"), ("content_filter", "content_filter"), (None, "length")]
)
def test_an_incomplete_response_says_why(reason: str | None, finish: str) -> None:
    value = response(status="incomplete", incomplete_details={"reason": reason} if reason else None)
    assert read(value, Surface.RESPONSES).finish_reason == finish


@pytest.mark.parametrize("surface", [Surface.CHAT, Surface.RESPONSES])
@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"<html>busy</html>",
        b"null",
        b"[]",
        b"{}",
        b'{"choices":1}',
        b'{"choices":[1]}',
        b'{"choices":[{"index":0}]}',
        b'{"output":{}}',
        b'{"output":[1],"status":"completed"}',
        b'{"output":[],"status":"queued"}',
        b'{"output":[],"status":"failed","error":{"code":"server_error","message":"boom"}}',
        b'{"a":NaN}',
        b'{"error":{"message":"boom"}}',
        b'{"error":"boom"}',
        b'{"choices":[{"index":0,"message":{"content":"A"},"finish_reason":"error","error":{"message":"boom"}}]}',
    ],
)
def test_what_is_no_answer_is_a_provider_error(surface: Surface, raw: bytes) -> None:
    with pytest.raises(TesseraError) as refused:
        read_reply(surface, raw)
    assert refused.value.code is ErrorCode.PROVIDER_ERROR


@given(st.dictionaries(st.sampled_from([*completion(), *response()]), VALUES), st.sampled_from(list(Surface)[:2]))
def test_nothing_but_a_provider_error_comes_out_of_rubbish(more: dict[str, Any], surface: Surface) -> None:
    for value in (more, {**completion(), **more}, {**response(), **more}):
        with suppress(TesseraError):
            read(value, surface)
