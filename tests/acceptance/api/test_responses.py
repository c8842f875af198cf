"""Responses through the official client."""

import json

import openai
from pydantic import BaseModel

from receipts import assert_sound


def asked(photograph: str, text: str = "Describe it.") -> list[dict[str, object]]:
    parts = [{"type": "input_text", "text": text}, {"type": "input_image", "image_url": photograph, "detail": "auto"}]
    return [{"role": "user", "content": parts}]


def test_a_response_describes_and_says_what_it_cost(client: openai.OpenAI, photograph: str) -> None:
    raw = client.responses.with_raw_response.create(model="gpt-5.2-pro", input=asked(photograph))
    reply = raw.parse()
    assert reply.status == "completed"
    assert len(reply.output_text) > 100
    found = client.get(f"/requests/{raw.headers['x-request-id']}", cast_to=object)
    assert_sound(found)
    assert found["endpoint"] == "/v1/responses"
    assert reply.usage.model_dump()["charge_nanos"] == found["charge"]["nanos"]


def test_a_streamed_response_ends_with_the_charge(client: openai.OpenAI, photograph: str) -> None:
    with client.responses.stream(model="gpt-5.2-pro", input=asked(photograph)) as stream:
        text = "".join(event.delta for event in stream if event.type == "response.output_text.delta")
        final = stream.get_final_response()
    assert text == final.output_text
    usage = final.usage.model_dump()
    found = client.get(f"/requests/{usage['request_id']}", cast_to=object)
    assert_sound(found)
    assert found["charge"]["nanos"] == usage["charge_nanos"] > 0


def test_the_input_tokens_predicted_are_the_input_tokens_charged(client: openai.OpenAI, photograph: str) -> None:
    counted = client.responses.input_tokens.count(model="gpt-5.2", input=asked(photograph))
    reply = client.responses.create(model="gpt-5.2", input=asked(photograph))
    assert counted.object == "response.input_tokens"
    assert counted.input_tokens == reply.usage.input_tokens


def test_counting_is_free(client: openai.OpenAI, photograph: str) -> None:
    client.responses.input_tokens.count(model="gpt-5.2", input=asked(photograph))
    balance = client.get("/balance", cast_to=object)
    assert (balance["available"], balance["spent_nanos"]) == ("100.00", 0)


class Picture(BaseModel):
    description: str
    dominant_color: str
    has_text: bool


def test_a_response_is_parsed_into_a_class(client: openai.OpenAI, photograph: str) -> None:
    reply = client.responses.parse(model="gpt-5.2", input=asked(photograph), text_format=Picture)
    assert reply.output_parsed is not None
    assert reply.output_parsed.description


def test_a_function_is_called(client: openai.OpenAI) -> None:
    tool = {
        "type": "function",
        "name": "look_up",
        "description": "Looks a part up",
        "parameters": {
            "type": "object",
            "properties": {"part": {"type": "string"}},
            "required": ["part"],
            "additionalProperties": False,
        },
        "strict": True,
    }
    reply = client.responses.create(model="gpt-5.2", input="Look up part 7.", tools=[tool], tool_choice="required")
    call = next(item for item in reply.output if item.type == "function_call")
    assert call.name == "look_up"
    assert isinstance(json.loads(call.arguments)["part"], str)
