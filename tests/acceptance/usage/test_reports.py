"""Reports of usage over HTTP: what calls were charged, to the nano, in Tessera's list and in OpenAI's shapes."""

import json
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlencode

import openai
import pytest
from openai.types.admin.organization import UsageCompletionsResponse, UsageCostsResponse, UsageImagesResponse

from people_calls import Browser, People, Reply, send

DAY = 86_400


@dataclass
class Used:
    """An organization in which two keys made calls: the receipts of all of them, newest first."""

    owner: Browser
    admin_key: str
    keys: dict[str, dict[str, Any]]
    receipts: list[dict[str, Any]]

    def get(self, path: str, key: str | None = None, **query: Any) -> Reply:
        sent = key or self.keys["one"]["value"]
        text = urlencode(query, doseq=True)
        return send(
            self.owner.base_url, "GET", f"{path}{'?' if text else ''}{text}", None, {"Authorization": f"Bearer {sent}"}
        )

    def charged(self) -> int:
        return sum(receipt["charge"]["nanos"] for receipt in self.receipts)


def chat(base_url: str, key: str, model: str) -> None:
    body = {"model": model, "messages": [{"role": "user", "content": "Hello"}]}
    reply = send(base_url, "POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {key}"})
    assert reply.status == 200, reply.text


@pytest.fixture(scope="module")
def used(people: People) -> Used:
    owner = people.newcomer()
    project = owner.project()
    keys = {
        name: owner.post(f"{owner.at()}/projects/{project}/api_keys", {"name": name, "mode": "test"}).json
        for name in ("one", "two")
    }
    for name, model in (("one", "gpt-4o"), ("one", "gpt-4o"), ("one", "gpt-5.2-pro"), ("two", "gpt-4o")):
        chat(people.base_url, keys[name]["value"], model)
    found = Used(owner, owner.admin_key(), keys, [])
    found.receipts = found.get("/v1/requests").json["data"]
    assert len(found.receipts) == 4
    return found


def test_the_list_adds_up_to_the_receipts(used: Used) -> None:
    listed = used.get("/v1/usage", group_by="model").json
    assert listed["object"] == "list"
    assert listed["has_more"] is False
    rows = {row["model"]: row for row in listed["data"]}
    assert sum(row["charge_nanos"] for row in rows.values()) == used.charged()
    assert {model: row["requests"] for model, row in rows.items()} == {"gpt-4o": 3, "gpt-5.2-pro": 1}
    pro = next(receipt for receipt in used.receipts if receipt["model"] == "gpt-5.2-pro")
    row = rows["gpt-5.2-pro"]
    assert row["charge"] == pro["charge"]["amount"]
    assert row["usage"] == {name: count for name, count in pro["usage"].items() if name != "source"}
    assert row["end_time"] - row["start_time"] == DAY
    assert (row["mode"], row["project"], row["key"]) == ("test", None, None)
    spent = used.get("/v1/balance").json["spent_nanos"]
    assert spent == used.charged()


@pytest.mark.parametrize("width", ["1m", "1h", "1d"])
def test_every_way_of_grouping_adds_up_alike(used: Used, width: str) -> None:
    for by in ("model", "project", "key", "member", "tier", "endpoint", ["key", "model", "tier"], "model,member"):
        rows = used.get("/v1/usage", bucket_width=width, group_by=by, start_time=int(time.time()) - DAY).json["data"]
        assert sum(row["charge_nanos"] for row in rows) == used.charged()
        assert sum(row["requests"] for row in rows) == 4


def test_a_member_is_the_maker_of_the_key(used: Used) -> None:
    rows = used.get("/v1/usage", group_by=["member", "key"]).json["data"]
    assert {row["member"] for row in rows} == {used.owner.person_id}
    assert {row["key"] for row in rows} == {key["id"] for key in used.keys.values()}
    two = used.get("/v1/usage", keys=used.keys["two"]["id"]).json["data"]
    assert [row["requests"] for row in two] == [1]
    assert used.get("/v1/usage", members="nobody").json["data"] == []
    assert used.get("/v1/usage", members=used.owner.person_id).json["data"][0]["requests"] == 4


def test_pages_hold_every_row_once_and_an_unknown_cursor_is_refused(used: Used) -> None:
    question = {"group_by": ["key", "model"], "bucket_width": "1m"}
    whole = used.get("/v1/usage", **question).json["data"]
    assert len({row["id"] for row in whole}) == len(whole) >= 3
    seen, after = [], None
    while True:
        page = used.get("/v1/usage", limit=1, **question, **({"after": after} if after else {})).json
        seen += page["data"]
        after = page["last_id"]
        if not page["has_more"]:
            break
    assert seen == whole
    for after in ("usg_1_0123456789abcdef", "nonsense", whole[0]["id"][:-1] + "~"):
        assert used.get("/v1/usage", after=after, **question).status == 400
    other = used.get("/v1/usage", group_by="model").json["data"][0]["id"]
    assert used.get("/v1/usage", after=other, **question).status == 400


@pytest.mark.parametrize(
    "query",
    [
        {"bucket_width": "2d"},
        {"group_by": "colour"},
        {"start_time": "yesterday"},
        {"start_time": 100, "end_time": 100},
        {"start_time": "9" * 30},
        {"limit": 0},
        {"limit": 1001},
        {"organization": "org_1"},
        {"mode": "live"},
        {"keys": ""},
        {"models": ","},
        {"group_by": ""},
        {"models": ["m"] * 1 + [str(n) for n in range(101)]},
        {"start_time": [1, 2]},
    ],
)
def test_a_question_that_makes_no_sense_is_refused_by_name(used: Used, query: dict[str, Any]) -> None:
    reply = used.get("/v1/usage", **query)
    assert (reply.status, reply.code) == (400, "invalid_request")
    assert reply.json["error"]["param"] in (*query, "end_time")


def test_nobody_sees_the_usage_of_others(used: Used, people: People) -> None:
    eve = people.newcomer("Eve")
    secret = eve.post(f"{eve.at()}/projects/{eve.project()}/api_keys", {"mode": "test"}).json["value"]
    assert used.get("/v1/usage", secret).json["data"] == []
    assert used.get("/v1/usage", secret, keys=used.keys["one"]["id"]).json["data"] == []
    start = int(time.time()) - DAY
    for path in ("/usage", "/usage/completions", "/usage/images", "/costs"):
        query = urlencode({"mode": "test"} if path == "/usage" else {"start_time": start, "mode": "test"})
        assert eve.get(f"{used.owner.at()}{path}?{query}").status == 404
        assert eve.get(f"{eve.at()}{path}?{query}").status == 200
        assert used.get(f"/v1/organization{path}", None, **dict(p.split("=") for p in query.split("&"))).status == 403
        others = used.get(f"/v1/organization{path}", eve.admin_key(), **dict(p.split("=") for p in query.split("&")))
        assert others.status == 200
        assert used.keys["one"]["id"] not in others.text


def test_the_members_list_is_the_keys(used: Used) -> None:
    member = used.owner.get(f"{used.owner.at()}/usage?mode=test&group_by=model").json
    assert member == used.get("/v1/usage", group_by="model").json
    assert used.owner.get(f"{used.owner.at()}/usage").json["data"] == []


def client(used: Used) -> openai.OpenAI:
    return openai.OpenAI(
        api_key="none", admin_api_key=used.admin_key, base_url=f"{used.owner.base_url}/v1", max_retries=0
    )


def test_openais_own_client_reads_completions(used: Used) -> None:
    start = int(time.time()) - 2 * DAY
    page = client(used).admin.organization.usage.completions(
        start_time=start, group_by=["model", "api_key_id"], extra_query={"mode": "test"}
    )
    assert len(page.data) == 3
    assert [bucket.results for bucket in page.data[:2]] == [[], []]
    assert not page.has_more
    results = [result for bucket in page.data for result in bucket.results]
    assert sum(result.num_model_requests for result in results) == 4
    tokens = sum(receipt["usage"]["input_tokens"] for receipt in used.receipts)
    assert sum(result.input_tokens for result in results) == tokens
    assert {result.api_key_id for result in results} == {key["id"] for key in used.keys.values()}
    filtered = client(used).admin.organization.usage.completions(
        start_time=start,
        models=["gpt-5.2-pro"],
        project_ids=[used.owner.project()],
        user_ids=[used.owner.person_id],
        api_key_ids=[used.keys["one"]["id"]],
        extra_query={"mode": "test"},
    )
    assert [result.num_model_requests for bucket in filtered.data for result in bucket.results] == [1]


def test_openais_own_client_reads_costs_and_images(used: Used) -> None:
    start = int(time.time())
    costs = client(used).admin.organization.usage.costs(
        start_time=start, group_by=["line_item"], extra_query={"mode": "test"}
    )
    values = {result.line_item: result.amount for bucket in costs.data for result in bucket.results}
    assert set(values) == {"gpt-4o", "gpt-5.2-pro"}
    images = client(used).admin.organization.usage.images(start_time=start, extra_query={"mode": "test"})
    assert [bucket.results for bucket in images.data] == [[]]


@pytest.mark.parametrize(
    ("path", "shape"),
    [
        ("usage/completions", UsageCompletionsResponse),
        ("usage/images", UsageImagesResponse),
        ("costs", UsageCostsResponse),
    ],
)
def test_pages_are_what_openai_publishes(used: Used, path: str, shape: Any) -> None:
    by = {"usage/completions": ["batch", "service_tier"], "usage/images": ["source"], "costs": ["project_id"]}[path]
    query = {"start_time": int(time.time()) - DAY, "mode": "test", "group_by[]": by}
    reply = used.get(f"/v1/organization/{path}", used.admin_key, **query)
    assert reply.status == 200, reply.text
    shape.model_validate_json(reply.text, strict=True)


def test_costs_are_written_digit_by_digit(used: Used) -> None:
    query = {"start_time": int(time.time()), "mode": "test"}
    text = used.get("/v1/organization/costs", used.admin_key, **query).text
    exact = json.loads(text, parse_float=str)["data"][0]["results"][0]["amount"]["value"]
    whole, _, nanos = exact.partition(".")
    assert int(whole) * 10**9 + int(nanos.ljust(9, "0")) == used.charged()


def test_pages_follow_each_other_and_end(used: Used) -> None:
    start = int(time.time()) - 5 * DAY
    query: dict[str, Any] = {"start_time": start, "mode": "test", "limit": 2}
    starts, pages = [], 0
    while True:
        page = used.get("/v1/organization/usage/completions", used.admin_key, **query).json
        starts += [bucket["start_time"] for bucket in page["data"]]
        pages += 1
        if not page["has_more"]:
            break
        query["page"] = page["next_page"]
    assert page["next_page"] is None
    assert pages == 3
    assert starts == list(range(start - start % DAY, int(time.time()), DAY))
    for wrong in ("page_0", "page_1", "2", "page_99999999999"):
        assert used.get("/v1/organization/usage/completions", used.admin_key, **{**query, "page": wrong}).status == 400


@pytest.mark.parametrize(
    ("path", "query"),
    [
        ("usage/completions", {}),
        ("usage/completions", {"start_time": 1, "limit": 32}),
        ("usage/completions", {"start_time": 1, "bucket_width": "1m", "limit": 1441}),
        ("usage/completions", {"start_time": 1, "batch": "perhaps"}),
        ("usage/completions", {"start_time": 1, "group_by": "size"}),
        ("usage/images", {"start_time": 1, "group_by": "size"}),
        ("usage/images", {"start_time": 1, "sources": "image.variation"}),
        ("costs", {"start_time": 1, "bucket_width": "1h"}),
        ("costs", {"start_time": 1, "limit": 181}),
        ("costs", {"start_time": 1, "models": "gpt-4o"}),
    ],
)
def test_a_page_that_openai_would_refuse_is_refused(used: Used, path: str, query: dict[str, Any]) -> None:
    reply = used.get(f"/v1/organization/{path}", used.admin_key, **query)
    assert (reply.status, reply.code) == (400, "invalid_request")
