"""Chat completions through the official client: described, counted, charged, receipted."""

import json
from typing import Any

import openai
import pydantic
import pytest

from receipts import assert_sound, nanos
from servers import TesseraServer

MODEL = "gpt-5.2-pro"


def messages(photograph: str, text: str = "What is in this picture?") -> list[dict[str, object]]:
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": photograph}}]
    return [{"role": "user", "content": parts}]


def receipt(client: openai.OpenAI, request_id: str) -> dict:
    return client.get(f"/requests/{request_id}", cast_to=object)


def test_a_photograph_is_described_and_the_reply_says_what_it_cost(client: openai.OpenAI, photograph: str) -> None:
    raw = client.chat.completions.with_raw_response.create(model=MODEL, messages=messages(photograph))
    reply = raw.parse()
    assert len(reply.choices[0].message.content) > 100
    usage = reply.usage.model_dump()
    found = receipt(client, raw.headers["x-request-id"])
    assert_sound(found)
    assert found["outcome"] == "completed"
    assert found["usage"]["source"] == "provider"
    assert usage["charge"] == raw.headers["tessera-charge"] == found["charge"]["amount"]
    assert usage["charge_nanos"] == found["charge"]["nanos"] > 0
    assert usage["request_id"] == found["id"]
    assert nanos(raw.headers["tessera-price-max"]) == found["quote"]["price"]["max_nanos"]
    assert found["predicted"]["input_tokens"] == usage["prompt_tokens"]


def test_a_streamed_call_ends_with_the_usage_and_the_charge(client: openai.OpenAI, photograph: str) -> None:
    stream = client.chat.completions.create(
        model=MODEL, messages=messages(photograph), stream=True, stream_options={"include_usage": True}
    )
    chunks = list(stream)
    text = "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)
    last = chunks[-1]
    assert len(text) > 100
    assert last.choices == []
    found = receipt(client, last.usage.model_dump()["request_id"])
    assert_sound(found)
    assert found["stream"] is True
    assert found["charge"]["nanos"] == last.usage.model_dump()["charge_nanos"]
    assert all(chunk.usage is None for chunk in chunks[:-1])


def test_faults_that_a_test_key_asks_for_are_no_news_to_the_operator(
    server: TesseraServer, client: openai.OpenAI
) -> None:
    for fault in ["status=401", *["status=500"] * 6]:
        with pytest.raises(openai.InternalServerError):
            client.chat.completions.create(
                model="gpt-4.1",
                messages=[{"role": "user", "content": "Hello"}],
                extra_headers={"Tessera-Sandbox-Fault": fault},
            )
    told = server.log.read_text()
    assert "sandbox/gpt-4.1" not in told
    assert "credential_rejected" not in told


def test_a_stream_whose_caller_did_not_ask_for_usage_gets_no_usage_chunk(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hello"}], stream=True
    )
    chunks = list(stream)
    assert all(chunk.usage is None for chunk in chunks)
    assert chunks[-1].choices[0].finish_reason == "stop"


def test_a_stream_and_a_whole_reply_cost_the_same(client: openai.OpenAI, photograph: str) -> None:
    whole = client.chat.completions.create(model="gpt-4o", messages=messages(photograph))
    stream = client.chat.completions.create(
        model="gpt-4o", messages=messages(photograph), stream=True, stream_options={"include_usage": True}
    )
    assert list(stream)[-1].usage.model_dump()["charge"] == whole.usage.model_dump()["charge"]


def test_structured_output_is_valid_for_its_schema(client: openai.OpenAI, photograph: str) -> None:
    schema = {
        "type": "object",
        "properties": {
            "dominant_color": {"type": "string"},
            "brightness": {"type": "string", "enum": ["dark", "medium", "bright"]},
            "faces": {"type": "integer"},
        },
        "required": ["dominant_color", "brightness", "faces"],
        "additionalProperties": False,
    }
    reply = client.chat.completions.create(
        model="gpt-4o",
        messages=messages(photograph, "Fill in the form."),
        response_format={"type": "json_schema", "json_schema": {"name": "form", "schema": schema, "strict": True}},
    )
    filled = json.loads(reply.choices[0].message.content)
    assert set(filled) == {"dominant_color", "brightness", "faces"}
    assert filled["brightness"] in ("dark", "medium", "bright")


def test_a_required_tool_is_called_with_valid_arguments(client: openai.OpenAI) -> None:
    tool = {
        "type": "function",
        "function": {
            "name": "get_weather",
            "description": "The weather in a city",
            "parameters": {"type": "object", "properties": {"city": {"type": "string"}}, "required": ["city"]},
        },
    }
    reply = client.chat.completions.create(
        model="gpt-4o",
        messages=[{"role": "user", "content": "What is the weather in Paris?"}],
        tools=[tool],
        tool_choice="required",
    )
    call = reply.choices[0].message.tool_calls[0]
    assert reply.choices[0].finish_reason == "tool_calls"
    assert call.function.name == "get_weather"
    assert isinstance(json.loads(call.function.arguments)["city"], str)


def test_several_images_are_counted_one_by_one(client: openai.OpenAI, photograph: str) -> None:
    content = [
        {"type": "text", "text": "Compare them."},
        {"type": "image_url", "image_url": {"url": photograph, "detail": "low"}},
        {"type": "image_url", "image_url": {"url": photograph, "detail": "high"}},
    ]
    raw = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=[{"role": "user", "content": content}]
    )
    images = receipt(client, raw.headers["x-request-id"])["quote"]["images"]
    assert [image["detail_used"] for image in images] == ["low", "high"]
    assert images[0]["tokens"]["predicted"] == 85
    assert images[1]["tokens"]["predicted"] > 85


def test_the_output_cap_is_kept_and_said(client: openai.OpenAI, photograph: str) -> None:
    reply = client.chat.completions.create(model="gpt-4o", messages=messages(photograph), max_completion_tokens=5)
    assert reply.choices[0].finish_reason == "length"
    assert reply.usage.completion_tokens <= 5


@pytest.mark.parametrize(
    ("changes", "status", "code", "param"),
    [
        ({"model": "gpt-none"}, 404, "model_not_found", "model"),
        ({"previous_response_id": "x"}, 400, "unsupported_parameter", "previous_response_id"),
        ({"max_completion_tokens": 0}, 400, None, "max_completion_tokens"),
        ({"max_completion_tokens": -1}, 400, None, "max_completion_tokens"),
        ({"max_completion_tokens": 10**12}, 400, None, "max_completion_tokens"),
        ({"service_tier": "ultrafast"}, 400, "unsupported_service_tier", "service_tier"),
        ({"model": "gpt-4o", "service_tier": "flex"}, 400, "unsupported_service_tier", None),
        ({"messages": []}, 400, None, "messages"),
        ({"n": 0}, 400, None, "n"),
    ],
)
def test_a_call_that_cannot_be_priced_is_refused_by_name(
    client: openai.OpenAI, changes: dict[str, object], status: int, code: str | None, param: str | None
) -> None:
    body: dict[str, object] = {"model": MODEL, "messages": [{"role": "user", "content": "Hello"}], **changes}
    with pytest.raises(openai.APIStatusError) as refused:
        client.post("/chat/completions", body=body, cast_to=object)
    assert refused.value.status_code == status
    assert code is None or refused.value.code == code
    assert param is None or refused.value.param == param
    balance = client.get("/balance", cast_to=object)
    assert (balance["held_nanos"], balance["spent_nanos"]) == (0, 0)


class Picture(pydantic.BaseModel):
    """What the sandbox is asked to fill in."""

    title: str
    people: int


@pytest.mark.parametrize("model", [MODEL, "gpt-4.1-mini"])
def test_an_answer_that_was_read_by_a_schema_goes_on_as_a_conversation(client: openai.OpenAI, model: str) -> None:
    said: list[Any] = [{"role": "user", "content": "What is in this picture?"}]
    first = client.chat.completions.parse(model=model, messages=said, response_format=Picture)
    assert isinstance(first.choices[0].message.parsed, Picture)
    said += [first.choices[0].message, {"role": "user", "content": "And in words?"}]
    second = client.chat.completions.create(model=model, messages=said)
    assert second.choices[0].message.content
