"""Limits as people meet them: set beside a running server, told in headers, refused by name, nothing charged."""

import json
import urllib.error
import urllib.request
from decimal import Decimal
from email.message import Message

import pytest

from servers import Account, TesseraServer


class Answer:
    """Status, headers and decoded body of a reply."""

    def __init__(self, status: int, headers: Message, body: bytes) -> None:
        self.status = status
        self.headers = headers
        self.body = json.loads(body)


@pytest.fixture
def account(server: TesseraServer) -> Account:
    return server.account(mode="test")


def request(server: TesseraServer, account: Account, **changes: object) -> urllib.request.Request:
    body = {"model": "gpt-5.2-pro", "messages": [{"role": "user", "content": "Hello"}], "max_completion_tokens": 50}
    headers = {"Authorization": f"Bearer {account.key}", "Content-Type": "application/json"}
    return urllib.request.Request(f"{server.api}/chat/completions", json.dumps(body | changes).encode(), headers)


def chat(server: TesseraServer, account: Account, **changes: object) -> Answer:
    try:
        with urllib.request.urlopen(request(server, account, **changes), timeout=30) as reply:
            return Answer(reply.status, reply.headers, reply.read())
    except urllib.error.HTTPError as refused:
        with refused:
            return Answer(refused.code, refused.headers, refused.read())


def limit(server: TesseraServer, account: Account, *options: str) -> dict[str, object]:
    done = server.tessera("limits", "set", "--org", account.organization, "--key", account.key_id, "--json", *options)
    return json.loads(done.stdout)


def test_calls_a_minute_are_told_in_headers_and_past_them_a_call_is_refused_until_later(
    server: TesseraServer, account: Account
) -> None:
    first = chat(server, account)
    assert not [name for name in first.headers if name.lower().startswith("x-ratelimit")]
    limit(server, account, "--requests-per-minute", "2", "--tokens-per-minute", "10000")
    second = chat(server, account)
    assert second.status == 200
    assert second.headers["x-ratelimit-limit-requests"] == "2"
    assert second.headers["x-ratelimit-remaining-requests"] == "1"
    assert second.headers["x-ratelimit-reset-requests"].endswith("s")
    assert 0 < int(second.headers["x-ratelimit-remaining-tokens"]) < 10_000
    assert chat(server, account).status == 200
    refused = chat(server, account)
    assert refused.status == 429
    assert refused.body["error"]["code"] == "rate_limit_exceeded"
    assert 1 <= int(refused.headers["retry-after"]) <= 60
    assert refused.headers["x-ratelimit-limit-requests"] == "2"
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"
    assert 0 < float(refused.headers["x-ratelimit-reset-requests"].removesuffix("s")) <= 60
    assert refused.headers["x-ratelimit-limit-tokens"] == "10000"
    assert 0 < int(refused.headers["x-ratelimit-remaining-tokens"]) < 10_000
    limit(server, account)
    assert chat(server, account).status == 200


def test_a_budget_refuses_with_what_is_left_of_it_and_charges_nothing(server: TesseraServer, account: Account) -> None:
    spent = chat(server, account).headers["tessera-charge"]
    budget = str(Decimal(spent) + Decimal("0.006"))
    shown = limit(server, account, "--budget-month", budget)
    assert (shown["month"], shown["budget_month"]) == (spent, budget)
    refused = chat(server, account)
    error = refused.body["error"]
    assert refused.status == 402
    assert error["code"] == "budget_exceeded"
    assert error["scope"] == "key"
    assert error["period"] == "month"
    assert 0 < error["output_tokens_affordable"] < 50
    fitted = chat(server, account, max_completion_tokens=error["output_tokens_affordable"])
    assert fitted.status == 200


def test_a_running_call_takes_its_place_among_those_allowed_at_once(server: TesseraServer, account: Account) -> None:
    limit(server, account, "--concurrent", "1")
    with urllib.request.urlopen(request(server, account, stream=True), timeout=30) as running:
        assert running.status == 200
        limit(server, account, "--concurrent", "0")
        refused = chat(server, account)
    assert refused.status == 429
    assert refused.body["error"]["code"] == "concurrency_exceeded"


def test_a_mistaken_limit_is_refused_in_words(server: TesseraServer, account: Account) -> None:
    for options in (
        ["--budget-day", "much"],
        ["--key", "key_1", "--project", "default"],
        ["--requests-per-minute", "0"],
    ):
        done = server.tessera("limits", "set", "--org", account.organization, *options, check=False)
        assert done.returncode == 2
    done = server.tessera("limits", "set", "--org", account.organization, "--key", "key_none", check=False)
    assert done.returncode == 1
    assert "key_none" in done.stderr


def test_limits_and_use_are_listed_by_key_project_and_organization(server: TesseraServer, account: Account) -> None:
    charge = chat(server, account).headers["tessera-charge"]
    assert limit(server, account, "--budget-total", "1.50")["mode"] == "test", "the key's own"
    done = server.tessera("limits", "list", "--org", account.organization, "--mode", "test", "--json")
    found = {row["kind"]: row for row in json.loads(done.stdout)}
    assert set(found) == {"key", "project", "organization"}
    assert {row["spent"] for row in found.values()} == {charge}
    assert {row["mode"] for row in found.values()} == {"test"}
    assert found["key"]["budget_total"] == "1.50"
    assert found["organization"]["budget_total"] is None
