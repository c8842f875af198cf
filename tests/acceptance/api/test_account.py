"""Who calls, what is left, what happened."""

import http.client
import json
import time
from urllib.parse import urlsplit

import openai
import pytest

from receipts import nanos
from servers import Account, TesseraServer


def raw(server: TesseraServer, method: str, path: str, headers: dict[str, str] | None = None):
    address = urlsplit(server.base_url)
    connection = http.client.HTTPConnection(address.hostname, address.port, timeout=30)
    try:
        connection.request(method, path, headers=headers or {})
        reply = connection.getresponse()
        return reply.status, dict(reply.getheaders()), reply.read()
    finally:
        connection.close()


@pytest.mark.parametrize("header", ["Authorization", "x-api-key", "x-goog-api-key"])
def test_a_key_is_taken_from_each_header_alike(server: TesseraServer, account: Account, header: str) -> None:
    value = f"Bearer {account.key}" if header == "Authorization" else account.key
    assert raw(server, "GET", "/v1/balance", {header: value})[0] == 200


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"Authorization": "Bearer"},
        {"Authorization": "Bearer sk-tess-live-" + "0" * 36},
        {"Authorization": "Basic abc"},
        {"x-api-key": "sk-other"},
        {"x-api-key": ""},
    ],
)
def test_anything_but_a_valid_key_is_the_same_401(server: TesseraServer, headers: dict[str, str]) -> None:
    status, _, body = raw(server, "GET", "/v1/balance", headers)
    assert status == 401
    assert json.loads(body)["error"]["code"] == "invalid_api_key"


def test_two_different_keys_are_no_key(server: TesseraServer, account: Account) -> None:
    other = server.account()
    headers = {"Authorization": f"Bearer {account.key}", "x-api-key": other.key}
    assert raw(server, "GET", "/v1/balance", headers)[0] == 401


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/balance"),
        ("GET", "/v1/requests/req_1"),
        ("GET", "/v1/quotes/quote_1"),
        ("POST", "/v1/quotes"),
        ("POST", "/v1/topups"),
        ("POST", "/v1/vouchers/redeem"),
    ],
)
def test_a_query_is_refused_by_name_where_a_route_takes_none(
    server: TesseraServer, account: Account, method: str, path: str
) -> None:
    """A key has its own mode: asked for the other one, it must not answer with this."""
    status, _, body = raw(server, method, f"{path}?mode=live", {"x-api-key": account.key})
    assert (status, json.loads(body)["error"]["param"]) == (400, "mode")


def test_a_key_in_the_address_is_refused(server: TesseraServer, account: Account) -> None:
    status, _, body = raw(server, "GET", f"/v1/balance?api_key={account.key}", {"x-api-key": account.key})
    assert status == 400
    assert account.key not in body.decode()


def test_a_revoked_key_is_refused_within_five_seconds(server: TesseraServer) -> None:
    account = server.account()
    assert raw(server, "GET", "/v1/balance", {"x-api-key": account.key})[0] == 200
    server.tessera("keys", "revoke", account.key_id)
    deadline = time.monotonic() + 5
    while raw(server, "GET", "/v1/balance", {"x-api-key": account.key})[0] != 401:
        assert time.monotonic() < deadline
        time.sleep(0.1)


def test_the_balance_falls_by_exactly_what_was_charged(client: openai.OpenAI) -> None:
    before = client.get("/balance", cast_to=object)
    reply = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=[{"role": "user", "content": "Hello"}]
    )
    after = client.get("/balance", cast_to=object)
    charged = nanos(reply.headers["tessera-charge"])
    assert before["available_nanos"] - after["available_nanos"] == charged > 0
    assert after["spent_nanos"] == charged
    assert after["held_nanos"] == 0
    assert sum(lot["remaining_nanos"] for lot in after["lots"]) == after["available_nanos"]


def test_receipts_and_entries_are_listed_newest_first_a_page_at_a_time(client: openai.OpenAI) -> None:
    ids = []
    for text in "abc":
        reply = client.chat.completions.with_raw_response.create(
            model="gpt-4o", messages=[{"role": "user", "content": text}]
        )
        ids.append(reply.headers["x-request-id"])
    first = client.get("/requests?limit=2", cast_to=object)
    assert [item["id"] for item in first["data"]] == [ids[2], ids[1]]
    assert first["has_more"] is True
    rest = client.get(f"/requests?limit=2&after={first['last_id']}", cast_to=object)
    assert [item["id"] for item in rest["data"]] == [ids[0]]
    assert rest["has_more"] is False
    entries = client.get("/ledger?limit=100", cast_to=object)["data"]
    by_transfer: dict[str, int] = {}
    for entry in entries:
        by_transfer[entry["transfer_id"]] = by_transfer.get(entry["transfer_id"], 0) + entry["amount_nanos"]
    assert set(by_transfer.values()) == {0}
    assert {entry["request_id"] for entry in entries} >= set(ids)


@pytest.mark.parametrize(
    "query", ["limit=0", "limit=101", "limit=x", "limit=1&limit=2", "offset=3", "after=", "after=req_x"]
)
def test_a_page_that_makes_no_sense_is_refused(server: TesseraServer, account: Account, query: str) -> None:
    assert raw(server, "GET", f"/v1/requests?{query}", {"x-api-key": account.key})[0] == 400


@pytest.mark.parametrize("path", ["requests", "ledger"])
def test_a_list_is_not_begun_again_at_an_id_it_does_not_hold(client: openai.OpenAI, path: str) -> None:
    client.chat.completions.create(model="gpt-4o", messages=[{"role": "user", "content": "a"}])
    with pytest.raises(openai.BadRequestError) as refused:
        client.get(f"/{path}?after=req_01hzzzzzzzzzzzzzzzzzzzzzzz", cast_to=object)
    assert (refused.value.code, refused.value.param) == ("invalid_request", "after")


def test_another_organizations_receipt_is_not_found(server: TesseraServer, client: openai.OpenAI) -> None:
    reply = client.chat.completions.with_raw_response.create(
        model="gpt-4o", messages=[{"role": "user", "content": "mine"}]
    )
    other = server.account()
    path = f"/v1/requests/{reply.headers['x-request-id']}"
    assert raw(server, "GET", path, {"x-api-key": other.key})[0] == 404
    assert raw(server, "GET", "/v1/requests", {"x-api-key": other.key})[2].count(b'"req_') == 0


def test_a_live_key_without_a_provider_is_told_so_and_pays_nothing(server: TesseraServer) -> None:
    account = server.account(mode="live", credit="5.00")
    with openai.OpenAI(base_url=server.api, api_key=account.key, max_retries=0) as client:
        with pytest.raises(openai.InternalServerError) as refused:
            client.chat.completions.create(model="gpt-5.2-pro", messages=[{"role": "user", "content": "Hello"}])
        assert (refused.value.status_code, refused.value.code) == (503, "no_deployment")
        assert client.get("/balance", cast_to=object)["available"] == "5.00"


def test_models_are_listed_with_what_tessera_knows_of_them(client: openai.OpenAI) -> None:
    models = {model.id: model.model_dump() for model in client.models.list()}
    founding = models["gpt-5.2-pro-2025-12-11"]
    assert founding["object"] == "model"
    assert founding["tessera"]["list_price"]["default"]["input"] == "21"
    assert client.models.retrieve("tessera/sight").id == "tessera/sight"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("gpt-none")


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/openapi.json", "/metrics"])
def test_operations_need_no_key(server: TesseraServer, path: str) -> None:
    assert raw(server, "GET", path)[0] == 200


def test_metrics_count_requests_and_name_no_secret(server: TesseraServer, account: Account) -> None:
    raw(server, "GET", "/v1/balance", {"x-api-key": account.key})
    text = raw(server, "GET", "/metrics")[2].decode()
    assert 'tessera_http_requests_total{outcome="ok",route="/v1/balance"}' in text
    assert account.key not in text


@pytest.mark.parametrize(
    ("method", "path", "status"),
    [("GET", "/", 404), ("GET", "/v1/none", 404), ("DELETE", "/v1/balance", 405), ("GET", "/v1/chat/completions", 405)],
)
def test_what_does_not_exist_is_said_in_the_same_shape(
    server: TesseraServer, account: Account, method: str, path: str, status: int
) -> None:
    found, _, body = raw(server, method, path, {"x-api-key": account.key})
    assert found == status
    assert json.loads(body)["error"]["message"]


@pytest.mark.parametrize("host", ["a/b", "a?b", "a#b", "a b", "a@b", ""])
def test_a_host_that_is_no_host_is_refused_everywhere(server: TesseraServer, host: str) -> None:
    for path in ("/v1/balance", "/healthz", "/nothing"):
        assert raw(server, "GET", path, {"Host": host})[0] == 400
