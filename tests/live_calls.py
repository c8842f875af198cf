"""A real server whose live calls go to a provider that does exactly what each test tells it to."""

import http.client
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import openai
import pytest

from scripted_provider import ScriptedProvider
from servers import Account, TesseraServer, running_server

CREDENTIAL = "sk-the-operators-own"
CONFIG = """
[limits]
ejection_seconds = 0

[media]
allow_private_networks = true
ports = {image_ports}

[[provider]]
name = "first"
dialect = "openai"
surfaces = ["chat"]
base_url = "{first}"
credential = "env:LOCAL_KEY"

[[provider]]
name = "second"
dialect = "openai"
surfaces = ["chat"]
base_url = "{second}"

[[provider]]
name = "answers"
dialect = "openai"
surfaces = ["responses"]
base_url = "{first}"
credential = "env:LOCAL_KEY"

[[deployment]]
model = "gpt-4o"
provider = "first"
upstream_model = "gpt-4o-2024-08-06"

[[deployment]]
model = "gpt-4o"
provider = "second"

[[deployment]]
model = "gpt-4o-mini"
provider = "first"

[[deployment]]
model = "gpt-5.2-pro"
provider = "answers"

[[deployment]]
model = "gpt-5.2"
provider = "first"
"""


@dataclass
class Live:
    """A server, its first and second provider, and a live account with money."""

    server: TesseraServer
    first: ScriptedProvider
    second: ScriptedProvider
    images: ScriptedProvider
    account: Account

    def client(self, **options: Any) -> openai.OpenAI:
        return openai.OpenAI(base_url=self.server.api, api_key=self.account.key, **{"max_retries": 0, **options})

    def get(self, path: str) -> Any:
        with self.client() as client:
            return client.get(path, cast_to=object)

    def last_receipt(self) -> dict[str, Any]:
        return self.get("/requests?limit=1")["data"][0]

    def post(self, path: str, body: bytes, **headers: str) -> tuple[int, dict[str, str], bytes]:
        """Sends exactly these bytes."""
        address = urlsplit(self.server.base_url)
        connection = http.client.HTTPConnection(address.hostname, address.port, timeout=60)
        try:
            sent = {"content-type": "application/json", "authorization": f"Bearer {self.account.key}", **headers}
            connection.request("POST", f"/v1{path}", body=body, headers=sent)
            reply = connection.getresponse()
            return reply.status, {name.lower(): value for name, value in reply.getheaders()}, reply.read()
        finally:
            connection.close()


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[TesseraServer, list[ScriptedProvider]]]:
    with ScriptedProvider() as first, ScriptedProvider() as second, ScriptedProvider() as images:
        first.expect_credential(CREDENTIAL)
        config = CONFIG.format(first=first.base_url, second=second.base_url, image_ports=json.dumps([images.port]))
        folder = tmp_path_factory.mktemp("live")
        with running_server(folder, config=config, env={"LOCAL_KEY": CREDENTIAL}) as server:
            yield server, [first, second, images]
            server.verify()


@pytest.fixture
def live(setting: tuple[TesseraServer, list[ScriptedProvider]]) -> Live:
    server, providers = setting
    for provider in providers:
        provider.received.clear()
        provider.always = None
    return Live(server, *providers, server.account(mode="live", credit="5.00"))
