"""Prices by volume, from outside: once a month's charges have reached it, later calls are at the volume's price."""

import time
from pathlib import Path
from typing import Any

import pytest
from openai import APIStatusError, OpenAI

from ledger_calls import hold_order, usage_event
from receipts import assert_sound
from servers import Account, TesseraServer, in_thread, running_server
from tessera.bootstrap import open_storage
from tessera.domain.money import Mode
from tessera.settings import load_settings

CONFIG = """
[[price]]
model = "gpt-4o"
volume_from = "1.50"
discount_percent = "50"
"""
VOLUME_NANOS = 1_500_000_000
BODY: dict[str, Any] = {
    "model": "gpt-4o",
    "messages": [{"role": "user", "content": "hello"}],
    "max_completion_tokens": 20,
}


def charge(server: TesseraServer, account: Account, nanos: int) -> None:
    """A call of the organization's that was charged so much, just now."""

    async def work() -> None:
        async with open_storage(load_settings({}, data_dir=server.data_dir)) as opened:
            # Its owner lives, so that the server's sweep leaves it alone.
            order = hold_order(account.organization_id, nanos, mode=Mode.TEST, owner=opened.storage.owner)
            await opened.storage.hold(order)
            await opened.storage.settle(usage_event(order, nanos))

    in_thread(work())


def quoted(client: OpenAI) -> Any:
    return client.post("/quotes", body={"url": "/v1/chat/completions", "body": BODY}, cast_to=object)


def called(client: OpenAI, **headers: str) -> Any:
    raw = client.chat.completions.with_raw_response.create(**BODY, extra_headers=headers)
    receipt: Any = client.get(f"/requests/{raw.headers['x-request-id']}", cast_to=object)
    assert_sound(receipt)
    return receipt


def rate(receipt: Any) -> str:
    [price] = {line["price_per_million"] for line in receipt["charge"]["lines"] if line["unit"] == "input"}
    return str(price)


def test_a_call_is_priced_at_the_volume_its_quote_names(tmp_path: Path) -> None:
    with running_server(tmp_path, config=CONFIG) as server:
        below, reached = server.account(), server.account()
        charge(server, below, VOLUME_NANOS - 1)
        charge(server, reached, VOLUME_NANOS)
        found = {}
        for account, price in ((below, "2.5"), (reached, "1.25")):
            with OpenAI(base_url=server.api, api_key=account.key, max_retries=0) as client:
                quote, receipt = quoted(client), called(client)
                shown: Any = client.get("/models/gpt-4o", cast_to=object)
            found[account.key] = quote
            assert rate(receipt) == price
            assert receipt["quote"]["price"] == quote["price"]
            assert shown["tessera"]["price"]["default"]["input"] == price
        first, second = found[below.key]["price"], found[reached.key]["price"]
        assert (first["volume"], first["volume_nanos"]) == ("1.499999999", VOLUME_NANOS - 1)
        assert (second["volume"], second["volume_nanos"]) == ("1.50", VOLUME_NANOS)
        assert first["max_nanos"] == 2 * second["max_nanos"]
        server.verify()


def test_a_call_under_a_quote_is_at_the_quotes_volume_whatever_was_charged_since(tmp_path: Path) -> None:
    dearer = CONFIG.replace('"50"', '"-50"')
    with running_server(tmp_path, config=dearer) as server:
        account = server.account()
        with OpenAI(base_url=server.api, api_key=account.key, max_retries=0) as client:
            quote = quoted(client)
            assert quote["price"]["volume_nanos"] == 0
            charge(server, account, VOLUME_NANOS)
            # Volumes are read anew after five seconds: until then the price may be the old one, never another.
            until = time.monotonic() + 30
            while (later := quoted(client))["price"]["volume_nanos"] < VOLUME_NANOS:
                assert later["price"] == quote["price"]
                assert time.monotonic() < until
                time.sleep(0.5)
            assert 2 * later["price"]["max_nanos"] == 3 * quote["price"]["max_nanos"]
            held = called(client, **{"Tessera-Quote": quote["id"]})
            assert (rate(held), held["quote"]["price"]) == ("2.5", quote["price"])
            assert rate(called(client)) == "3.75"
            with pytest.raises(APIStatusError) as refused:
                called(client, **{"Tessera-Max-Price": quote["price"]["max"]})
            assert refused.value.status_code == 402
        server.verify()
