"""What OpenAI refuses by its range is refused by its name; what stands at the edge of a range is not."""

from typing import Any

import pytest

from tessera.domain.dialects.ranges import check_ranges
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface
from tessera.flows.quoting import PARSERS

from .bodies import FULL_CHAT, chat_body, opened, responses_body

TOOL = {"type": "function", "function": {"name": "x" * 64}}
BOTH: list[tuple[str, Any, Any]] = [
    ("temperature", [0, 2, 1.5, 2.0], [-0.1, 2.1, 3, -1, 10**30]),
    ("top_p", [0, 1, 0.1], [1.01, 2, -0.5]),
    ("safety_identifier", ["", "x" * 64], ["x" * 65]),
    (
        "metadata",
        [{}, {"k" * 64: "v" * 512}, {str(n): "" for n in range(16)}],
        [{str(n): "" for n in range(17)}],
    ),
]
CHAT: list[tuple[str, Any, Any]] = [
    *BOTH,
    ("presence_penalty", [-2, 2, 0.5], [5, -2.1]),
    ("frequency_penalty", [-2, 2], [2.5, -3]),
    ("stop", ["x", ["a"], ["a", "b", "c", "d"]], [[], ["a"] * 5]),
    ("functions", [[{"name": "f"}]], [[], [{"name": "f"}] * 129]),
    ("tools", [[], [TOOL], [{"type": "custom", "custom": {"name": "any name"}}]], []),
]
RESPONSES: list[tuple[str, Any, Any]] = [
    *BOTH,
    ("max_output_tokens", [16, 1000], [1, 15]),
]
ELSEWHERE: list[tuple[Surface, dict[str, Any], str]] = [
    (Surface.CHAT, {"top_logprobs": 0}, "top_logprobs"),
    (Surface.CHAT, {"top_logprobs": 5, "logprobs": False}, "top_logprobs"),
    (Surface.CHAT, {"logit_bias": {"50256": 101}}, "logit_bias.50256"),
    (Surface.CHAT, {"logit_bias": {"50256": -101}}, "logit_bias.50256"),
    (Surface.CHAT, {"logit_bias": {"50256": 0.5}}, "logit_bias.50256"),
    (Surface.CHAT, {"logit_bias": {"50256": True}}, "logit_bias.50256"),
    (Surface.CHAT, {"messages": [{"role": "user", "content": []}]}, "messages[0].content"),
    (Surface.CHAT, {"metadata": {"k" * 65: ""}}, "metadata." + "k" * 64),
    (Surface.CHAT, {"metadata": {"k": "v" * 513}}, "metadata.k"),
    (Surface.RESPONSES, {"metadata": {"k": "v" * 513}}, "metadata.k"),
    (Surface.CHAT, {"tools": [TOOL, {"type": "function", "function": {"name": "a b"}}]}, "tools[1].function.name"),
    (Surface.CHAT, {"tools": [{"type": "function", "function": {"name": "x" * 65}}]}, "tools[0].function.name"),
    (Surface.CHAT, {"functions": [{"name": "ä"}]}, "functions[0].name"),
    (
        Surface.CHAT,
        {"response_format": {"type": "json_schema", "json_schema": {"name": "a.b", "schema": {}}}},
        "response_format.json_schema.name",
    ),
    (
        Surface.RESPONSES,
        {"text": {"format": {"type": "json_schema", "name": "x" * 65, "schema": {}}}},
        "text.format.name",
    ),
]


def looked_at(surface: Surface, fields: dict[str, Any]) -> None:
    body = opened(chat_body(**fields) if surface is Surface.CHAT else responses_body(**fields))
    PARSERS[surface](body)
    check_ranges(surface, body.value)


def refusal(surface: Surface, fields: dict[str, Any]) -> str | None:
    with pytest.raises(TesseraError) as caught:
        looked_at(surface, fields)
    assert caught.value.code is ErrorCode.INVALID_REQUEST
    return caught.value.param


@pytest.mark.parametrize(
    ("surface", "name", "good", "bad"),
    [(Surface.CHAT, *row) for row in CHAT] + [(Surface.RESPONSES, *row) for row in RESPONSES],
)
def test_a_value_past_its_range_is_refused_by_name_and_one_at_its_edge_is_not(
    surface: Surface, name: str, good: list[Any], bad: list[Any]
) -> None:
    for value in (*good, None):
        looked_at(surface, {name: value})
    for value in bad:
        assert refusal(surface, {name: value}) == name


@pytest.mark.parametrize(("surface", "fields", "param"), ELSEWHERE)
def test_what_is_wrong_deeper_is_named_by_its_place(surface: Surface, fields: dict[str, Any], param: str) -> None:
    assert refusal(surface, fields) == param


def test_what_belongs_together_passes() -> None:
    looked_at(Surface.CHAT, {"top_logprobs": 20, "logprobs": True, "logit_bias": {"50256": -100, "1": 100}})
    looked_at(Surface.CHAT, {"response_format": {"type": "text"}, "stop": None, "metadata": None})
    looked_at(Surface.RESPONSES, {"text": {"format": {"type": "text"}}, "top_logprobs": 5})
    looked_at(Surface.RESPONSES, {"text": {"verbosity": "low"}})
    body = opened(FULL_CHAT)
    PARSERS[Surface.CHAT](body)
    check_ranges(Surface.CHAT, body.value)
