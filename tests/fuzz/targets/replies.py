"""A provider's whole reply: facts or a provider error; the receipt added and nothing else changed; both ways agree."""

import json
import math
from collections.abc import Iterator
from typing import Any

from fuzz.targets.streams import RECEIPT, SURFACES
from tessera.domain.dialects.receipt import finish_reply
from tessera.domain.dialects.refusals import read_refusal
from tessera.domain.dialects.render import Answer, Choice, ToolCall, render_reply
from tessera.domain.dialects.translate import translate_reply
from tessera.domain.dialects.usage import TOKENS_MAX, ReplyFacts, read_reply
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.quantities import Quantities

OURS = ("charge", "charge_nanos", "request_id", "cost")
STATUSES = (400, 401, 402, 403, 404, 409, 413, 422, 429, 500, 503, 529)
WORDS = tuple(
    word.encode()
    for word in (
        '"usage":{', '"usage" : {', '"usage":null', '"usage":[]', '"\\u0075sage":{', '"charge":"0"',
        '"charge_nanos":0', '"cost":0', '"request_id":"x"', '"prompt_tokens":', '"completion_tokens":',
        '"total_tokens":', '"input_tokens":', '"output_tokens":', '"prompt_tokens_details":{', '"cached_tokens":',
        '"reasoning_tokens":', '"choices":[', '"message":{', '"content":', '"tool_calls":[', '"function":{',
        '"custom":{', '"output":[', '"status":"completed"', '"status":"incomplete"',
        '"incomplete_details":{"reason":"content_filter"}', '"error":{', '"error":null',
        '"code":"insufficient_quota"', '"type":"message"', '"type":"function_call"', '"finish_reason":"length"',
        '"created":', "1e3", "12.0", "-1", "1e400", "99999999999999999999999", "null", "true", "[]", "{}", '\\"',
        "\\u", ",,", "sk-proj-abcdefgh", "https://", "10.0.0.1:80",
    )
)  # fmt: skip


def seeds() -> Iterator[bytes]:
    """Replies and errors of both surfaces; the first byte chooses the surface and the status of an error."""
    call = ToolCall(id="call_1", name="zoom", arguments='{"x": 1}')
    usage = Quantities(input_tokens=10, output_tokens=4, cached_input_tokens=2, reasoning_tokens=1)
    for choice in (
        Choice(text='A "cat" é 🐈.'),
        Choice(tool_calls=(call,), finish_reason="tool_calls"),
        Choice(refusal="No."),
    ):
        for place, surface in enumerate(SURFACES):
            for used in (usage, None):
                raw = render_reply(surface, Answer(id="1", created=1, model="m", choices=(choice,), usage=used))
                yield bytes((place,)) + raw
                yield bytes((place,)) + raw.replace(b":", b" : \n")
                yield bytes((place,)) + raw.replace(b'"usage":{', b'"usage":{"charge":"9","cost":9,')
    for number in range(0, 24, 3):
        yield (
            bytes((number,))
            + b'{"error":{"message":"no key sk-proj-abcdefgh at https://x.y/z","code":"invalid_image_url","param":"a"}}'
        )
    yield b"\0<html>"
    yield b'\0{"usage":{},"usage":{"prompt_tokens":1,"completion_tokens":1},"choices":[]}'


def check(data: bytes) -> None:
    """Reads, finishes and translates one reply, and takes it for an error too."""
    how, raw = (data[0] if data else 0), data[1:]
    surface = SURFACES[how & 1]
    _check_refusal(how, raw)
    try:
        facts = read_reply(surface, raw)
    except TesseraError as error:
        assert error.code is ErrorCode.PROVIDER_ERROR
        facts = None
    if facts is not None:
        _check_facts(facts)
        _check_receipt(how, raw, facts)
    try:
        said = json.loads(translate_reply(surface, SURFACES[~how & 1], raw, model="my-model"))
    except TesseraError as error:
        assert error.code is ErrorCode.PROVIDER_ERROR
        return
    if facts is not None and facts.usage is not None:
        again = read_reply(SURFACES[~how & 1], json.dumps(said).encode())
        assert again.usage == facts.usage


def _check_facts(facts: ReplyFacts) -> None:
    if facts.usage is not None:
        assert not facts.absurd
        assert 0 <= facts.usage.input_tokens <= TOKENS_MAX
        assert 0 <= facts.usage.output_tokens <= TOKENS_MAX
        assert facts.usage.cached_input_tokens <= facts.usage.input_tokens
    assert facts.output_chars >= len(facts.output_text)


def _check_receipt(how: int, raw: bytes, facts: ReplyFacts) -> None:
    surface = SURFACES[how & 1]
    finished = finish_reply(surface, raw, RECEIPT)
    before, after = json.loads(raw), json.loads(finished)
    usage = after.pop("usage")
    assert usage["charge_nanos"] == RECEIPT.charge_nanos
    assert usage["charge"] == RECEIPT.charge
    assert usage["request_id"] == RECEIPT.request_id
    given = before.pop("usage", None)
    assert _same(before, after)
    if isinstance(given, dict) and given:
        assert _same(_without_ours(given), _without_ours(usage))
    if facts.usage is not None:
        quick = json.loads(finish_reply(surface, raw, RECEIPT, reported=True))
        assert _same(quick, json.loads(finished))


def _without_ours(usage: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in usage.items() if name not in OURS}


def _same(one: object, other: object) -> bool:
    """Equality of decoded JSON; a number too large for a float is like any other such number."""
    if isinstance(one, float) and isinstance(other, float):
        return one == other or math.isinf(one) or math.isinf(other)
    return one == other


def _check_refusal(how: int, raw: bytes) -> None:
    error, elsewhere = read_refusal(STATUSES[how % len(STATUSES)], {"retry-after": "3"}, raw, flex=bool(how & 128))
    assert isinstance(error, TesseraError)
    assert isinstance(elsewhere, bool)
    assert len(error.message) < 500
    assert "sk-proj-abcdefgh" not in error.message
    error.message.encode()
