"""Counting the text of a call: messages, names, tools and schemas, with the framing around them."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import msgspec

from tessera.domain.request import InferenceRequest, Surface, Tool
from tessera.domain.tokens.counts import Confidence, Span
from tessera.domain.tokens.framing import Framing
from tessera.domain.tokens.slices import SLICE_CHARS, count_sliced

TEXT_CHARS_COUNTED_MAX = 4 * 1024 * 1024
"""Text beyond this, more than any model's context holds, is taken at one token a byte instead of being tokenized."""
_PUBLISHED_ROLES = frozenset({"system", "user", "assistant"})


def count_text(
    request: InferenceRequest,
    framing: Framing,
    counter: Callable[[str], int],
    called_on: Iterable[Surface] = (),
) -> tuple[Span, Confidence]:
    """The tokens of everything in a call that is not an image.

    Where tokenizer and framing are published for this shape of call, its own surface and those it may be `called_on`,
    predicted = max is the exact count. Otherwise the maximum is the text's UTF-8 bytes (`request.text_bytes`, or what
    is counted here if that is 0), at most one token each in every known tokenizer, plus the framing's reserve.
    """
    tally = _Tally(counter)
    for message in request.messages:
        tally.tokens += framing.per_message
        tally.add(message.role)
        for text in message.texts:
            tally.add(text)
        if message.name is not None:
            tally.tokens += framing.per_name
            tally.add(message.name)
    tally.tokens += framing.priming
    published = request.surface in framing.published_on
    for surface in called_on:
        published = published and surface in framing.published_on
    for message in request.messages if published else ():
        published = published and message.role in _PUBLISHED_ROLES and len(message.texts) <= 1
    if request.tools:
        published = _add_tools(tally, request.tools, framing) and published and request.tool_choice == "auto"
    if request.output_format.kind != "text":
        published = False
        tally.add(request.output_format.name)
        tally.add(request.output_format.schema.decode("utf-8", "replace"))
    predicted = -(-tally.tokens * framing.ratio_numerator // framing.ratio_denominator)
    if published and tally.exact:
        return Span(predicted, predicted), framing.confidence
    reserve = framing.reserve_tokens + framing.reserve_per_message * len(request.messages)
    if request.tools or request.output_format.kind != "text":
        reserve += framing.reserve_tools
    bound = max(request.text_bytes or tally.bytes, predicted) + reserve
    return Span(predicted, bound), _lowered(framing.confidence)


def _lowered(confidence: Confidence) -> Confidence:
    return Confidence.INFERRED if confidence is Confidence.PUBLISHED else confidence


class _Tally:
    """Tokens and bytes so far, within the bound on work."""

    def __init__(self, counter: Callable[[str], int]) -> None:
        self.tokens = 0
        self.bytes = 0
        self.exact = True
        self._counter = counter
        self._chars_left = TEXT_CHARS_COUNTED_MAX

    def add(self, text: str) -> None:
        """Counts a text as ordinary text."""
        size = len(text) if text.isascii() else len(text.encode("utf-8", "surrogatepass"))
        self.bytes += size
        if len(text) > self._chars_left:
            self.exact = False
            self.tokens += size
            return
        self._chars_left -= len(text)
        if len(text) <= SLICE_CHARS:
            self.tokens += self._counter(text)
            return
        tokens, exact = count_sliced(text, self._counter)
        self.tokens += tokens
        self.exact = self.exact and exact


def _add_tools(tally: _Tally, tools: tuple[Tool, ...], framing: Framing) -> bool:
    """Adds function tools; whether all of them have the flat shape that the published constants are for."""
    constants = framing.tools
    published = True
    for tool in tools:
        tally.tokens += constants.function
        published = published and not tool.custom
        tally.add(f"{tool.name}:{_without_dot(tool.description)}")
        taken = _schema(tool)
        if taken is None:
            published = False
            tally.add(tool.parameters.decode("utf-8", "replace"))
            continue
        properties = taken.get("properties", {})
        rest = _beside_properties(taken)
        if rest:
            published = False
            tally.add(msgspec.json.encode(rest).decode())
        if properties:
            tally.tokens += constants.properties
        for name, schema in properties.items():
            published = _add_property(tally, name, schema, framing) and published
    tally.tokens += constants.end
    return published


def _add_property(tally: _Tally, name: str, schema: object, framing: Framing) -> bool:
    """Adds one property of a tool; whether it is a plain value, described, as in the published examples."""
    tally.tokens += framing.tools.key
    if not isinstance(schema, dict):
        tally.add(f"{name}:{schema}")
        return False
    kind, description, items = schema.get("type"), schema.get("description"), schema.get("enum")
    plain = isinstance(kind, str) and isinstance(description, str) and kind not in ("object", "array")
    if isinstance(items, list):
        tally.tokens += framing.tools.enum
        plain = plain and items != []
        for item in items:
            tally.tokens += framing.tools.enum_item
            tally.add(str(item))
            plain = plain and isinstance(item, str)
    described = description if isinstance(description, str) else ""
    tally.add(f"{name}:{kind}:{_without_dot(described)}")
    rest = {key: value for key, value in schema.items() if key not in ("type", "description", "enum")}
    if rest:
        tally.add(msgspec.json.encode(rest).decode())
    return plain and not rest


def _schema(tool: Tool) -> Mapping[str, Any] | None:
    """The schema of what a tool takes; empty when it takes nothing, None when it is not a schema of properties."""
    if not tool.parameters:
        return {}
    try:
        schema = msgspec.json.decode(tool.parameters)
    except (msgspec.DecodeError, RecursionError):
        return None
    return schema if isinstance(schema, dict) and isinstance(schema.get("properties", {}), dict) else None


def _beside_properties(schema: Mapping[str, Any]) -> dict[str, Any]:
    """What a schema says that is in none of the published examples: anything but the type of an object, its properties,
    which of them are required and whether there may be others."""
    required, names = schema.get("required"), schema.get("properties", {})
    known = {
        "type": schema.get("type") == "object",
        "properties": True,
        "required": isinstance(required, list)
        and len(required) <= len(names)
        and all(isinstance(one, str) and one in names for one in required),
        "additionalProperties": isinstance(schema.get("additionalProperties"), bool),
    }
    return {key: value for key, value in schema.items() if not known.get(key)}


def _without_dot(text: str) -> str:
    return text[:-1] if text.endswith(".") else text
