"""Every refusal for money says what was required, available and held, and how much output would be affordable."""

import uuid

import openai
import pytest

from receipts import nanos
from servers import TesseraServer

BODY = {"model": "gpt-5.2-pro", "messages": [{"role": "user", "content": "Hello"}], "max_completion_tokens": 1000}
CARRIED = {"required", "available", "held", "output_tokens_affordable"}


def test_a_price_over_the_callers_limit_carries_the_balance(client: openai.OpenAI) -> None:
    with pytest.raises(openai.APIStatusError) as refused:
        client.chat.completions.create(**BODY, extra_headers={"Tessera-Max-Price": "0.05"})
    error = refused.value
    assert (error.status_code, error.code) == (402, "price_over_limit")
    assert isinstance(error.body, dict)
    assert set(error.body) >= CARRIED
    assert error.body["available"] == "100.00"
    assert error.body["held"] == "0.00"
    fitted = {**BODY, "max_completion_tokens": error.body["output_tokens_affordable"]}
    client.chat.completions.create(**fitted, extra_headers={"Tessera-Max-Price": "0.05"})


def test_a_balance_too_low_carries_the_balance(server: TesseraServer) -> None:
    account = server.account(credit="0.01", mode="live")
    body = {**BODY, "model": "tessera/sight", "max_completion_tokens": 4096, "n": 60}
    with (
        openai.OpenAI(base_url=server.api, api_key=account.key, max_retries=0) as client,
        pytest.raises(openai.APIStatusError) as refused,
    ):
        client.chat.completions.create(**body)
    error = refused.value
    assert (error.status_code, error.code) == (402, "insufficient_balance")
    assert isinstance(error.body, dict)
    assert set(error.body) >= CARRIED
    assert error.body["available"] == "0.01"


def test_a_repeat_never_shows_a_charge_above_its_highest_price(client: openai.OpenAI) -> None:
    headers = {"Idempotency-Key": uuid.uuid4().hex}
    first = client.chat.completions.with_raw_response.create(**BODY, extra_headers=headers)
    again = client.chat.completions.with_raw_response.create(**BODY, extra_headers=headers)
    assert again.headers["tessera-price-max"] == first.headers["tessera-price-max"]
    assert nanos(again.headers["tessera-charge"]) <= nanos(again.headers["tessera-price-max"])
