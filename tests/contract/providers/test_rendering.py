"""What is rendered here is read by the unmodified OpenAI client, whole, parsed and streamed."""

import json
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from openai import LengthFinishReasonError, OpenAI
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response
from pydantic import BaseModel, TypeAdapter

from contract.providers.calls import rendered, simple_answer, tool_answer
from scripted_provider import Received, Reply, ScriptedProvider, bytes_reply
from tessera.domain.dialects.render import Answer, Choice, render_stream, split_words
from tessera.domain.request import Surface

TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}, "strict": True}


class Picture(BaseModel):
    colour: str
    count: int


class Desk:
    """An OpenAI client, and the answer its server gives next."""

    def __init__(self, provider: ScriptedProvider) -> None:
        self.client = OpenAI(api_key="sk-any", base_url=provider.base_url, max_retries=0)
        self.answer = simple_answer()
        provider.always = self._reply

    def _reply(self, request: Received) -> Reply:
        surface = Surface.RESPONSES if request.path.endswith("/responses") else Surface.CHAT
        stream = bool(request.json().get("stream"))
        kind = "text/event-stream" if stream else "application/json"
        return bytes_reply(rendered(surface, self.answer, stream=stream), content_type=kind)


@pytest.fixture
def desk() -> Iterator[Desk]:
    with ScriptedProvider() as provider:
        yield Desk(provider)


HELLO: Any = [{"role": "user", "content": "hello"}]


def test_a_whole_chat_reply_is_a_chat_completion_with_usage(desk: Desk) -> None:
    reply = desk.client.chat.completions.create(model="gpt-4o", messages=HELLO)
    ChatCompletion.model_validate_json(reply.model_dump_json(), strict=True)
    assert reply.choices[0].message.content == desk.answer.choices[0].text
    assert reply.choices[0].finish_reason == "stop"
    assert reply.usage is not None
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens, reply.usage.total_tokens) == (300, 12, 312)
    assert reply.usage.prompt_tokens_details is not None
    assert reply.usage.prompt_tokens_details.image_tokens == 255


def test_a_chat_stream_adds_up_to_the_whole_reply(desk: Desk) -> None:
    with desk.client.chat.completions.stream(
        model="gpt-4o", messages=HELLO, stream_options={"include_usage": True}
    ) as stream:
        kinds = {event.type for event in stream}
        final = stream.get_final_completion()
    assert kinds == {"chunk", "content.delta", "content.done"}
    assert final.choices[0].message.content == desk.answer.choices[0].text
    assert final.usage is not None
    assert final.usage.total_tokens == 312


def test_every_chat_chunk_is_valid_and_only_the_last_has_usage() -> None:
    frames = [frame.decode() for frame in render_stream(Surface.CHAT, tool_answer())]
    assert frames[-1] == "data: [DONE]\n\n"
    chunks = [ChatCompletionChunk.model_validate_json(frame[6:], strict=True) for frame in frames[:-1]]
    assert [chunk.usage is not None for chunk in chunks] == [False] * (len(chunks) - 1) + [True]
    assert chunks[-1].choices == []


def test_tool_calls_stream_to_the_same_arguments(desk: Desk) -> None:
    desk.answer = tool_answer()
    with desk.client.chat.completions.stream(model="gpt-4o", messages=HELLO) as stream:
        final = stream.get_final_completion()
    calls = final.choices[0].message.tool_calls
    assert calls is not None
    assert [(call.id, call.function.name, call.function.arguments) for call in calls] == [
        (call.id, call.name, call.arguments) for call in desk.answer.choices[0].tool_calls
    ]
    assert final.choices[0].message.content is None
    assert final.choices[0].finish_reason == "tool_calls"


def test_several_choices_stream_apart(desk: Desk) -> None:
    desk.answer = simple_answer(choices=(Choice(text="one two"), Choice(text="three"), Choice(text="four")))
    with desk.client.chat.completions.stream(model="gpt-4o", messages=HELLO, n=3) as stream:
        final = stream.get_final_completion()
    assert [choice.message.content for choice in final.choices] == ["one two", "three", "four"]


def test_chat_structured_output_parses_into_the_callers_type(desk: Desk) -> None:
    desk.answer = simple_answer('{"colour": "teal", "count": 3}')
    reply = desk.client.chat.completions.parse(model="gpt-4o", messages=HELLO, response_format=Picture)
    assert reply.choices[0].message.parsed == Picture(colour="teal", count=3)
    with desk.client.chat.completions.stream(model="gpt-4o", messages=HELLO, response_format=Picture) as stream:
        assert stream.get_final_completion().choices[0].message.parsed == Picture(colour="teal", count=3)


def test_an_answer_cut_at_its_cap_is_seen_as_cut(desk: Desk) -> None:
    desk.answer = simple_answer(choices=(Choice(text='{"colour": "te', finish_reason="length"),))
    with pytest.raises(LengthFinishReasonError):
        desk.client.chat.completions.parse(model="gpt-4o", messages=HELLO, response_format=Picture)
    reply = desk.client.responses.create(model="gpt-4o", input="hello")
    assert reply.status == "incomplete"
    assert reply.incomplete_details is not None
    assert reply.incomplete_details.reason == "max_output_tokens"
    with desk.client.responses.stream(model="gpt-4o", input="hello") as stream:
        assert [event.type for event in stream][-1] == "response.incomplete"


def test_a_refusal_is_a_refusal_on_both_surfaces(desk: Desk) -> None:
    desk.answer = simple_answer(choices=(Choice(refusal="I would rather not."),))
    assert desk.client.chat.completions.create(model="m", messages=HELLO).choices[0].message.refusal
    with desk.client.chat.completions.stream(model="m", messages=HELLO) as stream:
        assert stream.get_final_completion().choices[0].message.refusal == "I would rather not."
    with desk.client.responses.stream(model="m", input="hello") as events:
        assert "response.refusal.done" in [event.type for event in events]


def test_a_whole_response_is_valid_and_repeats_its_request(desk: Desk) -> None:
    desk.answer = simple_answer(repeated={"tools": [TOOL], "max_output_tokens": 50, "metadata": {"order": "7"}})
    reply = desk.client.responses.create(model="gpt-4o", input="hello")
    TypeAdapter(Response).validate_json(rendered(Surface.RESPONSES, desk.answer, stream=False), strict=True)
    assert reply.output_text == desk.answer.choices[0].text
    assert reply.status == "completed"
    assert (reply.max_output_tokens, reply.metadata) == (50, {"order": "7"})
    assert reply.tools[0].type == "function"
    assert reply.usage is not None
    assert (reply.usage.input_tokens, reply.usage.output_tokens, reply.usage.total_tokens) == (300, 12, 312)


def test_a_response_stream_has_every_event_in_order(desk: Desk) -> None:
    desk.answer = simple_answer("two words")
    with desk.client.responses.stream(model="gpt-4o", input="hello") as stream:
        events = list(stream)
        final = stream.get_final_response()
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
    numbers = [event.sequence_number for event in desk.client.responses.create(model="m", input="x", stream=True)]
    assert numbers == list(range(len(events)))
    assert final.output_text == "two words"
    assert final.usage is not None
    assert final.usage.total_tokens == 312


def test_response_function_calls_stream_and_parse(desk: Desk) -> None:
    desk.answer = tool_answer()
    with desk.client.responses.stream(model="gpt-4o", input="hello") as stream:
        kinds = [event.type for event in stream]
        final = stream.get_final_response()
    assert kinds.count("response.function_call_arguments.done") == 2
    calls = [item for item in final.output if item.type == "function_call"]
    assert [(call.call_id, call.name, json.loads(call.arguments)) for call in calls] == [
        ("call_a", "get_weather", {"city": "Bath and Wells", "days": 2}),
        ("call_b", "now", {}),
    ]


def test_response_structured_output_parses_into_the_callers_type(desk: Desk) -> None:
    desk.answer = simple_answer('{"colour": "teal", "count": 3}')
    reply = desk.client.responses.parse(model="gpt-4o", input="hello", text_format=Picture)
    assert reply.output_parsed == Picture(colour="teal", count=3)


def test_usage_can_be_left_out_as_a_broken_provider_does(desk: Desk) -> None:
    desk.answer = simple_answer(usage=None)
    assert desk.client.chat.completions.create(model="m", messages=HELLO).usage is None
    assert desk.client.responses.create(model="m", input="hello").usage is None


def test_other_surfaces_are_not_rendered() -> None:
    with pytest.raises(ValueError, match="messages"):
        render_stream(Surface.MESSAGES, simple_answer())


@given(st.text(max_size=200))
def test_the_words_of_a_text_join_to_the_text(text: str) -> None:
    assert "".join(split_words(text)) == text


@settings(max_examples=40, deadline=None)
@given(st.text(max_size=60), st.sampled_from([Surface.CHAT, Surface.RESPONSES]))
def test_any_text_survives_its_stream(text: str, surface: Surface) -> None:
    clean = text.encode("utf-8", "ignore").decode()
    answer: Answer = simple_answer(clean)
    events = [
        json.loads(line[6:])
        for frame in render_stream(surface, answer)
        for line in frame.decode().split("\n")
        if line.startswith("data: {")
    ]
    if surface is Surface.CHAT:
        said = [event["choices"][0]["delta"].get("content") or "" for event in events if event["choices"]]
    else:
        said = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
    assert "".join(said) == clean
