"""Live events: each call as it is held, served and settled, to its own organization only, resumed where it broke."""

import json
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from event_streams import SECONDS_MAX, listening
from people_calls import Reply, send
from servers import Account, TesseraServer, running_server, tessera


def chat(server: TesseraServer, key: str, **changes: Any) -> Reply:
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], **changes}
    return send(server.base_url, "POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {key}"})


def refused(server: TesseraServer, key: str, last_event_id: str) -> Reply:
    headers = {"Authorization": f"Bearer {key}", "Last-Event-ID": last_event_id}
    return send(server.base_url, "GET", "/v1/events", None, headers)


@pytest.fixture
def account(server: TesseraServer) -> Account:
    return server.account()


def test_a_call_is_heard_as_it_is_held_served_and_settled(server: TesseraServer, account: Account) -> None:
    with listening(server.base_url, account.key) as stream:
        reply = chat(server, account.key)
        request_id = reply.headers["x-request-id"]
        (settled,) = stream.wait("request.settled")
        balance = stream.wait("balance.changed")[-1]
    assert [event["type"] for event in stream.events if event["type"] != "balance.changed"] == [
        "request.held",
        "request.served",
        "request.settled",
    ]
    assert {event["data"]["request_id"] for event in stream.events if "request_id" in event["data"]} == {request_id}
    assert all(set(event) == {"id", "type", "created_at", "data"} for event in stream.events)
    assert stream.ids == [event["id"] for event in stream.events]
    assert settled["data"]["charge_nanos"] == reply.json["usage"]["charge_nanos"]
    assert settled["data"]["key"] == account.key_id
    held = stream.wait("request.held")[0]["data"]
    assert held["held_nanos"] >= settled["data"]["charge_nanos"]
    shown = send(server.base_url, "GET", "/v1/balance", None, {"Authorization": f"Bearer {account.key}"}).json
    assert balance["data"]["available_nanos"] == shown["available_nanos"]


def test_only_its_own_organization_and_mode_is_heard(server: TesseraServer, account: Account) -> None:
    other = server.account()
    with listening(server.base_url, account.key) as stream, listening(server.base_url, other.key) as theirs:
        chat(server, other.key)
        theirs.wait("request.settled")
        chat(server, account.key)
        stream.wait("request.settled")
    ours = {event["data"]["key"] for event in stream.events if "key" in event["data"]}
    assert ours == {account.key_id}
    assert {event["data"]["key"] for event in theirs.events if "key" in event["data"]} == {other.key_id}


def test_a_refused_call_is_heard_without_a_place_to_come_back_to(server: TesseraServer, account: Account) -> None:
    with listening(server.base_url, account.key) as stream:
        reply = chat(server, account.key, model="no-such-model")
        assert reply.status == 404
        (event,) = stream.wait("request.refused")
    assert event["data"]["code"] == "model_not_found"
    assert event["data"]["status"] == 404
    assert event["data"]["request_id"] == reply.headers["x-request-id"]
    assert event["id"] not in stream.ids


def test_credit_changes_the_balance_that_is_heard(server: TesseraServer, account: Account) -> None:
    with listening(server.base_url, account.key) as stream:
        place = ("--org", account.organization, "--data", str(server.data_dir))
        tessera("credit", "add", *place, "--mode", "test", "--amount", "1.00")
        (event,) = stream.wait("balance.changed")
    assert event["data"]["available"] == "101.00"


def test_a_listener_that_comes_back_is_given_what_it_missed_once_and_in_order(
    server: TesseraServer, account: Account
) -> None:
    with listening(server.base_url, account.key) as stream:
        chat(server, account.key)
        stream.wait("request.settled")
    first = next(event for event in stream.events if event["type"] == "request.held")
    chat(server, account.key)
    with listening(server.base_url, account.key, first["id"]) as again:
        again.wait("request.settled", 2)
        chat(server, account.key)
        again.wait("request.settled", 3)
    kinds = [event["type"] for event in again.events if event["type"].startswith("request")]
    assert kinds == ["request.served", "request.settled", *["request.held", "request.served", "request.settled"] * 2]
    assert len(set(again.ids)) == len(again.ids)
    assert not [event for event in again.events if event["type"] == "events.missed"]


def test_an_alert_is_heard_once_by_its_own_organization_and_after_what_crossed_it(
    server: TesseraServer, account: Account
) -> None:
    place = ("--org", account.organization, "--data", str(server.data_dir))
    other = server.account()
    for amount in ("0.000001", "0.000002"):
        tessera("alerts", "set", *place, "--mode", "test", "--spent", amount)
    with listening(server.base_url, account.key) as stream, listening(server.base_url, other.key) as theirs:
        chat(server, account.key)
        chat(server, other.key)
        first, second = stream.wait("alert.raised", 2)
        theirs.wait("request.settled")
    kinds = [event["type"] for event in stream.events]
    assert kinds.index("request.settled") < kinds.index("alert.raised")
    raised = json.loads(tessera("alerts", "raised", *place, "--json").stdout)
    told = [{**notice["data"], "notice_id": notice["id"]} for notice in raised]
    assert [first["data"], second["data"]] == sorted(told, key=lambda data: data["notice_id"])
    assert "alert.raised" not in [event["type"] for event in theirs.events]

    with listening(server.base_url, account.key, first["id"]) as again:
        chat(server, account.key)
        again.wait("request.settled")
    assert [event for event in again.events if event["type"] == "alert.raised"] == [second]
    assert again.events[0] == second, "what was missed comes first"
    (later,) = again.wait("balance.changed")[-1:]
    with listening(server.base_url, account.key, later["id"]) as after:
        chat(server, account.key)
        after.wait("request.settled")
    assert "alert.raised" not in [event["type"] for event in after.events]
    reply = refused(server, account.key, first["id"].replace("alert_1", "alert_99").replace("evt_", "evt_99"))
    assert reply.status == 400


@pytest.mark.parametrize(
    "last",
    [
        "nonsense",
        "evt_1_alert",
        "evt_1_alert_x",
        "evt_1_unknown",
        "evt_999999_held",
        "evt_9223372036854775808_held",
        "evt_9999999999999999999_settled",
        "evt_99999999999999999999_held",
    ],
)
def test_a_place_that_was_never_given_is_refused(server: TesseraServer, account: Account, last: str) -> None:
    reply = refused(server, account.key, last)
    assert (reply.status, reply.json["error"]["param"]) == (400, "Last-Event-ID")


def test_a_revoked_key_hears_nothing_more(server: TesseraServer, account: Account) -> None:
    with listening(server.base_url, account.key) as stream:
        tessera("keys", "revoke", account.key_id, "--data", str(server.data_dir))
        assert stream.ended.wait(5)


def test_a_revoked_key_hears_nothing_more_however_much_there_is_to_hear(
    server: TesseraServer, account: Account
) -> None:
    place = ("--org", account.organization, "--data", str(server.data_dir))
    made = tessera("keys", "create", *place, "--mode", "test", "--json").stdout
    busy = json.loads(made)["key"]
    ended = threading.Event()

    def call() -> None:
        while not ended.wait(0.05):
            chat(server, busy)

    calls = threading.Thread(target=call)
    with listening(server.base_url, account.key) as stream:
        calls.start()
        try:
            stream.wait("request.settled", 3)
            tessera("keys", "revoke", account.key_id, "--data", str(server.data_dir))
            assert stream.ended.wait(SECONDS_MAX)
        finally:
            ended.set()
            calls.join()


def test_there_is_a_bound_on_listeners_and_a_place_is_free_again_when_one_leaves(
    server: TesseraServer, account: Account
) -> None:
    opened = [listening(server.base_url, account.key) for _ in range(16)]
    try:
        for one in opened:
            one.__enter__()
        headers = {"Authorization": f"Bearer {account.key}"}
        reply = send(server.base_url, "GET", "/v1/events", None, headers)
        assert (reply.status, reply.code) == (429, "concurrency_exceeded")
    finally:
        for one in opened:
            one.__exit__(None, None, None)
    deadline = time.monotonic() + SECONDS_MAX
    while True:
        try:
            with listening(server.base_url, account.key) as stream:
                chat(server, account.key)
                stream.wait("request.settled")
            return
        except AssertionError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.1)


def test_a_server_that_ends_lets_listeners_go_at_once(tmp_path: Path) -> None:
    with running_server(tmp_path) as server:
        with listening(server.base_url, server.account().key) as stream:
            started = time.monotonic()
            server.stop()
            assert stream.ended.wait(5)
        assert time.monotonic() - started < 10
