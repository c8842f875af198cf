"""Networks that delay, cut up, trickle, half-close and reset, on either side of the server: money stays exact."""

import concurrent.futures
import dataclasses
import http.client
import json
import os
from pathlib import Path

import pytest

from chaos_proxy import KINDS, ChaosProxy
from fault_calls import HELLO, until
from live_calls import CONFIG, CREDENTIAL, Live
from receipts import assert_sound
from scripted_provider import ScriptedProvider, chat_events, chat_reply, sse_reply
from servers import TesseraServer, running_server

CALLS = 80


def one_call(live: Live, number: int) -> tuple[int, bytes]:
    """The ordinary call, every third a stream; status 0 when the connection broke before its end."""
    body = json.dumps({**HELLO, "stream": number % 3 == 0, "user": f"caller {number}"}).encode()
    try:
        status, _, text = live.post("/chat/completions", body)
    except (OSError, http.client.HTTPException):
        return 0, b""
    return status, text


def many_calls(live: Live) -> list[tuple[int, bytes]]:
    with concurrent.futures.ThreadPoolExecutor(8) as pool:
        return list(pool.map(lambda number: one_call(live, number), range(CALLS)))


def assert_exact(live: Live) -> int:
    """Nothing is held, every receipt is sound, and their charges are what the balance says. Gives what was charged."""
    until(lambda: live.get("/balance")["held_nanos"] == 0, 30)
    receipts = live.get("/requests?limit=100")
    found = receipts["data"]
    while receipts["has_more"]:
        receipts = live.get(f"/requests?limit=100&after={receipts['last_id']}")
        found += receipts["data"]
    for receipt in found:
        assert_sound(receipt)
    charged = sum(receipt["charge"]["nanos"] for receipt in found)
    balance = live.get("/balance")
    assert balance["spent_nanos"] == charged
    assert balance["available_nanos"] == 5 * 10**9 - charged
    assert len({receipt["id"] for receipt in found}) == len(found)
    return charged


def answer(provider: ScriptedProvider) -> None:
    """The provider answers every call, streams as streams."""
    events = chat_events(["word "] * 20)
    provider.always = lambda request: sse_reply(events) if request.json().get("stream") else chat_reply("ok " * 40)


def fired(proxy: ChaosProxy) -> set[str]:
    return set(proxy.fired) - {"none"}


@pytest.mark.parametrize("seed", [1, 2])
def test_a_provider_behind_a_broken_network_is_paid_for_what_it_delivered(tmp_path: Path, seed: int) -> None:
    with ScriptedProvider() as provider, ScriptedProvider() as second, ChaosProxy(provider.port, seed) as proxy:
        answer(provider)
        answer(second)
        config = CONFIG.format(first=f"http://127.0.0.1:{proxy.port}/v1", second=second.base_url, image_ports="[]")
        with running_server(tmp_path, config=config, env={"LOCAL_KEY": CREDENTIAL}) as server:
            live = Live(server, provider, second, second, server.account(mode="live", credit="5.00"))
            seen = many_calls(live)
            assert {status for status, _ in seen} <= {200, 502, 504}
            assert sum(status == 200 for status, _ in seen) > CALLS // 2
            for status, body in seen:
                assert status != 200 or b'"charge"' in body or b'"error"' in body or b"[DONE]" in body
            assert assert_exact(live) > 0
            assert fired(proxy) >= set(KINDS) - {"none"}
            server.verify()


@pytest.mark.parametrize("seed", [3, 4])
def test_clients_behind_a_broken_network_pay_for_what_was_made_and_nothing_stays_held(
    tmp_path: Path, seed: int
) -> None:
    with ScriptedProvider() as provider, ScriptedProvider() as second:
        answer(provider)
        answer(second)
        config = CONFIG.format(first=provider.base_url, second=second.base_url, image_ports="[]")
        with running_server(tmp_path, config=config, env={"LOCAL_KEY": CREDENTIAL}) as server:
            account = server.account(mode="live", credit="5.00")
            direct = Live(server, provider, second, second, account)
            with ChaosProxy(int(server.base_url.rsplit(":", 1)[1]), seed) as proxy:
                through = dataclasses.replace(server, base_url=f"http://127.0.0.1:{proxy.port}")
                seen = many_calls(Live(through, provider, second, second, account))
                assert {status for status, _ in seen} <= {0, 200, 400, 408}
                assert sum(status == 200 for status, _ in seen) > CALLS // 3
                assert fired(proxy) >= set(KINDS) - {"none"}
            assert assert_exact(direct) > 0
            server.verify()


def test_the_proxy_left_alone_changes_nothing(server: TesseraServer) -> None:
    account = server.account()
    body = {"model": "gpt-5.2-pro", "messages": [{"role": "user", "content": os.urandom(8).hex()}]}
    with ChaosProxy(int(server.base_url.rsplit(":", 1)[1]), 5) as proxy:
        proxy.calm = True
        through = dataclasses.replace(server, base_url=f"http://127.0.0.1:{proxy.port}")
        with ScriptedProvider() as nobody:
            live = Live(through, nobody, nobody, nobody, account)
            status, _, reply = live.post("/chat/completions", json.dumps(body).encode())
        assert (status, fired(proxy)) == (200, set())
        assert json.loads(reply)["usage"]["charge_nanos"] > 0
