"""Test keys are served by the sandbox for every catalogue model, whatever surface the model's own provider speaks."""

import base64

import openai
import pytest

import image_files as files
from receipts import nanos


def priced_models(client: openai.OpenAI) -> list[dict]:
    """The models that answer with text and have a price."""
    found = [model.to_dict()["tessera"] for model in client.models.list()]
    return [model for model in found if model["price"] and "text" in model["modalities"]["output"]]


def test_every_priced_model_answers_a_test_key(client: openai.OpenAI) -> None:
    models = priced_models(client)
    assert {model["provider"] for model in models} == {"openai", "anthropic", "gemini", "sight"}
    for model in models:
        reply = client.chat.completions.create(
            model=model["id"], messages=[{"role": "user", "content": "Hello"}], max_completion_tokens=16
        )
        assert reply.choices[0].message.content, model["id"]
        assert reply.usage is not None
        assert reply.usage.prompt_tokens > 0, model["id"]


@pytest.mark.parametrize("model", ["claude-opus-4-7", "gemini-2.5-flash", "gpt-5.2-pro"])
def test_a_model_of_any_provider_is_reached_through_responses_and_quoted(client: openai.OpenAI, model: str) -> None:
    body = {"model": model, "input": "Hello", "max_output_tokens": 16}
    quoted = client.post("/quotes", body={"url": "/v1/responses", "body": body}, cast_to=object)
    raw = client.responses.with_raw_response.create(**body)
    assert raw.parse().output_text
    assert 0 < nanos(raw.headers["tessera-charge"]) <= quoted["price"]["max_nanos"]
    streamed = client.responses.create(**body, stream=True)
    assert [event.type for event in streamed][-1] in {"response.completed", "response.incomplete"}


def asked(*images: bytes) -> dict:
    """A call with a text and these images."""
    parts: list[dict] = [{"type": "text", "text": "What is here?"}]
    for image in images:
        url = "data:image/png;base64," + base64.b64encode(image).decode()
        parts.append({"type": "image_url", "image_url": {"url": url, "detail": "low"}})
    return {"model": "gpt-4o", "messages": [{"role": "user", "content": parts}], "max_completion_tokens": 500}


def test_an_image_that_cannot_be_read_is_named_where_it_stands(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as refused:
        client.chat.completions.create(**asked(files.saved("PNG"), files.png_claiming(64, 64)))
    assert (refused.value.code, refused.value.param) == (
        "image_parse_error",
        "messages[0].content[2].image_url.url",
    )


def test_an_image_too_large_to_be_decoded_is_quoted_and_answered_as_a_provider_would(client: openai.OpenAI) -> None:
    body = asked(files.png_claiming(10_000, 6_000))
    quoted = client.post("/quotes", body={"url": "/v1/chat/completions", "body": body}, cast_to=object)
    raw = client.chat.completions.with_raw_response.create(**body)
    assert "did not look at the images" in raw.parse().choices[0].message.content
    assert "10,000 × 6,000" in raw.parse().choices[0].message.content
    assert 0 < nanos(raw.headers["tessera-charge"]) <= quoted["price"]["max_nanos"]
    schema = {
        "type": "object",
        "properties": {"a": {"type": "integer"}},
        "required": ["a"],
        "additionalProperties": False,
    }
    wanted = {"type": "json_schema", "json_schema": {"name": "n", "schema": schema, "strict": True}}
    assert client.chat.completions.create(**body, response_format=wanted).choices[0].message.content
