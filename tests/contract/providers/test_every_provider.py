"""What every provider does alike, whether it is a socket, the sandbox or the engine in this process."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
from msgspec.structs import replace
from openai.types.chat import ChatCompletion, ChatCompletionChunk
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from contract.providers.calls import (
    SURFACES,
    count_words,
    events_of,
    make_call,
    picture,
    read_all,
    rendered,
    simple_answer,
)
from scripted_provider import Received, Reply, ScriptedProvider, bytes_reply
from tessera.adapters.providers.openai import OpenAIProvider
from tessera.adapters.providers.sandbox import SandboxProvider
from tessera.adapters.providers.sight.engine import SightEngine
from tessera.adapters.providers.sight.provider import SightProvider
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import ImagePart, OutputFormat, Surface, Tier, Tool
from tessera.ports import Provider, UpstreamCall

pytestmark = pytest.mark.anyio

TEAL = picture("teal")
REPLY_TYPES: dict[Surface, TypeAdapter[Any]] = {
    Surface.CHAT: TypeAdapter(ChatCompletion),
    Surface.RESPONSES: TypeAdapter(Response),
}
EVENT_TYPES: dict[Surface, TypeAdapter[Any]] = {
    Surface.CHAT: TypeAdapter(ChatCompletionChunk),
    Surface.RESPONSES: TypeAdapter(ResponseStreamEvent),
}


@pytest.fixture(scope="module")
async def engine() -> AsyncIterator[SightEngine]:
    made = SightEngine()
    yield made
    await made.close()


@asynccontextmanager
async def openai_provider(_: SightEngine) -> AsyncIterator[Provider]:
    def reply(request: Received) -> Reply:
        surface = Surface.RESPONSES if request.path.endswith("/responses") else Surface.CHAT
        stream = bool(request.json()["stream"])
        kind = "text/event-stream" if stream else "application/json"
        return bytes_reply(rendered(surface, simple_answer(), stream=stream), content_type=kind)

    with ScriptedProvider() as server:
        server.expect_credential("sk-operator")
        server.always = reply
        provider = OpenAIProvider(server.base_url, "sk-operator")
        yield provider
        await provider.close()


@asynccontextmanager
async def sandbox_provider(engine: SightEngine) -> AsyncIterator[Provider]:
    sight = SightProvider(engine, count_words)
    provider = SandboxProvider(sight.describe, count_words, recognize=sight.recognize)
    yield provider
    await provider.close()


@asynccontextmanager
async def sight_provider(engine: SightEngine) -> AsyncIterator[Provider]:
    yield SightProvider(engine, count_words)


PROVIDERS = {"openai": openai_provider, "sandbox": sandbox_provider, "sight": sight_provider}


@pytest.fixture(params=PROVIDERS)
async def provider(request: pytest.FixtureRequest, engine: SightEngine) -> AsyncIterator[Provider]:
    async with PROVIDERS[request.param](engine) as made:
        yield made


@pytest.fixture(params=["sandbox", "sight"])
async def inside(request: pytest.FixtureRequest, engine: SightEngine) -> AsyncIterator[Provider]:
    """The providers inside this process."""
    async with PROVIDERS[request.param](engine) as made:
        yield made


async def send_and_read(provider: Provider, call: UpstreamCall) -> bytes:
    return await read_all(await provider.send(call))


def usage_of(surface: Surface, usage: Any) -> tuple[int, int, int]:
    """Input, image and output tokens of a usage object."""
    words = ("prompt", "completion") if surface is Surface.CHAT else ("input", "output")
    image = usage[f"{words[0]}_tokens_details"]["image_tokens"]
    assert usage["total_tokens"] == usage[f"{words[0]}_tokens"] + usage[f"{words[1]}_tokens"]
    return usage[f"{words[0]}_tokens"], image, usage[f"{words[1]}_tokens"]


def text_of(surface: Surface, reply: Any) -> str:
    """The text of a whole reply."""
    if surface is Surface.CHAT:
        return str(reply["choices"][0]["message"]["content"])
    return str(reply["output"][0]["content"][0]["text"])


def image_with(image: ImagePart, data: bytes) -> ImagePart:
    return replace(image, data=memoryview(data))


def with_images(call: UpstreamCall, images: list[ImagePart]) -> UpstreamCall:
    return replace(call, request=replace(call.request, images=tuple(images)))


# ---- every provider --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_whole_reply_is_valid_json_of_its_surface(provider: Provider, surface: Surface) -> None:
    reply = await provider.send(make_call(surface, images=(TEAL,)))
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("application/json")
    assert all(name == name.lower() for name in reply.headers)
    raw = await read_all(reply)
    REPLY_TYPES[surface].validate_json(raw, strict=True)
    decoded = json.loads(raw)
    assert text_of(surface, decoded)
    assert usage_of(surface, decoded["usage"])[0] == 300


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_stream_is_valid_events_that_end_with_usage(provider: Provider, surface: Surface) -> None:
    reply = await provider.send(make_call(surface, images=(TEAL,), stream=True))
    assert reply.status == 200
    assert reply.headers["content-type"].startswith("text/event-stream")
    raw = await read_all(reply)
    events = events_of(raw)
    for event in events:
        EVENT_TYPES[surface].validate_json(json.dumps(event), strict=True)
    last = events[-1] if surface is Surface.CHAT else events[-1]["response"]
    assert usage_of(surface, last["usage"])[0] == 300
    assert raw.endswith(b"data: [DONE]\n\n") is (surface is Surface.CHAT)


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_stream_says_what_the_whole_reply_says(provider: Provider, surface: Surface) -> None:
    whole = json.loads(await read_all(await provider.send(make_call(surface, images=(TEAL,)))))
    events = events_of(await read_all(await provider.send(make_call(surface, images=(TEAL,), stream=True))))
    if surface is Surface.CHAT:
        said = [choice["delta"].get("content") or "" for event in events for choice in event["choices"]]
        usage = events[-1]["usage"]
    else:
        said = [event["delta"] for event in events if event["type"] == "response.output_text.delta"]
        usage = events[-1]["response"]["usage"]
    assert "".join(said) == text_of(surface, whole)
    assert usage == whole["usage"]


@pytest.mark.parametrize("stream", [False, True])
async def test_a_reply_can_be_closed_before_or_amid_reading(provider: Provider, stream: bool) -> None:
    untouched = await provider.send(make_call(images=(TEAL,), stream=stream))
    await untouched.close()
    begun = await provider.send(make_call(images=(TEAL,), stream=stream))
    async for _ in begun.chunks():
        break
    await begun.close()
    assert await read_all(await provider.send(make_call(images=(TEAL,), stream=stream)))


async def test_twenty_calls_at_once_do_not_mix(provider: Provider) -> None:
    calls = [make_call(SURFACES[n % 2], images=(TEAL,), stream=n % 3 == 0) for n in range(20)]
    bodies = await asyncio.gather(*(send_and_read(provider, call) for call in calls))
    for call, body in zip(calls, bodies, strict=True):
        assert (b"response" in body.split(b",")[0] or b"resp_" in body) is (call.surface is Surface.RESPONSES)
        assert (b"data: " in body) is call.stream


# ---- the providers inside this process -------------------------------------------------------------------------


@pytest.mark.parametrize("surface", SURFACES)
async def test_usage_is_true_to_the_count(inside: Provider, surface: Surface) -> None:
    call = make_call(surface, images=(TEAL, picture("red")))
    decoded = json.loads(await read_all(await inside.send(call)))
    usage = usage_of(surface, decoded["usage"])
    assert usage == (45 + 2 * 255, 2 * 255, count_words(text_of(surface, decoded)))
    assert call.count.total.predicted == usage[0]


@pytest.mark.parametrize("surface", SURFACES)
@pytest.mark.parametrize("cap", [1, 5, 20])
async def test_an_answer_never_passes_the_output_cap(inside: Provider, surface: Surface, cap: int) -> None:
    whole = json.loads(await read_all(await inside.send(make_call(surface, images=(TEAL,)))))
    cut = json.loads(await read_all(await inside.send(make_call(surface, images=(TEAL,), output_cap=cap))))
    assert usage_of(surface, cut["usage"])[2] == cap
    assert text_of(surface, whole).startswith(text_of(surface, cut))
    if surface is Surface.CHAT:
        assert cut["choices"][0]["finish_reason"] == "length"
    else:
        assert cut["status"] == "incomplete"


async def test_choices_are_counted_together(inside: Provider) -> None:
    decoded = json.loads(await read_all(await inside.send(make_call(images=(TEAL,), choices=3, output_cap=10))))
    assert [choice["index"] for choice in decoded["choices"]] == [0, 1, 2]
    assert decoded["usage"]["completion_tokens"] == 30


@pytest.mark.parametrize(
    ("asked", "served"),
    [(None, "default"), (Tier.DEFAULT, "default"), (Tier.FLEX, "flex"), (Tier.PRIORITY, "priority")],
)
async def test_the_tier_is_echoed(inside: Provider, asked: Tier | None, served: str) -> None:
    decoded = json.loads(await read_all(await inside.send(make_call(images=(TEAL,), tier=asked))))
    assert decoded["service_tier"] == served


async def test_the_same_question_gets_the_same_answer(inside: Provider) -> None:
    bodies = {await read_all(await inside.send(make_call(images=(TEAL,)))) for _ in range(3)}
    texts = {json.loads(body)["choices"][0]["message"]["content"] for body in bodies}
    assert len(texts) == 1


async def test_different_pictures_get_different_answers(inside: Provider) -> None:
    answers = [
        json.loads(await read_all(await inside.send(make_call(images=(picture(colour),)))))
        for colour in ("teal", "red")
    ]
    assert text_of(Surface.CHAT, answers[0]) != text_of(Surface.CHAT, answers[1])


SCHEMA = {
    "type": "object",
    "properties": {
        "width": {"type": "integer"},
        "dominant_colour": {"type": "string"},
        "photographer": {"type": ["string", "null"]},
    },
    "required": ["width", "dominant_colour", "photographer"],
    "additionalProperties": False,
}
FORM = OutputFormat(kind="json_schema", name="picture", schema=json.dumps(SCHEMA).encode(), strict=True)


@pytest.mark.parametrize("surface", SURFACES)
async def test_schema_fields_that_can_be_seen_are_true(inside: Provider, surface: Surface) -> None:
    call = make_call(surface, images=(TEAL,), output_format=FORM)
    found = json.loads(text_of(surface, json.loads(await read_all(await inside.send(call)))))
    assert found["width"] == 64
    assert found["dominant_colour"] == "teal"


async def test_any_json_object_is_one(inside: Provider) -> None:
    call = make_call(images=(TEAL,), output_format=OutputFormat(kind="json_object"))
    found = json.loads(text_of(Surface.CHAT, json.loads(await read_all(await inside.send(call)))))
    assert isinstance(found, dict)
    assert found["description"]


async def test_a_schema_that_cannot_be_answered_is_refused_by_its_keyword(inside: Provider) -> None:
    form = OutputFormat(kind="json_schema", name="x", schema=b'{"type":"object","unevaluatedProperties":false}')
    with pytest.raises(TesseraError, match="unevaluatedProperties") as caught:
        await inside.send(make_call(images=(TEAL,), output_format=form))
    assert caught.value.code is ErrorCode.UNSUPPORTED_PARAMETER
    assert caught.value.param == "response_format.json_schema.schema"


@pytest.mark.parametrize("surface", SURFACES)
async def test_a_required_tool_is_called_with_valid_arguments(inside: Provider, surface: Surface) -> None:
    tool = Tool(name="save_picture", parameters=json.dumps(SCHEMA).encode())
    call = make_call(surface, images=(TEAL,), tools=(tool,), tool_choice="required")
    decoded = json.loads(await read_all(await inside.send(call)))
    if surface is Surface.CHAT:
        made = decoded["choices"][0]["message"]["tool_calls"][0]["function"]
    else:
        made = decoded["output"][0]
    assert made["name"] == "save_picture"
    assert json.loads(made["arguments"])["width"] == 64


async def test_base64_that_is_none_is_refused_by_name(inside: Provider) -> None:
    call = make_call(images=(TEAL,))
    broken = [image_with(call.request.images[0], b"not*base64")]
    with pytest.raises(TesseraError) as caught:
        await inside.send(with_images(call, broken))
    assert caught.value.code is ErrorCode.INVALID_BASE64_IMAGE
    assert caught.value.param == "messages[0].content[0].image_url"


async def test_base64_with_escaped_slashes_is_read(inside: Provider) -> None:
    call = make_call(images=(TEAL,))
    image = call.request.images[0]
    assert image.data is not None
    escaped = image_with(image, bytes(image.data).replace(b"/", b"\\/"))
    plain = json.loads(await send_and_read(inside, call))
    other = json.loads(await send_and_read(inside, with_images(call, [escaped])))
    assert text_of(Surface.CHAT, other) == text_of(Surface.CHAT, plain)


async def test_fetched_bytes_are_what_is_looked_at(inside: Provider) -> None:
    call = make_call(images=(TEAL,))
    red = make_call(images=(picture("red"),))
    fetched = replace(call.images[0], content=picture("red"))
    swapped = replace(call, images=(fetched,))
    assert text_of(Surface.CHAT, json.loads(await read_all(await inside.send(swapped)))) == text_of(
        Surface.CHAT, json.loads(await read_all(await inside.send(red)))
    )


# ---- the sight engine ------------------------------------------------------------------------------------------


async def test_sight_leaves_what_it_cannot_know_empty(engine: SightEngine) -> None:
    schema = {
        "type": "object",
        "properties": {
            "photographer": {"type": "string"},
            "price": {"type": ["number", "null"]},
            "mood": {"type": "string", "enum": ["happy", "sad", "unknown"]},
            "people": {"type": "array", "items": {"type": "string"}},
        },
        "required": ["photographer", "price", "mood", "people"],
    }
    form = OutputFormat(kind="json_schema", name="x", schema=json.dumps(schema).encode())
    sight = SightProvider(engine, count_words)
    reply = json.loads(await read_all(await sight.send(make_call(images=(TEAL,), output_format=form))))
    found = json.loads(text_of(Surface.CHAT, reply))
    assert found == {"photographer": "", "price": None, "mood": "unknown", "people": []}


async def test_sight_names_a_picture_it_cannot_read_as_the_caller_wrote_it(engine: SightEngine) -> None:
    sight = SightProvider(engine, count_words)
    with pytest.raises(TesseraError) as caught:
        await sight.send(make_call(images=(TEAL, b"\x89PNG\r\n\x1a\nrubbish")))
    assert caught.value.param == "messages[0].content[1].image_url"


async def test_sight_without_a_picture_says_so(engine: SightEngine) -> None:
    reply = json.loads(await read_all(await SightProvider(engine, count_words).send(make_call())))
    assert "no picture" in text_of(Surface.CHAT, reply)
