"""What a caller agrees to pay: quotes, a highest price, fitting, and repeats that cost nothing."""

import uuid

import openai
import pytest

from receipts import nanos
from servers import TesseraServer

BODY = {"model": "gpt-5.2-pro", "messages": [{"role": "user", "content": "Hello"}], "max_completion_tokens": 1000}


def call(client: openai.OpenAI, headers: dict[str, str] | None = None, **changes: object):
    return client.chat.completions.with_raw_response.create(**{**BODY, **changes}, extra_headers=headers or {})


def quote(client: openai.OpenAI, **changes: object) -> dict:
    return client.post("/quotes", body={"url": "/v1/chat/completions", "body": {**BODY, **changes}}, cast_to=object)


@pytest.mark.parametrize(
    ("more", "param"),
    [
        ({"service_tier": "flex"}, "service_tier"),
        ({"method": "GET"}, "method"),
        ({"custom_id": 7}, "custom_id"),
        ({"url": 7}, "url"),
    ],
)
def test_a_quote_takes_what_a_batch_line_has_and_nothing_beside_it(
    client: openai.OpenAI, more: dict[str, object], param: str
) -> None:
    asked = {"url": "/v1/chat/completions", "body": BODY}
    line = {**asked, "custom_id": "one", "method": "POST"}
    assert client.post("/quotes", body=line, cast_to=object)["price"] == quote(client)["price"]
    with pytest.raises(openai.BadRequestError) as refused:
        client.post("/quotes", body={**asked, **more}, cast_to=object)
    assert (refused.value.code, refused.value.param) == ("invalid_request", param)


def test_an_empty_request_for_a_quote_is_called_empty(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="the request is empty"):
        client.post("/quotes", content=b"", cast_to=object, options={"headers": {"content-type": "application/json"}})


def test_a_call_is_held_to_its_quote(client: openai.OpenAI) -> None:
    quoted = quote(client)
    raw = call(client, {"Tessera-Quote": quoted["id"]})
    assert nanos(raw.headers["tessera-charge"]) <= quoted["price"]["max_nanos"]
    assert raw.headers["tessera-price-max"] == quoted["price"]["max"]
    receipt = client.get(f"/requests/{raw.headers['x-request-id']}", cast_to=object)
    assert receipt["quote"] == {**quoted, "cheaper": []}
    again = call(client, {"Tessera-Quote": quoted["id"]})
    assert again.headers["tessera-charge"] == raw.headers["tessera-charge"]
    assert client.get(f"/quotes/{quoted['id']}", cast_to=object) == quoted


def test_a_call_that_could_cost_more_than_its_quote_is_refused(client: openai.OpenAI) -> None:
    quoted = quote(client)
    with pytest.raises(openai.BadRequestError) as refused:
        call(client, {"Tessera-Quote": quoted["id"]}, max_completion_tokens=1001)
    assert refused.value.code == "quote_mismatch"


@pytest.mark.parametrize("written", [{}, {"service_tier": "default"}, {"service_tier": "priority"}])
@pytest.mark.parametrize("model", ["gpt-5.4", "gpt-6-astra", "gpt-4o"])
def test_what_is_suggested_as_cheaper_is_quoted_at_no_more_than_is_said(
    client: openai.OpenAI, photograph: str, model: str, written: dict[str, str]
) -> None:
    def with_detail(level: dict[str, str]) -> dict[str, object]:
        image = {"type": "image_url", "image_url": {"url": photograph, **level}}
        return {"model": model, "messages": [{"role": "user", "content": [image]}], **written}

    for detail in ({}, {"detail": "auto"}, {"detail": "original" if model != "gpt-4o" else "high"}):
        quoted = quote(client, **with_detail(detail))
        assert quoted["cheaper"]
        for option in quoted["cheaper"]:
            field, word = option["change"].split(": ")
            changed = with_detail({field: word}) if field == "detail" else {**with_detail(detail), field: word}
            after = quote(client, **changed)["price"]["max_nanos"]
            assert after <= nanos(option["price_max"]) < quoted["price"]["max_nanos"]
            assert nanos(option["saves"]) == quoted["price"]["max_nanos"] - nanos(option["price_max"])


def test_another_organizations_quote_is_unknown(client: openai.OpenAI, server: TesseraServer) -> None:
    with openai.OpenAI(base_url=server.api, api_key=server.account().key, max_retries=0) as other:
        quoted = quote(other)
    with pytest.raises(openai.BadRequestError) as refused:
        call(client, {"Tessera-Quote": quoted["id"]})
    assert refused.value.code == "quote_mismatch"
    with pytest.raises(openai.NotFoundError):
        client.get(f"/quotes/{quoted['id']}", cast_to=object)


def test_a_price_above_the_callers_limit_is_refused_and_says_what_would_fit(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        call(client, {"Tessera-Max-Price": "0.05"})
    assert (refused.value.status_code, refused.value.code) == (402, "price_over_limit")
    affordable = refused.value.body["output_tokens_affordable"]
    assert 0 < affordable < 1000
    raw = call(client, {"Tessera-Max-Price": "0.05"}, max_completion_tokens=affordable)
    assert nanos(raw.headers["tessera-price-max"]) <= 50_000_000
    with pytest.raises(openai.APIStatusError):
        call(client, {"Tessera-Max-Price": "0.05"}, max_completion_tokens=affordable + 1)


def test_fitting_to_a_highest_price_lowers_the_cap_instead(client: openai.OpenAI) -> None:
    raw = call(client, {"Tessera-Max-Price": "0.05", "Tessera-Fit": "max-price"})
    receipt = client.get(f"/requests/{raw.headers['x-request-id']}", cast_to=object)
    assert receipt["quote"]["price"]["max_nanos"] <= 50_000_000
    assert 0 < receipt["quote"]["output"]["max_tokens"] < 1000


@pytest.mark.parametrize("fit", [{}, {"Tessera-Fit": "max-price"}, {"Tessera-Fit": "balance"}])
def test_what_cannot_be_fitted_to_a_price_is_not_advised_to_be(client: openai.OpenAI, fit: dict[str, str]) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        call(client, {"Tessera-Max-Price": "0.000000001", **fit})
    assert (refused.value.status_code, refused.value.code) == (402, "price_over_limit")
    assert "send less input or allow a higher price" in refused.value.message
    assert "Tessera-Fit" not in refused.value.message
    with pytest.raises(openai.APIStatusError) as fitting:
        call(client, {"Tessera-Max-Price": "0.05"})
    assert "send Tessera-Fit: max-price" in fitting.value.message


def test_a_repeat_states_the_price_its_call_was_fitted_to(server: TesseraServer) -> None:
    account = server.account(mode="live", credit="0.000020")
    with openai.OpenAI(base_url=server.api, api_key=account.key, max_retries=0) as client:
        body = {"model": "tessera/sight", "messages": [{"role": "user", "content": "Hi"}]}
        headers = {"Tessera-Fit": "balance", "Idempotency-Key": "once"}
        first = client.chat.completions.with_raw_response.create(**body, extra_headers=headers)
        again = client.chat.completions.with_raw_response.create(**body, extra_headers=headers)
    assert again.headers["tessera-replayed"] == first.headers["x-request-id"]
    for name in ("tessera-price-max", "tessera-charge"):
        assert again.headers[name] == first.headers[name]
    assert nanos(first.headers["tessera-charge"]) <= nanos(first.headers["tessera-price-max"]) <= 20_000


def test_fitting_to_the_balance_lowers_the_cap_instead(server: TesseraServer) -> None:
    account = server.account(mode="live", credit="0.000020")
    with openai.OpenAI(base_url=server.api, api_key=account.key, max_retries=0) as client:
        body = {"model": "tessera/sight", "messages": [{"role": "user", "content": "Hi"}]}
        with pytest.raises(openai.APIStatusError) as refused:
            client.chat.completions.create(**body)
        assert (refused.value.status_code, refused.value.code) == (402, "insufficient_balance")
        raw = client.chat.completions.with_raw_response.create(**body, extra_headers={"Tessera-Fit": "balance"})
        receipt = client.get(f"/requests/{raw.headers['x-request-id']}", cast_to=object)
        assert receipt["charge"]["nanos"] <= 20_000
        assert raw.parse().usage.completion_tokens <= refused.value.body["output_tokens_affordable"]


@pytest.mark.parametrize(
    "headers",
    [
        {"Tessera-Max-Price": "lots"},
        {"Tessera-Max-Price": "-1"},
        {"Tessera-Max-Price": "1e-2"},
        {"Tessera-Fit": "wallet"},
        {"Tessera-Fit": "max-price"},
        {"Tessera-Quote": "quote_none"},
        {"Idempotency-Key": "k" * 256},
    ],
)
def test_terms_that_make_no_sense_are_refused(client: openai.OpenAI, headers: dict[str, str]) -> None:
    with pytest.raises(openai.BadRequestError):
        call(client, headers)


def test_a_repeat_with_the_same_key_gives_the_first_reply_and_no_second_charge(client: openai.OpenAI) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    first, second = call(client, headers), call(client, headers)
    assert first.content == second.content
    assert second.headers["tessera-replayed"] == first.headers["x-request-id"]
    assert client.get("/balance", cast_to=object)["spent"] == first.headers["tessera-charge"]


def test_a_repeat_with_another_body_is_refused_for_good(client: openai.OpenAI) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    call(client, headers)
    with pytest.raises(openai.BadRequestError) as refused:
        call(client, headers, max_completion_tokens=999)
    assert refused.value.code == "idempotency_mismatch"
    assert refused.value.response.headers["x-should-retry"] == "false"


def test_a_refused_call_leaves_its_key_free(client: openai.OpenAI) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    with pytest.raises(openai.APIStatusError):
        call(client, {**headers, "Tessera-Max-Price": "0.000001"})
    assert call(client, headers).headers["tessera-charge"]


def test_a_streamed_repeat_gives_the_first_stream_again(client: openai.OpenAI) -> None:
    headers = {"Idempotency-Key": str(uuid.uuid4())}
    options = {"stream": True, "stream_options": {"include_usage": True}}
    first = [chunk.model_dump() for chunk in call(client, headers, **options).parse()]
    second = [chunk.model_dump() for chunk in call(client, headers, **options).parse()]
    assert first == second


def test_a_quote_names_what_would_be_cheaper(client: openai.OpenAI, photograph: str) -> None:
    content = [{"type": "image_url", "image_url": {"url": photograph}}]
    quoted = quote(client, model="gpt-4o", messages=[{"role": "user", "content": content}])
    changes = {option["change"]: option for option in quoted["cheaper"]}
    assert "detail: low" in changes
    for option in changes.values():
        assert nanos(option["price_max"]) + nanos(option["saves"]) == quoted["price"]["max_nanos"]


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b"{}",
        b'{"url": "/v1/embeddings", "body": {}}',
        b'{"url": "/v1/responses"}',
        b'{"url": 1, "body": {}}',
    ],
)
def test_a_quote_of_nothing_sensible_is_refused(client: openai.OpenAI, body: bytes) -> None:
    with pytest.raises(openai.BadRequestError):
        client.post("/quotes", content=body, cast_to=object, options={"headers": {"content-type": "application/json"}})
