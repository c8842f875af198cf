"""One surface in the words of the other: chat completions and responses."""

import re
from hashlib import blake2b
from typing import Any

import msgspec

from tessera.domain.dialects.body import Body
from tessera.domain.dialects.receipt import usage_object
from tessera.domain.dialects.repeated import NONE, Settings
from tessera.domain.dialects.request_to_chat import to_chat
from tessera.domain.dialects.request_to_responses import to_responses
from tessera.domain.dialects.splice import JOIN_MAX, TIER_WORDS, Edits, Piece
from tessera.domain.dialects.stream_to_chat import chat_id
from tessera.domain.dialects.stream_to_responses import response_id, response_object, text_part
from tessera.domain.dialects.usage import (
    NotAReplyError,
    decode_reply,
    provider_said,
    read_usage,
    response_finish,
    thought_and_said,
)
from tessera.domain.request import InferenceRequest, Surface


def translate_request(
    source: Surface, target: Surface, body: Body, request: InferenceRequest, edits: Edits
) -> list[bytes | memoryview]:
    """A request for the other surface, edits applied. Raises [unsupported_parameter] by name for the rest.

    Image data is not copied: its pieces are views into the caller's own bytes.
    """
    nonce = blake2b(body.skeleton, digest_size=16, person=b"images").hexdigest()
    value = _with_nonces(body.value, request, edits, nonce) if edits.images else body.value
    if (source, target) == (Surface.CHAT, Surface.RESPONSES):
        written = to_responses(value)
        written["max_output_tokens"] = edits.output_cap
    elif (source, target) == (Surface.RESPONSES, Surface.CHAT):
        written = to_chat(value)
        written["max_tokens" if edits.old_cap_name else "max_completion_tokens"] = edits.output_cap
        if request.stream and edits.include_usage:
            written["stream_options"] = {**written.get("stream_options", {}), "include_usage": True}
    else:
        raise ValueError(f"no translation from {source} to {target}")
    if edits.tier is not None and edits.tier in TIER_WORDS:
        written["service_tier"] = TIER_WORDS[edits.tier]
    return _pieces({"model": edits.model, **written}, body, edits, nonce)


def _with_nonces(value: dict[str, Any], request: InferenceRequest, edits: Edits, nonce: str) -> dict[str, Any]:
    """A copy of the body in which each inlined image's address is a word that stands for its data."""
    copied: dict[str, Any] = msgspec.json.decode(msgspec.json.encode(value))
    for index in edits.images:
        owner: Any = copied
        *path, last = re.findall(r"[^.\[\]]+", request.images[index].param)
        for step in path:
            owner = owner[int(step)] if isinstance(owner, list) else owner[step]
        if last == "file_id":
            del owner["file_id"]
            last = "image_url"
        owner[last] = f"{nonce}{index:08x}"
    return copied


def _pieces(written: dict[str, Any], body: Body, edits: Edits, nonce: str) -> list[Piece]:
    """The encoded body, with payloads and inlined images put back in the place of what stands for them."""
    encoded = msgspec.json.encode(written)
    words = [nonce] if edits.images else []
    if body.payloads:
        words.append(body.mark)
    if not words:
        return [encoded]
    raw = memoryview(body.raw)
    pieces: list[Piece] = []
    at = 0
    for found in re.finditer(rb"(%s)([0-9a-f]{8})" % "|".join(words).encode(), encoded):
        pieces.append(encoded[at : found.start()])
        index = int(found[2], 16)
        if edits.images and found[1] == nonce.encode():
            pieces.append(edits.images[index])
        else:
            start, end = body.payloads[index]
            pieces.append(raw[start:end])
        at = found.end()
    pieces.append(encoded[at:])
    return [b"".join(pieces)] if sum(map(len, pieces)) <= JOIN_MAX else pieces


def translate_reply(
    upstream: Surface, caller: Surface, raw: bytes, *, model: str, fallback_id: str = "", repeated: Settings = NONE
) -> bytes:
    """A whole reply in the caller's dialect. Raises [provider_error] for a reply that makes no sense.

    `fallback_id` is the id of an answer that has none. `repeated` are the settings of the request that a response
    repeats, and a chat completion does not.
    """
    if {upstream, caller} != {Surface.CHAT, Surface.RESPONSES}:
        raise ValueError(f"no translation from {upstream} to {caller}")
    reply = decode_reply(raw)
    if reply.get("error") is not None:
        provider_said(reply["error"])
    try:
        said = (_completion if caller is Surface.CHAT else _response)(reply, model, fallback_id)
    except (KeyError, TypeError, AttributeError, IndexError, ValueError):
        raise NotAReplyError from None
    return msgspec.json.encode({**said, **repeated} if caller is Surface.RESPONSES else said)


def _usage(upstream: Surface, caller: Surface, usage: object) -> dict[str, Any] | None:
    try:
        read = read_usage(upstream, usage)
    except ValueError:
        return None
    return None if read is None else usage_object(caller, read)


def _completion(reply: dict[str, Any], model: str, fallback_id: str) -> dict[str, Any]:
    texts: dict[str, list[str]] = {"text": [], "refusal": []}
    calls = []
    for item in reply["output"]:
        kind = item["type"]
        if kind == "message":
            for part in item["content"]:
                field = "refusal" if part["type"] == "refusal" else "text"
                texts[field].append(part[field])
        elif kind == "function_call":
            function = {"name": item["name"], "arguments": item["arguments"]}
            calls.append({"id": item["call_id"], "type": "function", "function": function})
        elif kind == "custom_tool_call":
            custom = {"name": item["name"], "input": item["input"]}
            calls.append({"id": item["call_id"], "type": "custom", "custom": custom})
    message: dict[str, Any] = {
        "role": "assistant",
        "content": "".join(texts["text"]) if texts["text"] or not (calls or texts["refusal"]) else None,
        "refusal": "".join(texts["refusal"]) or None,
        "annotations": [],
    }
    if calls:
        message["tool_calls"] = calls
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": response_finish(reply)}
    said = {
        "id": chat_id(reply.get("id"), fallback_id),
        "object": "chat.completion",
        "created": int(reply.get("created_at") or 0),
        "model": model,
        "choices": [choice],
        "usage": _usage(Surface.RESPONSES, Surface.CHAT, reply.get("usage")),
    }
    if reply.get("service_tier") is not None:
        said["service_tier"] = reply["service_tier"]
    return said


def _response(reply: dict[str, Any], model: str, fallback_id: str) -> dict[str, Any]:
    choice = reply["choices"][0]
    message = choice["message"]
    name = response_id(reply.get("id"), fallback_id)
    tail = name.removeprefix("resp_")
    reason = choice.get("finish_reason") or "stop"
    status = "incomplete" if reason in ("length", "content_filter") else "completed"
    output: list[dict[str, Any]] = []
    thought, said = message.get("reasoning_content") or message.get("reasoning"), message.get("content")
    if isinstance(said, list):
        thought, said = thought_and_said(said)
    if isinstance(thought, str) and thought:
        content = [{"type": "reasoning_text", "text": thought}]
        output.append({"id": f"rs_{tail}_0", "type": "reasoning", "summary": [], "content": content})
    parts = [
        text_part(kind, text) for kind, text in (("output_text", said), ("refusal", message.get("refusal"))) if text
    ]
    calls = message.get("tool_calls") or ()
    if parts or not calls:
        output.append(
            {
                "id": f"msg_{tail}_{len(output)}",
                "type": "message",
                "role": "assistant",
                "status": status,
                "content": parts or [text_part("output_text", "")],
            }
        )
    for call in calls:
        kind, given = ("custom", "input") if call.get("type") == "custom" else ("function", "arguments")
        if type(call[kind][given]) is not str:
            raise TypeError("what a call was given is text")
        output.append(
            {
                "id": f"fc_{tail}_{len(output)}",
                "type": "custom_tool_call" if kind == "custom" else "function_call",
                "call_id": call.get("id") or f"call_{tail}_{len(output)}",
                "name": call[kind]["name"],
                given: call[kind][given],
                "status": status,
            }
        )
    usage = _usage(Surface.CHAT, Surface.RESPONSES, reply.get("usage"))
    created = int(reply.get("created") or 0)
    return response_object(name, created, model, output, usage, reason, reply.get("service_tier"))
