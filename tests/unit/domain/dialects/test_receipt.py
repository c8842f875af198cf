"""Receipts inside replies: four fields more, and not one other byte."""

import json
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from openai.types.chat import ChatCompletion
from openai.types.responses import Response

from tessera.domain.dialects.receipt import Receipt, finish_reply
from tessera.domain.dialects.spans import members
from tessera.domain.money import format_usd, parse_usd
from tessera.domain.quantities import Quantities
from tessera.domain.request import Surface

from .test_body import OBJECTS
from .test_usage import completion, response


def receipt(nanos: int = 26_460_000, usage: Quantities = Quantities()) -> Receipt:  # noqa: B008  frozen
    return Receipt(charge=format_usd(nanos), charge_nanos=nanos, request_id="req_1", usage=usage)


FIELDS = b'"charge":"0.02646","charge_nanos":26460000,"request_id":"req_1","cost":0.02646'


@pytest.mark.parametrize(
    ("raw", "finished"),
    [
        (b'{"a":1, "usage": {"prompt_tokens": 3}, "b":2}', b'{"a":1, "usage": {%s,"prompt_tokens": 3}, "b":2}'),
        (b'{"usage":{"prompt_tokens":3,"cost":9,"charge":"0"}}', b'{"usage":{%s,"prompt_tokens":3}}'),
        (b'{"usage":{"cost":9}}', b'{"usage":{%s}}'),
    ],
)
def test_the_fields_stand_first_in_the_usage(raw: bytes, finished: bytes) -> None:
    assert finish_reply(Surface.CHAT, raw, receipt()) == finished % FIELDS


@pytest.mark.parametrize("raw", [b'{"usage":null}', b"{}", b'{"usage":{}}', b'{"usage":7}', b'{"x":[1]}'])
def test_missing_usage_is_made_of_what_was_charged_for(raw: bytes) -> None:
    used = Quantities(input_tokens=10, cached_input_tokens=4, output_tokens=2)
    usage = json.loads(finish_reply(Surface.CHAT, raw, receipt(usage=used)))["usage"]
    assert (usage["charge_nanos"], usage["prompt_tokens"], usage["total_tokens"]) == (26_460_000, 10, 12)
    assert usage["prompt_tokens_details"]["cached_tokens"] == 4


def test_a_reply_that_says_usage_twice_is_charged_all_the_same() -> None:
    out = finish_reply(Surface.CHAT, b'{"usage":{"prompt_tokens":1},"usage":{"prompt_tokens":2}}', receipt())
    assert out.count(b'"usage"') == 1
    assert json.loads(out)["usage"]["charge"] == "0.02646"


@given(st.integers(0, 2**63 - 1))
def test_charge_and_cost_are_the_same_exact_amount(nanos: int) -> None:
    usage = json.loads(finish_reply(Surface.CHAT, b'{"usage":{"a":1}}', receipt(nanos)), parse_float=Decimal)["usage"]
    assert Decimal(usage["cost"]) * 10**9 == nanos == usage["charge_nanos"]
    if nanos < 10**19:
        assert parse_usd(usage["charge"]) == nanos


@given(OBJECTS, OBJECTS)
def test_no_other_byte_changes(reply: dict[str, Any], usage: dict[str, Any]) -> None:
    raw = json.dumps({**reply, "usage": {**usage, "prompt_tokens": 1}}, indent=1).encode()
    out = finish_reply(Surface.CHAT, raw, receipt())
    _, start, _ = members(raw, 0, len(raw))["usage"]
    if not {"charge", "charge_nanos", "request_id", "cost"} & set(usage):
        assert out == raw[: start + 1] + FIELDS + b"," + raw[start + 1 :]


def test_the_official_client_shows_the_fields() -> None:
    chat = ChatCompletion.model_validate_json(finish_reply(Surface.CHAT, json.dumps(completion()).encode(), receipt()))
    assert chat.usage is not None
    assert chat.usage.model_extra == {
        "charge": "0.02646",
        "charge_nanos": 26460000,
        "request_id": "req_1",
        "cost": 0.02646,
    }
    whole = response(parallel_tool_calls=True, tool_choice="auto", tools=[])
    whole["usage"] |= {"input_tokens_details": {"cached_tokens": 0, "cache_write_tokens": 0}}
    whole["usage"] |= {"output_tokens_details": {"reasoning_tokens": 0}}
    said = Response.model_validate_json(finish_reply(Surface.RESPONSES, json.dumps(whole).encode(), receipt()))
    assert said.usage is not None
    assert said.usage.model_extra == chat.usage.model_extra
