"""Calls as flows hand them to providers, and what comes back, for contract tests."""

import base64
import io
from collections.abc import Mapping
from typing import Any

import msgspec
from PIL import Image

from tessera.domain.dialects.render import Answer, Choice, ToolCall, render_reply, render_stream
from tessera.domain.quantities import Quantities
from tessera.domain.request import ImageOrigin, ImagePart, InferenceRequest, Message, Surface
from tessera.domain.tokens import Confidence, ImageCount, Span, TokenCount
from tessera.ports import Deployment, ProbedImage, UpstreamCall, UpstreamReply

SURFACES = (Surface.CHAT, Surface.RESPONSES)
USAGE = Quantities(input_tokens=300, input_image_tokens=255, output_tokens=12)
CREATED = 1_790_000_000


def count_words(text: str) -> int:
    """A tokenizer that is easy to check: a token for every four characters begun."""
    return -(-len(text) // 4)


def picture(colour: str = "teal") -> bytes:
    """A small PNG."""
    file = io.BytesIO()
    Image.new("RGB", (64, 48), colour).save(file, "PNG")
    return file.getvalue()


def image_part(content: bytes, index: int = 0) -> ImagePart:
    """The image as a data URL's base64, as the dialects hand it on."""
    return ImagePart(
        index=index,
        origin=ImageOrigin.DATA,
        media_type="image/png",
        data=memoryview(base64.b64encode(content)),
        param=f"messages[0].content[{index}].image_url",
    )


def image_count() -> ImageCount:
    return ImageCount(
        detail="auto",
        detail_used="high",
        width=64,
        height=48,
        rule="test",
        sized_width=64,
        sized_height=48,
        patches=None,
        tiles=1,
        multiplier="1",
        tokens=Span(255, 255),
        confidence=Confidence.PUBLISHED,
        rule_source="test",
        valid_from="2026-01-01",
    )


def make_call(
    surface: Surface = Surface.CHAT,
    *,
    text: str = "What is in the picture?",
    images: tuple[bytes, ...] = (),
    stream: bool = False,
    output_cap: int = 1000,
    headers: Mapping[str, str] | None = None,
    body: tuple[bytes | memoryview, ...] | None = None,
    model: str = "gpt-4o",
    messages: tuple[Message, ...] | None = None,
    request_id: str = "req_01test",
    **fields: Any,
) -> UpstreamCall:
    """A call; `fields` go to the counting view."""
    parts = tuple(image_part(content, index) for index, content in enumerate(images))
    request = InferenceRequest(
        surface=surface,
        model=model,
        messages=messages or (Message(role="user", texts=(text,)),),
        images=parts,
        stream=stream,
        **fields,
    )
    counts = tuple(image_count() for _ in images)
    probed = tuple(
        ProbedImage(index=i, source="data", format="png", width=64, height=48, orientation=1, size_bytes=len(content))
        for i, content in enumerate(images)
    )
    return UpstreamCall(
        request_id=request_id,
        deployment=Deployment(
            name=f"test/{model}", provider="test", model=model, upstream_model=model, surfaces=SURFACES
        ),
        surface=surface,
        stream=stream,
        body=body or (msgspec.json.encode({"model": model, "stream": stream}),),
        request=request,
        count=TokenCount(text=Span(45, 60), images=counts, text_confidence=Confidence.PUBLISHED),
        images=probed,
        output_cap=output_cap,
        headers=headers or {},
    )


async def read_all(reply: UpstreamReply) -> bytes:
    """The whole body; the reply is closed."""
    try:
        return b"".join([piece async for piece in reply.chunks()])
    finally:
        await reply.close()


def events_of(raw: bytes) -> list[Any]:
    """The JSON of each event of a stream, `[DONE]` left out."""
    frames = [frame for frame in raw.decode().split("\n\n") if frame]
    datas = [line.removeprefix("data: ") for frame in frames for line in frame.split("\n") if line.startswith("data: ")]
    return [msgspec.json.decode(data) for data in datas if data != "[DONE]"]


def simple_answer(text: str = "A small teal picture,\nnothing else.", **fields: Any) -> Answer:
    """An answer to render."""
    values: dict[str, Any] = {
        "id": "01test",
        "created": CREATED,
        "model": "gpt-4o",
        "choices": (Choice(text=text),),
        "usage": USAGE,
    }
    return Answer(**{**values, **fields})


def tool_answer() -> Answer:
    """An answer that calls two tools."""
    calls = (
        ToolCall(id="call_a", name="get_weather", arguments='{"city": "Bath and Wells", "days": 2}'),
        ToolCall(id="call_b", name="now", arguments="{}"),
    )
    return simple_answer(choices=(Choice(tool_calls=calls, finish_reason="tool_calls"),))


def rendered(surface: Surface, answer: Answer, *, stream: bool) -> bytes:
    """The answer's bytes."""
    return b"".join(render_stream(surface, answer)) if stream else render_reply(surface, answer)
