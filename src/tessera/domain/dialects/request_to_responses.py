"""A chat completion's request in the words of responses."""

from collections.abc import Callable, Mapping
from typing import Any

from tessera.domain.dialects.checks import unsupported
from tessera.domain.dialects.shared_fields import COPIED

_COPIED = COPIED | {"parallel_tool_calls"}
_DONE_ELSEWHERE = frozenset({"model", "messages", "max_tokens", "max_completion_tokens", "store", "modalities"})
_NEUTRAL: Mapping[str, tuple[object, ...]] = {
    "n": (1,),
    "frequency_penalty": (0,),
    "presence_penalty": (0,),
    "logit_bias": ({},),
    "logprobs": (False,),
    "top_logprobs": (0,),
    "stop": ([],),
    "function_call": ("none",),
    "functions": ([],),
}
"""Values that ask for nothing, and may be left out where the field does not exist."""


def to_responses(value: Mapping[str, Any]) -> dict[str, Any]:
    """The body of a response that asks for the same, without model and cap.

    `value` has passed `parse_chat`. Raises [unsupported_parameter] naming what responses cannot say: `stop`, `seed`,
    penalties, `logit_bias`, `logprobs`, `n` above 1, functions of the old kind, names of messages.
    """
    body: dict[str, Any] = {"input": _items(value["messages"]), "store": bool(value.get("store"))}
    for name, given in value.items():
        if given is None or name in _DONE_ELSEWHERE:
            continue
        if name in _COPIED:
            body[name] = given
        elif name in _SAID:
            _SAID[name](body, given)
        elif given not in _NEUTRAL.get(name, ()):
            unsupported(f"{name} does not exist on the surface that this model is served on: leave it out.", name)
    return body


def _effort(body: dict[str, Any], effort: str) -> None:
    body["reasoning"] = {"effort": effort}


def _verbosity(body: dict[str, Any], verbosity: str) -> None:
    body.setdefault("text", {})["verbosity"] = verbosity


def _format(body: dict[str, Any], asked: dict[str, Any]) -> None:
    schema = asked.get("json_schema") if asked["type"] == "json_schema" else None
    written = {"type": asked["type"], **{k: v for k, v in (schema or {}).items() if v is not None}}
    if schema is not None:
        written.setdefault("schema", {"type": "object"})
    body.setdefault("text", {})["format"] = written


def _tools(body: dict[str, Any], tools: list[dict[str, Any]]) -> None:
    """Function tools of chat are not strict unless they say so; those of responses are, so it is always said."""
    written = []
    for tool in tools:
        if tool["type"] == "function":
            function = {"parameters": None, **tool["function"]}
            function["strict"] = bool(function.get("strict"))
            written.append({"type": "function", **function})
        else:
            written.append({"type": "custom", **_custom(tool["custom"])})
    body["tools"] = written


def _custom(custom: dict[str, Any]) -> dict[str, Any]:
    asked = custom.get("format")
    if asked is None or "grammar" not in asked:
        return custom
    return {**custom, "format": {"type": asked.get("type"), **asked["grammar"]}}


def _tool_choice(body: dict[str, Any], choice: Any) -> None:
    if isinstance(choice, str):
        body["tool_choice"] = choice
    elif choice["type"] == "allowed_tools":
        allowed = choice["allowed_tools"]
        body["tool_choice"] = {
            "type": "allowed_tools",
            "mode": allowed["mode"],
            "tools": [_named(tool, f"tool_choice.tools[{at}]") for at, tool in enumerate(allowed["tools"])],
        }
    else:
        body["tool_choice"] = _named(choice, "tool_choice")


def _named(tool: Any, where: str) -> dict[str, Any]:
    kind = tool.get("type") if isinstance(tool, dict) else None
    named = tool.get(kind) if kind in ("function", "custom") else None
    if not isinstance(named, dict) or not isinstance(named.get("name"), str):
        unsupported(f"{where} must name a function or custom tool.", where)
    return {"type": kind, "name": named["name"]}


def _stream_options(body: dict[str, Any], options: dict[str, Any]) -> None:
    kept = {name: value for name, value in options.items() if name == "include_obfuscation" and value is not None}
    if kept:
        body["stream_options"] = kept


_SAID: Mapping[str, Callable[[dict[str, Any], Any], None]] = {
    "reasoning_effort": _effort,
    "verbosity": _verbosity,
    "response_format": _format,
    "tools": _tools,
    "tool_choice": _tool_choice,
    "stream_options": _stream_options,
}


def _items(messages: list[dict[str, Any]]) -> list[dict[str, Any]]:
    items: list[dict[str, Any]] = []
    custom_calls: set[object] = set()
    for index, message in enumerate(messages):
        where = f"messages[{index}]"
        role = message["role"]
        if role == "function" or message.get("function_call") is not None:
            unsupported(f"{where} uses functions of the old kind: use tools.", where)
        if message.get("name") is not None and role != "tool":
            unsupported(f"{where}.name does not exist on the surface that this model is served on.", f"{where}.name")
        if role == "tool":
            custom = message.get("tool_call_id") in custom_calls
            items.append(
                {
                    "type": "custom_tool_call_output" if custom else "function_call_output",
                    "call_id": message.get("tool_call_id"),
                    "output": _content(message["content"], "input_text"),
                }
            )
            continue
        content = message.get("content")
        refusal = message.get("refusal")
        if content or refusal:
            parts = _content(content or [], "output_text" if role == "assistant" else "input_text")
            if refusal:
                parts = [{"type": "output_text", "text": parts}] if isinstance(parts, str) else parts
                parts = [*parts, {"type": "refusal", "refusal": refusal}]
            if parts:
                items.append({"role": role, "content": parts})
        elif role != "assistant":
            items.append({"role": role, "content": ""})
        for call in message.get("tool_calls") or ():
            items.append(_call(call, custom_calls))
    return items


def _call(call: dict[str, Any], custom_calls: set[object]) -> dict[str, Any]:
    if call.get("type", "function") == "custom":
        custom_calls.add(call.get("id"))
        custom = call["custom"]
        return {
            "type": "custom_tool_call",
            "call_id": call.get("id"),
            "name": custom["name"],
            "input": custom["input"],
        }
    function = call["function"]
    return {
        "type": "function_call",
        "call_id": call.get("id"),
        "name": function["name"],
        "arguments": function["arguments"],
    }


def _content(content: str | list[dict[str, Any]], text_type: str) -> str | list[dict[str, Any]]:
    if isinstance(content, str):
        return content
    parts = []
    for part in content:
        kind = part["type"]
        more = {"prompt_cache_breakpoint": part["prompt_cache_breakpoint"]} if "prompt_cache_breakpoint" in part else {}
        if kind == "text":
            parts.append({"type": text_type, "text": part["text"], **more})
        elif kind == "refusal":
            parts.append({"type": "refusal", "refusal": part["refusal"]})
        elif kind == "image_url":
            image = part["image_url"]
            parts.append(
                {"type": "input_image", "image_url": image["url"], "detail": image.get("detail") or "auto", **more}
            )
    return parts
