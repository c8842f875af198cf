"""Answers, whole and streamed, in the words of the other surface: valid for the official client's types."""

import json
from typing import Any

import pytest
from openai.lib.streaming.chat._completions import ChatCompletionStreamState
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from tessera.domain.dialects.translate import translate_reply
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface

from .streams import (
    CALL,
    CHAT,
    CHAT_TOOLS,
    REASONING,
    RESPONSE_USAGE,
    RESPONSES,
    RESPONSES_TOOLS,
    message,
    read_chat,
    read_responses,
    response_stream,
    run,
)
from .test_usage import completion, response

C, R = Surface.CHAT, Surface.RESPONSES


def test_a_chat_answer_is_a_valid_response() -> None:
    tools = [{"id": "call_1", "type": "function", "function": {"name": "zoom", "arguments": "{}"}}]
    said = {"role": "assistant", "content": "Look:", "refusal": None, "tool_calls": tools, "reasoning_content": "Hm."}
    value = completion(choices=[{"index": 0, "message": said, "finish_reason": "tool_calls"}], service_tier="default")
    raw = translate_reply(C, R, json.dumps(value).encode(), model="my-model")
    out = Response.model_validate_json(raw)
    assert [item.type for item in out.output] == ["reasoning", "message", "function_call"]
    assert (out.output_text, out.model, out.status) == ("Look:", "my-model", "completed")
    assert out.usage is not None
    assert (out.usage.input_tokens, out.usage.output_tokens) == (5, 3)


@pytest.mark.parametrize(("reason", "why"), [("length", "max_output_tokens"), ("content_filter", "content_filter")])
def test_a_chat_answer_that_was_cut_is_an_incomplete_response(reason: str, why: str) -> None:
    value = completion()
    value["choices"][0]["finish_reason"] = reason
    out = Response.model_validate_json(translate_reply(C, R, json.dumps(value).encode(), model="m"))
    assert out.status == "incomplete"
    assert out.incomplete_details is not None
    assert out.incomplete_details.reason == why


def test_a_response_is_a_valid_chat_answer() -> None:
    value = response(output=[REASONING, message("Look:"), CALL], usage=RESPONSE_USAGE, service_tier="flex")
    out = ChatCompletion.model_validate_json(translate_reply(R, C, json.dumps(value).encode(), model="my-model"))
    assert out.id == "chatcmpl-1"
    assert (out.model, out.service_tier) == ("my-model", "flex")
    choice = out.choices[0]
    assert (choice.finish_reason, choice.message.content) == ("tool_calls", "Look:")
    assert choice.message.tool_calls is not None
    assert choice.message.tool_calls[0].model_dump(exclude_none=True) == {
        "id": "call_1",
        "type": "function",
        "function": {"name": "zoom", "arguments": '{"x":1}'},
    }
    assert out.usage is not None
    assert out.usage.prompt_tokens_details is not None
    assert out.usage.prompt_tokens_details.cached_tokens == 2


@pytest.mark.parametrize(("upstream", "caller"), [(C, R), (R, C)])
@pytest.mark.parametrize(
    "raw", [b"", b"<html>", b"{}", b'{"choices":[]}', b'{"output":[{}]}', b'{"error":{"message":"x"}}']
)
def test_an_answer_that_makes_no_sense_is_a_provider_error(upstream: Surface, caller: Surface, raw: bytes) -> None:
    with pytest.raises(TesseraError) as refused:
        translate_reply(upstream, caller, raw, model="m")
    assert refused.value.code is ErrorCode.PROVIDER_ERROR


def test_what_a_model_thought_and_said_in_parts_is_a_reasoning_item_and_a_message() -> None:
    parts = [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}, {"type": "text", "text": "A cat."}]
    reply = {"id": "1", "choices": [{"index": 0, "message": {"content": parts}, "finish_reason": "stop"}]}
    said = Response.model_validate_json(translate_reply(C, R, json.dumps(reply).encode(), model="m"))
    assert [item.type for item in said.output] == ["reasoning", "message"]
    assert said.output[0].content[0].text == "Hm."
    assert said.output_text == "A cat."


def test_an_answer_and_a_call_without_an_id_get_one_of_their_own() -> None:
    call = {"type": "function", "function": {"name": "zoom", "arguments": "{}"}}
    reply = {"choices": [{"index": 0, "message": {"content": None, "tool_calls": [call, call]}}]}
    said = Response.model_validate_json(translate_reply(C, R, json.dumps(reply).encode(), model="m", fallback_id="7f"))
    assert said.id == "resp_7f"
    assert len({item.call_id for item in said.output}) == 2


CALLED = {"id": "call_1", "type": "function", "function": {"name": "zoom", "arguments": {"x": 1}}}


@pytest.mark.parametrize(
    "message", [{"content": [{"type": "text", "text": 5}]}, {"refusal": 5}, {"content": "A", "tool_calls": [CALLED]}]
)
def test_an_answer_whose_text_is_no_text_is_not_said_as_a_response(message: dict[str, Any]) -> None:
    raw = json.dumps({"choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}).encode()
    with pytest.raises(TesseraError) as refused:
        translate_reply(C, R, raw, model="m")
    assert refused.value.code is ErrorCode.PROVIDER_ERROR


def accumulated(chunks: list[Any]) -> ChatCompletion:
    state: Any = ChatCompletionStreamState()
    for each in chunks:
        state.handle_chunk(each)
    return ChatCompletion.model_validate(state.get_final_completion().model_dump())


def test_a_response_stream_is_a_valid_chat_stream() -> None:
    out = accumulated(read_chat(run(RESPONSES, R, C)))
    assert (out.choices[0].message.content, out.choices[0].finish_reason) == ("A cat é 🐈.", "stop")
    assert out.usage is not None
    assert (out.usage.prompt_tokens, out.usage.completion_tokens) == (10, 4)
    calls = accumulated(read_chat(run(RESPONSES_TOOLS, R, C))).choices[0].message.tool_calls
    assert calls is not None
    assert [(call.id, call.type) for call in calls] == [("call_1", "function"), ("call_2", "function")]
    assert read_chat(run(RESPONSES, R, C, include_usage=False))[-1].usage is None


def test_a_refusal_is_a_refusal_in_chat() -> None:
    refusal = {**message(""), "content": [{"type": "refusal", "refusal": "No way."}]}
    assert accumulated(read_chat(run(response_stream([refusal]), R, C))).choices[0].message.refusal == "No way."


def test_a_chat_stream_is_a_valid_response_stream() -> None:
    events = read_responses(run(CHAT, C, R))
    assert [event.type for event in events] == [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.delta",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    final = events[-1].response
    assert final.output_text == "A cat é 🐈."
    assert (final.usage.input_tokens, final.usage.charge_nanos, final.id) == (10, 10_000_000, "resp_1")
    events = read_responses(run(CHAT_TOOLS, C, R))
    final = events[-1].response
    assert [item.type for item in final.output] == ["reasoning", "message", "function_call", "function_call"]
    assert [item.arguments for item in final.output[2:]] == ['{"x":1}', "{}"]
    added = [event.output_index for event in events if event.type == "response.output_item.added"]
    assert added == [0, 1, 2, 3]
