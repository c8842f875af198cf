"""A provider's event stream through the relay, on each pair of surfaces: where it was cut in transport never shows."""

import json
from collections.abc import Iterator
from typing import Any

from fuzz.targets.upstream_http import pieces
from tessera.domain.dialects.frames import data_of
from tessera.domain.dialects.receipt import Receipt
from tessera.domain.dialects.relay import StreamRelay
from tessera.domain.dialects.render import Answer, Choice, ToolCall, render_stream
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.quantities import Quantities
from tessera.domain.request import Surface

RECEIPT = Receipt(
    charge="0.01", charge_nanos=10_000_000, request_id="req_1", usage=Quantities(input_tokens=7, output_tokens=3)
)
BYTE_BY_BYTE_MAX = 400
SURFACES = (Surface.CHAT, Surface.RESPONSES)
WORDS = tuple(
    word.encode()
    for word in (
        "data: ", "data:", "event: ", ": ", "\n\n", "\r\n\r\n", "\r\r", "\r", "\ufeff", "[DONE]", "data: [DONE]\n\n",
        '"choices":[', '"delta":{', '"content":"', '"finish_reason":"stop"', '"finish_reason":"error"', '"index":1',
        '"usage":{', '"usage":null', '"charge":"9"', '"prompt_tokens":1', '"completion_tokens":1', '"tool_calls":[',
        '"function":{', '"custom":{', '"arguments":"', '"error":{', '"error":null', '"type":"response.completed"',
        '"type":"response.incomplete"', '"type":"response.created"', '"type":"error"',
        '"type":"response.output_item.added"', '"type":"response.output_item.done"',
        '"type":"response.output_text.delta"', '"type":"response.function_call_arguments.delta"', '"response":{',
        '"item":{', '"output_index":', '"status":"completed"', '"output":[', "null", "[]", "{}", "-1", "1e400",
        "99999999999999999999999", '"\\u0075sage"', '"reasoning_content":"', '"refusal":"',
    )
)  # fmt: skip


def seeds() -> Iterator[bytes]:
    """Whole streams of both surfaces; the first byte chooses surfaces and end, the second where it is cut."""
    usage = Quantities(input_tokens=10, output_tokens=4)
    call = ToolCall(id="call_1", name="zoom", arguments='{"x": 1}')
    choices = (
        Choice(text="A cat é 🐈."),
        Choice(tool_calls=(call, call), finish_reason="tool_calls"),
        Choice(refusal="No."),
        Choice(text="A c", finish_reason="length"),
    )
    for number, choice in enumerate(choices):
        for surface in SURFACES:
            answer = Answer(id="1", created=1, model="m", choices=(choice,), usage=usage)
            stream = b"".join(render_stream(surface, answer))
            for caller in (0, 2):
                yield bytes(((surface is Surface.RESPONSES) + caller + 4 * (number % 3), number)) + stream
    error = json.dumps({"error": {"message": "overloaded", "code": "x"}})
    yield b"\0\1data: " + error.encode() + b"\n\n"
    yield b"\1\1event: error\ndata: " + json.dumps({"type": "error", "message": "no"}).encode() + b"\n\n"
    yield b"\0\2: wait\r\n\r\ndata: {}\r\rdata: [DONE]\r\n\r\n"


def check(data: bytes) -> None:
    """The same frames and facts whole and in pieces; one end, with the receipt, that any reader understands."""
    if len(data) < 2:
        return
    how, raw = data[0], data[2:]
    whole = _relayed(how, [raw] if raw else [])
    cut = _relayed(how, list(pieces(raw, data[1:2])))
    assert cut == whole
    if len(raw) <= BYTE_BY_BYTE_MAX:
        assert _relayed(how, [raw[at : at + 1] for at in range(len(raw))]) == whole


def _relayed(how: int, parts: list[bytes]) -> tuple[object, ...]:
    upstream, caller = SURFACES[how & 1], SURFACES[how >> 1 & 1]
    include_usage = how & 16 == 0
    relay = StreamRelay(upstream, caller, include_usage=include_usage, model="my-model")
    out = [frame for part in parts for frame in relay.feed(part)]
    relay.end()
    facts = relay.facts
    error = relay.error
    sent = b"".join(out)
    found = (
        sent,
        relay.finished,
        facts.usage,
        facts.absurd,
        facts.finish_reason,
        facts.output_text,
        facts.output_chars,
    )
    if error is not None:
        assert isinstance(error, TesseraError)
        assert relay.finished
        last = relay.fail(error)
        assert '"error"' in last[-1].decode()
    elif relay.finished:
        last = relay.finish(RECEIPT)
        _check_end(caller, last, include_usage=include_usage)
    elif how & 12 == 0:
        relay.cut_length()
        assert relay.facts.finish_reason == "length"
        last = relay.finish(RECEIPT)
        _check_end(caller, last, include_usage=include_usage)
    else:
        last = relay.fail(TesseraError(ErrorCode.PROVIDER_ERROR, "It broke."))
        assert '"error"' in last[-1].decode()
    assert relay.feed(b"data: {}\n\n") == [] or not relay.finished
    if upstream is not caller:
        for frame in out:
            if data_of(frame) is not None:  # comments are passed on as they are
                _read(frame)
    return (*found, error and (error.code, error.message), tuple(last))


def _check_end(caller: Surface, frames: list[bytes], *, include_usage: bool) -> None:
    if caller is Surface.RESPONSES:
        event = _read(frames[-1])
        assert event["response"]["usage"]["charge_nanos"] == RECEIPT.charge_nanos
        return
    assert (data_of(frames[-1]) or b"").strip() == b"[DONE]"
    if include_usage:
        assert _read(frames[-2])["usage"]["charge_nanos"] == RECEIPT.charge_nanos


def _read(frame: bytes) -> dict[str, Any]:
    """The one event in a frame of our own making."""
    assert frame.endswith(b"\n\n")
    assert frame.count(b"\n\n") == 1
    value = json.loads(frame[frame.index(b"data: ") + 6 :])
    assert isinstance(value, dict)
    return value
