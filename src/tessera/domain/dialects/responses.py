"""POST /v1/responses: from the wire to the counting view."""

from collections.abc import Callable, Mapping
from typing import Any, NoReturn

import msgspec

from tessera.domain.dialects import checks, shared_fields
from tessera.domain.dialects.body import Body
from tessera.domain.dialects.checks import Check, invalid, unsupported
from tessera.domain.dialects.shared_fields import SHARED
from tessera.domain.dialects.tools import RawTool, as_written, call_texts, offered_tool, tool_choice
from tessera.domain.request import ImagePart, InferenceRequest, Message, OutputFormat, Surface, Tool

_HOSTED = "hosted tools are not priced."

FIELDS: Mapping[str, Check] = {
    **SHARED,
    "input": checks.anything,
    "instructions": checks.string,
    "max_output_tokens": checks.output_cap,
    "max_tool_calls": checks.whole(0, 2**31 - 1),
    "text": checks.obj,
    "reasoning": checks.obj,
    "truncation": checks.string,
    "include": checks.strings,
    "background_options": checks.refused("a call in the background cannot be held for."),
    "context_management": checks.refused("compaction at the provider is not priced."),
    "image": checks.refused("its effect on image tokens is not known."),
    "access_programs": shared_fields.UNPRICED,
}
"""Every top-level field that may be sent (SDK 3.54), and those refused with a reason; any other is refused by name."""

_REASONING: Mapping[str, Check] = {
    "effort": checks.string,
    "summary": checks.string,
    "generate_summary": checks.string,
    "context": checks.string,
    "mode": checks.only("standard", reason="only mode standard is priced."),
}
_TEXT: Mapping[str, Check] = {"format": checks.obj, "verbosity": checks.string}
_FORMAT: Mapping[str, Check] = {
    "type": checks.string,
    "name": checks.named,
    "description": checks.string,
    "schema": checks.obj,
    "strict": checks.boolean,
}
_NO_NAMESPACE = checks.refused("tool search is not priced.")
_CALLERS = checks.refused("programmatic tool calling is not priced.")
_TOOLS: Mapping[str, Mapping[str, Check]] = {
    "function": {
        "type": checks.string,
        "name": checks.named,
        "description": checks.string,
        "parameters": checks.obj,
        "strict": checks.boolean,
        "output_schema": checks.obj,
        "defer_loading": checks.only(False, reason="tool search is not priced."),
        "allowed_callers": _CALLERS,
    },
    "custom": {
        "type": checks.string,
        "name": checks.named,
        "description": checks.string,
        "format": checks.obj,
        "defer_loading": checks.only(False, reason="tool search is not priced."),
        "allowed_callers": _CALLERS,
    },
}
_MESSAGE: Mapping[str, Check] = {
    "type": checks.string,
    "role": checks.string,
    "content": checks.anything,
    "id": checks.string,
    "status": checks.string,
    "phase": checks.string,
}
_PARTS: Mapping[str, Mapping[str, Check]] = {
    "input_text": {
        "type": checks.string,
        "text": checks.string,
        "prompt_cache_breakpoint": checks.breakpoint_of_cache,
    },
    "output_text": {
        "type": checks.string,
        "text": checks.string,
        "annotations": checks.array,
        "logprobs": checks.array,
        "parsed": checks.anything,
    },
    "refusal": {"type": checks.string, "refusal": checks.string},
    "input_image": {
        "type": checks.string,
        "image_url": checks.string,
        "file_id": checks.string,
        "detail": checks.anything,
        "prompt_cache_breakpoint": checks.breakpoint_of_cache,
    },
}
_CALL: Mapping[str, Check] = {
    "type": checks.string,
    "id": checks.string,
    "call_id": checks.named,
    "name": checks.named,
    "arguments": checks.string,
    "input": checks.string,
    "parsed_arguments": checks.anything,
    "status": checks.string,
    "async": checks.only(False, reason="only calls that are waited for are priced."),
    "namespace": _NO_NAMESPACE,
    "caller": _CALLERS,
}
_RESULT: Mapping[str, Check] = {
    "type": checks.string,
    "id": checks.string,
    "call_id": checks.named,
    "name": checks.string,
    "output": checks.anything,
    "status": checks.string,
    "namespace": _NO_NAMESPACE,
    "caller": _CALLERS,
}
_REASONING_ITEM: Mapping[str, Check] = {
    "type": checks.string,
    "id": checks.string,
    "summary": checks.array,
    "content": checks.array,
    "encrypted_content": checks.string,
    "status": checks.string,
}
_REASONING_PART: Mapping[str, Check] = {"type": checks.string, "text": checks.string}
_ROLES = frozenset({"developer", "system", "user", "assistant"})


class _RawFormat(msgspec.Struct):
    schema: msgspec.Raw = msgspec.Raw()


class _RawText(msgspec.Struct):
    format: _RawFormat | None = None


class _RawParts(msgspec.Struct):
    """The parts of a body that are counted as they were written, not as they were meant."""

    tools: list[RawTool] | None = None
    text: _RawText | None = None


def parse_responses(body: Body) -> InferenceRequest:
    """The counting view of a response. Raises the same errors as `parse_chat`."""
    value = body.value
    shared_fields.check_top(value, FIELDS)
    shared_fields.stream_options(value)
    checks.fields(value.get("reasoning") or {}, _REASONING, "reasoning.")
    images: list[ImagePart] = []
    stored: list[str] = []
    messages = _messages(body, images, stored)
    tools, output_format = _tools_and_format(body)
    choice = value.get("tool_choice")
    return InferenceRequest(
        surface=Surface.RESPONSES,
        model=body.text(value["model"]),
        messages=messages,
        images=tuple(images),
        tools=tools,
        tool_choice="auto" if choice is None else tool_choice(choice, nested=False),
        output_format=output_format,
        output_cap=value.get("max_output_tokens"),
        tier=shared_fields.tier(value),
        stream=bool(value.get("stream")),
        include_usage=True,
        text_bytes=shared_fields.text_bytes(body, images),
        stored_reasoning=stored[0] if stored else "",
    )


def refuse_stored_reasoning(where: str) -> NoReturn:
    """Refuses reasoning that is only an id: on responses it stands for what the provider has stored."""
    unsupported(
        f"{where} is reasoning that the provider has stored, of no known size: send its encrypted_content, which "
        'include: ["reasoning.encrypted_content"] asks for, or leave the item out.',
        f"{where}.id",
    )


def _messages(body: Body, images: list[ImagePart], stored: list[str]) -> tuple[Message, ...]:
    value = body.value
    found = []
    if value.get("instructions") is not None:
        found.append(Message(role="developer", texts=(body.text(value["instructions"]),)))
    given = value.get("input")
    if type(given) is str:
        found.append(Message(role="user", texts=(body.text(given),)))
    elif type(given) is list and given:
        for index, item in enumerate(given):
            where = f"input[{index}]"
            kind = checks.obj(item, where).get("type")
            read = _ITEMS.get("message" if kind is None and "role" in item else kind) if _is_name(kind) else None
            if read is None:
                _refuse_item(kind, where)
            role, texts = read(body, item, where, images)
            if kind == "reasoning" and item.get("id") is not None and not any(texts[len(item.get("summary") or ()) :]):
                stored.append(where)
            found.append(Message(role=role, texts=tuple(map(body.text, texts)) if body.payloads else tuple(texts)))
    else:
        invalid("input must be a string or a list of at least one item.", "input")
    return tuple(found)


def _is_name(kind: Any) -> bool:
    return kind is None or type(kind) is str


def _refuse_item(kind: Any, where: str) -> NoReturn:
    if kind == "item_reference":
        unsupported(
            f"{where} refers to an item that the provider has stored, of no known size: send the item itself. Clients "
            "that refer to what they think is stored send it with store: false.",
            f"{where}.type",
        )
    unsupported(
        "An input item must be a message, a function or custom tool call, its output, or reasoning.", f"{where}.type"
    )


def _message(body: Body, item: dict[str, Any], where: str, images: list[ImagePart]) -> tuple[str, list[str]]:
    checks.fields(item, _MESSAGE, where + ".")
    role = item.get("role")
    if role not in _ROLES:
        invalid(f"{where}.role must be developer, system, user or assistant.", f"{where}.role")
    return role, _content(body, item.get("content"), f"{where}.content", images, from_model=role == "assistant")


def _content(body: Body, content: Any, where: str, images: list[ImagePart], *, from_model: bool) -> list[str]:
    if type(content) is str:
        return [content]
    texts = []
    for index, part in enumerate(checks.array(content, where)):
        at = f"{where}[{index}]"
        kind = checks.obj(part, at).get("type")
        known = _PARTS.get(kind) if type(kind) is str else None
        if known is None:
            unsupported(
                "A part must be input_text or input_image, or output_text and refusal in answers.", f"{at}.type"
            )
        checks.fields(part, known, at + ".")
        if kind == "input_image":
            if from_model:
                invalid(f"An assistant message may not carry an image: {at}.", at)
            images.append(_image(body, part, at, len(images)))
        else:
            text = "refusal" if kind == "refusal" else "text"
            texts.append(checks.string(part.get(text), f"{at}.{text}"))
            texts += _parsed(part, "parsed")
    return texts


def _parsed(owner: dict[str, Any], field: str) -> list[str]:
    """What the official client for Node has read out of an answer by a schema, and sends back beside it."""
    value = owner.get(field)
    return [] if value is None else [msgspec.json.encode(value).decode()]


def _image(body: Body, part: dict[str, Any], where: str, index: int) -> ImagePart:
    url, file_id, detail = part.get("image_url"), part.get("file_id"), part.get("detail")
    if (url is None) == (file_id is None):
        invalid(f"{where} must have either image_url or file_id.", where)
    if file_id is not None:
        return checks.file_image(index, file_id, detail, where)
    return checks.image(body, index, url, detail, where, f"{where}.image_url")


def _call(_: Body, item: dict[str, Any], where: str, __: list[ImagePart]) -> tuple[str, list[str]]:
    checks.fields(item, _CALL, where + ".")
    checks.named(item.get("call_id"), f"{where}.call_id")
    given = "arguments" if item["type"] == "function_call" else "input"
    return "assistant", [*call_texts(item, where, given), *_parsed(item, "parsed_arguments")]


def _result(body: Body, item: dict[str, Any], where: str, images: list[ImagePart]) -> tuple[str, list[str]]:
    checks.fields(item, _RESULT, where + ".")
    checks.named(item.get("call_id"), f"{where}.call_id")
    return "tool", _content(body, item.get("output"), f"{where}.output", images, from_model=False)


def _reasoning(_: Body, item: dict[str, Any], where: str, __: list[ImagePart]) -> tuple[str, list[str]]:
    """An earlier turn's reasoning, sent back. Its encrypted form decrypts to no more bytes than it has."""
    checks.fields(item, _REASONING_ITEM, where + ".")
    texts: dict[str, list[str]] = {"summary": [], "content": []}
    for field, found in texts.items():
        for index, part in enumerate(item.get(field) or ()):
            at = f"{where}.{field}[{index}]"
            checks.fields(checks.obj(part, at), _REASONING_PART, at + ".")
            found.append(checks.string(part.get("text"), f"{at}.text"))
    return "assistant", [*texts["summary"], *texts["content"], item.get("encrypted_content") or ""]


_Reader = Callable[[Body, dict[str, Any], str, list[ImagePart]], tuple[str, list[str]]]
_ITEMS: Mapping[str | None, _Reader] = {
    "message": _message,
    "function_call": _call,
    "custom_tool_call": _call,
    "function_call_output": _result,
    "custom_tool_call_output": _result,
    "reasoning": _reasoning,
}


def _tools_and_format(body: Body) -> tuple[tuple[Tool, ...], OutputFormat]:
    value = body.value
    tools, text = value.get("tools"), value.get("text")
    if not tools and text is None:
        return (), OutputFormat()
    for index, tool in enumerate(tools or ()):
        _check_tool(tool, f"tools[{index}]")
    asked = _check_text(text) if text is not None else None
    raw = msgspec.json.decode(body.skeleton, type=_RawParts)
    found = tuple(offered_tool(body, tool) for tool in raw.tools or ())
    if asked is None:
        return found, OutputFormat()
    schema = raw.text.format if raw.text else None
    return found, OutputFormat(
        kind=asked["type"],
        name=asked.get("name") or "",
        schema=as_written(body, schema.schema) if schema else b"",
        strict=bool(asked.get("strict")),
    )


def _check_tool(tool: Any, where: str) -> None:
    kind = checks.obj(tool, where).get("type")
    if type(kind) is not str:
        invalid(f"{where}.type is missing: it must be function.", f"{where}.type")
    known = _TOOLS.get(kind)
    if known is None:
        unsupported(f"A tool of type {kind[:64]} is not supported: {_HOSTED}", f"{where}.type")
    checks.fields(tool, known, where + ".")
    checks.named(tool.get("name"), f"{where}.name")


def _check_text(text: dict[str, Any]) -> dict[str, Any] | None:
    checks.fields(text, _TEXT, "text.")
    asked: dict[str, Any] | None = text.get("format")
    if asked is None:
        return None
    checks.fields(asked, _FORMAT, "text.format.")
    if asked.get("type") == "json_schema":
        checks.named(asked.get("name"), "text.format.name")
        checks.obj(asked.get("schema"), "text.format.schema")
    elif asked.get("type") not in ("text", "json_object"):
        unsupported("text.format.type must be text, json_object or json_schema.", "text.format.type")
    return asked
