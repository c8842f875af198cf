"""A request body: opened, understood, passed on and translated, as a plain JSON reader would have it.

Payloads are taken out of the body from PAYLOAD_MIN bytes on instead of 4,096, so that short inputs reach that code.
"""

import json
from collections.abc import Iterator, Sequence
from typing import Any

import tessera.domain.dialects.body as body_module
from tessera.domain.dialects.body import Body, open_body
from tessera.domain.dialects.chat import parse_chat
from tessera.domain.dialects.responses import parse_responses
from tessera.domain.dialects.spans import members
from tessera.domain.dialects.splice import Edits, splice
from tessera.domain.dialects.translate import translate_request
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import ImageOrigin, InferenceRequest, Surface, Tier
from unit.domain.dialects.bodies import FULL_CHAT, FULL_RESPONSES

PAYLOAD_MIN, PAYLOAD_NEVER = 16, 1 << 30
PICTURE = b"data:image/png;base64,aW1hZ2U="
LONG = "iVBORw0KGgo" + "A" * 45
PARSERS = {Surface.CHAT: parse_chat, Surface.RESPONSES: parse_responses}
CHANGED = {"model", "max_completion_tokens", "max_tokens", "max_output_tokens", "service_tier", "stream_options"}
CODES = {
    ErrorCode.INVALID_REQUEST,
    ErrorCode.UNSUPPORTED_PARAMETER,
    ErrorCode.UNSUPPORTED_SERVICE_TIER,
    ErrorCode.UNSUPPORTED_DETAIL,
    ErrorCode.INVALID_IMAGE_URL,
    ErrorCode.INVALID_BASE64_IMAGE,
    ErrorCode.TOO_MANY_IMAGES,
}
WORDS = tuple(
    word.encode()
    for word in (
        '"model":"gpt-4o"', '"messages":[', '"input":[', '"input":"x"', '"role":"user"', '"role":"assistant"',
        '"content":[', '"content":"x"', '"type":"text"', '"text":"', '"type":"image_url"', '"image_url":{"url":"',
        '"type":"input_image"', '"image_url":"', '"file_id":"f"', '"detail":"low"', '"detail":"original"',
        '"data:image/png;base64,', "AAAAAAAAAAAAAAAAAAAAAAAA", '"max_tokens":5', '"max_completion_tokens":5',
        '"max_output_tokens":5', '"n":1', '"stream":true', '"stream_options":{', '"include_usage":true',
        '"service_tier":"flex"', '"service_tier":"default"', '"tools":[', '"type":"function"', '"function":{',
        '"name":"f"', '"parameters":{', '"type":"custom"', '"custom":{', '"tool_choice":', '"response_format":{',
        '"json_schema":{', '"schema":{', '"tool_calls":[', '"arguments":"', '"tool_call_id":"', '"call_id":"',
        '"output":', '"type":"reasoning"', '"summary":[', '"metadata":{', '"instructions":"', '"reasoning":{',
        '"prediction":{', '"\\u006dodel"', "\\u", "\\ud800", "\\/", '\\"', "\\\\", ",", ":", "null", "true", "NaN",
        "1e400", "-0", "1.0", "123456789012345678901234567890", "[[[[[[[[", "\ufeff", "\ud7ff",
        "https://example.com/a.png",
    )
)  # fmt: skip


def seeds() -> Iterator[bytes]:
    """Ordinary calls of both surfaces; the first byte chooses the surface and what is changed in the body."""
    picture = f"data:image/png;base64,{LONG}"
    image = {"type": "image_url", "image_url": {"url": picture, "detail": "low"}}
    given: list[tuple[int, Any]] = [(0, _shorter(FULL_CHAT)), (1, _shorter(FULL_RESPONSES))]
    given += [
        (
            0,
            {
                "model": "m",
                "messages": [{"role": "user", "content": "Hi"}],
                "max_tokens": 5,
                "max_completion_tokens": 6,
            },
        )
    ]
    given += [(0, {"model": "m", "messages": [{"role": "user", "content": [image, image]}], "stream": True})]
    given += [(1, {"model": "m", "input": [{"role": "user", "content": [{"type": "input_image", "file_id": "f"}]}]})]
    given += [(1, {"model": "m", "input": "Hi", "service_tier": "flex"})]
    custom = {
        "type": "custom",
        "custom": {"name": "sql", "format": {"type": "grammar", "grammar": {"syntax": "lark", "definition": "x"}}},
    }
    given += [
        (0, {"model": "m", "messages": [{"role": "user", "content": "Hi"}], "tools": [custom], "tool_choice": "auto"})
    ]
    for how, value in given:
        for changes in (0, 2, 14):
            yield bytes((how + changes,)) + json.dumps(value).encode()
        yield bytes((how + 30,)) + json.dumps(value, indent=1, ensure_ascii=False).replace("/", "\\/").encode()


def _shorter(value: Any) -> Any:
    return json.loads(json.dumps(value).replace("A" * 8_000, "").replace("A" * 3_000, ""))


def check(data: bytes) -> None:
    """Opens the body with and without taking payloads out, and asks the same of both."""
    how, raw = (data[0] if data else 0), data[1:]
    surface = (Surface.CHAT, Surface.RESPONSES)[how & 1]
    quick, thorough = _open(raw, PAYLOAD_MIN), _open(raw, PAYLOAD_NEVER)
    if not isinstance(quick, Body) or not isinstance(thorough, Body):
        assert isinstance(quick, TesseraError), "only the thorough way refuses"
        if not isinstance(thorough, TesseraError):
            assert "key is longer" in quick.message or "stands twice" in quick.message, "only the quick way refuses"
        return
    plain = _plain(raw)
    assert plain is None or _restored(quick, quick.value) == plain
    assert plain is None or thorough.value == plain
    found = [_parsed(surface, body) for body in (quick, thorough)]
    assert _told(found[0]) == _told(found[1])
    request = found[0]
    if not isinstance(request, InferenceRequest):
        return
    assert request.text_bytes <= len(raw)
    edits = _edits(how, request)
    spliced = b"".join(splice(surface, quick, request, edits))
    _check_spliced(surface, raw, spliced, request, edits)
    _check_translated(surface, (quick, thorough), found, edits)


def _open(raw: bytes, payload_min: int) -> Body | TesseraError:
    usual, body_module.PAYLOAD_MIN = body_module.PAYLOAD_MIN, payload_min
    try:
        return open_body(raw)
    except TesseraError as error:
        assert error.code is ErrorCode.INVALID_REQUEST
        return error
    finally:
        body_module.PAYLOAD_MIN = usual


def _plain(raw: bytes) -> Any:
    """The body as the standard library reads it; None where it cannot: integers of many digits."""
    try:
        return json.loads(raw, object_pairs_hook=_no_duplicate)
    except ValueError as error:
        assert "digits" in str(error), f"not JSON to everyone: {error}"
        return None


def _no_duplicate(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len(dict(pairs)) == len(pairs), "a key stands twice, and the body was accepted"
    return dict(pairs)


def _restored(body: Body, value: Any) -> Any:
    if isinstance(value, str):
        return body.text(value)
    if isinstance(value, list):
        return [_restored(body, inner) for inner in value]
    if isinstance(value, dict):
        return {name: _restored(body, inner) for name, inner in value.items()}
    return value


def _parsed(surface: Surface, body: Body) -> InferenceRequest | TesseraError:
    try:
        return PARSERS[surface](body)
    except TesseraError as error:
        assert error.code in CODES, error.code
        return error


def _told(found: InferenceRequest | TesseraError) -> object:
    """What was understood, without the place of memory it was read from; of refusals the code and the place."""
    if isinstance(found, TesseraError):
        return found.code, found.param
    images = [(i.index, i.origin, i.url, i.media_type, bytes(i.data or b""), i.detail, i.param) for i in found.images]
    return images, found.messages, found.tools, found.tool_choice, found.output_format, found.output_cap, found.stream


def _edits(how: int, request: InferenceRequest) -> Edits:
    inlined = [part.index for part in request.images if part.origin is not ImageOrigin.DATA] if how & 8 else []
    return Edits(
        model="other" if how & 2 else request.model,
        output_cap=77,
        tier=Tier.DEFAULT if how & 4 else None,
        include_usage=not how & 16,
        images=dict.fromkeys(inlined, PICTURE),
    )


def _check_spliced(surface: Surface, raw: bytes, spliced: bytes, request: InferenceRequest, edits: Edits) -> None:
    """What is sent on is JSON in which every value that had no reason to change stands byte for byte."""
    before, after = members(raw, 0, len(raw)), members(spliced, 0, len(spliced))
    assert set(after) - set(before) <= CHANGED
    moved = {"messages", "input"} if edits.images else set()
    for name, (_, start, end) in before.items():
        if name not in CHANGED | moved:
            _, begin, stop = after[name]
            assert spliced[begin:stop] == raw[start:end], name
    again = PARSERS[surface](open_body(spliced))
    assert again.model == edits.model
    assert again.output_cap == edits.output_cap
    assert len(again.images) == len(request.images)
    for old, new in zip(request.images, again.images, strict=True):
        assert new.detail == old.detail
        if old.index in edits.images:
            assert bytes(new.data or b"") == PICTURE.split(b",")[1]
        else:
            assert (new.url, bytes(new.data or b"")) == (old.url, bytes(old.data or b""))
    if surface is Surface.CHAT and request.stream and edits.include_usage:
        assert again.include_usage


def _check_translated(surface: Surface, bodies: Sequence[Body], found: Sequence[Any], edits: Edits) -> None:
    other = Surface.RESPONSES if surface is Surface.CHAT else Surface.CHAT
    written: list[Any] = []
    for body, request in zip(bodies, found, strict=True):
        try:
            written.append(json.loads(b"".join(translate_request(surface, other, body, request, edits))))
        except TesseraError as error:
            assert error.code is ErrorCode.UNSUPPORTED_PARAMETER
            written.append((error.code, error.param))
    assert written[0] == written[1]
    if not isinstance(written[0], dict):
        return
    again = PARSERS[other](open_body(json.dumps(written[0]).encode()))
    assert (again.model, again.output_cap) == (edits.model, edits.output_cap)
    assert again.stream == found[0].stream
    assert [image.detail for image in again.images] == [image.detail for image in found[0].images]
    if not edits.images:
        told = [(i.url, bytes(i.data or b"")) for i in found[0].images]
        assert [(i.url, bytes(i.data or b"")) for i in again.images] == told
