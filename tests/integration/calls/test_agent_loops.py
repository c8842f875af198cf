"""What agents do with their frameworks' settings as they come: an answer goes back whole, with a tool's result."""

import json
from typing import Any

import pytest

from live_calls import Live
from scripted_provider import chat_events, chat_reply, json_reply, sse_reply

SEALED = "reasoning.encrypted_content"
ASKED: dict[str, Any] = {"model": "gpt-5.2-pro", "input": "What is the weather in Rome?"}
TOOL = {"type": "function", "name": "get_weather", "parameters": {"type": "object", "properties": {}}, "strict": False}


def response(*output: dict[str, Any]) -> dict[str, Any]:
    """A response as OpenAI sends it, with what it has by default."""
    return {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_796_000_000,
        "status": "completed",
        "model": "gpt-5.2-pro",
        "output": list(output),
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 20,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 12,
            "output_tokens_details": {"reasoning_tokens": 4},
            "total_tokens": 32,
        },
    }


def test_an_agent_that_asks_for_nothing_can_send_its_models_reasoning_back(live: Live) -> None:
    thought = {"id": "rs_1", "type": "reasoning", "summary": [], "encrypted_content": "gAAAA" * 20}
    call = {
        "id": "fc_1",
        "type": "function_call",
        "call_id": "call_1",
        "name": "get_weather",
        "arguments": "{}",
        "status": "completed",
    }
    live.first.script(json_reply(response(thought, call)), json_reply(response()))
    with live.client() as client:
        first = client.responses.create(**ASKED, tools=[TOOL])
        history = [{"role": "user", "content": ASKED["input"]}, *(item.to_dict() for item in first.output)]
        history.append({"type": "function_call_output", "call_id": "call_1", "output": "sunny"})
        client.responses.create(model="gpt-5.2-pro", input=history, tools=[TOOL])
    one, other = (received.json() for received in live.first.received)
    assert (one["include"], other["include"]) == ([SEALED], [SEALED])
    assert other["input"][1:3] == [thought, call]


@pytest.mark.parametrize("model", ["gpt-5.2-pro", "gpt-5.2"])
def test_reasoning_that_is_only_an_id_is_refused_where_it_stands_for_something(live: Live, model: str) -> None:
    """A chat has no place for earlier reasoning: it is left out there, and a client that lost its text goes on."""
    thought = {"id": "rs_1", "type": "reasoning", "summary": [], "content": []}
    history = [{"role": "user", "content": "Hello"}, thought, {"role": "assistant", "content": "Hi."}]
    if model == "gpt-5.2":
        live.first.script(chat_reply())
    body = json.dumps({"model": model, "input": [*history, {"role": "user", "content": "And?"}]}).encode()
    status, _, said = live.post("/responses", body)
    if model == "gpt-5.2":
        assert status == 200
        assert [message["content"] for message in live.first.received[0].json()["messages"]] == ["Hello", "Hi.", "And?"]
    else:
        error = json.loads(said)["error"]
        assert (status, error["code"], error["param"]) == (400, "unsupported_parameter", "input[1].id")
        assert not live.first.received


@pytest.mark.parametrize(
    ("asked", "sent"),
    [(None, [SEALED]), ([], [SEALED]), (["x"], ["x", SEALED]), ([SEALED, "x"], [SEALED, "x"])],
    ids=["null", "nothing", "something else", "already"],
)
def test_what_a_caller_includes_is_kept(live: Live, asked: list[str] | None, sent: list[str]) -> None:
    live.first.script(json_reply(response()))
    with live.client() as client:
        client.responses.create(**ASKED, extra_body={"include": asked})
    assert live.first.received[0].json()["include"] == sent


@pytest.mark.parametrize("stream", [False, True])
def test_a_response_made_from_a_chat_repeats_what_it_was_asked_with(live: Live, stream: bool) -> None:
    """LangChain reads `text.format` of the last event to see whether there is something to parse."""
    schema = {"type": "object", "properties": {"setup": {"type": "string"}}, "required": ["setup"]}
    asked = {"format": {"type": "json_schema", "name": "joke", "schema": schema, "strict": True}}
    settings: dict[str, Any] = {"instructions": "Be kind.", "metadata": {"a": "b"}, "tools": [TOOL], "temperature": 0.5}
    said = '{"setup":"x"}'
    live.first.script(sse_reply(chat_events([said])) if stream else chat_reply(said))
    with live.client() as client:
        made = client.responses.create(model="gpt-5.2", input="A joke?", text=asked, stream=stream, **settings)
        whole = [event.response for event in made if hasattr(event, "response")] if stream else [made]
    for response in (one.to_dict() for one in whole):
        assert response["text"] == asked
        assert {name: response[name] for name in settings} == settings
    assert whole[-1].output_text == said


def test_settings_that_fill_a_reply_are_not_repeated(live: Live) -> None:
    live.first.script(chat_reply("ok"))
    with live.client() as client:
        made = client.responses.create(model="gpt-5.2", input="Hello", instructions="long " * 60_000, user="u")
    assert (made.instructions, made.user, made.output_text) == (None, None, "ok")
