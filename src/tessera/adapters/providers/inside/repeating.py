"""What a reply repeats of its request: the Responses object says the settings it was made with."""

import asyncio
from collections.abc import Mapping

import msgspec

from tessera.domain.request import Surface
from tessera.ports import UpstreamCall

_REPEATED = frozenset(
    (
        *("instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "prompt_cache_key"),
        *("reasoning", "safety_identifier", "store", "temperature", "text", "tool_choice", "tools", "top_logprobs"),
        *("top_p", "truncation", "user"),
    )
)
_ON_LOOP_BYTES_MAX = 16 * 1024
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT_FORMAT = msgspec.Raw(b'{"type":"text"}')


async def repeated_fields(call: UpstreamCall) -> Mapping[str, object]:
    """The fields of the request that a reply repeats, as they were sent; none on a surface that repeats nothing."""
    if call.surface is not Surface.RESPONSES:
        return {}
    if sum(map(len, call.body)) > _ON_LOOP_BYTES_MAX:
        return await asyncio.to_thread(_read, call)
    return _read(call)


def _read(call: UpstreamCall) -> dict[str, object]:
    fields = _FIELDS.decode(b"".join(call.body))
    found: dict[str, object] = {
        name: value for name, value in fields.items() if name in _REPEATED and bytes(value) != b"null"
    }
    if "text" in found:
        found["text"] = {"format": _TEXT_FORMAT, **_FIELDS.decode(fields["text"])}
    return found
