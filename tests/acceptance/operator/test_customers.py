"""What operators see and do about customers over HTTP, in a server that goes on running."""

import time
from typing import Any

import pytest

from people_calls import Browser, People, Reply, send

CUSTOMERS = "/account/operator/customers"
CREDITS = "/account/operator/credits"


@pytest.fixture(scope="module")
def operators(people: People) -> tuple[Browser, Browser]:
    """Two people who operate the installation."""
    found = people.newcomer("Olga"), people.newcomer("Otto")
    for one in found:
        assert people.server.tessera("members", "operator", one.email).returncode == 0
    return found


def customer(people: People) -> tuple[Browser, str]:
    """Somebody with an organization of their own, and a live key of it."""
    owner = people.newcomer("Carl")
    made = owner.post(f"{owner.at()}/projects/{owner.project()}/api_keys", {"name": "calls", "mode": "live"})
    return owner, made.json["value"]


def call(people: People, key: str) -> Reply:
    body = {"model": "tessera/sight", "messages": [{"role": "user", "content": "hello"}], "max_tokens": 20}
    return send(people.base_url, "POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {key}"})


def give(operator: Browser, organization: str, key: str = "a-key", **fields: Any) -> Reply:
    body = {"amount": "5.00", "note": "welcome", **fields}
    return operator.post(f"{CUSTOMERS}/{organization}/credits", body, **{"Idempotency-Key": key})


def test_a_customer_is_found_credited_suspended_and_resumed(people: People, operators: tuple[Browser, Browser]) -> None:
    operator, _ = operators
    owner, key = customer(people)
    (found,) = operator.get(f"{CUSTOMERS}?search={owner.email}").json["data"]
    assert (found["id"], found["owner"], found["balance"]["available"]) == (owner.organization, owner.email, "0.00")
    assert call(people, key).code == "insufficient_balance"

    given = give(operator, owner.organization)
    assert (given.status, given.json["status"], given.json["amount_nanos"]) == (200, "given", 5_000_000_000)
    again = give(operator, owner.organization)
    assert (again.json["id"], again.headers["idempotent-replayed"]) == (given.json["id"], "true")
    used = call(people, key)
    assert used.status == 200, used.text
    shown = operator.get(f"{CUSTOMERS}/{owner.organization}").json
    balance = shown["balance"]
    assert balance["available_nanos"] + balance["held_nanos"] + balance["spent_nanos"] == 5_000_000_000
    assert balance["spent_nanos"] == used.json["usage"]["charge_nanos"] > 0
    assert shown["last_used_at"] is not None

    path = f"{CUSTOMERS}/{owner.organization}"
    suspended = operator.post(f"{path}/suspend", {"reason": "unpaid invoice"})
    assert (suspended.status, suspended.json["suspended_for"]) == (200, "operator")
    assert call(people, key).code == "organization_suspended"
    assert owner.organization in {one["id"] for one in operator.get(f"{CUSTOMERS}?suspended=true").json["data"]}
    assert operator.post(f"{path}/resume").json["suspended"] is False
    assert call(people, key).status == 200
    assert owner.organization not in {one["id"] for one in operator.get(f"{CUSTOMERS}?suspended=true").json["data"]}

    log = owner.get(f"{owner.at()}/audit_logs?limit=3").json["data"]
    assert [event["type"] for event in log] == ["organization.resumed", "organization.suspended", "credit.added"]
    assert log[1]["details"] == {"reason": "unpaid invoice"}, "where the operator sits is not the customer's to know"


def test_a_large_credit_takes_two_operators(people: People, operators: tuple[Browser, Browser]) -> None:
    first, second = operators
    owner, _ = customer(people)
    asked = give(first, owner.organization, "large", amount="1000000.00").json
    assert (asked["status"], asked["lot"], asked["approved_by"]) == ("pending", None, None)
    assert asked["id"] in {one["id"] for one in second.get(f"{CREDITS}?status=pending").json["data"]}
    path = f"{CREDITS}/{asked['id']}"
    assert first.post(f"{path}/approve").code == "permission_denied"
    given = second.post(f"{path}/approve").json
    assert (given["status"], given["made_by"], given["approved_by"]) == ("given", first.person_id, second.person_id)
    assert second.post(f"{path}/approve").code == "invalid_request"
    shown = first.get(f"{CUSTOMERS}/{owner.organization}").json
    assert shown["balance"]["available"] == "1000000.00"

    other = give(first, owner.organization, "larger", amount="2000000.00").json
    assert first.post(f"{CREDITS}/{other['id']}/withdraw").json["status"] == "withdrawn"
    assert second.post(f"{CREDITS}/{other['id']}/approve").code == "invalid_request"


def test_customers_page_as_lists_do(people: People, operators: tuple[Browser, Browser]) -> None:
    operator, _ = operators
    for _ in range(3):
        people.newcomer()
    first = operator.get(f"{CUSTOMERS}?limit=2").json
    assert (len(first["data"]), first["has_more"]) == (2, True)
    second = operator.get(f"{CUSTOMERS}?limit=2&after={first['last_id']}").json
    assert second["data"][0]["id"] < first["last_id"]


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("limit=0", "limit"),
        ("after=anywhere", "after"),
        ("after=org_1", "after"),
        ("search=", "search"),
        (f"search={'x' * 101}", "search"),
        ("search=%00", "search"),
        ("suspended=yes", "suspended"),
        ("name=x", "name"),
    ],
)
def test_a_bad_question_is_refused_by_name(operators: tuple[Browser, Browser], query: str, param: str) -> None:
    reply = operators[0].get(f"{CUSTOMERS}?{query}")
    assert (reply.status, reply.json["error"]["param"]) == (400, param)


@pytest.mark.parametrize(
    ("fields", "param"),
    [
        ({"amount": "-5"}, "amount"),
        ({"amount": "0.00"}, "amount"),
        ({"amount": "1e3"}, "amount"),
        ({"amount": "0.0000000001"}, "amount"),
        ({"amount": 5}, "amount"),
        ({"note": " "}, "note"),
        ({"note": "a\x00b"}, "note"),
        ({"note": "x" * 501}, "note"),
        ({"mode": "both"}, "mode"),
        ({"kind": "purchase"}, "kind"),
        ({"expires_at": 1}, "expires_at"),
        ({"expires_at": 1.5}, "expires_at"),
        ({"lot_id": "lot_1"}, "lot_id"),
    ],
)
def test_a_bad_credit_is_refused_by_name_and_gives_nothing(
    operators: tuple[Browser, Browser], fields: dict[str, Any], param: str
) -> None:
    operator, _ = operators
    before = operator.get(f"{CUSTOMERS}/{operator.organization}").json["balance"]
    reply = give(operator, operator.organization, "bad", **fields)
    assert (reply.status, reply.json["error"]["param"]) == (400, param), reply.text
    assert operator.get(f"{CUSTOMERS}/{operator.organization}").json["balance"] == before


def test_a_repeat_is_answered_though_the_credit_has_expired_since(operators: tuple[Browser, Browser]) -> None:
    operator, _ = operators
    expires_at = int(time.time()) + 5
    given = give(operator, operator.organization, "soon gone", expires_at=expires_at)
    assert given.status == 200, given.text
    time.sleep(max(0.0, expires_at + 0.1 - time.time()))
    again = give(operator, operator.organization, "soon gone", expires_at=expires_at)
    assert (again.status, again.json) == (200, given.json)


def test_a_credit_needs_an_idempotency_key_and_a_customer(operators: tuple[Browser, Browser]) -> None:
    operator, _ = operators
    body = {"amount": "5.00", "note": "welcome"}
    for headers in ({}, {"Idempotency-Key": ""}, {"Idempotency-Key": "x" * 256}):
        reply = operator.post(f"{CUSTOMERS}/{operator.organization}/credits", body, **headers)
        assert (reply.status, reply.json["error"]["param"]) == (400, "Idempotency-Key")
    assert give(operator, f"org_{'0' * 32}", "to nobody").status == 404
    assert operator.get(f"{CREDITS}?status=lost").json["error"]["param"] == "status"


@pytest.mark.parametrize("customer_id", [f"org_{'0' * 32}", "nobody", "%00", "org_%"])
def test_a_customer_that_is_not_there_is_not_found(operators: tuple[Browser, Browser], customer_id: str) -> None:
    operator, _ = operators
    path = f"{CUSTOMERS}/{customer_id}"
    assert operator.get(path).status == 404
    assert operator.post(f"{path}/resume").status == 404
    assert operator.post(f"{path}/suspend", {"reason": "why"}).status == 404
    assert operator.post(f"{CREDITS}/mcr_{'0' * 32}/approve").status == 404
