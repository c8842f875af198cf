"""Tools: what a call offers, what it asks of the model, and what earlier turns called. One rule on both surfaces."""

from typing import Any

import msgspec

from tessera.domain.dialects import checks
from tessera.domain.dialects.body import Body
from tessera.domain.dialects.checks import invalid, unsupported
from tessera.domain.request import Tool


class RawTool(msgspec.Struct):
    """A checked function or custom tool, its schema or grammar as it was written."""

    name: str
    description: str | None = None
    parameters: msgspec.Raw = msgspec.Raw()
    format: msgspec.Raw = msgspec.Raw()


def offered_tool(body: Body, tool: RawTool, *, custom: bool = False) -> Tool:
    """A tool as it is counted."""
    return Tool(
        name=body.text(tool.name),
        description=body.text(tool.description or ""),
        parameters=as_written(body, tool.parameters if bytes(tool.parameters) else tool.format),
        custom=custom,
    )


def as_written(body: Body, raw: msgspec.Raw) -> bytes:
    """The caller's own bytes of a value of the skeleton; none for null."""
    own = body.bytes_of(bytes(raw))
    return b"" if own == b"null" else own


def call_texts(call: dict[str, Any], where: str, given: str) -> list[str]:
    """The texts of an earlier turn's call: the tool's name, and what it was `given`."""
    return [checks.named(call.get("name"), f"{where}.name"), checks.string(call.get(given), f"{where}.{given}")]


def tool_choice(choice: Any, *, nested: bool) -> str:
    """none, auto, required, `allowed` (auto among some of the tools), or the name of the tool to call.

    Chat keeps what an object says in an object of its own under the type (`nested`), responses beside the type.
    Raises [invalid_request, unsupported_parameter].
    """
    if type(choice) is str:
        if choice not in ("none", "auto", "required"):
            invalid("tool_choice must be none, auto, required or an object.", "tool_choice")
        return choice
    said, where = checks.obj(choice, "tool_choice"), "tool_choice"
    kind = said.get("type")
    if kind not in ("function", "custom", "allowed_tools"):
        unsupported("tool_choice.type must be function, custom or allowed_tools.", "tool_choice.type")
    if nested:
        where = f"tool_choice.{kind}"
        said = checks.obj(said.get(kind), where)
    if kind != "allowed_tools":
        return checks.named(said.get("name"), f"{where}.name")
    mode = said.get("mode")
    if mode not in ("auto", "required"):
        invalid(f"{where}.mode must be auto or required.", f"{where}.mode")
    checks.array(said.get("tools"), f"{where}.tools")
    return "allowed" if mode == "auto" else str(mode)
