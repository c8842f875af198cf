"""What a provider receives: the caller's own bytes, and nothing of the caller's that is none of its business."""

import base64
import json
from importlib.resources import files

import pytest

from live_calls import CREDENTIAL, Live
from receipts import assert_sound
from scripted_provider import bytes_reply, chat_reply, json_reply

PHOTOGRAPH = files("tessera.cli").joinpath("photos", "rocket.jpg").read_bytes()
DATA_URL = "data:image/jpeg;base64," + base64.b64encode(PHOTOGRAPH).decode()


def test_values_that_need_no_change_arrive_byte_for_byte(live: Live) -> None:
    odd = b'{"role":"user",  "content": "caf\\u00e9 \\/ \xe2\x82\xac 1.0 1e2"}'
    body = b'{ "temperature": 1.00, "model":"gpt-4o", "messages": [' + odd + b'], "seed":7, "metadata": {"k" : "v"} }'
    live.first.script(chat_reply())
    status, _, _ = live.post("/chat/completions", body)
    assert status == 200
    sent = live.first.received[0].body
    assert odd in sent
    assert b'"temperature": 1.00' in sent or b'"temperature":1.00' in sent
    assert b'{"k" : "v"}' in sent


def test_only_what_must_change_changes(live: Live) -> None:
    live.first.script(chat_reply())
    asked = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "temperature": 0.5}
    live.post("/chat/completions", json.dumps(asked).encode())
    sent = live.first.received[0].json()
    assert sent.pop("model") == "gpt-4o-2024-08-06"
    cap = sent.pop("max_completion_tokens", None) or sent.pop("max_tokens")
    assert cap == live.last_receipt()["quote"]["output"]["max_tokens"]
    assert sent.pop("service_tier", "default") == "default"
    assert sent == {"messages": asked["messages"], "temperature": 0.5}


def test_the_callers_key_stays_here_and_the_operators_credential_goes_to_its_host_only(live: Live) -> None:
    live.first.script(chat_reply())
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}]}
    live.post(
        "/chat/completions", json.dumps(body).encode(), **{"x-secret": "s", "cookie": "c=1", "OpenAI-Project": "p"}
    )
    received = live.first.received[0]
    assert received.credential == CREDENTIAL
    assert live.account.key not in str(received.headers)
    assert not {"x-secret", "cookie", "openai-project", "x-api-key"} & set(received.headers)


def test_an_image_in_the_body_goes_on_as_it_came(live: Live) -> None:
    live.first.script(chat_reply())
    content = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": DATA_URL, "detail": "low"}}]
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}
    live.post("/chat/completions", json.dumps(body).encode())
    assert live.first.received[0].json()["messages"][0]["content"] == content


def test_an_image_address_is_fetched_once_and_sent_on_as_the_bytes_that_were_counted(live: Live) -> None:
    live.images.script(bytes_reply(PHOTOGRAPH, content_type="image/jpeg"))
    live.first.script(chat_reply())
    url = f"http://127.0.0.1:{live.images.port}/rocket.jpg"
    content = [{"type": "image_url", "image_url": {"url": url}}]
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": content}]}
    status, _, reply = live.post("/chat/completions", json.dumps(body).encode())
    assert status == 200, reply
    assert len(live.images.received) == 1
    sent = live.first.received[0].json()["messages"][0]["content"][0]["image_url"]["url"]
    assert sent == DATA_URL
    image = live.last_receipt()["quote"]["images"][0]
    assert (image["source"], image["format"]) == ("url", "jpeg")


def test_a_chat_call_to_a_model_that_speaks_responses_is_translated_there_and_back(live: Live) -> None:
    output = [
        {
            "type": "message",
            "id": "msg_1",
            "status": "completed",
            "role": "assistant",
            "content": [{"type": "output_text", "text": "A rocket.", "annotations": []}],
        }
    ]
    answer = {
        "id": "resp_1",
        "object": "response",
        "created_at": 1_700_000_000,
        "status": "completed",
        "model": "gpt-5.2-pro",
        "output": output,
        "parallel_tool_calls": True,
        "tool_choice": "auto",
        "tools": [],
        "usage": {
            "input_tokens": 500,
            "input_tokens_details": {"cached_tokens": 0},
            "output_tokens": 4,
            "output_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": 504,
        },
    }
    live.first.script(json_reply(answer))
    content = [
        {"type": "text", "text": "What is it?"},
        {"type": "image_url", "image_url": {"url": DATA_URL, "detail": "high"}},
    ]
    with live.client() as client:
        reply = client.chat.completions.create(
            model="gpt-5.2-pro", messages=[{"role": "user", "content": content}], max_completion_tokens=100
        )
    received = live.first.received[0]
    assert received.path == "/v1/responses"
    sent = received.json()
    assert sent["max_output_tokens"] == 100
    assert {"type": "input_image", "image_url": DATA_URL, "detail": "high"} in sent["input"][0]["content"]
    assert reply.choices[0].message.content == "A rocket."
    assert (reply.usage.prompt_tokens, reply.usage.completion_tokens) == (500, 4)
    receipt = live.last_receipt()
    assert_sound(receipt)
    assert receipt["charge"]["nanos"] == 500 * 21_000 + 4 * 168_000


@pytest.mark.parametrize("surface", ["/chat/completions", "/responses"])
def test_a_field_that_has_no_word_on_the_other_side_is_refused_by_name(live: Live, surface: str) -> None:
    if surface == "/chat/completions":
        body = {"model": "gpt-5.2-pro", "messages": [{"role": "user", "content": "Hi"}], "stop": ["x"]}
        field = "stop"
    else:
        body = {"model": "gpt-4o", "input": "Hi", "truncation": "auto"}
        field = "truncation"
    status, _, reply = live.post(surface, json.dumps(body).encode())
    assert status == 400
    assert json.loads(reply)["error"]["param"] == field
    assert live.first.received == []
    assert live.get("/balance")["held_nanos"] == 0
