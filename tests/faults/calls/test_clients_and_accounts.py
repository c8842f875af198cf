"""Faults F13, F14, F26, F28, F31 and F32: clients that leave, hurry, repeat and point at broken images."""

import concurrent.futures
import dataclasses
import json
import threading
import time
import uuid

import pytest

from fault_calls import HELLO, assert_free, call, settled, start, until
from live_calls import Live
from scripted_provider import (
    Reply,
    bytes_reply,
    chat_events,
    chat_reply,
    error_reply,
    gzip_bomb,
    hang,
    html_reply,
    reset,
    sse_reply,
)

texts: set[str] = set()
"""What callers were told of images that could not be fetched, over all causes."""


def test_f13_a_client_that_leaves_mid_stream_pays_for_what_was_produced(live: Live) -> None:
    live.first.script(sse_reply(chat_events(["word "] * 500), delay_s=0.02))
    connection = start(live, stream=True)
    seen = b""
    while seen.count(b"word") < 3:
        seen += connection.recv(4096)
    connection.close()
    assert live.first.received[0].left_early.wait(10)
    receipt = settled(live)
    assert (receipt["outcome"], receipt["usage"]["source"]) == ("client_disconnected", "local")
    assert receipt["charge"]["nanos"] > receipt["usage"]["input_tokens"] * 2_500


def test_f13_a_client_that_leaves_after_the_last_chunk_had_a_success(live: Live) -> None:
    live.first.script(sse_reply(chat_events(["one"])))
    connection = start(live, stream=True)
    seen = b""
    while b"[DONE]" not in seen:
        seen += connection.recv(4096)
    connection.close()
    assert settled(live)["outcome"] == "completed"


@pytest.mark.parametrize("stream", [False, True])
def test_f14_a_client_that_leaves_before_the_first_token_pays_nothing(live: Live, stream: bool) -> None:
    live.first.script(hang())
    connection = start(live, stream=stream)
    until(lambda: live.first.received)
    connection.close()
    assert live.first.received[0].left_early.wait(10)
    assert assert_free(live)["outcome"] == "client_disconnected"
    assert live.second.received == []


def test_f26_of_a_thousand_calls_at_once_exactly_those_pass_that_the_balance_pays_for(live: Live) -> None:
    payable, calls = 7, 1000
    live.first.script(chat_reply())
    call(live)
    price_max = settled(live)["quote"]["price"]["max_nanos"]
    nanos = price_max * payable + price_max // 2
    account = live.server.account(mode="live", credit=f"{nanos // 10**9}.{nanos % 10**9:09d}")
    one = Live(live.server, live.first, live.second, live.images, account)
    gate = threading.Event()
    live.first.received.clear()
    live.first.always = lambda request: (gate.wait(60), chat_reply(prompt_tokens=1, completion_tokens=1))[1]
    refused: list[int] = []

    def work() -> int:
        seen = call(one)
        if seen.status != 200:
            refused.append(seen.status)
            assert int(seen.headers["retry-after"]) > 0
            if len(refused) == calls - payable:
                gate.set()
        return seen.status

    with concurrent.futures.ThreadPoolExecutor(64) as pool:
        first = [pool.submit(work) for _ in range(payable)]
        until(lambda: one.get("/balance")["available_nanos"] < price_max)
        rest = [pool.submit(work) for _ in range(calls - payable)]
        statuses = [future.result() for future in (*first, *rest)]
    assert sorted(statuses) == [200] * payable + [429] * (calls - payable)
    assert settled(one)["charge"]["nanos"] > 0
    empty = live.server.account(mode="live", credit="0.000000001")
    poor = call(Live(live.server, live.first, live.second, live.images, empty))
    assert (poor.status, poor.error["code"]) == (402, "insufficient_balance")


def test_f28_a_key_revoked_mid_stream_lets_the_call_end_and_refuses_the_next_within_five_seconds(live: Live) -> None:
    live.first.script(sse_reply(chat_events(["word "] * 40), delay_s=0.1))
    connection = start(live, stream=True)
    seen = b""
    while b"word" not in seen:
        seen += connection.recv(4096)
    live.server.tessera("keys", "revoke", live.account.key_id)
    revoked_at = time.monotonic()
    until(lambda: call(live).status == 401, 5)
    assert time.monotonic() - revoked_at < 5
    while b"[DONE]" not in seen:
        piece = connection.recv(4096)
        assert piece
        seen += piece
    connection.close()
    assert call(live).status == 401, "the call that ended did not bring the key back"
    usage = live.server.tessera("usage", "--org", live.account.organization, "--json").stdout
    assert json.loads(usage)


def test_f28_a_key_revoked_now_cuts_its_streams_and_charges_what_was_delivered(live: Live) -> None:
    live.first.script(sse_reply(chat_events(["word "] * 900), delay_s=0.05))
    connection = start(live, stream=True)
    seen = b""
    while seen.count(b"word") < 3:
        seen += connection.recv(4096)
    live.server.tessera("keys", "revoke", "--now", live.account.key_id)
    revoked_at = time.monotonic()
    while b'"error"' not in seen.rpartition(b"data: ")[2]:
        piece = connection.recv(65536)
        assert piece, "the stream ends with an error, not in the middle"
        seen += piece
    assert time.monotonic() - revoked_at < 5
    assert b"invalid_api_key" in seen
    assert b"[DONE]" not in seen
    connection.close()
    assert live.first.received[0].left_early.wait(10), "the provider was hung up on"
    assert call(live).status == 401
    receipt = settled(with_new_key(live))
    assert (receipt["outcome"], receipt["policy"]) == ("revoked", "revoked-mid-stream")
    assert receipt["usage"]["output_tokens"] >= 3
    assert receipt["charge"]["nanos"] > receipt["usage"]["input_tokens"] * 2_500


def test_f28_a_key_revoked_now_cuts_a_call_that_waits_for_its_answer_and_charges_nothing(live: Live) -> None:
    live.first.script(hang())
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(call, live)
        until(lambda: live.first.received)
        live.server.tessera("keys", "revoke", "--now", live.account.key_id)
        refused = waiting.result(5)
    assert (refused.status, refused.error["code"], refused.headers["x-should-retry"]) == (
        401,
        "invalid_api_key",
        "false",
    )
    assert "was revoked while the call ran" in refused.error["message"]
    assert live.first.received[0].left_early.wait(10)
    receipt = assert_free(with_new_key(live))
    assert (receipt["outcome"], receipt["policy"]) == ("revoked", "revoked-before-output")


def test_f28_calls_under_other_keys_go_on_when_one_is_revoked_now(live: Live) -> None:
    other = with_new_key(live)
    live.first.script(sse_reply(chat_events(["word "] * 30), delay_s=0.1))
    connection = start(other, stream=True)
    seen = connection.recv(4096)
    live.server.tessera("keys", "revoke", "--now", live.account.key_id)
    while b"[DONE]" not in seen:
        piece = connection.recv(65536)
        assert piece
        seen += piece
    connection.close()
    assert settled(other)["outcome"] == "completed"


def test_f28_an_organization_suspended_mid_stream_lets_the_call_end_and_refuses_the_next(live: Live) -> None:
    live.first.script(sse_reply(chat_events(["word "] * 30), delay_s=0.1))
    connection = start(live, stream=True)
    seen = b""
    while b"word" not in seen:
        seen += connection.recv(4096)
    live.server.tessera("orgs", "suspend", live.account.organization)
    suspended_at = time.monotonic()
    refused = call(live)
    assert time.monotonic() - suspended_at < 5
    assert (refused.status, refused.error["code"]) == (403, "organization_suspended")
    assert refused.error["reason"] == "operator"
    assert "suspended by the operator" in refused.error["message"]
    while b"[DONE]" not in seen:
        piece = connection.recv(65536)
        assert piece
        seen += piece
    connection.close()
    receipt = settled(live)
    assert (receipt["outcome"], receipt["charge"]["nanos"]) == ("completed", 10 * 2_500 + 30 * 10_000)
    assert len(live.first.received) == 1
    live.server.tessera("orgs", "resume", live.account.organization)
    assert call(live).status == 200


def test_f28_a_budget_cut_mid_stream_lets_the_call_end_and_refuses_the_next(live: Live) -> None:
    live.first.script(sse_reply(chat_events(["word "] * 30), delay_s=0.1))
    connection = start(live, stream=True)
    seen = b""
    while b"word" not in seen:
        seen += connection.recv(4096)
    key = ("--org", live.account.organization, "--key", live.account.key_id)
    live.server.tessera("limits", "set", *key, "--budget-day", "0")
    cut_at = time.monotonic()
    refused = call(live)
    assert time.monotonic() - cut_at < 5
    assert (refused.status, refused.error["code"]) == (402, "budget_exceeded")
    assert (refused.error["scope"], refused.error["period"]) == ("key", "day")
    while b"[DONE]" not in seen:
        piece = connection.recv(65536)
        assert piece
        seen += piece
    connection.close()
    receipt = settled(live)
    assert (receipt["outcome"], receipt["charge"]["nanos"]) == ("completed", 10 * 2_500 + 30 * 10_000)
    assert len(live.first.received) == 1
    live.server.tessera("limits", "set", *key)
    assert call(live).status == 200


def with_new_key(live: Live) -> Live:
    """The same organization under another key."""
    made = live.server.tessera("keys", "create", "--org", live.account.organization, "--mode", "live", "--json").stdout
    account = dataclasses.replace(live.account, key=json.loads(made)["key"], key_id=json.loads(made)["id"])
    return Live(live.server, live.first, live.second, live.images, account)


def test_f31_a_repeat_while_the_first_runs_waits_and_after_it_costs_nothing(live: Live) -> None:
    headers = {"idempotency-key": str(uuid.uuid4())}
    gate = threading.Event()
    live.first.script(lambda request: (gate.wait(30), chat_reply("once"))[1])
    with concurrent.futures.ThreadPoolExecutor(1) as pool:
        first = pool.submit(call, live, headers=headers)
        until(lambda: live.get("/balance")["held_nanos"])
        again = call(live, headers=headers)
        assert (again.status, again.error["code"]) == (409, "idempotency_in_progress")
        assert int(again.headers["retry-after"]) > 0
        other = call(live, headers=headers, temperature=0.5)
        assert (other.status, other.error["code"], other.headers["x-should-retry"]) == (
            400,
            "idempotency_mismatch",
            "false",
        )
        gate.set()
        done = first.result()
    repeated = call(live, headers=headers)
    assert (repeated.status, repeated.body) == (200, done.body)
    assert "tessera-replayed" in repeated.headers
    assert len(live.first.received) == 1
    assert live.get("/balance")["spent_nanos"] == settled(live)["charge"]["nanos"]


def test_f31_a_refusal_that_cost_nothing_leaves_the_key_free(live: Live) -> None:
    headers = {"idempotency-key": str(uuid.uuid4())}
    assert call(live, headers=headers, n=0).status == 400
    live.first.script(chat_reply())
    assert call(live, headers=headers).status == 200
    assert len(live.first.received) == 1


UNFETCHED = "failed_to_download_image"


@pytest.mark.parametrize(
    ("broken", "code"),
    [
        (error_reply(404), UNFETCHED),
        (error_reply(500), UNFETCHED),
        (reset(), UNFETCHED),
        (gzip_bomb(20_000_000), UNFETCHED),
        (bytes_reply(b"", headers={"location": "http://169.254.169.254/"}, status=302), UNFETCHED),
        (html_reply(), "unsupported_image_format"),
        (bytes_reply(b"", content_type="image/png"), "image_parse_error"),
    ],
)
def test_f32_an_image_that_cannot_be_had_is_refused_in_one_text_and_free(live: Live, broken: Reply, code: str) -> None:
    live.images.always = broken
    url = f"http://127.0.0.1:{live.images.port}/a.png"
    content = [{"type": "text", "text": "?"}, {"type": "image_url", "image_url": {"url": url}}]
    refused = call(live, messages=[{"role": "user", "content": content}])
    assert (refused.status, refused.error["code"]) == (400, code)
    assert "127.0.0.1" not in refused.error["message"]
    if code == UNFETCHED:
        texts.add(refused.error["message"])
    assert len(texts) <= 1
    assert live.images.received
    assert live.first.received == []
    assert (live.get("/balance")["held_nanos"], live.get("/balance")["available"]) == (0, "5.00")


def test_nothing_is_sent_to_a_provider_before_money_is_held(live: Live) -> None:
    account = live.server.account(mode="live")
    assert call(Live(live.server, live.first, live.second, live.images, account)).status == 402
    assert live.first.received == []
    assert HELLO["model"] == "gpt-4o"
