"""Answers as servers other than OpenAI write them, read by the official client through a real server."""

import json
from typing import Any

import openai
import pytest

from live_calls import Live
from scripted_provider import chat_completion, chat_events, chat_reply, json_reply, sse_reply

PROCESSING = b": PROCESSING\n\n"
DIED = {"error": {"code": 502, "message": "died"}}
ASKED: dict[str, Any] = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
DETAILS = [{"type": "reasoning.text", "text": "Hm.", "signature": "s", "index": 0}]


def test_a_comment_before_an_error_leaves_the_call_to_the_next_provider(live: Live) -> None:
    live.first.script(sse_reply([PROCESSING, DIED]))
    live.second.script(sse_reply([PROCESSING, *chat_events(["A ", "cat."])]))
    with live.client() as client:
        said = [chunk for chunk in client.chat.completions.create(**ASKED, stream=True) if chunk.choices]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in said) == "A cat."
    assert [attempt["error"] for attempt in live.last_receipt()["attempts"]] == ["provider_error", None]


def test_a_stream_that_was_cut_between_empty_finish_reasons_costs_nothing(live: Live) -> None:
    start = {"id": "1", "object": "chat.completion.chunk", "created": 1, "model": "m"}
    cut = [{**start, "choices": [{"index": 0, "delta": {"content": word}, "finish_reason": ""}]} for word in "ab"]
    live.first.script(sse_reply(cut))
    with live.client() as client, pytest.raises(openai.APIError, match="cut the stream off"):
        list(client.chat.completions.create(**ASKED, stream=True))
    receipt = live.last_receipt()
    assert (receipt["outcome"], receipt["charge"]["nanos"]) == ("provider_error", 0)


def test_responses_of_a_server_that_gives_no_ids_differ(live: Live) -> None:
    nameless = {name: value for name, value in chat_completion("ok").items() if name != "id"}
    live.first.script(json_reply(nameless), json_reply(nameless))
    with live.client() as client:
        one, other = (client.responses.create(model="gpt-5.2", input="Hello") for _ in range(2))
    assert one.id != other.id
    assert one.output[0].id != other.output[0].id


@pytest.mark.parametrize(
    "beside",
    [
        {"content": "A cat.", "reasoning": "Hm.", "reasoning_details": DETAILS},
        {"content": "A cat.", "tool_calls": None, "prefix": False},
        {"content": [{"type": "thinking", "thinking": [{"type": "text", "text": "Hm."}]}]},
        {"content": "A cat.", "extra_content": {"google": {"thought_signature": "s"}}},
        {"content": "A cat.", "provider_specific_fields": {"stop_reason": None, "reasoning": "Hm."}},
    ],
    ids=["openrouter", "mistral", "magistral", "gemini", "litellm"],
)
def test_an_answer_comes_back_to_its_server_as_the_client_sends_it(live: Live, beside: dict[str, Any]) -> None:
    reply = chat_completion()
    reply["choices"] = [{"index": 0, "message": {"role": "assistant", **beside}, "finish_reason": "stop"}]
    live.first.script(json_reply(reply), chat_reply("again"))
    with live.client() as client:
        answer = client.chat.completions.create(**ASKED).choices[0].message
        client.chat.completions.create(model="gpt-4o", messages=[*ASKED["messages"], answer])
    assert json.loads(live.first.received[-1].body)["messages"][1] == {"role": "assistant", **beside}
