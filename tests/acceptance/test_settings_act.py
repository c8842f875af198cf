"""Settings that are accepted do what they say, seen from outside."""

import json
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pytest
from openai import OpenAI

from receipts import assert_sound
from scripted_provider import ScriptedProvider, chat_reply
from servers import TesseraServer, running_server, tessera

CREDENTIAL = "sk-of-the-operator"


def fetch(
    address: str, headers: dict[str, str] | None = None, *, method: str | None = None, body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    request = urllib.request.Request(address, body, headers or {}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=10) as reply:
            return reply.status, {name.lower(): value for name, value in reply.headers.items()}, reply.read()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, {name.lower(): value for name, value in error.headers.items()}, error.read()


def call(server: TesseraServer, key: str, model: str, **more: Any) -> dict[str, Any]:
    """A chat call and its receipt."""
    with OpenAI(base_url=server.api, api_key=key, max_retries=0) as client:
        raw = client.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": "hello"}], **more
        )
        receipt: Any = client.get(f"/requests/{raw.headers['x-request-id']}", cast_to=object)
    assert_sound(receipt)
    return dict(receipt)


def test_a_model_a_price_and_a_cost_of_the_operators_own(tmp_path: Path) -> None:
    with ScriptedProvider() as provider:
        provider.expect_credential(CREDENTIAL)
        provider.script(chat_reply("Hi.", prompt_tokens=1000, completion_tokens=100))
        (tmp_path / "key").write_text(f"{CREDENTIAL}\n")
        config = f"""
            [[provider]]
            name = "local"
            base_url = "{provider.base_url}"
            surfaces = ["chat"]
            credential = "file:key"
            [[model]]
            id = "my-vlm"
            like = "qwen2.5-vl"
            context_max = 32768
            [[deployment]]
            model = "my-vlm"
            provider = "local"
            upstream_model = "Qwen/Qwen2.5-VL-7B-Instruct"
            [[price]]
            model = "my-vlm"
            input = "0.20"
            output = "0.60"
            [[cost]]
            model = "my-vlm"
            input = "0.05"
            output = "0.15"
        """
        with running_server(tmp_path, config=config) as server:
            account = server.account(mode="live", credit="1.00")
            receipt = call(server, account.key, "my-vlm")
            assert {line["unit"]: line["price_per_million"] for line in receipt["charge"]["lines"]} == {
                "input": "0.2",
                "output": "0.6",
            }
            assert receipt["deployment"] == "local/Qwen/Qwen2.5-VL-7B-Instruct"
            [row] = json.loads(server.tessera("usage", "--org", account.organization, "--json").stdout)
            assert row["charge_nanos"] == receipt["charge"]["nanos"]
            assert 0 < row["cost_nanos"] < row["charge_nanos"]
            assert CREDENTIAL not in server.log.read_text()
            server.verify()
        [sent] = provider.received
        assert sent.json()["model"] == "Qwen/Qwen2.5-VL-7B-Instruct"
        assert sent.json()["max_tokens"] == 1024


def test_a_discount_is_off_every_list_price(tmp_path: Path) -> None:
    with running_server(tmp_path, config='[prices]\ndiscount_percent = "30"\n') as server:
        receipt = call(server, server.account().key, "gpt-5.2-pro")
    prices = {line["unit"]: line["price_per_million"] for line in receipt["charge"]["lines"]}
    assert prices == {"input": "14.7", "output": "117.6"}


def test_openais_models_are_live_only_with_a_key_for_openai(server: TesseraServer, tmp_path: Path) -> None:
    def live_models(of: TesseraServer) -> set[str]:
        with OpenAI(base_url=of.api, api_key=of.account(mode="live").key) as client:
            return {model.id for model in client.models.list()}

    assert live_models(server) == {"tessera/sight"}
    with running_server(tmp_path, env={"OPENAI_API_KEY": CREDENTIAL}) as with_key:
        assert {"tessera/sight", "gpt-5.2-pro", "gpt-4o"} <= live_models(with_key)


def test_a_provider_named_openai_takes_the_place_of_openais_address(tmp_path: Path) -> None:
    with ScriptedProvider() as provider:
        provider.expect_credential(CREDENTIAL)
        config = f'[[provider]]\nname = "openai"\nbase_url = "{provider.base_url}"\ncredential = "env:OPENAI_API_KEY"\n'
        with running_server(tmp_path, config=config, env={"OPENAI_API_KEY": CREDENTIAL}) as server:
            receipt = call(server, server.account(mode="live", credit="1.00").key, "gpt-4o")
    assert receipt["deployment"] == "openai/gpt-4o"


def test_image_limits_are_those_of_the_settings(tmp_path: Path) -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64,iVBORw0KGgo="}}
    body = {"model": "gpt-4o", "messages": [{"role": "user", "content": [picture, picture]}]}
    with running_server(tmp_path, env={"TESSERA_LIMITS_IMAGES_MAX": "1"}) as server:
        headers = {"Authorization": f"Bearer {server.account().key}", "Content-Type": "application/json"}
        status, _, reply = fetch(f"{server.api}/chat/completions", headers, body=json.dumps(body).encode())
    assert (status, json.loads(reply)["error"]["code"]) == (400, "too_many_images")


def test_only_named_origins_may_call_from_a_browser(tmp_path: Path) -> None:
    with running_server(tmp_path, config='cors_origins = ["https://app.example.com"]\n') as server:
        asked = {"Access-Control-Request-Method": "POST", "Access-Control-Request-Headers": "authorization"}
        status, headers, _ = fetch(
            f"{server.api}/models", {"Origin": "https://app.example.com", **asked}, method="OPTIONS"
        )
        assert (status, headers["access-control-allow-origin"]) == (200, "https://app.example.com")
        _, headers, _ = fetch(f"{server.api}/models", {"Origin": "https://app.example.com"})
        readable = set(headers["access-control-expose-headers"].split(", "))
        assert {"x-request-id", "retry-after", "tessera-charge", "x-ratelimit-remaining-tokens"} <= readable
        _, headers, _ = fetch(f"{server.api}/models", {"Origin": "https://evil.example.com", **asked}, method="OPTIONS")
        assert "access-control-allow-origin" not in headers
        _, headers, _ = fetch(f"{server.api}/models", {"Origin": "https://app.example.com"})
        assert headers["access-control-allow-origin"] == "https://app.example.com"


def test_metrics_are_for_loopback_or_for_whoever_has_the_token(server: TesseraServer, tmp_path: Path) -> None:
    assert fetch(f"{server.base_url}/metrics")[0] == 200
    config = 'metrics_token = "env:METRICS"\n'
    with running_server(tmp_path, config=config, env={"METRICS": "token-of-metrics"}) as guarded:
        assert fetch(f"{guarded.base_url}/metrics")[0] == 404
        assert fetch(f"{guarded.base_url}/metrics", {"Authorization": "Bearer token-of-metrics"})[0] == 200


def test_the_address_of_a_client_is_taken_from_trusted_proxies_only(tmp_path: Path) -> None:
    forwarded = {"X-Forwarded-For": "203.0.113.7"}
    with running_server(tmp_path, config='trusted_proxies = ["127.0.0.0/8"]\n') as trusting:
        named = trusting.account().organization
        made = trusting.tessera("keys", "create", "--org", named, "--mode", "test", "--ip-range", "203.0.113.0/24")
        forwarded["Authorization"] = f"Bearer {made.stdout.strip()}"
        assert fetch(f"{trusting.api}/balance", forwarded)[0] == 200
    with running_server(tmp_path, config='trusted_proxies = ["10.0.0.0/8"]\n') as wary:
        assert fetch(f"{wary.api}/balance", forwarded)[0] == 403


@pytest.mark.parametrize("trusted", ["[]", '["127.0.0.0/8"]'])
def test_metrics_are_not_for_those_whom_a_proxy_on_this_machine_serves(tmp_path: Path, trusted: str) -> None:
    with running_server(tmp_path, config=f"trusted_proxies = {trusted}\n") as server:
        for name in ("X-Forwarded-For", "X-Real-IP"):
            for address in ("203.0.113.7", "127.0.0.1", ""):
                assert fetch(f"{server.base_url}/metrics", {name: address})[0] == 404, (name, address)
        assert fetch(f"{server.base_url}/metrics", {"Forwarded": "for=203.0.113.7"})[0] == 404
        assert fetch(f"{server.base_url}/metrics")[0] == 200


def test_a_price_for_a_model_that_does_not_exist_stops_the_start(tmp_path: Path) -> None:
    config = tmp_path / "tessera.toml"
    config.write_text('[[price]]\nmodel = "gpt-5.2-por"\ninput = "1"\noutput = "2"\n')
    result = tessera("serve", "--port", "0", "--config", str(config), "--data", str(tmp_path / "data"), check=False)
    assert result.returncode == 2
    assert "price[0].model" in result.stderr
    assert "gpt-5.2-pro" in result.stderr
