"""Translated replies are what OpenAI publishes for the surface the caller speaks."""

import json
from typing import Any

from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from live_calls import Live
from scripted_provider import chat_events, chat_reply, sse_reply

EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def frames(body: bytes) -> list[Any]:
    data = [line[6:] for line in body.decode().splitlines() if line.startswith("data: ")]
    return [json.loads(line) for line in data if line != "[DONE]"]


def test_a_chat_server_answers_responses_callers_with_responses(live: Live) -> None:
    live.first.script(chat_reply("A cat."), sse_reply(chat_events(["A ", "cat."])))
    body = {"model": "gpt-4o", "input": "What is it?"}
    status, _, whole = live.post("/responses", json.dumps(body).encode())
    assert status == 200, whole
    assert Response.model_validate_json(whole, strict=True).output_text == "A cat."
    _, _, stream = live.post("/responses", json.dumps({**body, "stream": True}).encode())
    events = [EVENT.validate_json(json.dumps(event), strict=True) for event in frames(stream)]
    assert [event.sequence_number for event in events] == list(range(len(events)))
    assert events[-1].response.output_text == "A cat."


def test_a_responses_server_answers_chat_callers_with_chat(live: Live) -> None:
    message = {
        "type": "message",
        "id": "msg_1",
        "status": "completed",
        "role": "assistant",
        "content": [{"type": "output_text", "text": "A cat.", "annotations": []}],
    }
    usage = {
        "input_tokens": 5,
        "input_tokens_details": {"cached_tokens": 0},
        "output_tokens": 3,
        "output_tokens_details": {"reasoning_tokens": 0},
        "total_tokens": 8,
    }
    response = {"id": "resp_1", "object": "response", "created_at": 1, "model": "m", "status": "completed"}
    done = {**response, "output": [message], "usage": usage}
    delta = {"type": "response.output_text.delta", "output_index": 0, "content_index": 0, "item_id": "msg_1"}
    events = [
        {"type": "response.created", "response": {**response, "status": "in_progress", "output": []}},
        {"type": "response.output_item.added", "output_index": 0, "item": {**message, "content": []}},
        {**delta, "delta": "A "},
        {**delta, "delta": "cat."},
        {"type": "response.output_item.done", "output_index": 0, "item": message},
        {"type": "response.completed", "response": done},
    ]
    live.first.script(sse_reply([{**event, "sequence_number": n} for n, event in enumerate(events)]))
    body = {
        "model": "gpt-5.2-pro",
        "messages": [{"role": "user", "content": "What is it?"}],
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    status, _, stream = live.post("/chat/completions", json.dumps(body).encode())
    assert status == 200, stream
    chunks = [ChatCompletionChunk.model_validate_json(json.dumps(chunk), strict=True) for chunk in frames(stream)]
    assert "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices) == "A cat."
    assert chunks[-1].usage is not None
    assert ChatCompletion.model_fields["choices"].is_required()
