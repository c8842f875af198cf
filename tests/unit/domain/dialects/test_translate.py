"""Between chat and responses: the same said in other words, or refused by name."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import CompletionCreateParams
from openai.types.responses import ResponseCreateParams
from pydantic import TypeAdapter

from tessera.domain.dialects.body import open_body
from tessera.domain.dialects.chat import parse_chat
from tessera.domain.dialects.request_to_responses import to_responses
from tessera.domain.dialects.responses import parse_responses
from tessera.domain.dialects.splice import Edits
from tessera.domain.dialects.translate import translate_request
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface, Tier

from .bodies import DATA_URL, FULL_CHAT, FULL_RESPONSES, SCHEMA, chat_body, encoded, responses_body

C, R = Surface.CHAT, Surface.RESPONSES
EDITS = Edits(model="up", output_cap=77, tier=Tier.DEFAULT)
CHAT_PARAMS: TypeAdapter[Any] = TypeAdapter(CompletionCreateParams)
RESPONSES_PARAMS: TypeAdapter[Any] = TypeAdapter(ResponseCreateParams)


def translated(value: dict[str, Any], source: Surface, edits: Edits = EDITS) -> dict[str, Any]:
    body = open_body(encoded(value))
    request = (parse_chat if source is C else parse_responses)(body)
    raw = b"".join(translate_request(source, R if source is C else C, body, request, edits))
    out: dict[str, Any] = json.loads(raw)
    (RESPONSES_PARAMS if source is C else CHAT_PARAMS).validate_python(out)
    return out


def test_a_full_chat_call_becomes_a_response() -> None:
    out = translated(FULL_CHAT, C)
    assert out == {
        "model": "up",
        "input": [
            {"role": "developer", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "input_text", "text": "What is here?"},
                    {"type": "input_image", "image_url": DATA_URL, "detail": "high"},
                    {"type": "input_image", "image_url": "https://example.com/b.jpg", "detail": "auto"},
                ],
            },
            {"role": "assistant", "content": "Let me look."},
            {"type": "function_call", "call_id": "call_1", "name": "zoom", "arguments": '{"x":1}'},
            {"type": "function_call", "call_id": "call_2", "name": "zoom", "arguments": '{"x":2}'},
            {"type": "function_call_output", "call_id": "call_1", "output": "a cat"},
            {
                "type": "function_call_output",
                "call_id": "call_2",
                "output": [{"type": "input_text", "text": "a dog"}],
            },
            {"role": "user", "content": "And now?"},
        ],
        "store": False,
        "tools": [
            {"type": "function", "name": "zoom", "description": "Zooms in", "parameters": SCHEMA, "strict": True}
        ],
        "tool_choice": {"type": "function", "name": "zoom"},
        "parallel_tool_calls": True,
        "text": {
            "format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True},
            "verbosity": "low",
        },
        "reasoning": {"effort": "low"},
        "metadata": {"trace": "1"},
        "temperature": 0.5,
        "top_p": 0.9,
        "user": "u",
        "stream": True,
        "service_tier": "default",
        "max_output_tokens": 77,
    }


def test_a_full_response_call_becomes_chat() -> None:
    out = translated(FULL_RESPONSES, R)
    assert out == {
        "model": "up",
        "messages": [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "What is here?"},
                    {"type": "image_url", "image_url": {"url": DATA_URL, "detail": "high"}},
                    {"type": "image_url", "image_url": {"url": "https://example.com/b.jpg"}},
                ],
            },
            {
                "role": "assistant",
                "content": "Let me look.",
                "tool_calls": FULL_CHAT["messages"][2]["tool_calls"],
            },
            {"role": "tool", "tool_call_id": "call_1", "content": "a cat"},
            {"role": "tool", "tool_call_id": "call_2", "content": "a dog"},
            {"role": "user", "content": "And now?"},
        ],
        "tools": FULL_CHAT["tools"],
        "tool_choice": FULL_CHAT["tool_choice"],
        "response_format": FULL_CHAT["response_format"],
        "verbosity": "low",
        "reasoning_effort": "low",
        "stream": True,
        "stream_options": {"include_usage": True},
        "service_tier": "default",
        "max_completion_tokens": 77,
    }


def test_tools_of_chat_stay_as_loose_as_they_were() -> None:
    tools = [{"type": "function", "function": {"name": "f"}}]
    assert translated(chat_body(tools=tools), C)["tools"] == [
        {"type": "function", "name": "f", "parameters": None, "strict": False}
    ]


def test_custom_tools_and_their_results_are_translated_both_ways() -> None:
    grammar = {"definition": "start: /x/", "syntax": "lark"}
    call = {"id": "c1", "type": "custom", "custom": {"name": "run", "input": "ls"}}
    chat_value = chat_body(
        messages=[
            {"role": "user", "content": "go"},
            {"role": "assistant", "tool_calls": [call]},
            {"role": "tool", "tool_call_id": "c1", "content": "ok"},
        ],
        tools=[{"type": "custom", "custom": {"name": "run", "format": {"type": "grammar", "grammar": grammar}}}],
        tool_choice={
            "type": "allowed_tools",
            "allowed_tools": {"mode": "auto", "tools": [{"type": "custom", "custom": {"name": "run"}}]},
        },
    )
    out = translated(chat_value, C)
    assert out["tools"] == [{"type": "custom", "name": "run", "format": {"type": "grammar", **grammar}}]
    assert [item.get("type") for item in out["input"]] == [None, "custom_tool_call", "custom_tool_call_output"]
    assert out["tool_choice"] == {"type": "allowed_tools", "mode": "auto", "tools": [{"type": "custom", "name": "run"}]}
    back = translated({**out, "service_tier": None}, R)
    assert back["tools"] == chat_value["tools"]
    assert back["tool_choice"] == chat_value["tool_choice"]
    assert back["messages"][1]["tool_calls"] == [call]


@pytest.mark.parametrize(
    ("field", "value", "neutral"),
    [
        ("stop", ["x"], []),
        ("n", 2, 1),
        ("seed", 1, None),
        ("frequency_penalty", 0.5, 0),
        ("presence_penalty", -0.5, 0.0),
        ("logit_bias", {"5": 1}, {}),
        ("logprobs", True, False),
        ("top_logprobs", 2, 0),
        ("functions", [{"name": "f"}], []),
        ("function_call", "auto", "none"),
    ],
)
def test_what_responses_cannot_say_is_refused_by_name(field: str, value: object, neutral: object) -> None:
    with pytest.raises(TesseraError) as refused:
        translated(chat_body(**{field: value}), C)
    assert (refused.value.code, refused.value.param) == (ErrorCode.UNSUPPORTED_PARAMETER, field)
    assert field not in translated(chat_body(**{field: neutral}), C)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"truncation": "auto"}, "truncation"),
        ({"include": ["message.output_text.logprobs"]}, "include"),
        ({"top_logprobs": 3}, "top_logprobs"),
        ({"reasoning": {"summary": "detailed"}}, "reasoning.summary"),
        (
            {"input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]},
            "input[0].content[0].file_id",
        ),
        (
            {
                "input": [
                    {
                        "type": "function_call_output",
                        "call_id": "c",
                        "output": [{"type": "input_image", "image_url": "https://a/b"}],
                    }
                ]
            },
            "input[0].output[0]",
        ),
        ({"tools": [{"type": "function", "name": "f", "output_schema": {}}]}, "tools[0].output_schema"),
    ],
)
def test_what_chat_cannot_say_is_refused_by_name(more: dict[str, Any], param: str) -> None:
    with pytest.raises(TesseraError) as refused:
        translated(responses_body(**more), R)
    assert (refused.value.code, refused.value.param) == (ErrorCode.UNSUPPORTED_PARAMETER, param)


@pytest.mark.parametrize("more", [{"store": True}, {"store": False}, {"reasoning": {"summary": "auto"}}])
def test_what_responses_would_do_anyway_may_be_asked_for_and_left_out(more: dict[str, Any]) -> None:
    asked = {"model": "m", "input": "Hello", "max_output_tokens": 5}
    assert translated({**asked, **more}, R) == translated(asked, R)


def test_the_name_on_a_tools_result_is_that_of_its_call_and_left_out() -> None:
    call = {"id": "call_1", "type": "function", "function": {"name": "zoom", "arguments": "{}"}}
    told = {"role": "tool", "tool_call_id": "call_1", "name": "zoom", "content": "a cat"}
    messages = [{"role": "user", "content": "x"}, {"role": "assistant", "content": None, "tool_calls": [call]}, told]
    out = translated({"model": "m", "messages": messages}, C)
    assert out["input"][-1] == {"type": "function_call_output", "call_id": "call_1", "output": "a cat"}


def test_thoughts_that_are_parts_of_an_answer_have_no_place_in_responses() -> None:
    thoughts = {"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}
    messages = [
        {"role": "user", "content": "x"},
        {"role": "assistant", "content": [thoughts, {"type": "text", "text": "A cat."}]},
        {"role": "assistant", "content": [thoughts]},
    ]
    out = to_responses({"model": "m", "messages": messages})
    assert out["input"][1:] == [{"role": "assistant", "content": [{"type": "output_text", "text": "A cat."}]}]


def test_a_named_message_cannot_become_a_response() -> None:
    with pytest.raises(TesseraError) as refused:
        translated(chat_body(messages=[{"role": "user", "name": "ann", "content": "x"}]), C)
    assert refused.value.param == "messages[0].name"


@pytest.mark.parametrize(("value", "source"), [(FULL_CHAT, C), (FULL_RESPONSES, R)])
def test_image_data_is_not_copied_in_translation(value: dict[str, Any], source: Surface) -> None:
    big = json.loads(json.dumps(value).replace(DATA_URL, DATA_URL + "A" * 100_000))
    raw = encoded(big)
    body = open_body(raw)
    request = (parse_chat if source is C else parse_responses)(body)
    image = b"data:image/jpeg;base64," + b"B" * 50
    edits = Edits(model="up", output_cap=5, images={1: image})
    pieces = translate_request(source, R if source is C else C, body, request, edits)
    assert any(isinstance(piece, memoryview) and piece.obj is raw and len(piece) > 100_000 for piece in pieces)
    text = b"".join(pieces).decode()
    assert DATA_URL + "A" * 100_000 in text
    assert image.decode() in text
    assert "https://example.com" not in text
    json.loads(text)


def test_an_uploaded_image_is_said_in_chat_once_it_is_inlined() -> None:
    value = responses_body(input=[{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}])
    edits = Edits(model="up", output_cap=5, images={0: b"data:image/png;base64,AAAA"})
    out = translated(value, R, edits)
    assert out["messages"][0]["content"][0]["image_url"] == {"url": "data:image/png;base64,AAAA"}


TEXTS = st.text(min_size=1, max_size=20)
ROLES = st.sampled_from(["user", "system"])


@given(st.lists(st.tuples(ROLES, TEXTS), min_size=1, max_size=5), st.floats(0, 2), st.booleans())
def test_there_and_back_says_the_same(messages: list[tuple[str, str]], temperature: float, stream: bool) -> None:
    value = chat_body(
        messages=[{"role": role, "content": text} for role, text in messages], temperature=temperature, stream=stream
    )
    back = translated(translated(value, C, Edits(model="gpt-4o", output_cap=9)), R, Edits(model="gpt-4o", output_cap=9))
    assert {name: back[name] for name in value} == value
