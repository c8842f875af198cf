"""Credentials that an operator stores by command and over HTTP, in a server that goes on running."""

import json
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from people_calls import Browser, People, Reply, running_people, send
from scripted_provider import Pause, ScriptedProvider, chat_reply, error_reply
from scripted_replies import Reply as Script
from servers import Account, in_thread, tessera
from tessera.bootstrap import open_storage, open_vault
from tessera.cli import main
from tessera.domain.errors import TesseraError
from tessera.domain.people.records import Actor, ActorKind
from tessera.flows.operator.credentials import list_providers, remove_credential, set_credential
from tessera.settings import load_settings

pytestmark = pytest.mark.timeout(300)

PATH = "/account/operator/providers"
SECONDS_MAX = 30
"""A change holds within five seconds on a machine that is not busy with tests."""
TOP = """
trusted_base_urls = ["{first}", "{second}"]

[[deployment]]
model = "gpt-4o-mini"
provider = "lab"
upstream_model = "own"

[[deployment]]
model = "o3"
provider = "inner"
"""
_numbers = count(1)


def secret() -> str:
    """A canary that is in no other test: not in the shape of a key that a filter would know."""
    return f"canary/{next(_numbers)}/of-the-operator+{time.monotonic_ns()}"


@dataclass
class Setting:
    """A server, an operator's browser, two providers, and a live account."""

    people: People
    operator: Browser
    first: ScriptedProvider
    second: ScriptedProvider
    account: Account
    secrets: list[str]

    def new_secret(self) -> str:
        self.secrets.append(secret())
        return self.secrets[-1]

    def call(self, model: str = "gpt-4o", **more: Any) -> Reply:
        body = {"model": model, "messages": [{"role": "user", "content": "hello"}], **more}
        headers = {"Authorization": f"Bearer {self.account.key}"}
        return send(self.people.base_url, "POST", "/v1/chat/completions", body, headers)

    def tessera(self, *arguments: str, env: dict[str, str] | None = None, check: bool = True) -> Any:
        server = self.people.server
        place = ("--data", str(server.data_dir), "--config", str(server.data_dir.parent / "tessera.toml"))
        return tessera("providers", *arguments, *place, env=env, check=check)

    def put(self, provider: str, **fields: Any) -> Reply:
        return self.operator.send("PUT", f"{PATH}/{provider}", {"base_url": self.first.base_url, **fields})

    def listed(self, provider: str) -> dict[str, Any]:
        found = self.operator.get(PATH)
        assert found.status == 200, found.text
        (row,) = [one for one in found.json["data"] if one["id"] == provider]
        return dict(row)


def until(holds: Callable[[], bool]) -> None:
    end = time.monotonic() + SECONDS_MAX
    while not holds():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.05)


@pytest.fixture(scope="module")
def setting(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Setting]:
    """At the end, no secret that a test planted may be anywhere."""
    with ScriptedProvider() as first, ScriptedProvider() as second:
        top = TOP.format(first=first.base_url, second=second.base_url)
        for people in running_people(tmp_path_factory.mktemp("credentials"), top=top):
            operator = people.newcomer()
            assert people.server.tessera("members", "operator", operator.email).returncode == 0
            account = people.server.account(mode="live", credit="5.00")
            found = Setting(people, operator, first, second, account, [])
            yield found
            check_nothing_leaked(found)


def check_nothing_leaked(setting: Setting) -> None:
    """T23, T24: neither in answers, logs, metrics, audits and exports nor in what is on the disk."""
    people, server = setting.people, setting.people.server
    headers = {"Authorization": f"Bearer {setting.account.key}"}
    said = [
        server.log.read_text(),
        send(people.base_url, "GET", "/metrics").text,
        *(send(people.base_url, "GET", f"/v1/{path}", None, headers).text for path in ("requests", "models", "usage")),
        *(setting.operator.get(path).text for path in (PATH, "/account/person/export", "/account/session")),
        setting.operator.get(f"{setting.operator.at()}/export").text,
        server.tessera("verify", "--json").stdout,
    ]
    kept = [path.read_bytes() for path in server.data_dir.rglob("*") if path.is_file()]
    assert setting.secrets
    assert any(b"credential.set" in content for content in kept), "the database was really read"
    for planted in setting.secrets:
        assert not [text[:80] for text in said if planted in text]
        assert not [content[:80] for content in kept if planted.encode() in content]


# ---- what serves -----------------------------------------------------------------------------------------------------


class Gate:
    """A reply whose end waits until the gate is open."""

    def __init__(self, reply: Script) -> None:
        self.opened = threading.Event()
        self._whole = b"".join(piece for piece in reply.pieces if isinstance(piece, bytes))

    def __iter__(self) -> Iterator[bytes | Pause]:
        yield self._whole[:-5]
        while not self.opened.is_set():
            yield Pause(0.01)
        yield self._whole[-5:]


def test_a_running_server_takes_up_a_new_a_rotated_and_a_removed_credential(setting: Setting) -> None:
    first, second = setting.new_secret(), setting.new_secret()
    assert (setting.call().status, setting.call().code) == (503, "no_deployment")
    setting.tessera(
        "set", "openai", "--base-url", setting.first.base_url, "--credential", "env:MINE", env={"MINE": first}
    )
    until(lambda: setting.call().status == 200)
    received = setting.first.received
    assert {one.credential for one in received} == {first}
    models = send(
        setting.people.base_url, "GET", "/v1/models", None, {"Authorization": f"Bearer {setting.account.key}"}
    )
    assert "gpt-4o" in {one["id"] for one in models.json["data"]}

    gate = Gate(chat_reply("the old one"))
    setting.first.script(Script(gate))  # type: ignore[arg-type]
    answers: list[Reply] = []
    running = threading.Thread(target=lambda: answers.append(setting.call()))
    before = len(received)
    running.start()
    until(lambda: len(received) > before)
    rotated = setting.put("openai", credential=second)
    assert (rotated.status, rotated.json["last_four"]) == (200, second[-4:])
    until(lambda: setting.call().status == 200 and received[-1].credential == second)
    gate.opened.set()
    running.join()
    assert (answers[0].status, "the old one" in answers[0].text) == (200, True), "a call in flight ends as it began"
    assert {one.credential for one in received} == {first, second}
    mark = len(received)
    assert [setting.call().status for _ in range(3)] == [200] * 3
    assert {one.credential for one in received[mark:]} == {second}

    assert setting.operator.delete(f"{PATH}/openai").json["deleted"] is True
    until(lambda: setting.call().status == 503)
    assert setting.call().code == "no_deployment"
    assert (setting.operator.delete(f"{PATH}/openai").status, setting.put("openai").status) == (404, 400)


def test_a_deployment_of_the_file_is_served_by_a_stored_provider_where_its_address_is(setting: Setting) -> None:
    mine = setting.new_secret()
    assert "deployment[0] serves nothing yet" in setting.people.server.log.read_text()
    stored = setting.put("lab", credential=f"  {mine}\n", surfaces=["chat"])
    assert stored.status == 200, stored.text
    until(lambda: setting.call("gpt-4o-mini").status == 200)
    assert (setting.first.received[-1].json()["model"], setting.first.received[-1].credential) == ("own", mine)
    moved = setting.put("lab", credential=setting.new_secret(), base_url=setting.second.base_url)
    assert moved.json["surfaces"] == ["chat"], "what is not said stays"
    until(lambda: setting.call("gpt-4o-mini").status == 200 and len(setting.second.received) > 0)
    assert setting.second.received[-1].credential == setting.secrets[-1]
    for received in setting.second.received:
        assert received.credential != mine, "a credential goes to the address it was given with only (T29)"


def test_f05_a_credential_that_is_refused_is_off_until_another_is_set(setting: Setting) -> None:
    bad = setting.new_secret()
    setting.put("lab", credential=bad)
    until(lambda: setting.call("gpt-4o-mini").status == 200 and setting.first.received[-1].credential == bad)

    setting.first.script(error_reply(400, message=f"what is {bad}?"))
    assert "what is …?" in setting.call("gpt-4o-mini").text, "what a provider quotes of it is left out"
    setting.first.script(error_reply(403))
    refused = setting.call("gpt-4o-mini")
    assert (refused.status, refused.code) == (503, "provider_credential_rejected")
    until(lambda: setting.listed("lab")["rejected_status"] == 403)
    assert (setting.listed("lab")["state"], setting.call("gpt-4o-mini").status) == ("on", 200)

    setting.first.script(error_reply(401, message=f"Incorrect API key provided: {bad}"))
    assert setting.call("gpt-4o-mini").code == "provider_credential_rejected"
    before = len(setting.first.received)
    off = setting.call("gpt-4o-mini")
    assert (off.status, off.code, len(setting.first.received)) == (503, "provider_credential_rejected", before)
    until(lambda: setting.listed("lab")["state"] == "off")
    assert setting.listed("lab")["reason"] == "the provider refused it with status 401; set another"
    setting.put("lab", credential=setting.new_secret())
    until(lambda: setting.call("gpt-4o-mini").status == 200)
    assert setting.listed("lab")["state"] == "on"


def test_a_name_that_leads_inside_is_not_called(setting: Setting) -> None:
    """The text is fine, and what it resolves to is not: that is found where the socket is made."""
    assert setting.put("inner", credential=setting.new_secret(), base_url="https://localhost/v1").status == 200
    until(lambda: setting.call("o3").code == "provider_error")
    assert "localhost" not in setting.call("o3").text
    assert '"provider.address_blocked"' in setting.people.server.log.read_text()
    assert setting.operator.delete(f"{PATH}/inner").status == 200


# ---- what is refused -------------------------------------------------------------------------------------------------


REFUSED: list[tuple[str, dict[str, Any], str]] = [
    ("sight", {}, "provider"),
    ("sandbox", {}, "provider"),
    ("Lab", {}, "provider"),
    ("a%20b", {}, "provider"),
    ("x" * 65, {}, "provider"),
    ("new", {"base_url": None}, "base_url"),
    ("new", {"base_url": "http://api.example.com/v1"}, "base_url"),
    ("new", {"base_url": "https://169.254.169.254/v1"}, "base_url"),
    ("new", {"base_url": "https://user:pass@api.example.com/v1"}, "base_url"),
    ("new", {"credential": ""}, "credential"),
    ("new", {"credential": " \n"}, "credential"),
    ("new", {"credential": "two words canary"}, "credential"),
    ("new", {"credential": "canary\r\nHost: evil.example"}, "credential"),
    ("new", {"credential": "schlüssel-canary"}, "credential"),
    ("new", {"base_url": ""}, "base_url"),
    ("new", {"surfaces": ["messages"]}, "surfaces"),
    ("new", {"surfaces": ["chat", "messages"]}, "surfaces"),
    ("new", {"surfaces": []}, "surfaces"),
    ("new", {"dialect": "openai"}, "dialect"),
    ("new", {"last_four": "abcd"}, "last_four"),
]


def test_what_cannot_be_stored_is_refused_by_name_and_not_quoted(setting: Setting) -> None:
    for provider, fields, param in REFUSED:
        reply = setting.put(provider, **{"credential": setting.new_secret(), **fields})
        assert (reply.status, reply.json["error"]["param"]) == (400, param), (provider, fields, reply.text)
        assert "canary" not in reply.text
    assert not {"sight", "sandbox", "Lab", "new"} & {one["id"] for one in setting.operator.get(PATH).json["data"]}


def test_who_is_no_operator_may_do_nothing(setting: Setting) -> None:
    other = setting.people.newcomer()
    body = {"credential": setting.new_secret()}
    for reply in (other.get(PATH), other.send("PUT", f"{PATH}/openai", body), other.delete(f"{PATH}/lab")):
        assert (reply.status, reply.code) == (403, "permission_denied")


def test_the_audit_log_names_each_act_and_who_did_it(setting: Setting) -> None:
    setting.put("audited", credential=setting.new_secret())
    assert json.loads(setting.tessera("remove", "audited", "--json").stdout) == {"id": "audited", "removed": True}
    database = sqlite3.connect(setting.people.server.data_dir / "tessera.db")
    sql = "SELECT action, actor_kind, actor_id, details FROM audit_event WHERE object_id = 'audited' ORDER BY seq"
    put, removed = database.execute(sql).fetchall()
    database.close()
    assert put[:3] == ("credential.set", "person", setting.operator.person_id)
    assert json.loads(put[3])["base_url"] == setting.first.base_url
    assert removed[:3] == ("credential.removed", "operator", "operator")


# ---- the command -----------------------------------------------------------------------------------------------------


def test_the_command_says_the_same_as_the_route_and_takes_no_secret_as_an_argument(setting: Setting) -> None:
    mine = setting.new_secret()
    file = setting.people.server.data_dir.parent / "file"
    file.write_text(mine)
    arguments = ("set", "said", "--base-url", setting.first.base_url, "--surface", "chat")
    said = json.loads(setting.tessera(*arguments, "--credential", f"file:{file}", "--json").stdout)
    file.unlink()
    assert said == setting.listed("said")
    assert json.loads(setting.tessera("list", "--json").stdout) == setting.operator.get(PATH).json["data"]
    given = CliRunner().invoke(main, ["providers", *arguments, "--credential", mine])
    assert (given.exit_code, "never the credential itself" in given.output, mine in given.output) == (2, True, False)


async def entered(folder: Path, environment: dict[str, str]) -> tuple[list[tuple[str, str]], str]:
    """How openai's rows stand with one stored and one in the environment, and how another is refused."""
    settings = load_settings({}, data_dir=folder)
    operator = Actor(kind=ActorKind.OPERATOR, id="operator", is_operator=True)
    async with open_storage(settings) as opened:
        await set_credential(open_vault(settings, opened, {}), operator, "openai", secret(), None, None)
        vault = open_vault(settings, opened, environment)
        with pytest.raises(TesseraError) as refused:
            await set_credential(vault, operator, "openai", secret(), None, None)
        rows = (await list_providers(vault))["data"]
        await remove_credential(vault, operator, "openai")
        return [(one["source"], one["state"]) for one in rows], refused.value.message


def test_what_the_settings_say_stands_over_what_is_entered(tmp_path: Path) -> None:
    rows, refused = in_thread(entered(tmp_path, {"OPENAI_API_KEY": "sk-of-the-environment"}))
    assert rows == [("environment", "configured"), ("stored", "overridden")]
    assert "configured by OPENAI_API_KEY" in refused
