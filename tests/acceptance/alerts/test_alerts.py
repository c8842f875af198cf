"""Alerts as people meet them: set by role, told by letter and by signed webhook, once, also after a kill."""

import hashlib
import hmac
import json
import re
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from people_calls import CONFIG, Browser, MailServer, People, send
from servers import running_server, tessera

ROOT = Path(__file__).parents[3]
SECONDS_MAX = 30
WEBHOOKS = "\n[webhooks]\nallow_private_networks = true\n"


class Receiver:
    """A real web server that keeps what it gets, and answers `status`."""

    def __init__(self) -> None:
        self.got: list[tuple[dict[str, str], bytes]] = []
        self.status = 200
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                receiver.got.append(({name.lower(): value for name, value in self.headers.items()}, body))
                self.send_response(receiver.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *_: object) -> None:
                """Says nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}/hook"
        self._thread = threading.Thread(target=self._server.serve_forever, daemon=True)

    def __enter__(self) -> "Receiver":
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join(10)

    def wait_for(self, number: int) -> list[tuple[dict[str, str], bytes]]:
        deadline = time.monotonic() + SECONDS_MAX
        while len(self.got) < number:
            assert time.monotonic() < deadline, f"{len(self.got)} of {number} requests came"
            time.sleep(0.02)
        return self.got


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


def config(mail: MailServer, more: str = WEBHOOKS) -> str:
    return CONFIG.format(top='sign_up = "open"', port=mail.port, tries=1_000_000, letters=1_000_000) + more


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """A server with mail whose operator lets webhooks into private networks."""
    with MailServer() as mail, running_server(tmp_path_factory.mktemp("alerts"), config=config(mail)) as server:
        yield People(server, mail)
        server.verify()


def call_key(owner: Browser) -> str:
    made = owner.post(f"{owner.at()}/projects/{owner.project()}/api_keys", {"name": "k", "mode": "test"})
    return str(made.json["value"])


def call(base_url: str, key: str) -> None:
    body = {"model": "gpt-5.2-pro", "messages": [{"role": "user", "content": "Hello"}], "max_completion_tokens": 50}
    reply = send(base_url, "POST", "/v1/chat/completions", body, {"Authorization": f"Bearer {key}"})
    assert reply.status == 200, reply.text


def spend_alert(owner: Browser) -> Any:
    made = owner.post(f"{owner.at()}/alerts", {"kind": "spend", "mode": "test", "amount": "0.000001"})
    assert made.status == 200, made.text
    return made.json


def notices(owner: Browser) -> list[Any]:
    return list(owner.get(f"{owner.at()}/notices").json["data"])


def documented_verifier() -> Any:
    """The lines of the how-to by which a receiver checks what it got."""
    found = re.search(r"```python\n(.*?)```", (ROOT / "docs/how-to/get-alerts.md").read_text(), re.S)
    assert found is not None
    names: dict[str, Any] = {}
    exec(found[1], names)
    return names["verified"]


def test_mistakes_are_refused_in_words(people: People) -> None:
    owner = people.newcomer()
    for body, param in (
        ({"kind": "much", "amount": "1"}, "kind"),
        ({"kind": "spend", "amount": "-1"}, "amount"),
        ({"kind": "spend", "amount": "lots"}, "amount"),
        ({"kind": "budget", "amount": "1"}, "percent"),
        ({"kind": "balance", "amount": "1", "project": "default"}, "project"),
        ({"kind": "spend", "amount": "1", "key": "a", "project": "b"}, "key"),
    ):
        reply = owner.post(f"{owner.at()}/alerts", body)
        assert (reply.status, reply.code, reply.json["error"]["param"]) == (400, "invalid_request", param), reply.text
    for url in ("ftp://example.com", "http://user@example.com/", "not one"):
        assert owner.post(f"{owner.at()}/webhooks", {"url": url}).status == 400
    assert owner.delete(f"{owner.at()}/alerts/alert_none").status == 404
    assert owner.delete(f"{owner.at()}/webhooks/webhook_none").status == 404


def test_who_looks_after_the_money_gets_one_letter_and_the_webhook_one_signed_request(
    people: People, receiver: Receiver
) -> None:
    owner = people.newcomer("Grace")
    billing, developer = people.member(owner, "billing"), people.member(owner, "developer")
    webhook = owner.post(f"{owner.at()}/webhooks", {"url": receiver.url}).json
    assert webhook["secret"] not in owner.get(f"{owner.at()}/webhooks").text
    alert = spend_alert(owner)
    key = call_key(owner)
    call(people.base_url, key)
    letter = people.mail.letter_to(owner.email, "spending has passed")
    people.mail.letter_to(billing.email, "spending has passed")
    headers, body = receiver.wait_for(1)[0]
    event = json.loads(body)
    assert (event["type"], event["data"]["alert_id"]) == ("alert.raised", alert["id"])
    assert event["id"] in letter
    verified, signature = documented_verifier(), headers["tessera-signature"]
    assert verified(body, signature, webhook["secret"])
    assert not verified(body + b" ", signature, webhook["secret"])
    assert not verified(body, signature, "whsec_another")
    old = hmac.new(webhook["secret"].encode(), b"1." + body, hashlib.sha256).hexdigest()
    assert not verified(body, f"t=1,v1={old}", webhook["secret"])
    call(people.base_url, key)
    time.sleep(5)
    assert len(receiver.got) == 1
    assert len([m for m in people.mail.letters_to(owner.email) if "spending has passed" in m["Subject"]]) == 1
    assert not [m for m in people.mail.letters_to(developer.email) if "spending" in m["Subject"]]
    (notice,) = notices(owner)
    told = {(one["kind"], one["state"], one["tries"]) for one in notice["deliveries"]}
    assert told == {("mail", "sent", 1), ("webhook", "sent", 1)}
    actions = {event["type"] for event in owner.get(f"{owner.at()}/audit_logs").json["data"]}
    assert {"alert.created", "webhook.created"} <= actions
    assert owner.delete(f"{owner.at()}/alerts/{alert['id']}").status == 200
    assert owner.get(f"{owner.at()}/alerts").json["data"] == []


def test_a_receiver_that_fails_is_asked_again_with_the_same_id(people: People, receiver: Receiver) -> None:
    owner = people.newcomer()
    receiver.status = 500
    assert owner.post(f"{owner.at()}/webhooks", {"url": receiver.url}).status == 200
    spend_alert(owner)
    call(people.base_url, call_key(owner))
    receiver.wait_for(1)
    receiver.status = 204
    first, second = receiver.wait_for(2)
    assert json.loads(first[1])["id"] == json.loads(second[1])["id"]


def test_the_balance_says_what_the_month_will_cost(people: People) -> None:
    key = call_key(people.newcomer())
    call(people.base_url, key)
    balance = send(people.base_url, "GET", "/v1/balance", headers={"Authorization": f"Bearer {key}"}).json
    forecast = balance["forecast"]
    assert forecast["charged_nanos"] == balance["spent_nanos"] > 0
    assert forecast["by_month_nanos"] >= forecast["charged_nanos"]
    assert forecast["by_last_7_days_nanos"] >= forecast["charged_nanos"]


def test_what_was_raised_before_a_kill_is_sent_after_the_restart_once(tmp_path: Path, receiver: Receiver) -> None:
    with MailServer() as mail:
        receiver.status = 500
        with running_server(tmp_path, config=config(mail)) as server:
            people = People(server, mail)
            owner = people.newcomer()
            assert owner.post(f"{owner.at()}/webhooks", {"url": receiver.url}).status == 200
            spend_alert(owner)
            call(people.base_url, call_key(owner))
            first = receiver.wait_for(1)[0]
            deadline = time.monotonic() + SECONDS_MAX
            while not [one for one in notices(owner)[0]["deliveries"] if one["error"]]:
                assert time.monotonic() < deadline
                time.sleep(0.02)
            server.process.kill()
            server.process.wait(10)
        receiver.status = 200
        with running_server(tmp_path, config=config(mail)) as server:
            second = receiver.wait_for(2)[1]
            time.sleep(4)
            server.verify()
        assert json.loads(first[1])["id"] == json.loads(second[1])["id"]
        assert len(receiver.got) == 2


def test_without_the_operators_leave_no_private_address_is_called(tmp_path: Path, receiver: Receiver) -> None:
    with MailServer() as mail, running_server(tmp_path, config=config(mail, "")) as server:
        owner = People(server, mail).newcomer()
        for url in ("http://127.0.0.1/", "http://[::1]/", "http://169.254.169.254/", receiver.url):
            assert owner.post(f"{owner.at()}/webhooks", {"url": url}).status == 400
        assert owner.post(f"{owner.at()}/webhooks", {"url": "http://localhost/"}).status == 200
        spend_alert(owner)
        call(server.base_url, call_key(owner))
        deadline = time.monotonic() + SECONDS_MAX
        while True:
            tried = [one for notice in notices(owner) for one in notice["deliveries"] if one["kind"] == "webhook"]
            if tried and tried[0]["error"]:
                break
            assert time.monotonic() < deadline
            time.sleep(0.1)
        assert (tried[0]["state"], tried[0]["error"]) == ("waiting", "the address could not be reached")


def test_the_command_line_sets_lists_and_removes(tmp_path: Path) -> None:
    data = ("--data", str(tmp_path / "data"))
    tessera("orgs", "create", "acme", *data)
    of = ("--org", "acme", *data)
    made = json.loads(tessera("alerts", "set", *of, "--balance-below", "10.00", "--json").stdout)
    assert (made["kind"], made["amount"]) == ("balance", "10.00")
    assert "less than $10.00 left" in tessera("alerts", "list", *of).stdout
    assert json.loads(tessera("alerts", "raised", *of, "--json").stdout) == []
    assert tessera("alerts", "set", *of, "--spent", "1", "--balance-below", "1", check=False).returncode == 2
    assert tessera("alerts", "remove", made["id"], *of).returncode == 0
    assert tessera("alerts", "remove", made["id"], *of, check=False).returncode == 1
    webhook = json.loads(tessera("webhooks", "add", "https://example.com/hook", *of, "--json").stdout)
    listed = tessera("webhooks", "list", *of).stdout
    assert webhook["id"] in listed
    assert webhook["secret"] not in listed
    assert tessera("webhooks", "remove", webhook["id"], *of).returncode == 0
