"""A response's request in the words of chat completions."""

from collections.abc import Callable, Mapping
from typing import Any

from tessera.domain.dialects.checks import unsupported
from tessera.domain.dialects.shared_fields import COPIED
from tessera.domain.dialects.splice import SEALED_REASONING

_DONE_ELSEWHERE = frozenset({"model", "input", "instructions", "max_output_tokens", "background"})
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "top_logprobs": (0,),
    "truncation": ("disabled",),
    "store": (False, True),
    "include": ([], [SEALED_REASONING]),
}
"""Values that ask for nothing chat could not give, and may be left out."""
_CALLS = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}


def to_chat(value: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a chat completion that asks for the same, without model and cap.

    `value` has passed `parse_responses`. System and developer messages become `system`, which every chat server knows;
    earlier reasoning, which chat cannot carry, is left out. Raises [unsupported_parameter] naming what chat cannot say:
    `truncation`, `include`, `top_logprobs`, `store`, reasoning summaries, file ids, images in tool results.
    """
    body: dict[str, Any] = {"messages": _messages(value)}
    for name, given in value.items():
        if given is None or name in _DONE_ELSEWHERE:
            continue
        if name in COPIED:
            body[name] = given
        elif name in _SAID:
            _SAID[name](body, given)
        elif given not in _NEUTRAL.get(name, ()):
            unsupported(f"{name} does not exist on the surface that this model is served on: leave it out.", name)
    if value.get("parallel_tool_calls") is not None and "tools" in body:
        body["parallel_tool_calls"] = value["parallel_tool_calls"]
    return body


def _reasoning(body: dict[str, Any], reasoning: dict[str, Any]) -> None:
    for name, given in reasoning.items():
        if name == "effort" and given is not None:
            body["reasoning_effort"] = given
        elif given is not None and name != "mode" and (name, given) != ("summary", "auto"):
            unsupported(f"reasoning.{name} does not exist in chat: leave it out.", f"reasoning.{name}")


def _text(body: dict[str, Any], text: dict[str, Any]) -> None:
    if text.get("verbosity") is not None:
        body["verbosity"] = text["verbosity"]
    asked = text.get("format")
    if asked is None:
        return
    schema = {name: given for name, given in asked.items() if name != "type" and given is not None}
    body["response_format"] = {"type": asked["type"]}
    if asked["type"] == "json_schema":
        body["response_format"]["json_schema"] = schema


def _tools(body: dict[str, Any], tools: list[dict[str, Any]]) -> None:
    written = []
    for index, tool in enumerate(tools):
        if tool.get("output_schema") is not None:
            unsupported("output_schema does not exist in chat: leave it out.", f"tools[{index}].output_schema")
        kind = tool["type"]
        inner = {name: given for name, given in tool.items() if name in _TOOL_FIELDS and given is not None}
        asked = inner.get("format")
        if asked is not None and asked.get("type") == "grammar":
            grammar = {name: given for name, given in asked.items() if name != "type"}
            inner["format"] = {"type": "grammar", "grammar": grammar}
        written.append({"type": kind, kind: inner})
    if written:
        body["tools"] = written


_TOOL_FIELDS = frozenset({"name", "description", "parameters", "strict", "format"})


def _tool_choice(body: dict[str, Any], choice: Any) -> None:
    if isinstance(choice, str):
        body["tool_choice"] = choice
    elif choice["type"] == "allowed_tools":
        tools = [_named(tool, f"tool_choice.tools[{at}]") for at, tool in enumerate(choice["tools"])]
        body["tool_choice"] = {"type": "allowed_tools", "allowed_tools": {"mode": choice["mode"], "tools": tools}}
    else:
        body["tool_choice"] = _named(choice, "tool_choice")


def _named(tool: Any, where: str) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, dict) else None
    if kind not in ("function", "custom") or not isinstance(tool.get("name"), str):
        unsupported(f"{where} must name a function or custom tool.", where)
    return {"type": kind, kind: {"name": tool["name"]}}


def _stream_options(body: dict[str, Any], options: dict[str, Any]) -> None:
    kept = {name: value for name, value in options.items() if name == "include_obfuscation" and value is not None}
    if kept:
        body["stream_options"] = kept


def _nothing(body: dict[str, Any], _: Any) -> None:
    """Said by `to_chat` itself, or of hosted tools only, which no accepted body has."""


_SAID: Mapping[str, Callable[[dict[str, Any], Any], None]] = {
    "reasoning": _reasoning,
    "text": _text,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "stream_options": _stream_options,
    "parallel_tool_calls": _nothing,
    "max_tool_calls": _nothing,
}


def _messages(value: Mapping[str, Any]) -> list[dict[str, Any]]:
    messages: list[dict[str, Any]] = []
    if value.get("instructions") is not None:
        messages.append({"role": "system", "content": value["instructions"]})
    given = value["input"]
    if isinstance(given, str):
        return [*messages, {"role": "user", "content": given}]
    for index, item in enumerate(given):
        where = f"input[{index}]"
        kind = item.get("type", "message")
        if kind in _CALLS:
            _add_call(messages, item)
        elif kind in ("function_call_output", "custom_tool_call_output"):
            content = _content(item["output"], f"{where}.output", images=False)
            messages.append({"role": "tool", "tool_call_id": item["call_id"], "content": content})
        elif kind == "message":
            role = "system" if item["role"] == "developer" else item["role"]
            images = role == "user"
            messages.append({"role": role, "content": _content(item["content"], f"{where}.content", images=images)})
    return messages


def _add_call(messages: list[dict[str, Any]], item: dict[str, Any]) -> None:
    """Calls of one turn stand in one assistant message, with the text before them."""
    kind, given = _CALLS[item["type"]]
    call = {"id": item["call_id"], "type": kind, kind: {"name": item["name"], given: item[given]}}
    if not messages or messages[-1]["role"] != "assistant":
        messages.append({"role": "assistant", "content": None})
    messages[-1].setdefault("tool_calls", []).append(call)


def _content(content: str | list[dict[str, Any]], where: str, *, images: bool) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    parts = []
    for index, part in enumerate(content):
        kind = part["type"]
        more = {"prompt_cache_breakpoint": part["prompt_cache_breakpoint"]} if "prompt_cache_breakpoint" in part else {}
        if kind == "refusal":
            parts.append({"type": "refusal", "refusal": part["refusal"]})
        elif kind != "input_image":
            parts.append({"type": "text", "text": part["text"], **more})
        elif not images:
            unsupported(
                "This model is served on chat, which takes images in user messages only: send this one in a user "
                "message after the result of the tool.",
                f"{where}[{index}]",
            )
        elif part.get("image_url") is None:
            unsupported("Chat takes no file ids: send an address or a data URL.", f"{where}[{index}].file_id")
        else:
            image = {"url": part["image_url"]}
            if part.get("detail") is not None:
                image["detail"] = part["detail"]
            parts.append({"type": "image_url", "image_url": image, **more})
    if len(parts) == 1 and parts[0].keys() == {"type", "text"}:
        # Some servers (Groq, DeepSeek) take parts in a user's messages only.
        return str(parts[0]["text"])
    return parts
