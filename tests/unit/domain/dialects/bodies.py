"""Request bodies the tests of this folder share."""

import base64
import json
from typing import Any

from tessera.domain.dialects.body import Body, open_body
from tessera.domain.dialects.chat import parse_chat
from tessera.domain.dialects.responses import parse_responses
from tessera.domain.request import InferenceRequest

PNG = base64.b64encode(b"\x89PNG\r\n\x1a\n" + bytes(9000)).decode()
DATA_URL = f"data:image/png;base64,{PNG}"
SCHEMA: dict[str, Any] = {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]}


def encoded(value: dict[str, Any]) -> bytes:
    return json.dumps(value).encode()


def chat_body(**more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hi"}], **more}


def responses_body(**more: Any) -> dict[str, Any]:
    return {"model": "gpt-4o", "input": "Hi", **more}


def chat(value: dict[str, Any]) -> InferenceRequest:
    return parse_chat(open_body(encoded(value)))


def responses(value: dict[str, Any]) -> InferenceRequest:
    return parse_responses(open_body(encoded(value)))


def opened(value: dict[str, Any]) -> Body:
    return open_body(encoded(value))


FULL_CHAT: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [
        {"role": "developer", "content": "Be brief."},
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
            "tool_calls": [
                {"id": "call_1", "type": "function", "function": {"name": "zoom", "arguments": '{"x":1}'}},
                {"id": "call_2", "type": "function", "function": {"name": "zoom", "arguments": '{"x":2}'}},
            ],
        },
        {"role": "tool", "tool_call_id": "call_1", "content": "a cat"},
        {"role": "tool", "tool_call_id": "call_2", "content": [{"type": "text", "text": "a dog"}]},
        {"role": "user", "content": "And now?"},
    ],
    "tools": [
        {
            "type": "function",
            "function": {"name": "zoom", "description": "Zooms in", "parameters": SCHEMA, "strict": True},
        }
    ],
    "tool_choice": {"type": "function", "function": {"name": "zoom"}},
    "parallel_tool_calls": True,
    "response_format": {"type": "json_schema", "json_schema": {"name": "answer", "schema": SCHEMA, "strict": True}},
    "reasoning_effort": "low",
    "verbosity": "low",
    "metadata": {"trace": "1"},
    "temperature": 0.5,
    "top_p": 0.9,
    "user": "u",
    "max_completion_tokens": 300,
    "stream": True,
    "stream_options": {"include_usage": False},
    "service_tier": "default",
}

FULL_RESPONSES: dict[str, Any] = {
    "model": "gpt-4o",
    "instructions": "Be brief.",
    "input": [
        {
            "role": "user",
            "content": [
                {"type": "input_text", "text": "What is here?"},
                {"type": "input_image", "image_url": DATA_URL, "detail": "high"},
                {"type": "input_image", "image_url": "https://example.com/b.jpg"},
            ],
        },
        {
            "id": "rs_1",
            "type": "reasoning",
            "summary": [{"type": "summary_text", "text": "hm"}],
            "encrypted_content": "gAAAAABm",
        },
        {
            "id": "msg_1",
            "type": "message",
            "role": "assistant",
            "status": "completed",
            "content": [{"type": "output_text", "text": "Let me look.", "annotations": []}],
        },
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
    "tools": [
        {"type": "function", "name": "zoom", "description": "Zooms in", "parameters": SCHEMA, "strict": True},
    ],
    "tool_choice": {"type": "function", "name": "zoom"},
    "text": {
        "format": {"type": "json_schema", "name": "answer", "schema": SCHEMA, "strict": True},
        "verbosity": "low",
    },
    "reasoning": {"effort": "low"},
    "max_output_tokens": 300,
    "stream": True,
}
