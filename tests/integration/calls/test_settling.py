"""Whatever a provider or a client does, the hold is resolved once, by the published policy."""

import json
import socket
import threading
import time
from urllib.parse import urlsplit

import openai
import pytest

from live_calls import Live
from receipts import assert_sound
from scripted_provider import (
    Reply,
    chat_events,
    chat_reply,
    close_silently,
    endless_sse,
    error_reply,
    hang,
    html_reply,
    reset,
    sse_reply,
)

HELLO = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "max_completion_tokens": 50}


def whole(live: Live, **changes: object):
    with live.client() as client:
        return client.chat.completions.with_raw_response.create(**{**HELLO, **changes})


def settled(live: Live) -> dict:
    """The newest receipt, once nothing is held any more."""
    deadline = time.monotonic() + 10
    while live.get("/balance")["held_nanos"]:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    return live.last_receipt()


def test_the_charge_is_the_providers_usage_at_the_pinned_price(live: Live) -> None:
    live.first.script(chat_reply(prompt_tokens=9, completion_tokens=3))
    whole(live)
    receipt = settled(live)
    assert_sound(receipt)
    assert receipt["charge"]["nanos"] == 9 * 2_500 + 3 * 10_000
    assert receipt["attempts"][0]["status"] == 200
    assert receipt["deployment"] == "first/gpt-4o-2024-08-06"


def test_cached_tokens_are_charged_once_at_their_own_price(live: Live) -> None:
    usage = {
        "prompt_tokens": 10,
        "completion_tokens": 1,
        "total_tokens": 11,
        "prompt_tokens_details": {"cached_tokens": 8},
    }
    live.first.script(chat_reply(usage=usage))
    whole(live)
    assert settled(live)["charge"]["nanos"] == 2 * 2_500 + 8 * 1_250 + 10_000


def test_usage_beyond_the_hold_is_waived_and_shown(live: Live) -> None:
    live.first.script(chat_reply(prompt_tokens=9, completion_tokens=100_000))
    whole(live)
    receipt = settled(live)
    assert receipt["charge"]["nanos"] == receipt["quote"]["price"]["max_nanos"]
    assert receipt["waived_nanos"] > 0
    assert_sound(receipt)


CACHED = {"cached_tokens": 9}


@pytest.mark.parametrize(
    ("usage", "source"),
    [
        (None, "local"),
        ({"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}, "local"),
        ({"prompt_tokens": -5, "completion_tokens": 3, "total_tokens": -2}, "quarantined"),
        ({"prompt_tokens": 10**15, "completion_tokens": 3, "total_tokens": 10**15}, "quarantined"),
        (
            {"prompt_tokens": 1, "completion_tokens": 1, "total_tokens": 2, "prompt_tokens_details": CACHED},
            "quarantined",
        ),
    ],
)
def test_usage_that_is_missing_or_absurd_is_replaced_by_our_own_count(live: Live, usage: object, source: str) -> None:
    live.first.script(chat_reply("one two three", usage=usage))
    whole(live)
    receipt = settled(live)
    assert_sound(receipt)
    assert receipt["usage"]["source"] == source
    assert receipt["usage"]["input_tokens"] == receipt["predicted"]["input_tokens"]
    assert receipt["usage"]["output_tokens"] == 3


@pytest.mark.parametrize("failure", [error_reply(500), error_reply(503), error_reply(429), error_reply(401), reset()])
def test_a_second_deployment_serves_when_the_first_fails(live: Live, failure: Reply) -> None:
    live.first.script(failure)
    live.second.script(chat_reply("from the second"))
    assert whole(live).parse().choices[0].message.content == "from the second"
    receipt = settled(live)
    assert_sound(receipt)
    assert len(receipt["attempts"]) == 2
    assert receipt["attempts"][0]["error"]
    assert receipt["deployment"] == "second/gpt-4o"


@pytest.mark.parametrize(
    ("failure", "status", "code"),
    [
        (error_reply(500), 502, "provider_error"),
        (error_reply(503), 503, "overloaded"),
        (error_reply(429), 429, "rate_limit_exceeded"),
        (error_reply(401), 503, "provider_credential_rejected"),
        (error_reply(402), 503, "provider_credential_rejected"),
        (html_reply(), 502, "provider_error"),
        (close_silently(), 502, "provider_error"),
        (error_reply(400, message="bad thing at https://inner.example"), 400, "invalid_request"),
    ],
)
def test_a_call_that_every_provider_failed_costs_nothing(live: Live, failure: Reply, status: int, code: str) -> None:
    live.first.always = live.second.always = failure
    with pytest.raises(openai.APIStatusError) as refused:
        whole(live)
    assert (refused.value.status_code, refused.value.code) == (status, code)
    assert "inner.example" not in refused.value.message
    receipt = settled(live)
    assert receipt["charge"]["nanos"] == 0
    assert live.get("/balance")["available"] == "5.00"


def test_a_stream_cut_after_the_first_token_ends_in_an_error_and_costs_nothing(live: Live) -> None:
    live.first.script(sse_reply(chat_events(["one ", "two ", "three"]), cut_at=500))
    with live.client() as client, pytest.raises(openai.APIError):
        list(client.chat.completions.create(**HELLO, stream=True))
    receipt = settled(live)
    assert (receipt["outcome"], receipt["charge"]["nanos"]) == ("provider_error", 0)


def test_a_stream_without_usage_is_counted_by_us(live: Live) -> None:
    live.first.script(sse_reply(chat_events(["one", " two", " three"], usage=False)))
    with live.client() as client:
        stream = client.chat.completions.create(**HELLO, stream=True, stream_options={"include_usage": True})
        last = list(stream)[-1]
    receipt = settled(live)
    assert_sound(receipt)
    assert receipt["usage"]["source"] == "local"
    assert last.usage.model_dump()["charge_nanos"] == receipt["charge"]["nanos"] > 0
    assert last.usage.completion_tokens == 3


def start_stream(live: Live) -> socket.socket:
    """A raw connection that has asked for a stream and reads nothing by itself."""
    address = urlsplit(live.server.base_url)
    connection = socket.create_connection((address.hostname, address.port), timeout=20)
    body = json.dumps({**HELLO, "stream": True}).encode()
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nhost: test\r\nauthorization: Bearer {live.account.key}\r\n"
        f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
    )
    connection.sendall(head.encode() + body)
    return connection


def test_a_client_that_leaves_mid_stream_pays_for_what_was_produced_and_the_provider_is_cut_off(live: Live) -> None:
    live.first.script(sse_reply(chat_events(["word "] * 500), delay_s=0.02))
    connection = start_stream(live)
    seen = b""
    while seen.count(b"word") < 3:
        seen += connection.recv(4096)
    connection.close()
    assert live.first.received[0].left_early.wait(10)
    receipt = settled(live)
    assert_sound(receipt)
    assert receipt["outcome"] == "client_disconnected"
    assert receipt["usage"]["source"] == "local"
    assert 3 <= receipt["usage"]["output_tokens"] < 500
    assert receipt["charge"]["nanos"] > 0


def test_a_client_that_leaves_before_the_first_token_pays_nothing(live: Live) -> None:
    live.first.script(hang())
    connection = start_stream(live)
    while not live.first.received:
        time.sleep(0.01)
    connection.close()
    receipt = settled(live)
    assert (receipt["outcome"], receipt["charge"]["nanos"]) == ("client_disconnected", 0)
    assert live.get("/balance")["available"] == "5.00"
    assert live.first.received[0].left_early.wait(10)


def test_a_client_that_leaves_while_waiting_for_a_whole_reply_pays_nothing(live: Live) -> None:
    live.first.script(hang())
    with live.client(timeout=0.5) as client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(**HELLO)
    receipt = settled(live)
    assert (receipt["outcome"], receipt["charge"]["nanos"]) == ("client_disconnected", 0)


def test_a_client_that_leaves_an_endless_stream_stops_it(live: Live) -> None:
    event = chat_events(["again "])[1]
    live.first.script(endless_sse(event))
    connection = start_stream(live)
    connection.recv(1024)
    connection.close()
    assert live.first.received[0].left_early.wait(10)
    receipt = settled(live)
    assert receipt["charge"]["nanos"] <= receipt["quote"]["price"]["max_nanos"]


@pytest.mark.parametrize("payable", [1, 7, 40])
def test_of_many_calls_at_once_exactly_as_many_pass_as_the_balance_pays_for(live: Live, payable: int) -> None:
    live.first.always = chat_reply(prompt_tokens=1, completion_tokens=1)
    live.first.script(chat_reply())
    whole(live)
    price_max = live.last_receipt()["quote"]["price"]["max_nanos"]
    nanos = price_max * payable + price_max - 1
    account = live.server.account(mode="live", credit=f"{nanos // 10**9}.{nanos % 10**9:09d}")
    gate = threading.Event()
    live.first.always = lambda request: (gate.wait(60), chat_reply())[1]
    statuses: list[int] = []

    def call() -> None:
        status, _, _ = Live(live.server, live.first, live.second, live.images, account).post(
            "/chat/completions", json.dumps(HELLO).encode()
        )
        statuses.append(status)

    threads = [threading.Thread(target=call) for _ in range(100)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + 30
    while len(statuses) < 100 - payable and time.monotonic() < deadline:
        time.sleep(0.01)
    gate.set()
    for thread in threads:
        thread.join()
    assert sorted(statuses) == [200] * payable + [429] * (100 - payable)
