"""An operator's price rows: for a model, a provider or an organization, which is called by its name or its id."""

import json
from pathlib import Path

import openai

from receipts import nanos
from scripted_provider import ScriptedProvider, chat_reply, scripted_provider
from servers import TesseraServer, running_server, tessera

__all__ = ["scripted_provider"]

CONFIG = """
[[price]]
model = "gpt-4o"
organization = "special"
input = "1"
output = "2"

[[price]]
model = "gpt-4.1"
provider = "local"
input = "3"
output = "4"

[[provider]]
name = "local"
dialect = "openai"
base_url = "{base_url}"

[[deployment]]
model = "gpt-4o"
provider = "local"

[[deployment]]
model = "gpt-4.1"
provider = "local"
"""

FLEX = """
[[price]]
model = "gpt-4.1"
provider = "local"
tier = "flex"
input = "1"
output = "2"
"""


def charged(server: TesseraServer, key: str, model: str) -> list[dict]:
    """The lines of the charge for a call with 1,000 tokens in and 100 out."""
    with openai.OpenAI(base_url=server.api, api_key=key, max_retries=0) as client:
        text = "hello " * 1000
        raw = client.chat.completions.with_raw_response.create(
            model=model, messages=[{"role": "user", "content": text}], max_completion_tokens=200
        )
        return client.get(f"/requests/{raw.headers['x-request-id']}", cast_to=object)["charge"]["lines"]


def test_a_row_names_an_organization_made_after_the_server_started(
    tmp_path: Path, scripted_provider: ScriptedProvider
) -> None:
    scripted_provider.always = chat_reply(prompt_tokens=1000, completion_tokens=100)
    with running_server(tmp_path, config=CONFIG.format(base_url=scripted_provider.base_url)) as server:
        special = server.account(credit="1", mode="live", name="special")
        other = server.account(credit="1", mode="live", name="other")
        assert [line["price_per_million"] for line in charged(server, special.key, "gpt-4o")] == ["1", "2"]
        assert [line["price_per_million"] for line in charged(server, other.key, "gpt-4o")] == ["2.5", "10"]
        assert [line["price_per_million"] for line in charged(server, other.key, "gpt-4.1")] == ["3", "4"]
        server.verify()


def test_models_and_cheaper_tiers_are_shown_at_the_price_of_the_provider_that_serves(
    tmp_path: Path, scripted_provider: ScriptedProvider
) -> None:
    config = FLEX + CONFIG.format(base_url=scripted_provider.base_url)
    with running_server(tmp_path, config=config) as server:
        account = server.account(credit="1", mode="live")
        test_key = server.account().key
        with openai.OpenAI(base_url=server.api, api_key=account.key, max_retries=0) as client:
            listed = next(model for model in client.models.list() if model.id == "gpt-4.1")
            for shown in (client.models.retrieve("gpt-4.1"), listed):
                price = shown.to_dict()["tessera"]["price"]
                assert (price["default"]["input"], price["default"]["output"]) == ("3", "4")
                assert price["flex"]["input"] == "1"
                assert shown.to_dict()["tessera"]["list_price"]["default"]["input"] == "2"
            body = {"model": "gpt-4.1", "messages": [{"role": "user", "content": "Hello"}], "max_tokens": 100}
            asked = {"url": "/v1/chat/completions", "body": body}
            quoted = client.post("/quotes", body=asked, cast_to=object)
            (offered,) = quoted["cheaper"]
            assert offered["change"] == "service_tier: flex"
            most = quoted["input"]["total_tokens"]["max"] + len(', "service_tier": "flex"')
            assert nanos(offered["price_max"]) == most * 1_000 + 100 * 2_000
        with openai.OpenAI(base_url=server.api, api_key=test_key, max_retries=0) as client:
            price = client.models.retrieve("gpt-4.1").to_dict()["tessera"]["price"]
            assert price["default"]["input"] == "2", "the sandbox stands for the model's own provider"
            assert client.post("/quotes", body=asked, cast_to=object)["cheaper"] == []
    settings = ("--json", "--config", str(tmp_path / "tessera.toml"))
    command_shows = json.loads(tessera("models", "show", "gpt-4.1", *settings).stdout)
    assert command_shows["price"]["default"]["input"] == "3"
    (line,) = json.loads(tessera("quote", "--size", "64x64", "--model", "gpt-4.1", *settings).stdout)
    assert line["price_predicted_nanos"] == line["image_tokens"] * 3_000


def test_a_row_names_an_organization_by_its_id(tmp_path: Path, scripted_provider: ScriptedProvider) -> None:
    scripted_provider.always = chat_reply(prompt_tokens=1000, completion_tokens=100)
    config = CONFIG.format(base_url=scripted_provider.base_url)
    with running_server(tmp_path, config=config) as server:
        account = server.account(credit="1", mode="live", name="by-id")
    config = config.replace('"special"', f'"{account.organization_id}"')
    with running_server(tmp_path, config=config) as server:
        assert [line["price_per_million"] for line in charged(server, account.key, "gpt-4o")] == ["1", "2"]
