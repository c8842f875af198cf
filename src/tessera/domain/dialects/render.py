"""An answer made in this process, in the words of a surface: whole, or as the event stream a provider would send.

Used by the providers that have no wire of their own (`sandbox`, `sight`). The shapes are those of OpenAI's Chat
Completions and Responses (OpenAPI document 2.3.0, types of the Python client 3.54). Pure; no clock, no randomness.
"""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from tessera.domain.quantities import Quantities
from tessera.domain.request import Surface

_WORD = re.compile(r"\s*\S+|\s+")
DONE = b"data: [DONE]\n\n"


class ToolCall(msgspec.Struct, frozen=True, kw_only=True):
    """One call of a function tool: `arguments` is JSON text, cut short when the answer hit its cap."""

    id: str
    name: str
    arguments: str


class Choice(msgspec.Struct, frozen=True, kw_only=True):
    """One answer: text, or tool calls, or both; or a refusal.

    `finish_reason` is a chat word: stop, length or tool_calls.
    """

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    refusal: str | None = None
    finish_reason: str = "stop"


class Answer(msgspec.Struct, frozen=True, kw_only=True):
    """Everything a reply says, in no dialect.

    `id` is without prefix; `created` is seconds since 1970; `usage` None leaves the usage out, as a broken provider
    does. `served_tier` is the word for `service_tier`. `repeated` are fields of the request that the Responses object
    repeats, by their names there.
    """

    id: str
    created: int
    model: str
    choices: tuple[Choice, ...]
    usage: Quantities | None
    served_tier: str = "default"
    repeated: Mapping[str, object] = {}


def render_reply(surface: Surface, answer: Answer) -> bytes:
    """The whole reply's body. Raises ValueError for a surface other than chat and responses."""
    if surface is Surface.CHAT:
        return msgspec.json.encode(_completion(answer))
    if surface is Surface.RESPONSES:
        return msgspec.json.encode(_response(answer, [_item(answer, i) for i in _item_order(answer)]))
    raise ValueError(f"no rendering for {surface}")


def render_stream(surface: Surface, answer: Answer, *, include_usage: bool = True) -> Iterator[bytes]:
    """The reply as server-sent events, one frame each, text word by word.

    `include_usage` adds chat's usage chunk; a Responses stream always carries its usage in its last event.
    Raises ValueError for a surface other than chat and responses.
    """
    if surface is Surface.CHAT:
        return _chat_events(answer, include_usage=include_usage)
    if surface is Surface.RESPONSES:
        return _ResponsesEvents(answer).frames()
    raise ValueError(f"no rendering for {surface}")


def split_words(text: str) -> list[str]:
    """The text in pieces as a model streams it, each a word with the blanks before it; joined, the same text."""
    return _WORD.findall(text) if text else []


# ---- chat completions ------------------------------------------------------------------------------------------


def _completion(answer: Answer) -> dict[str, Any]:
    return {
        "id": f"chatcmpl-{answer.id}",
        "object": "chat.completion",
        "created": answer.created,
        "model": answer.model,
        "choices": [
            {
                "index": index,
                "message": _message(choice),
                "logprobs": None,
                "finish_reason": choice.finish_reason,
            }
            for index, choice in enumerate(answer.choices)
        ],
        **({"usage": _chat_usage(answer.usage)} if answer.usage is not None else {}),
        "service_tier": answer.served_tier,
        "system_fingerprint": None,
    }


def _message(choice: Choice) -> dict[str, Any]:
    message: dict[str, Any] = {
        "role": "assistant",
        "content": choice.text if choice.text or not (choice.tool_calls or choice.refusal) else None,
        "refusal": choice.refusal,
        "annotations": [],
    }
    if choice.tool_calls:
        message["tool_calls"] = [
            {"id": call.id, "type": "function", "function": {"name": call.name, "arguments": call.arguments}}
            for call in choice.tool_calls
        ]
    return message


def _chat_usage(usage: Quantities) -> dict[str, Any]:
    return {
        "prompt_tokens": usage.input_tokens,
        "completion_tokens": usage.output_tokens,
        "total_tokens": usage.input_tokens + usage.output_tokens,
        "prompt_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "audio_tokens": 0,
            "image_tokens": usage.input_image_tokens,
            "text_tokens": usage.input_tokens - usage.input_image_tokens,
        },
        "completion_tokens_details": {
            "reasoning_tokens": usage.reasoning_tokens,
            "audio_tokens": 0,
            "accepted_prediction_tokens": 0,
            "rejected_prediction_tokens": 0,
        },
    }


def _chat_events(answer: Answer, *, include_usage: bool) -> Iterator[bytes]:
    start = {
        "id": f"chatcmpl-{answer.id}",
        "object": "chat.completion.chunk",
        "created": answer.created,
        "model": answer.model,
        "service_tier": answer.served_tier,
        "system_fingerprint": None,
    }
    unused: dict[str, Any] = {"usage": None} if include_usage else {}
    for index, choice in enumerate(answer.choices):
        for delta in _deltas(choice):
            one = {"index": index, "delta": delta, "logprobs": None, "finish_reason": None}
            yield _data({**start, "choices": [one], **unused})
        end = {"index": index, "delta": {}, "logprobs": None, "finish_reason": choice.finish_reason}
        yield _data({**start, "choices": [end], **unused})
    if include_usage and answer.usage is not None:
        yield _data({**start, "choices": [], "usage": _chat_usage(answer.usage)})
    yield DONE


def _deltas(choice: Choice) -> Iterator[dict[str, Any]]:
    speaks = bool(choice.text) or not (choice.tool_calls or choice.refusal)
    yield {"role": "assistant", "content": "" if speaks else None, "refusal": None}
    for word in split_words(choice.text):
        yield {"content": word}
    for word in split_words(choice.refusal or ""):
        yield {"refusal": word}
    for index, call in enumerate(choice.tool_calls):
        function = {"name": call.name, "arguments": ""}
        yield {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}
        for word in split_words(call.arguments):
            yield {"tool_calls": [{"index": index, "function": {"arguments": word}}]}


def _data(value: object) -> bytes:
    return b"data: " + msgspec.json.encode(value) + b"\n\n"


# ---- responses -------------------------------------------------------------------------------------------------


def _response(answer: Answer, output: list[dict[str, Any]], *, running: bool = False) -> dict[str, Any]:
    cut = answer.choices[0].finish_reason == "length" and not running
    status = "in_progress" if running else "incomplete" if cut else "completed"
    return {
        "id": f"resp_{answer.id}",
        "object": "response",
        "created_at": answer.created,
        "status": status,
        "completed_at": answer.created if status == "completed" else None,
        "background": False,
        "error": None,
        "incomplete_details": {"reason": "max_output_tokens"} if cut else None,
        "instructions": None,
        "max_output_tokens": None,
        "metadata": {},
        "model": answer.model,
        "output": output,
        "parallel_tool_calls": True,
        "previous_response_id": None,
        "reasoning": {"effort": None, "summary": None},
        "service_tier": answer.served_tier,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "truncation": "disabled",
        "usage": None if running or answer.usage is None else _responses_usage(answer.usage),
        "user": None,
        **answer.repeated,
    }


def _responses_usage(usage: Quantities) -> dict[str, Any]:
    return {
        "input_tokens": usage.input_tokens,
        "input_tokens_details": {
            "cached_tokens": usage.cached_input_tokens,
            "cache_write_tokens": usage.cache_write_tokens,
            "image_tokens": usage.input_image_tokens,
        },
        "output_tokens": usage.output_tokens,
        "output_tokens_details": {"reasoning_tokens": usage.reasoning_tokens},
        "total_tokens": usage.input_tokens + usage.output_tokens,
    }


def _item_order(answer: Answer) -> list[int | None]:
    """The items of the output: None for the message, then an index for each tool call."""
    choice = answer.choices[0]
    speaks = choice.text or choice.refusal or not choice.tool_calls
    return [*([None] if speaks else []), *range(len(choice.tool_calls))]


def _item(answer: Answer, index: int | None, *, running: bool = False) -> dict[str, Any]:
    choice = answer.choices[0]
    status = "in_progress" if running else "incomplete" if choice.finish_reason == "length" else "completed"
    if index is None:
        content = [] if running else [_part(choice)]
        return {
            "id": f"msg_{answer.id}",
            "type": "message",
            "status": status,
            "role": "assistant",
            "content": content,
        }
    call = choice.tool_calls[index]
    return {
        "id": f"fc_{answer.id}_{index}",
        "type": "function_call",
        "status": status,
        "call_id": call.id,
        "name": call.name,
        "arguments": "" if running else call.arguments,
    }


def _part(choice: Choice, *, running: bool = False) -> dict[str, Any]:
    if choice.refusal is not None:
        return {"type": "refusal", "refusal": "" if running else choice.refusal}
    return {"type": "output_text", "text": "" if running else choice.text, "annotations": [], "logprobs": []}


class _ResponsesEvents:
    """Numbers the events of one stream."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._number = 0

    def frames(self) -> Iterator[bytes]:
        answer = self._answer
        yield self._event("response.created", response=_response(answer, [], running=True))
        yield self._event("response.in_progress", response=_response(answer, [], running=True))
        for output_index, index in enumerate(_item_order(answer)):
            yield self._event(
                "response.output_item.added", output_index=output_index, item=_item(answer, index, running=True)
            )
            yield from self._message(output_index) if index is None else self._call(output_index, index)
            yield self._event("response.output_item.done", output_index=output_index, item=_item(answer, index))
        response = _response(answer, [_item(answer, index) for index in _item_order(answer)])
        yield self._event(f"response.{response['status']}", response=response)

    def _message(self, output_index: int) -> Iterator[bytes]:
        choice = self._answer.choices[0]
        place = {"item_id": f"msg_{self._answer.id}", "output_index": output_index, "content_index": 0}
        yield self._event("response.content_part.added", **place, part=_part(choice, running=True))
        if choice.refusal is not None:
            for word in split_words(choice.refusal):
                yield self._event("response.refusal.delta", **place, delta=word)
            yield self._event("response.refusal.done", **place, refusal=choice.refusal)
        else:
            for word in split_words(choice.text):
                yield self._event("response.output_text.delta", **place, delta=word, logprobs=[])
            yield self._event("response.output_text.done", **place, text=choice.text, logprobs=[])
        yield self._event("response.content_part.done", **place, part=_part(choice))

    def _call(self, output_index: int, index: int) -> Iterator[bytes]:
        call = self._answer.choices[0].tool_calls[index]
        place = {"item_id": f"fc_{self._answer.id}_{index}", "output_index": output_index}
        for word in split_words(call.arguments):
            yield self._event("response.function_call_arguments.delta", **place, delta=word)
        yield self._event("response.function_call_arguments.done", **place, name=call.name, arguments=call.arguments)

    def _event(self, kind: str, **fields: object) -> bytes:
        event = {"type": kind, "sequence_number": self._number, **fields}
        self._number += 1
        return b"event: " + kind.encode() + b"\n" + _data(event)
