"""What a reply repeats of its request: a response says the settings it was made with."""

from collections.abc import Mapping

import msgspec

from tessera.domain.dialects.body import Body

Settings = Mapping[str, msgspec.Raw]
"""Settings as they were written, by their names."""
NONE: Settings = {}

_REPEATED = frozenset(
    (
        *("instructions", "max_output_tokens", "max_tool_calls", "metadata", "parallel_tool_calls", "prompt_cache_key"),
        *("reasoning", "safety_identifier", "store", "temperature", "text", "tool_choice", "tools", "top_logprobs"),
        *("top_p", "truncation", "user"),
    )
)
_BYTES_MAX = 256 * 1024
"""Of the settings that one reply repeats, and a stream three times. Where they are larger, none of them is."""
_FIELDS = msgspec.json.Decoder(dict[str, msgspec.Raw])
_TEXT_FORMAT = msgspec.Raw(b'{"type":"text"}')


def read_settings(text: bytes) -> dict[str, msgspec.Raw]:
    """The settings that a response repeats, out of its request's JSON."""
    found = {
        name: value for name, value in _FIELDS.decode(text).items() if name in _REPEATED and bytes(value) != b"null"
    }
    if "text" in found:
        written = {"format": _TEXT_FORMAT, **_FIELDS.decode(found["text"])}
        found["text"] = msgspec.Raw(msgspec.json.encode(written))
    return found


def settings_of(body: Body) -> Settings:
    """The settings of a request as its caller wrote them, to be repeated where its provider speaks of none."""
    # Not out of the whole body again: its text may be megabytes.
    asked = msgspec.json.encode({name: value for name, value in body.value.items() if name in _REPEATED})
    found = {name: msgspec.Raw(body.bytes_of(bytes(value))) for name, value in read_settings(asked).items()}
    return found if sum(len(bytes(value)) for value in found.values()) <= _BYTES_MAX else {}
