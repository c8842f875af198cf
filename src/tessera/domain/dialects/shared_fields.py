"""What a call says in the same words on chat completions and on responses."""

from collections.abc import Iterable, Mapping
from typing import Any

from tessera.domain.dialects import checks
from tessera.domain.dialects.body import Body
from tessera.domain.dialects.checks import Check, invalid
from tessera.domain.request import ImagePart, Tier

UNPRICED = checks.refused("what it costs is not priced.")
_STORED = checks.refused("stored conversations have no known size; send the earlier turns themselves.")

SHARED: Mapping[str, Check] = {
    "model": checks.named,
    "stream": checks.boolean,
    "stream_options": checks.obj,
    "service_tier": checks.service_tier,
    "tools": checks.array,
    "tool_choice": checks.anything,
    "parallel_tool_calls": checks.boolean,
    "temperature": checks.number,
    "top_p": checks.number,
    "top_logprobs": checks.whole(0, 20),
    "metadata": checks.string_map,
    "user": checks.string,
    "safety_identifier": checks.string,
    "store": checks.boolean,
    "prompt_cache_key": checks.string,
    "prompt_cache_retention": checks.only("in_memory", "in-memory", reason="longer retention is not priced."),
    "prompt_cache_options": checks.cache_options,
    "previous_response_id": _STORED,
    "conversation": _STORED,
    "prompt": checks.refused("stored prompts have no known size; send the prompt itself."),
    "background": checks.only(False, reason="a call in the background cannot be held for; leave it out."),
    "moderation": UNPRICED,
}
"""Top-level fields of both surfaces."""

COPIED = frozenset(
    {
        "temperature",
        "top_p",
        "metadata",
        "user",
        "safety_identifier",
        "service_tier",
        "stream",
        "prompt_cache_key",
        "prompt_cache_retention",
        "prompt_cache_options",
    }
)
"""Those that mean the same with any value, and are copied when a call is translated."""

_STREAM_OPTIONS: Mapping[str, Check] = {"include_usage": checks.boolean, "include_obfuscation": checks.boolean}


def check_top(value: Mapping[str, Any], fields: Mapping[str, Check]) -> None:
    """Checks every top-level field, and that a model is named."""
    checks.fields(value, fields)
    if value.get("model") is None:
        invalid("model is missing: name one from /v1/models.", "model")


def stream_options(value: Mapping[str, Any]) -> Mapping[str, Any]:
    """The checked options of a stream; empty where there are none."""
    options: Mapping[str, Any] = value.get("stream_options") or {}
    if options:
        checks.fields(options, _STREAM_OPTIONS, "stream_options.")
    return options


def tier(value: Mapping[str, Any]) -> Tier | None:
    """The tier asked for; None where it is left to the operator."""
    asked = value.get("service_tier")
    return checks.service_tier(asked, "service_tier") if asked is not None else None


def text_bytes(body: Body, images: Iterable[ImagePart]) -> int:
    """How many bytes of the body are not image data: no text in it can be longer."""
    found = len(body.raw)
    for image in images:
        if image.data is not None:
            found -= len(image.data)
    return found
