"""What the sandbox says: which tool it calls, and its plain words."""

import hashlib
import re
from collections.abc import Sequence

from tessera.adapters.providers.inside import last_question
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import InferenceRequest, Tool

QUOTED_CHARS_MAX = 80
_NAME_PART = re.compile(r"[A-Z]?[a-z]+|[A-Z]+|\d+")
_COMMON = {"get", "set", "find", "fetch", "lookup", "look", "up", "list", "the", "a", "of", "for", "to", "by", "my"}
REFUSAL = "I'm sorry, but the sandbox was asked to refuse this."


def seed_of(request: InferenceRequest, images: Sequence[bytes]) -> int:
    """A number that depends on what was asked and on nothing else: not on streaming, caps, tier or time."""
    digest = hashlib.sha256(request.model.encode())
    for message in request.messages:
        for text in (message.role, *message.texts):
            digest.update(len(text).to_bytes(8, "big") + text.encode("utf-8", "surrogatepass"))
    for image in images:
        digest.update(hashlib.sha256(image).digest())
    for tool in request.tools:
        digest.update(tool.name.encode() + b"\0" + tool.parameters)
    digest.update(request.output_format.schema)
    return int.from_bytes(digest.digest()[:8], "big")


def chosen_tool(request: InferenceRequest) -> Tool | None:
    """The tool to call: the one named, the first when one is required, one whose name the user's last words hold.

    Raises [invalid_request] when the named tool is not among the tools.
    """
    if request.tool_choice == "none" or not request.tools:
        return None
    if request.tool_choice == "required":
        return _fitting_tool(request) or request.tools[0]
    if request.tool_choice in ("auto", "allowed"):
        return _fitting_tool(request)
    for tool in request.tools:
        if tool.name == request.tool_choice:
            return tool
    raise TesseraError(
        ErrorCode.INVALID_REQUEST,
        f"tool_choice names {request.tool_choice!r}, which is not among the tools.",
        param="tool_choice",
    )


def _fitting_tool(request: InferenceRequest) -> Tool | None:
    """A tool all of whose telling name parts the last message, if it is the user's, contains."""
    if not request.messages or request.messages[-1].role != "user":
        return None
    words = set(re.findall(r"\w+", last_question(request).lower()))
    for tool in request.tools:
        parts = {part.lower() for part in _NAME_PART.findall(tool.name)} - _COMMON
        if tool.name.lower() in words or (parts and parts <= words):
            return tool
    return None


def plain_text(request: InferenceRequest, seed: int, unseen: str = "") -> str:
    """A reply in words that says what it is, and, where images could not be looked at (`unseen`), why."""
    opening = (
        f"This is Tessera's sandbox standing in for {request.model}: this text is made up, no provider was called and "
        "nothing live was spent."
    )
    if unseen:
        opening += f" It did not look at the images: {unseen}"
    last = request.messages[-1] if request.messages else None
    if last is not None and last.role not in ("user", "system", "developer", "assistant"):
        return f"{opening} The tool answered: {_quoted(' '.join(last.texts))}. (Answer {seed % 0xFFFF:04x}.)"
    question = last_question(request)
    words = len(question.split())
    asked = (
        f"You wrote {words} word{'' if words == 1 else 's'}: {_quoted(question)}."
        if question
        else "There was no question."
    )
    return f"{opening} {asked} (Answer {seed % 0xFFFF:04x}.)"


def _quoted(text: str) -> str:
    line = " ".join(text.split())
    return f"“{line if len(line) <= QUOTED_CHARS_MAX else line[:QUOTED_CHARS_MAX].rstrip() + '…'}”"
