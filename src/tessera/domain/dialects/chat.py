"""POST /v1/chat/completions: from the wire to the counting view."""

from collections.abc import Mapping
from typing import Any

import msgspec

from tessera.domain.dialects import checks, shared_fields
from tessera.domain.dialects.body import Body
from tessera.domain.dialects.checks import Check, invalid, unsupported
from tessera.domain.dialects.shared_fields import SHARED
from tessera.domain.dialects.tools import RawTool, as_written, call_texts, offered_tool, tool_choice
from tessera.domain.request import ImagePart, InferenceRequest, Message, OutputFormat, Surface, Tool

_AUDIO = "audio is not priced."

FIELDS: Mapping[str, Check] = {
    **SHARED,
    "messages": checks.array,
    "max_tokens": checks.output_cap,
    "max_completion_tokens": checks.output_cap,
    "n": checks.whole(1, checks.CHOICES_MAX),
    "functions": checks.array,
    "function_call": checks.anything,
    "response_format": checks.obj,
    "frequency_penalty": checks.number,
    "presence_penalty": checks.number,
    "logit_bias": checks.obj,
    "logprobs": checks.boolean,
    "seed": checks.whole(-(2**63), 2**63 - 1),
    "stop": checks.stop,
    "reasoning_effort": checks.string,
    "verbosity": checks.string,
    "modalities": checks.anything,
    "top_k": checks.whole(-1, 2**31 - 1),
    "min_p": checks.number,
    "repetition_penalty": checks.number,
    "chat_template_kwargs": checks.thinking_switch,
    "audio": checks.refused(_AUDIO),
    "prediction": checks.refused("rejected prediction tokens are billed and cannot be capped."),
    "web_search_options": checks.refused("hosted tools are not priced."),
    "best_of": checks.refused("use n."),
}
"""Every top-level field that may be sent (SDK 3.54, and four that clients of open models send), and those refused with
a reason; any other is refused by name."""

_MESSAGE: Mapping[str, Check] = {
    "role": checks.string,
    "content": checks.anything,
    "name": checks.string,
    "tool_calls": checks.array,
    "tool_call_id": checks.string,
    "function_call": checks.obj,
    "refusal": checks.string,
    "reasoning_content": checks.string,
    "reasoning": checks.string,
    "annotations": checks.array,
    "parsed": checks.anything,
    "reasoning_details": checks.reasoning_details,
    "extra_content": checks.extra_content,
    "provider_specific_fields": checks.obj,
    "prefix": checks.only(False, reason="an answer that is to be gone on with cannot be marked."),
    "audio": checks.refused(_AUDIO),
}
_SAID_BESIDE = ("refusal", "reasoning_content", "reasoning")
"""Texts of a message beside its content. The last two are of servers that show how a model thinks (vLLM, DeepSeek);
clients send an answer back as they got it."""
_WRITTEN_BESIDE = ("annotations", "parsed", "reasoning_details", "extra_content", "provider_specific_fields")
"""What is counted as it is written. The official clients put `parsed` into an answer that they have read by a schema,
LiteLLM's what it does not know into `provider_specific_fields`; the two between are of OpenRouter and Gemini."""
_TEXT: Mapping[str, Check] = {
    "type": checks.string,
    "text": checks.string,
    "prompt_cache_breakpoint": checks.breakpoint_of_cache,
}
_REFUSAL: Mapping[str, Check] = {"type": checks.string, "refusal": checks.string}
_THINKING: Mapping[str, Check] = {"type": checks.string, "thinking": checks.array, "closed": checks.boolean}
_IMAGE: Mapping[str, Check] = {
    "type": checks.string,
    "image_url": checks.image_url,
    "prompt_cache_breakpoint": checks.breakpoint_of_cache,
}
_IMAGE_URL: Mapping[str, Check] = {"url": checks.string, "detail": checks.anything}
_TOOL: Mapping[str, Check] = {"type": checks.string, "function": checks.obj}
_CUSTOM_TOOL: Mapping[str, Check] = {"type": checks.string, "custom": checks.obj}
_FUNCTION: Mapping[str, Check] = {
    "name": checks.named,
    "description": checks.string,
    "parameters": checks.obj,
    "strict": checks.boolean,
}
_CUSTOM: Mapping[str, Check] = {"name": checks.named, "description": checks.string, "format": checks.obj}
_FORMAT: Mapping[str, Check] = {"type": checks.string, "json_schema": checks.obj}
_SCHEMA: Mapping[str, Check] = {
    "name": checks.named,
    "description": checks.string,
    "schema": checks.obj,
    "strict": checks.boolean,
}
_PLAIN_ROLES = ("user", "system", "assistant", "developer")
_ROLES = frozenset({"developer", "system", "user", "assistant", "tool", "function"})


class _RawTool(msgspec.Struct):
    function: RawTool | None = None
    custom: RawTool | None = None


class _RawSchema(msgspec.Struct):
    schema: msgspec.Raw = msgspec.Raw()


class _RawFormat(msgspec.Struct):
    json_schema: _RawSchema | None = None


class _RawParts(msgspec.Struct):
    """The parts of a body that are counted as they were written, not as they were meant."""

    tools: list[_RawTool] | None = None
    functions: list[RawTool] | None = None
    response_format: _RawFormat | None = None


def parse_chat(body: Body) -> InferenceRequest:
    """The counting view of a chat completion. Raises [invalid_request, unsupported_parameter,
    unsupported_service_tier, unsupported_detail, invalid_image_url, invalid_base64_image] with `param` set."""
    value = body.value
    shared_fields.check_top(value, FIELDS)
    modalities = value.get("modalities")
    if modalities is not None and modalities != ["text"]:
        unsupported("modalities other than text are not supported: " + _AUDIO, "modalities")
    options = shared_fields.stream_options(value)
    images: list[ImagePart] = []
    messages = _messages(body, images)
    tools, output_format = _tools_and_format(body)
    caps = {name: cap for name in ("max_completion_tokens", "max_tokens") if (cap := value.get(name)) is not None}
    return InferenceRequest(
        surface=Surface.CHAT,
        model=body.text(value["model"]),
        messages=messages,
        images=tuple(images),
        tools=tools,
        tool_choice=_tool_choice(value),
        output_format=output_format,
        output_cap=max(caps.values()) if caps else None,
        output_cap_name=max(caps, key=caps.__getitem__) if caps else "max_completion_tokens",
        choices=value.get("n") or 1,
        tier=shared_fields.tier(value),
        stream=bool(value.get("stream")),
        include_usage=bool(options.get("include_usage")),
        text_bytes=shared_fields.text_bytes(body, images),
    )


def _messages(body: Body, images: list[ImagePart]) -> tuple[Message, ...]:
    messages = body.value.get("messages")
    if not messages:
        invalid("messages must be a list of at least one message.", "messages")
    found = []
    for index, message in enumerate(messages):
        plain = type(message) is dict and len(message) == 2 and "content" in message
        plain = plain and message.get("role") in _PLAIN_ROLES
        if plain and type(text := message["content"]) is str:
            # Most messages; nothing else of one can be wrong.
            found.append(Message(role=message["role"], texts=(body.text(text),)))
            continue
        where = f"messages[{index}]"
        role = message["role"] if plain else _role(message, where)
        texts = _content(body, message, role, where, images)
        if role == "assistant":
            texts += _calls(message, where)
        elif message.get("tool_calls") or message.get("function_call"):
            invalid(f"Only an assistant message calls tools, not {where}.", where)
        if role == "tool":
            checks.named(message.get("tool_call_id"), f"{where}.tool_call_id")
        elif message.get("tool_call_id") is not None:
            invalid(f"Only a tool message answers a call, not {where}.", f"{where}.tool_call_id")
        if not plain:
            texts += [message[field] for field in _SAID_BESIDE if message.get(field) is not None]
            texts += [msgspec.json.encode(message[field]).decode() for field in _WRITTEN_BESIDE if message.get(field)]
        name = message.get("name")
        if body.payloads:
            texts = [body.text(text) for text in texts]
            name = name and body.text(name)
        found.append(Message(role=role, texts=tuple(texts), name=name))
    return tuple(found)


def _role(message: Any, where: str) -> str:
    """The role of a message whose fields are looked at one by one."""
    checks.fields(checks.obj(message, where), _MESSAGE, where + ".")
    role: str = message.get("role")
    if role not in _ROLES:
        invalid(f"{where}.role must be developer, system, user, assistant or tool.", f"{where}.role")
    return role


def _text(part: dict[str, Any], at: str) -> str:
    text = part.get("text")
    if type(text) is str and len(part) == 2:
        # Its type and its text: nothing else of it can be wrong.
        return text
    checks.fields(part, _TEXT, at + ".")
    return checks.string(text, f"{at}.text")


def _content(body: Body, message: dict[str, Any], role: str, where: str, images: list[ImagePart]) -> list[str]:
    content = message.get("content")
    if type(content) is str:
        return [content]
    if content is None:
        if role in ("assistant", "function"):
            return []
        invalid(f"{where}.content is missing.", f"{where}.content")
    texts = []
    for index, part in enumerate(checks.array(content, f"{where}.content")):
        at = f"{where}.content[{index}]"
        kind = checks.obj(part, at).get("type")
        if kind == "text":
            texts.append(_text(part, at))
        elif kind == "image_url":
            if role != "user":
                invalid(f"Only a user message may carry an image, not {where}.", at)
            checks.fields(part, _IMAGE, at + ".")
            at += ".image_url"
            source = checks.image_url(part.get("image_url"), at)
            checks.fields(source, _IMAGE_URL, at + ".")
            images.append(checks.image(body, len(images), source.get("url"), source.get("detail"), at, f"{at}.url"))
        elif kind in ("refusal", "thinking") and role == "assistant":
            texts += _answered(part, at)
        elif type(kind) is str:
            unsupported(f"A part of type {kind[:64]} is not supported: send text and images.", f"{at}.type")
        else:
            invalid(f"{at}.type is missing: it must be text or image_url.", f"{at}.type")
    return texts


def _answered(part: dict[str, Any], at: str) -> list[str]:
    """The texts of a part that only an answer has: a refusal, or thoughts, as Mistral's reasoning models write them."""
    if part["type"] == "refusal":
        checks.fields(part, _REFUSAL, at + ".")
        return [checks.string(part.get("refusal"), f"{at}.refusal")]
    checks.fields(part, _THINKING, at + ".")
    thoughts = checks.array(part.get("thinking"), f"{at}.thinking")
    return [_text(checks.obj(one, where := f"{at}.thinking[{i}]"), where) for i, one in enumerate(thoughts)]


def _calls(message: dict[str, Any], where: str) -> list[str]:
    texts = []
    for index, call in enumerate(message.get("tool_calls") or ()):
        at = f"{where}.tool_calls[{index}]"
        kind = checks.obj(call, at).get("type", "function")
        checks.named(call.get("id"), f"{at}.id")
        if kind == "function":
            texts += _called(call.get("function"), f"{at}.function", "arguments")
        elif kind == "custom":
            texts += _called(call.get("custom"), f"{at}.custom", "input")
        else:
            unsupported("A tool call must be of type function or custom.", f"{at}.type")
    if message.get("function_call") is not None:
        texts += _called(message["function_call"], f"{where}.function_call", "arguments")
    return texts


def _called(call: Any, where: str, given: str) -> list[str]:
    return call_texts(checks.obj(call, where), where, given)


def _tools_and_format(body: Body) -> tuple[tuple[Tool, ...], OutputFormat]:
    value = body.value
    tools, functions, asked = value.get("tools"), value.get("functions"), value.get("response_format")
    if not tools and not functions and asked is None:
        return (), OutputFormat()
    for index, tool in enumerate(tools or ()):
        _check_tool(tool, f"tools[{index}]")
    for index, function in enumerate(functions or ()):
        _check_function(function, _FUNCTION, f"functions[{index}]")
    if asked is not None:
        _check_format(asked)
    raw = msgspec.json.decode(body.skeleton, type=_RawParts)
    found = [_tool(body, tool) for tool in raw.tools or ()]
    found += [offered_tool(body, function) for function in raw.functions or ()]
    if asked is None:
        return tuple(found), OutputFormat()
    kind = asked["type"]
    if kind != "json_schema":
        return tuple(found), OutputFormat(kind=kind)
    schema = raw.response_format.json_schema if raw.response_format else None
    return tuple(found), OutputFormat(
        kind=kind,
        name=asked["json_schema"]["name"],
        schema=as_written(body, schema.schema) if schema else b"",
        strict=bool(asked["json_schema"].get("strict")),
    )


def _tool(body: Body, tool: _RawTool) -> Tool:
    function = tool.function or tool.custom
    assert function is not None  # checked before
    return offered_tool(body, function, custom=tool.function is None)


def _check_tool(tool: Any, where: str) -> None:
    kind = checks.obj(tool, where).get("type")
    if kind == "function":
        checks.fields(tool, _TOOL, where + ".")
        _check_function(tool.get("function"), _FUNCTION, f"{where}.function")
    elif kind == "custom":
        checks.fields(tool, _CUSTOM_TOOL, where + ".")
        _check_function(tool.get("custom"), _CUSTOM, f"{where}.custom")
    elif type(kind) is str:
        unsupported(
            f"A tool of type {kind[:64]} is not supported: only function and custom tools are.", f"{where}.type"
        )
    else:
        invalid(f"{where}.type is missing: it must be function.", f"{where}.type")


def _check_function(function: Any, fields: Mapping[str, Check], where: str) -> None:
    checks.fields(checks.obj(function, where), fields, where + ".")
    checks.named(function.get("name"), f"{where}.name")


def _check_format(asked: dict[str, Any]) -> None:
    checks.fields(asked, _FORMAT, "response_format.")
    kind = asked.get("type")
    if kind == "json_schema":
        schema = checks.obj(asked.get("json_schema"), "response_format.json_schema")
        checks.fields(schema, _SCHEMA, "response_format.json_schema.")
        checks.named(schema.get("name"), "response_format.json_schema.name")
    elif kind not in ("text", "json_object"):
        unsupported("response_format.type must be text, json_object or json_schema.", "response_format.type")


def _tool_choice(value: dict[str, Any]) -> str:
    choice = value.get("tool_choice")
    if choice is None:
        return "auto" if value.get("function_call") is None else _function_choice(value["function_call"])
    return tool_choice(choice, nested=True)


def _function_choice(choice: Any) -> str:
    if choice in ("none", "auto"):
        return str(choice)
    return checks.named(checks.obj(choice, "function_call").get("name"), "function_call.name")
