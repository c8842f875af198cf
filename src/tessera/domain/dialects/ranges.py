"""What OpenAI's published API refuses by its range and Tessera passes on: looked at for test keys, whose calls no
provider judges.

Source: OpenAI's OpenAPI description (2026-08-21), `minimum`, `maximum`, `minItems`, `maxItems`, `maxLength` of the
fields that may be sent, and the lengths in the descriptions of metadata, names and logit_bias. Lists of allowed words
(`reasoning_effort`) are not here: they grow, and differ between models.
"""

import re
from collections.abc import Mapping
from typing import Any

from tessera.domain.dialects.checks import invalid
from tessera.domain.request import Surface

_NUMBERS = {"temperature": (0, 2), "top_p": (0, 1), "frequency_penalty": (-2, 2), "presence_penalty": (-2, 2)}
_STOPS_MAX = 4
_FUNCTIONS_MAX = 128
_BIAS_MAX = 100
_OUTPUT_TOKENS_MIN = 16
_SAFETY_IDENTIFIER_MAX = 64
_METADATA_MAX, _METADATA_KEY_MAX, _METADATA_VALUE_MAX = 16, 64, 512
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}")


def check_ranges(surface: Surface, value: Mapping[str, Any]) -> None:
    """Raises [invalid_request] naming the first field that OpenAI refuses; `value` has passed the surface's parser."""
    for name, (low, high) in _NUMBERS.items():
        number = value.get(name)
        if number is not None and not low <= number <= high:
            invalid(f"{name} must be between {low} and {high}.", name)
    identifier = value.get("safety_identifier")
    if identifier is not None and len(identifier) > _SAFETY_IDENTIFIER_MAX:
        invalid(f"safety_identifier has at most {_SAFETY_IDENTIFIER_MAX} characters.", "safety_identifier")
    _check_metadata(value.get("metadata") or {})
    if surface is Surface.CHAT:
        _check_chat(value)
    else:
        _check_responses(value)


def _check_metadata(metadata: Mapping[str, str]) -> None:
    if len(metadata) > _METADATA_MAX:
        invalid(f"metadata has at most {_METADATA_MAX} pairs, not {len(metadata)}.", "metadata")
    for name, text in metadata.items():
        if len(name) > _METADATA_KEY_MAX or len(text) > _METADATA_VALUE_MAX:
            invalid(
                f"A key of metadata has at most {_METADATA_KEY_MAX} characters, a value {_METADATA_VALUE_MAX}.",
                f"metadata.{name[:_METADATA_KEY_MAX]}",
            )


def _check_chat(value: Mapping[str, Any]) -> None:
    stop = value.get("stop")
    if type(stop) is list and not 1 <= len(stop) <= _STOPS_MAX:
        invalid(f"stop is one string or a list of 1 to {_STOPS_MAX}, not of {len(stop)}.", "stop")
    if value.get("top_logprobs") is not None and not value.get("logprobs"):
        invalid("top_logprobs needs logprobs to be true.", "top_logprobs")
    for token, bias in (value.get("logit_bias") or {}).items():
        if type(bias) is not int or abs(bias) > _BIAS_MAX:
            where = f"logit_bias.{token[:64]}"
            invalid(f"{where} must be a whole number from -{_BIAS_MAX} to {_BIAS_MAX}.", where)
    for index, message in enumerate(value["messages"]):
        if message.get("content") == []:
            where = f"messages[{index}].content"
            invalid(f"{where} is an empty list: it has at least one part.", where)
    _check_functions(value)


def _check_functions(value: Mapping[str, Any]) -> None:
    functions = value.get("functions")
    if functions is not None and not 1 <= len(functions) <= _FUNCTIONS_MAX:
        invalid(f"functions is a list of 1 to {_FUNCTIONS_MAX}, not of {len(functions)}.", "functions")
    for index, function in enumerate(functions or ()):
        _check_name(function["name"], f"functions[{index}].name")
    for index, tool in enumerate(value.get("tools") or ()):
        if tool["type"] == "function":
            _check_name(tool["function"]["name"], f"tools[{index}].function.name")
    asked = value.get("response_format") or {}
    if asked.get("type") == "json_schema":
        _check_name(asked["json_schema"]["name"], "response_format.json_schema.name")


def _check_responses(value: Mapping[str, Any]) -> None:
    cap = value.get("max_output_tokens")
    if cap is not None and cap < _OUTPUT_TOKENS_MIN:
        invalid(f"max_output_tokens must be at least {_OUTPUT_TOKENS_MIN}, not {cap}.", "max_output_tokens")
    name = ((value.get("text") or {}).get("format") or {}).get("name")
    if name is not None:
        _check_name(name, "text.format.name")


def _check_name(name: str, where: str) -> None:
    if not _NAME.fullmatch(name):
        invalid(f"{where} has 1 to 64 of the characters a-z, A-Z, 0-9, _ and -.", where)
