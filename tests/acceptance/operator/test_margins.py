"""What an operator sees of what the installation earns, over HTTP and at the command line."""

import json
from typing import Any

import pytest

from people_calls import Browser, People, send

PATH = "/account/operator/margins"
AMOUNTS = ("charge", "refund", "waived", "cost", "loss", "fee", "margin")


@pytest.fixture(scope="module")
def operator(people: People) -> Browser:
    """An operator in whose organization two test calls were made."""
    made = people.newcomer()
    assert people.server.tessera("members", "operator", made.email).returncode == 0
    path = f"{made.at()}/projects/{made.project()}/api_keys"
    key = made.post(path, {"name": "calls", "mode": "test"}).json["value"]
    for model in ("gpt-4o", "gpt-4o-mini"):
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
        headers = {"Authorization": f"Bearer {key}"}
        assert send(people.base_url, "POST", "/v1/chat/completions", body, headers).status == 200
    return made


def check_sums(report: dict[str, Any]) -> None:
    for name in AMOUNTS:
        assert sum(line[f"{name}_nanos"] for line in report["data"]) == report["total"][f"{name}_nanos"]
    for line in (*report["data"], report["total"]):
        taken = sum(line[f"{name}_nanos"] for name in ("refund", "cost", "loss", "fee"))
        assert line["margin_nanos"] == line["charge_nanos"] - taken


def test_margins_are_told_apart_and_add_up(people: People, operator: Browser) -> None:
    reply = operator.get(f"{PATH}?mode=test&by=organization,model,provider&per=day")
    assert reply.status == 200, reply.text
    report = reply.json
    check_sums(report)
    lines = [line for line in report["data"] if line["organization_id"] == operator.organization]
    assert {(line["model"], line["provider"], line["requests"]) for line in lines} == {
        ("gpt-4o", "sandbox", 1),
        ("gpt-4o-mini", "sandbox", 1),
    }
    used = operator.get(f"{operator.at()}/usage?mode=test").json["data"]
    assert sum(line["charge_nanos"] for line in lines) == sum(bucket["charge_nanos"] for bucket in used)


def test_what_was_given_back_of_a_charge_is_no_margin(people: People, operator: Browser) -> None:
    key = operator.post(f"{operator.at()}/projects/{operator.project()}/api_keys", {"mode": "test"}).json["value"]
    body = {"model": "gpt-5", "messages": [{"role": "user", "content": "hello"}]}
    headers = {"Authorization": f"Bearer {key}"}
    call = send(people.base_url, "POST", "/v1/chat/completions", body, headers)
    people.server.tessera("refund", call.headers["x-request-id"])
    report = operator.get(f"{PATH}?mode=test&by=model,provider").json
    check_sums(report)
    (line,) = [line for line in report["data"] if line["model"] == "gpt-5"]
    assert line["refund_nanos"] == line["charge_nanos"] == call.json["usage"]["charge_nanos"]
    assert (line["requests"], line["provider"], line["margin_nanos"]) == (1, "sandbox", -line["cost_nanos"])
    assert "REFUNDED" in people.server.tessera("margins", "--mode", "test").stdout


def test_the_command_says_the_same_as_the_route(people: People, operator: Browser) -> None:
    arguments = ("margins", "--mode", "test", "--by", "model", "--per", "month")
    said = json.loads(people.server.tessera(*arguments, "--json").stdout)
    assert said == operator.get(f"{PATH}?mode=test&by=model&per=month").json
    assert [line["start"][-2:] for line in said["data"]] == ["01"] * len(said["data"])
    table = people.server.tessera(*arguments).stdout
    assert ("gpt-4o-mini" in table, "total" in table) == (True, True)
    nothing = people.server.tessera("margins", "--from", "2020-01-01", "--until", "2020-02-01").stdout
    assert nothing == "No calls from 2020-01-01 until 2020-02-01.\n"


@pytest.mark.parametrize(
    ("query", "param"),
    [
        ("start=2026-13-01", "start"),
        ("start=20261101", "start"),
        ("end=0001-01-01", "end"),
        ("start=2026-11-02&end=2026-11-02", "end"),
        ("by=key", "by"),
        ("per=week", "per"),
        ("mode=both", "mode"),
        ("organization=org_1", "organization"),
    ],
)
def test_a_bad_question_is_refused_by_name(operator: Browser, query: str, param: str) -> None:
    reply = operator.get(f"{PATH}?{query}")
    assert (reply.status, reply.json["error"]["param"]) == (400, param)


def test_who_is_an_operator_no_more_sees_nothing_at_once(people: People, operator: Browser) -> None:
    other = people.newcomer()
    assert other.get(PATH).status == 403
    people.server.tessera("members", "operator", other.email)
    assert other.get(PATH).status == 200
    people.server.tessera("members", "operator", other.email, "--remove")
    assert other.get(PATH).status == 403
