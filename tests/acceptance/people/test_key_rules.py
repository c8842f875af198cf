"""Rules and limits of keys over HTTP: refused before anything costs work, in words that name what is missing."""

from typing import Any

import pytest

from people_calls import Browser, People, Reply, send

CHAT = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Say hello."}]}
DATED = "gpt-4o-2024-08-06"


def keys_of(browser: Browser) -> str:
    return f"{browser.at()}/projects/{browser.project()}/api_keys"


def new_key(browser: Browser, **rules: Any) -> dict[str, Any]:
    reply = browser.post(keys_of(browser), {"mode": "test", "rules": rules})
    assert reply.status == 200, reply.text
    made: dict[str, Any] = reply.json
    return made


def ask(people: People, key: dict[str, Any], body: dict[str, Any], path: str = "/v1/chat/completions") -> Reply:
    return send(people.base_url, "POST", path, body, {"Authorization": f"Bearer {key['value']}"})


def show(people: People, key: dict[str, Any], path: str) -> Reply:
    return send(people.base_url, "GET", path, None, {"Authorization": f"Bearer {key['value']}"})


def denied(reply: Reply, rule: str, missing: str) -> None:
    assert (reply.status, reply.code) == (403, "permission_denied"), reply.text
    error = reply.json["error"]
    assert (error["rule"], error["missing"]) == (rule, missing)
    assert missing in error["message"]


@pytest.mark.parametrize(
    ("rules", "param"),
    [
        ({"endpoints": ["/v1/nothing"]}, "endpoints"),
        ({"models": ["gpt-4o", "no-such-model"]}, "models"),
        ({"ip_ranges": ["10.0.0.1/8"]}, "ip_ranges"),
        ({"output_tokens_max": 1}, "output_tokens_max"),
    ],
)
def test_rules_that_make_no_sense_are_refused_by_name(people: People, rules: dict[str, Any], param: str) -> None:
    ada = people.newcomer()
    reply = ada.post(keys_of(ada), {"mode": "test", "rules": rules})
    assert (reply.status, reply.json["error"]["param"]) == (400, param)
    key = new_key(ada)
    reply = ada.post(f"{keys_of(ada)}/{key['id']}/rules", rules)
    assert (reply.status, reply.json["error"]["param"]) == (400, param)
    assert ada.get(f"{keys_of(ada)}/{key['id']}").json["rules"] is None


def test_a_key_opens_its_endpoints_only(people: People) -> None:
    key = new_key(people.newcomer(), endpoints=["/v1/chat/completions", "/v1/models"])
    assert ask(people, key, CHAT).status == 200
    assert show(people, key, "/v1/models/gpt-4o").status == 200
    denied(show(people, key, "/v1/balance"), "endpoints", "/v1/balance")
    denied(ask(people, key, {}, "/v1/responses"), "endpoints", "/v1/responses")


def test_a_rule_on_a_model_means_it_under_all_its_names(people: People) -> None:
    ada = people.newcomer()
    for named in ("gpt-4o", DATED):
        key = new_key(ada, models=[named])
        assert ask(people, key, CHAT).status == 200
        assert ask(people, key, {**CHAT, "model": DATED}).status == 200
        denied(ask(people, key, {**CHAT, "model": "gpt-4o-mini"}), "models", "gpt-4o-mini")
        quote = {"url": "/v1/chat/completions", "body": {**CHAT, "model": "gpt-4o-mini"}}
        denied(ask(people, key, quote, "/v1/quotes"), "models", "gpt-4o-mini")
        denied(show(people, key, "/v1/models/gpt-4o-mini"), "models", "gpt-4o-mini")
        listed = {model["id"] for model in show(people, key, "/v1/models").json["data"]}
        assert {"gpt-4o", DATED} <= listed
        assert "gpt-4o-mini" not in listed
    before = show(people, key, "/v1/balance").json["spent_nanos"]
    denied(ask(people, key, {**CHAT, "model": "gpt-4o-mini"}), "models", "gpt-4o-mini")
    assert show(people, key, "/v1/balance").json["spent_nanos"] == before


def test_a_kept_reply_of_another_key_is_not_given_past_the_rules(people: People) -> None:
    ada = people.newcomer()
    free, bound = new_key(ada), new_key(ada, models=["gpt-4o-mini"])
    replies = [
        send(
            people.base_url,
            "POST",
            "/v1/chat/completions",
            CHAT,
            {"Authorization": f"Bearer {key['value']}", "Idempotency-Key": "the same"},
        )
        for key in (free, bound)
    ]
    assert replies[0].status == 200
    denied(replies[1], "models", "gpt-4o")


def test_a_key_works_from_its_addresses_only(people: People) -> None:
    ada = people.newcomer()
    near, far = new_key(ada, ip_ranges=["127.0.0.0/8", "::1"]), new_key(ada, ip_ranges=["203.0.113.0/24"])
    assert show(people, near, "/v1/balance").status == 200
    denied(show(people, far, "/v1/balance"), "ip_ranges", "127.0.0.1")
    # Nobody is a trusted proxy here: what a client says of its address is not believed.
    forged = {"Authorization": f"Bearer {far['value']}", "X-Forwarded-For": "203.0.113.7"}
    denied(send(people.base_url, "GET", "/v1/balance", None, forged), "ip_ranges", "127.0.0.1")


def test_an_output_cap_lowers_the_default_and_refuses_who_asks_for_more(people: People) -> None:
    ada = people.newcomer()
    key, free = new_key(ada, output_tokens_max=20), new_key(ada)
    asked = {**CHAT, "max_completion_tokens": 20}
    capped, same = ask(people, key, CHAT), ask(people, free, asked)
    assert capped.status == same.status == 200
    assert capped.headers["tessera-price-max"] == same.headers["tessera-price-max"]
    assert capped.json["usage"]["completion_tokens"] <= 20
    assert float(ask(people, free, CHAT).headers["tessera-price-max"]) > float(same.headers["tessera-price-max"])
    denied(ask(people, key, {**CHAT, "max_completion_tokens": 21}), "output_tokens_max", "21")
    reply = ask(people, key, {"model": "gpt-4o", "input": "hello", "max_output_tokens": 21}, "/v1/responses")
    denied(reply, "output_tokens_max", "21")
    assert reply.json["error"]["param"] == "max_output_tokens"


def test_rules_are_changed_kept_by_rotation_and_audited(people: People) -> None:
    ada = people.newcomer()
    key = new_key(ada)
    path = f"{keys_of(ada)}/{key['id']}"
    assert show(people, key, "/v1/balance").status == 200
    assert ada.get(path).json["last_used_at"] is None
    changed = ada.post(f"{path}/rules", {"endpoints": ["/v1/models"]}).json
    assert changed["rules"]["endpoints"] == ["/v1/models"]
    denied(show(people, key, "/v1/balance"), "endpoints", "/v1/balance")
    new = ada.post(f"{path}/rotate", {}).json
    assert new["rules"] == changed["rules"]
    denied(show(people, new, "/v1/balance"), "endpoints", "/v1/balance")
    actions = [event["type"] for event in ada.get(f"{ada.at()}/audit_logs").json["data"]]
    assert "api_key.rules_changed" in actions
    assert ada.post(f"{keys_of(ada)}/{new['id']}/rules", {}).json["rules"] is None
    assert show(people, new, "/v1/balance").status == 200
    assert ask(people, new, CHAT).status == 200
    assert isinstance(ada.get(f"{keys_of(ada)}/{new['id']}").json["last_used_at"], int)


def test_limits_are_set_and_shown_for_a_key_a_project_and_the_organization(people: People) -> None:
    ada = people.newcomer()
    developer = people.member(ada, "developer")
    key = new_key(ada)
    project = f"{ada.at()}/projects/{ada.project()}"
    mine = f"{project}/api_keys/{key['id']}/limits"
    assert ask(people, key, CHAT).status == 200
    for path, body in ((mine, {}), (f"{project}/limits", {"mode": "test"}), (f"{ada.at()}/limits", {"mode": "test"})):
        query = "?mode=test" if body else ""
        used = ada.get(path + query).json["used"]
        assert used["total_nanos"] > 0
        made = ada.post(path, {**body, "budget_day": "0.000000001", "concurrent_max": 5}).json
        assert (made["limits"]["budget_day_nanos"], made["limits"]["concurrent_max"]) == (1, 5)
        assert made["used"] == used
        refused = ask(people, key, CHAT)
        assert (refused.status, refused.code) == (402, "budget_exceeded")
        assert refused.json["error"]["scope"] == made["kind"]
        assert developer.get(path + query).json == made
        assert ada.post(path, body).json["limits"]["budget_day"] is None
        assert ask(people, key, CHAT).status == 200
        wrong = ada.post(path, {**body, "requests_per_minute": 0})
        assert (wrong.status, wrong.json["error"]["param"]) == (400, "requests_per_minute")
        wrong = ada.post(path, {**body, "budget_total": "1e3"})
        assert (wrong.status, wrong.json["error"]["param"]) == (400, "budget_total")
    assert developer.post(mine, {"requests_per_minute": 9}).status == 200
    assert developer.post(f"{project}/limits", {}).status == 403
    assert developer.post(f"{ada.at()}/limits", {}).status == 403
    changes = [event for event in ada.get(f"{ada.at()}/audit_logs").json["data"] if event["type"] == "limits.changed"]
    assert len(changes) == 7
