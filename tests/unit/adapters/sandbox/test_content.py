"""What the sandbox says in words, and when it calls a tool."""

import json
from collections.abc import Sequence
from typing import Any

import jsonschema
import pytest

from contract.providers.calls import count_words, make_call, picture, read_all
from tessera.adapters.providers.inside.composing import cut_text
from tessera.adapters.providers.sandbox import SandboxProvider
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Message, OutputFormat, Surface, Tool
from tessera.ports import UpstreamCall

pytestmark = pytest.mark.anyio

WEATHER_SCHEMA = {
    "type": "object",
    "properties": {"city": {"type": "string"}, "unit": {"enum": ["c", "f"]}},
    "required": ["city", "unit"],
    "additionalProperties": False,
}
WEATHER = Tool(name="get_weather", description="The weather", parameters=json.dumps(WEATHER_SCHEMA).encode())
MAIL = Tool(name="sendMail", parameters=b'{"type":"object","properties":{"to":{"type":"string","format":"email"}}}')


async def describe(images: Sequence[bytes], question: str) -> str:
    return f"{len(images)} pictures of {sum(map(len, images))} bytes; asked: {question}"


async def answer(call: UpstreamCall) -> Any:
    return json.loads(await read_all(await SandboxProvider(describe, count_words).send(call)))


async def said(**call: Any) -> str:
    return str((await answer(make_call(**call)))["choices"][0]["message"]["content"])


async def called(**call: Any) -> tuple[str, Any] | None:
    """The tool that was called and its arguments."""
    choice = (await answer(make_call(**call)))["choices"][0]
    calls = choice["message"].get("tool_calls")
    assert choice["finish_reason"] == ("tool_calls" if calls else "stop")
    return (calls[0]["function"]["name"], json.loads(calls[0]["function"]["arguments"])) if calls else None


async def test_a_plain_reply_says_that_it_is_the_sandbox() -> None:
    text = await said(text="Why is the sky blue?", model="gpt-5.2-pro")
    assert "sandbox" in text
    assert "gpt-5.2-pro" in text
    assert "5 words: “Why is the sky blue?”" in text


async def test_answers_depend_on_the_question_and_on_nothing_else() -> None:
    same = [
        await said(text="one"),
        await said(text="one", request_id="req_other"),
        await said(text="one", output_cap=900, headers={"traceparent": "x"}),
    ]
    assert len(set(same)) == 1
    assert await said(text="two") != same[0]
    assert await said(text="one", messages=(Message(role="system", texts=("x",)), Message(role="user", texts=("one",))))


async def test_a_long_question_is_quoted_in_part() -> None:
    text = await said(text="word " * 5000)
    assert "5000 words" in text
    assert len(text) < 500


async def test_text_with_lone_surrogates_does_no_harm() -> None:
    assert await said(text="a\ud800b".encode("utf-8", "replace").decode())


async def test_pictures_are_described_with_the_question_in_mind() -> None:
    one = picture("teal")
    text = await said(images=(one, one), text="What colour?")
    assert text == f"2 pictures of {2 * len(one)} bytes; asked: What colour?"


async def test_no_question_is_no_fault() -> None:
    assert await said(messages=(Message(role="system", texts=("You are kind.",)),))


@pytest.mark.parametrize(
    ("text", "tool"),
    [
        ("What's the weather in Paris?", "get_weather"),
        ("please get_weather", "get_weather"),
        ("Send a mail to Bob", "sendMail"),
        ("Tell me a story", None),
        ("I weathered the storm", None),
    ],
)
async def test_left_to_itself_it_calls_a_tool_that_plainly_fits(text: str, tool: str | None) -> None:
    made = await called(text=text, tools=(WEATHER, MAIL))
    assert (made[0] if made else None) == tool


@pytest.mark.parametrize(
    ("choice", "tool"), [("required", "get_weather"), ("sendMail", "sendMail"), ("get_weather", "get_weather")]
)
async def test_a_tool_that_must_be_called_is_called_with_valid_arguments(choice: str, tool: str) -> None:
    made = await called(text="hello", tools=(WEATHER, MAIL), tool_choice=choice)
    assert made is not None
    assert made[0] == tool
    schema = next(one.parameters for one in (WEATHER, MAIL) if one.name == tool)
    jsonschema.validate(made[1], json.loads(schema))


async def test_none_means_no_tool() -> None:
    assert await called(text="What's the weather?", tools=(WEATHER,), tool_choice="none") is None


async def test_after_a_tools_answer_it_speaks() -> None:
    messages = (
        Message(role="user", texts=("What's the weather?",)),
        Message(role="assistant", texts=("get_weather", "{}")),
        Message(role="tool", texts=("sunny, 21 degrees",)),
    )
    assert "sunny, 21 degrees" in await said(messages=messages, tools=(WEATHER,))


async def test_a_tool_without_parameters_gets_an_empty_object() -> None:
    assert await called(text="x", tools=(Tool(name="now"),), tool_choice="required") == ("now", {})


async def test_a_named_tool_that_is_not_there_is_refused() -> None:
    with pytest.raises(TesseraError) as caught:
        await called(text="x", tools=(WEATHER,), tool_choice="other")
    assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_REQUEST, "tool_choice")


@pytest.mark.parametrize(
    ("surface", "param"), [(Surface.CHAT, "tools[1].function.parameters"), (Surface.RESPONSES, "tools[1].parameters")]
)
async def test_a_tool_schema_that_cannot_be_answered_is_refused_by_its_place(surface: Surface, param: str) -> None:
    odd = Tool(name="odd", parameters=b'{"type":"object","unevaluatedProperties":false}')
    with pytest.raises(TesseraError, match="unevaluatedProperties") as caught:
        await answer(make_call(surface, tools=(WEATHER, odd), tool_choice="odd"))
    assert (caught.value.code, caught.value.param) == (ErrorCode.UNSUPPORTED_PARAMETER, param)


async def test_several_choices_of_structured_output_differ_and_are_valid() -> None:
    form = OutputFormat(kind="json_schema", name="w", schema=json.dumps(WEATHER_SCHEMA).encode())
    reply = await answer(make_call(choices=4, output_format=form))
    values = [json.loads(choice["message"]["content"]) for choice in reply["choices"]]
    for value in values:
        jsonschema.validate(value, WEATHER_SCHEMA)
    assert len({str(value) for value in values}) > 1


async def test_tool_arguments_are_cut_at_the_cap_like_everything_else() -> None:
    reply = await answer(make_call(tools=(WEATHER,), tool_choice="required", output_cap=5))
    choice = reply["choices"][0]
    assert choice["finish_reason"] == "length"
    assert reply["usage"]["completion_tokens"] <= 5
    tiny = await answer(make_call(tools=(WEATHER,), tool_choice="required", output_cap=1))
    assert tiny["usage"]["completion_tokens"] <= 1


@pytest.mark.parametrize("cap", range(0, 30, 3))
def test_cutting_never_passes_the_cap_and_cuts_no_more_than_it_must(cap: int) -> None:
    text = "The quick brown fox jumps over the lazy dog, again and again and again."
    kept, tokens, cut = cut_text(text, cap, count_words)
    assert text.startswith(kept)
    assert tokens == count_words(kept) <= cap
    assert cut is (kept != text)
    if cut:
        assert count_words(text[: len(kept) + 1]) > cap
