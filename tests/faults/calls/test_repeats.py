"""F31 and the rules of idempotency: what a key gets again, by how its first call ended."""

import json
import uuid
from typing import Any

import pytest

from fault_calls import HELLO, Seen, call, settled, until
from live_calls import Live
from raw_http import dial, request
from scripted_replies import Reply, chat_events, chat_reply, error_reply, hang, reset, sse_reply


def key() -> dict[str, str]:
    return {"idempotency-key": str(uuid.uuid4())}


def sent(live: Live) -> int:
    return len(live.first.received) + len(live.second.received)


def balance(live: Live) -> dict[str, Any]:
    """What there is of money; the forecast beside it moves with the clock."""
    found: dict[str, Any] = live.get("/balance")
    del found["forecast"]
    return found


def repeat(live: Live, headers: dict[str, str], first: Seen, **changes: Any) -> Seen:
    """The same call again, which must be a replay that costs nothing and reaches no provider."""
    receipt, before, calls = settled(live), balance(live), sent(live)
    again = call(live, headers=headers, **changes)
    assert again.headers["tessera-replayed"] == receipt["id"] == first.headers["x-request-id"]
    assert (again.status, again.body) == (first.status, first.body)
    assert again.headers["content-type"].partition(";")[0] == first.headers["content-type"].partition(";")[0]
    assert balance(live) == before
    assert (sent(live), live.last_receipt()) == (calls, receipt)
    return again


@pytest.mark.parametrize("stream", [False, True])
@pytest.mark.parametrize(
    ("failure", "status"),
    [
        (error_reply(400), 400),
        (error_reply(401), 503),
        (error_reply(429), 429),
        (error_reply(500), 502),
        (reset(), 502),
    ],
)
def test_a_call_that_failed_at_its_provider_is_the_same_error_again(
    live: Live, failure: Reply, status: int, stream: bool
) -> None:
    live.first.always = live.second.always = failure
    headers = key()
    first = call(live, headers=headers, stream=stream)
    assert first.status == status
    live.first.always = live.second.always = chat_reply("now it would work")
    again = repeat(live, headers, first, stream=stream)
    assert again.headers["x-should-retry"] == "false"
    assert again.headers["tessera-charge"] == "0.00"
    assert live.get("/balance")["available"] == "5.00"
    assert call(live, headers=key()).status == 200, "a new key is a new call"


@pytest.mark.parametrize(
    "broken",
    [
        sse_reply(chat_events(["one ", "two ", "three"]), cut_at=600),
        sse_reply([*chat_events(["one ", "two "])[:3], {"error": {"message": "broken inside"}}]),
    ],
)
def test_a_stream_that_broke_is_the_same_broken_stream_again(live: Live, broken: Reply) -> None:
    live.first.script(broken)
    headers = key()
    first = call(live, headers=headers, stream=True)
    assert first.events[-1]["error"]["code"] == "provider_error"
    repeat(live, headers, first, stream=True)
    assert live.get("/balance")["available"] == "5.00"


@pytest.mark.parametrize("stream", [False, True])
def test_a_finished_call_is_the_same_reply_again(live: Live, stream: bool) -> None:
    events = sse_reply(chat_events(["one ", "two"]))
    live.first.script(events if stream else chat_reply("one two"))
    headers = key()
    first = call(live, headers=headers, stream=stream)
    assert first.status == 200
    assert "x-should-retry" not in repeat(live, headers, first, stream=stream).headers


def test_a_reply_too_large_to_keep_is_an_error_that_names_request_and_charge(live: Live) -> None:
    live.first.script(chat_reply("x" * 1_200_000, prompt_tokens=8, completion_tokens=50))
    headers = key()
    first = call(live, headers=headers)
    assert first.status == 200
    spent = live.get("/balance")["spent_nanos"]
    again = call(live, headers=headers)
    assert (again.status, again.error["code"]) == (400, "idempotency_mismatch")
    assert again.headers["x-should-retry"] == "false"
    assert again.error["request_id"] == first.headers["x-request-id"]
    assert again.error["charge_nanos"] == spent == 8 * 2_500 + 50 * 10_000
    assert first.headers["x-request-id"] in again.error["message"]
    assert (sent(live), live.get("/balance")["spent_nanos"]) == (1, spent)


def test_a_call_its_client_left_is_not_run_again(live: Live) -> None:
    headers = key()
    live.first.script(hang())
    body = json.dumps(HELLO).encode()
    with dial(live.server.base_url) as connection:
        lines = (f"Idempotency-Key: {headers['idempotency-key']}",)
        connection.sendall(request("POST", "/v1/chat/completions", live.account.key, body, *lines))
        until(lambda: live.first.received)
    receipt = settled(live)
    again = call(live, headers=headers)
    assert (again.status, again.error["request_id"], sent(live)) == (400, receipt["id"], 1)


def test_a_call_that_never_got_past_the_hold_leaves_its_key_free(live: Live) -> None:
    poor = Live(live.server, live.first, live.second, live.images, live.server.account(mode="live"))
    headers = key()
    assert call(poor, headers=headers).status == 402
    assert call(poor, headers=headers, max_completion_tokens=0).status == 400
    poor.server.tessera("credit", "add", "--org", poor.account.organization, "--mode", "live", "--amount", "1")
    assert call(poor, headers=headers).status == 200
    assert sent(live) == 1


def test_a_key_is_one_accounts_own_and_not_longer_than_255_characters(live: Live) -> None:
    headers = key()
    other = Live(live.server, live.first, live.second, live.images, live.server.account(mode="live", credit="5.00"))
    assert [call(who, headers=headers).status for who in (live, other)] == [200, 200]
    assert sent(live) == 2
    assert call(live, headers={"idempotency-key": "k" * 255}).status == 200
    refused = call(live, headers={"idempotency-key": "k" * 256})
    assert (refused.status, refused.error["param"]) == (400, "Idempotency-Key")


def test_a_client_librarys_own_retry_without_a_key_is_a_call_of_its_own(live: Live) -> None:
    bodies = {call(live, headers={"x-stainless-retry-count": count}).status for count in ("0", "1")}
    assert bodies == {200}
    assert sent(live) == 2
    assert len(live.get("/requests")["data"]) == 2
