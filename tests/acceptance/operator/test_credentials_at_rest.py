"""Stored credentials that cannot be read stop nobody else, and every replica follows what is stored."""

import json
import secrets
import sqlite3
import time
from collections.abc import Callable, Iterable
from contextlib import ExitStack
from pathlib import Path

import pytest

from people_calls import Reply, send
from scripted_provider import ScriptedProvider
from servers import Account, TesseraServer, in_thread, running_server
from tessera.adapters.storage.sealing import Sealer
from tessera.bootstrap import issue_key, open_storage, open_vault
from tessera.domain.money import Mode
from tessera.domain.people.records import Actor, ActorKind
from tessera.flows.operator.credentials import list_providers, remove_credential, set_credential
from tessera.settings import Settings, load_settings

OPERATOR = Actor(kind=ActorKind.OPERATOR, id="operator", is_operator=True)
SECONDS_MAX = 30
SECRET = "canary/of-the-operator/at-rest"
CONFIG = """
trusted_base_urls = ["{url}"]

[[provider]]
name = "configured"
base_url = "{url}"

[[deployment]]
model = "gpt-4o"
provider = "lab"

[[deployment]]
model = "gpt-4o-mini"
provider = "other"

[[deployment]]
model = "o3"
provider = "configured"

[[deployment]]
model = "gpt-5.2"
provider = "foreign"
"""
NAMES = ("lab", "other", "foreign")


def settings_of(folder: Path, url: str, environment: dict[str, str] | None = None) -> Settings:
    folder.mkdir(exist_ok=True)
    (folder / "tessera.toml").write_text(CONFIG.format(url=url))
    return load_settings(environment or {}, config=folder / "tessera.toml", data_dir=folder / "data")


async def store(settings: Settings, url: str, names: Iterable[str]) -> None:
    async with open_storage(settings) as opened:
        for name in names:
            await set_credential(open_vault(settings, opened, {}), OPERATOR, name, SECRET, url, None)


async def remove(settings: Settings, name: str) -> None:
    async with open_storage(settings) as opened:
        await remove_credential(open_vault(settings, opened, {}), OPERATOR, name)


async def states(settings: Settings) -> dict[str, str]:
    async with open_storage(settings) as opened:
        found = (await list_providers(open_vault(settings, opened, {})))["data"]
        return {one["id"]: one["state"] for one in found}


def call(server: TesseraServer, key: str, model: str) -> Reply:
    body = {"model": model, "messages": [{"role": "user", "content": "hello"}]}
    return send(server.base_url, "POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {key}"})


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


def test_what_cannot_be_read_stops_nobody_else_and_is_named(tmp_path: Path) -> None:
    with ScriptedProvider() as provider:
        settings = settings_of(tmp_path, provider.base_url)
        in_thread(store(settings, provider.base_url, NAMES))
        database = sqlite3.connect(settings.data_dir / "tessera.db")
        database.execute("UPDATE provider_credential SET sealed = 'AAAA' || substr(sealed, 5) WHERE provider = 'lab'")
        (row,) = database.execute("SELECT base_url, id FROM provider_credential WHERE provider = 'foreign'").fetchall()
        elsewhere = Sealer(secrets.token_bytes(32)).seal(SECRET, ("foreign", *row))
        database.execute("UPDATE provider_credential SET sealed = ? WHERE provider = 'foreign'", (elsewhere,))
        database.commit()
        database.close()
        with running_server(tmp_path, config=(tmp_path / "tessera.toml").read_text()) as server:
            key = server.account(mode="live", credit="5.00").key
            assert [call(server, key, model).status for model in ("gpt-4o-mini", "o3")] == [200, 200]
            assert [one.credential for one in provider.received] == [SECRET, None]
            for model in ("gpt-4o", "gpt-5.2"):
                refused = call(server, key, model)
                assert (refused.status, refused.code) == (503, "no_deployment")
                assert "tell the operator" in refused.text
            assert len(provider.received) == 2
            said = [json.loads(line) for line in server.log.read_text().splitlines() if "credential.unreadable" in line]
            assert {line["provider"] for line in said} == {"foreign", "lab"}
            assert all("the master key (`checkpoint-key`) is not the one" in line["reason"] for line in said)
            found = in_thread(states(settings))
            assert [found[name] for name in NAMES] == ["unreadable", "on", "unreadable"]
            in_thread(store(settings, provider.base_url, ("lab",)))
            until(lambda: call(server, key, "gpt-4o").status == 200)
            server.verify()
    (settings.data_dir / "checkpoint-key").write_bytes(secrets.token_bytes(32))
    assert in_thread(states(settings)) == {"configured": "configured", **dict.fromkeys(NAMES, "unreadable")}


async def live_account(settings: Settings) -> Account:
    async with open_storage(settings) as opened:
        made = await opened.storage.create_organization("acme")
        await opened.storage.add_credit(made.id, Mode.LIVE, 5 * 10**9, kind="manual", note="for a test")
        key, stored = await issue_key(opened, made.id, project="default", mode=Mode.LIVE, name="test")
        return Account(made.id, made.name, stored.id, key, "live")


@pytest.mark.timeout(300)
def test_every_replica_on_postgresql_follows(tmp_path: Path, database_url: str) -> None:
    environment = {"TESSERA_DATABASE_URL": database_url, "TESSERA_SECRETS_DIR": str(tmp_path / "secrets")}
    with ScriptedProvider() as provider, ExitStack() as stack:
        settings = settings_of(tmp_path / "here", provider.base_url, environment)
        key = in_thread(live_account(settings)).key
        config = CONFIG.format(url=provider.base_url)
        (tmp_path / "one").mkdir()
        (tmp_path / "two").mkdir()
        replicas = [
            stack.enter_context(running_server(tmp_path / name, config=config, env=environment))
            for name in ("one", "two")
        ]
        assert {call(server, key, "gpt-4o").code for server in replicas} == {"no_deployment"}
        in_thread(store(settings, provider.base_url, ("lab",)))
        for server in replicas:
            until(lambda server=server: call(server, key, "gpt-4o").status == 200)  # type: ignore[misc]
        assert {one.credential for one in provider.received} == {SECRET}
        in_thread(remove(settings, "lab"))
        for server in replicas:
            until(lambda server=server: call(server, key, "gpt-4o").status == 503)  # type: ignore[misc]
