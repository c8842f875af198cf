"""Replies are what OpenAI publishes: each validates against the official client's own types."""

import json
from typing import Any

import openai
import pytest
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.model import Model
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from raw_http import dial, listen, request
from servers import Account, TesseraServer

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)
TOOL = {"name": "look_up", "parameters": {"type": "object", "properties": {"part": {"type": "string"}}}}
SCHEMA = {"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"], "additionalProperties": False}
CHAT: dict[str, dict[str, Any]] = {
    "text": {},
    "two choices": {"n": 2},
    "capped": {"max_completion_tokens": 3},
    "a tool": {"tools": [{"type": "function", "function": TOOL}], "tool_choice": "required"},
    "a schema": {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": SCHEMA}}},
}
RESPONSES: dict[str, dict[str, Any]] = {
    "text": {},
    "capped": {"max_output_tokens": 16},
    "a tool": {"tools": [{"type": "function", "strict": False, **TOOL}], "tool_choice": "required"},
    "a schema": {"text": {"format": {"type": "json_schema", "name": "x", "schema": SCHEMA}}},
}


def post(server: TesseraServer, account: Account, path: str, body: dict[str, Any]) -> bytes:
    with dial(server.base_url) as connection:
        connection.sendall(request("POST", path, account.key, json.dumps(body).encode(), "Connection: close"))
        heard = listen(connection, linger_s=20)
    assert heard.status == 200, heard.data
    return heard.data.partition(b"\r\n\r\n")[2]


def frames(body: bytes) -> list[Any]:
    """The data of a stream's frames, `[DONE]` left out."""
    data = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in data if line != "[DONE]"]


@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5.2-pro"])
@pytest.mark.parametrize("changes", CHAT.values(), ids=CHAT.keys())
def test_a_chat_completion_is_one(server: TesseraServer, account: Account, model: str, changes: dict[str, Any]) -> None:
    if model == "gpt-5.2-pro" and "n" in changes:
        pytest.skip("a model that speaks only responses gives one choice")
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}], **changes}
    whole = ChatCompletion.model_validate_json(post(server, account, "/v1/chat/completions", body), strict=True)
    assert whole.usage is not None
    asked = {**body, "stream": True, "stream_options": {"include_usage": True}}
    chunks = frames(post(server, account, "/v1/chat/completions", asked))
    validated = [ChatCompletionChunk.model_validate_json(json.dumps(chunk), strict=True) for chunk in chunks]
    assert validated[-1].usage is not None
    assert len({chunk.id for chunk in validated}) == 1


@pytest.mark.parametrize("changes", RESPONSES.values(), ids=RESPONSES.keys())
@pytest.mark.parametrize("model", ["gpt-4o", "gpt-5.2-pro"])
def test_a_response_is_one(server: TesseraServer, account: Account, model: str, changes: dict[str, Any]) -> None:
    body = {"model": model, "input": "Hello", **changes}
    whole = Response.model_validate_json(post(server, account, "/v1/responses", body), strict=True)
    assert whole.usage is not None
    events = frames(post(server, account, "/v1/responses", {**body, "stream": True}))
    validated = [EVENT.validate_json(json.dumps(event), strict=True) for event in events]
    assert [event.sequence_number for event in validated] == list(range(len(validated)))
    assert validated[-1].type in ("response.completed", "response.incomplete")


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize("model", ["gpt-5.2-pro", "tessera/sight"])
def test_a_response_repeats_what_it_was_asked_with(
    server: TesseraServer, account: Account, model: str, stream: bool
) -> None:
    asked: dict[str, Any] = {
        "instructions": "Be brief.",
        "max_output_tokens": 321,
        "metadata": {"order": "7"},
        "parallel_tool_calls": False,
        "reasoning": {"effort": "low"},
        "store": False,
        "temperature": 0.5,
        "text": {"verbosity": "low"},
        "tool_choice": {"type": "function", "name": "look_up"},
        "tools": [{"type": "function", "strict": True, "description": "Looks a part up", **TOOL}],
        "top_p": 0.25,
        "user": "ada",
    }
    body = post(server, account, "/v1/responses", {"model": model, "input": "Hello", **asked, "stream": stream})
    answers = [event["response"] for event in frames(body) if "response" in event] if stream else [json.loads(body)]
    for answer in answers:
        Response.model_validate_json(json.dumps(answer), strict=True)
        assert {name: answer[name] for name in asked} == {
            **asked,
            "text": {"format": {"type": "text"}, "verbosity": "low"},
        }


def test_the_models_are_models(client: openai.OpenAI) -> None:
    for model in client.get("/models", cast_to=object)["data"]:
        Model.model_validate_json(json.dumps(model), strict=True)
