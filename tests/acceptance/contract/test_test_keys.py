"""Test keys are served by the sandbox for every catalogue model, whatever surface the model's own provider speaks."""

import openai
import pytest

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
