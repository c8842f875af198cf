"""Provider streams the tests of this folder share, and how the official client reads one."""

import json
from typing import Any

from openai._streaming import SSEDecoder
from openai.types.chat import ChatCompletionChunk
from openai.types.responses import ResponseStreamEvent
from pydantic import TypeAdapter

from tessera.domain.dialects.receipt import Receipt
from tessera.domain.dialects.relay import StreamRelay
from tessera.domain.quantities import Quantities
from tessera.domain.request import Surface

RECEIPT = Receipt(
    charge="0.01",
    charge_nanos=10_000_000,
    request_id="req_1",
    usage=Quantities(input_tokens=7, output_tokens=3),
)
EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


def frame(value: object, event: str | None = None) -> bytes:
    head = f"event: {event}\n" if event else ""
    return f"{head}data: {json.dumps(value)}\n\n".encode()


def chunk(delta: dict[str, Any] | None = None, reason: str | None = None, **more: Any) -> dict[str, Any]:
    choices = [] if delta is None else [{"index": 0, "delta": delta, "finish_reason": reason}]
    return {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "m",
        "choices": choices,
        **more,
    }


USAGE = {"prompt_tokens": 10, "completion_tokens": 4, "total_tokens": 14}
DONE = b"data: [DONE]\n\n"
CHAT_TEXT = [
    frame(chunk({"role": "assistant", "content": ""})),
    b": keep-alive\n\n",
    frame(chunk({"content": "A c"}, usage=None)),
    frame(chunk({"content": "at é 🐈."})),
    frame(chunk({}, "stop")),
]
CHAT_USAGE = frame(chunk(usage=USAGE))
CHAT = [*CHAT_TEXT, CHAT_USAGE, DONE]


def tool(index: int, **more: Any) -> dict[str, Any]:
    return {"tool_calls": [{"index": index, **more}]}


CHAT_TOOLS = [
    frame(chunk({"role": "assistant", "content": None})),
    frame(chunk({"reasoning_content": "Hm."})),
    frame(chunk({"content": "Look:"})),
    frame(chunk(tool(0, id="call_1", type="function", function={"name": "zoom", "arguments": ""}))),
    frame(chunk(tool(0, function={"arguments": '{"x"'}))),
    frame(chunk(tool(0, function={"arguments": ":1}"}))),
    frame(chunk(tool(1, id="call_2", type="function", function={"name": "zoom", "arguments": "{}"}))),
    frame(chunk({}, "tool_calls")),
    CHAT_USAGE,
    DONE,
]

RESPONSE: dict[str, Any] = {
    "id": "resp_1",
    "object": "response",
    "created_at": 1,
    "status": "in_progress",
    "model": "m",
    "output": [],
    "parallel_tool_calls": True,
    "tool_choice": "auto",
    "tools": [],
}
RESPONSE_USAGE = {
    "input_tokens": 10,
    "input_tokens_details": {"cached_tokens": 2, "cache_write_tokens": 0},
    "output_tokens": 4,
    "output_tokens_details": {"reasoning_tokens": 1},
    "total_tokens": 14,
}


def response_stream(items: list[dict[str, Any]], final: str = "completed", **more: Any) -> list[bytes]:
    """The events of a response with these items, each delivered in two pieces."""
    events: list[dict[str, Any]] = [
        {"type": "response.created", "response": RESPONSE},
        {"type": "response.in_progress", "response": RESPONSE},
    ]
    for index, item in enumerate(items):
        where = {"item_id": item["id"], "output_index": index}
        if item["type"] == "message":
            events.append(
                {"type": "response.output_item.added", "output_index": index, "item": {**item, "content": []}}
            )
            part = item["content"][0]
            kind = "output_text" if part["type"] == "output_text" else "refusal"
            text = part["text" if kind == "output_text" else "refusal"]
            empty = {**part, "text" if kind == "output_text" else "refusal": ""}
            where["content_index"] = 0
            extra: dict[str, Any] = {"logprobs": []} if kind == "output_text" else {}
            events.append({"type": "response.content_part.added", "part": empty, **where})
            events += [{"type": f"response.{kind}.delta", "delta": d, **where, **extra} for d in (text[:3], text[3:])]
            done = {"text": text} if kind == "output_text" else {"refusal": text}
            events.append({"type": f"response.{kind}.done", **done, **where, **extra})
            events.append({"type": "response.content_part.done", "part": part, **where})
        elif item["type"] == "function_call":
            added = {**item, "arguments": ""}
            events.append({"type": "response.output_item.added", "output_index": index, "item": added})
            text = item["arguments"]
            kind = "response.function_call_arguments"
            events += [{"type": f"{kind}.delta", "delta": d, **where} for d in (text[:3], text[3:])]
            events.append({"type": f"{kind}.done", "name": item["name"], "arguments": text, **where})
        else:
            events.append({"type": "response.output_item.added", "output_index": index, "item": item})
        events.append({"type": "response.output_item.done", "output_index": index, "item": item})
    last = {**RESPONSE, "status": final, "output": items, "usage": RESPONSE_USAGE, "service_tier": "default", **more}
    events.append({"type": f"response.{final}", "response": last})
    return [frame({**event, "sequence_number": n}, event["type"]) for n, event in enumerate(events)]


def message(text: str) -> dict[str, Any]:
    part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
    return {"id": "msg_1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}


CALL = {
    "id": "fc_1",
    "type": "function_call",
    "call_id": "call_1",
    "name": "zoom",
    "arguments": '{"x":1}',
    "status": "completed",
}
REASONING = {"id": "rs_1", "type": "reasoning", "summary": []}
RESPONSES = response_stream([REASONING, message("A cat é 🐈.")])
RESPONSES_TOOLS = response_stream([message("Look:"), CALL, {**CALL, "id": "fc_2", "call_id": "call_2"}])


def relay(upstream: Surface, caller: Surface, *, include_usage: bool = True) -> StreamRelay:
    return StreamRelay(upstream, caller, include_usage=include_usage, model="my-model")


def run(stream: list[bytes], upstream: Surface, caller: Surface, *, include_usage: bool = True) -> bytes:
    """Everything a caller receives of a stream that ends well."""
    through = relay(upstream, caller, include_usage=include_usage)
    out = [piece for part in stream for piece in through.feed(part)]
    through.end()
    assert through.finished
    assert through.error is None
    return b"".join([*out, *through.finish(RECEIPT)])


def read_chat(raw: bytes) -> list[ChatCompletionChunk]:
    """Chunks as the official client reads them, validated; `[DONE]` must be the last event."""
    events = list(SSEDecoder().iter_bytes(iter([raw])))
    assert events[-1].data == "[DONE]"
    return [ChatCompletionChunk.model_validate(event.json()) for event in events[:-1]]


def read_responses(raw: bytes) -> list[Any]:
    """Events as the official client reads them, validated, names and numbers in order."""
    events = list(SSEDecoder().iter_bytes(iter([raw])))
    assert [event.event for event in events] == [event.json()["type"] for event in events]
    assert [event.json()["sequence_number"] for event in events] == list(range(len(events)))
    return [EVENT.validate_python(event.json()) for event in events]
