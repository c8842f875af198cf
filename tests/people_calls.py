"""People who use a real server: a real mail server that keeps what it gets, and browsers that keep cookies.

def test_something(people: People) -> None:
    ada = people.newcomer()          # signed up by mail and signed in, owner of an organization of her own
    bob = people.member(ada, "viewer")  # invited, joined
"""

import asyncio
import http.client
import json
import re
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from email import message_from_bytes, policy
from email.message import EmailMessage
from itertools import count
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from aiosmtpd.smtp import SMTP, Envelope, Session

from servers import TesseraServer, running_server

PASSWORD = "correct horse battery staple"
LETTER_SECONDS_MAX = 20
BUSY_TRIES_MAX = 10
CONFIG = """
{top}

[smtp]
host = "127.0.0.1"
port = {port}
security = "none"
sender = "tessera@example.com"

[limits]
tries_per_account_max = {tries}
tries_per_address_max = 1000000
password_memory_kib = 8192
letters_per_mailbox_max = {letters}
"""


class MailServer:
    """A mail server on loopback that keeps every letter; while it `hangs` it takes letters and never answers."""

    def __init__(self) -> None:
        self.hangs = False
        self.taken = 0
        self.letters: list[EmailMessage] = []
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, daemon=True)

    def __enter__(self) -> "MailServer":
        self._thread.start()
        started = asyncio.run_coroutine_threadsafe(self._start(), self._loop)
        self.port: int = started.result(10)
        return self

    def __exit__(self, *_: object) -> None:
        async def stop() -> None:
            self._server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(stop(), self._loop).result(10)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(10)
        self._loop.close()

    async def _start(self) -> int:
        self._server = await self._loop.create_server(lambda: SMTP(self, loop=self._loop), "127.0.0.1", 0)
        return int(self._server.sockets[0].getsockname()[1])

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:  # noqa: N802
        self.taken += 1
        if self.hangs:
            await asyncio.sleep(3600)
        message = message_from_bytes(envelope.content or b"", policy=policy.default)
        assert isinstance(message, EmailMessage)
        self.letters.append(message)
        return "250 kept"

    def letters_to(self, email: str) -> list[EmailMessage]:
        return [letter for letter in self.letters if letter["To"] == email]

    def letter_to(self, email: str, subject: str, *, number: int = 1) -> str:
        """The text of the latest of at least `number` letters to an address with this in its subject."""
        deadline = time.monotonic() + LETTER_SECONDS_MAX
        while time.monotonic() < deadline:
            found = [letter for letter in self.letters_to(email) if subject in letter["Subject"]]
            if len(found) >= number:
                return str(found[-1].get_content())
            time.sleep(0.01)
        raise AssertionError(f"no letter {subject!r} came to {email}: {[m['Subject'] for m in self.letters]}")

    def token_to(self, email: str, subject: str, *, number: int = 1) -> str:
        """The token behind the # of the link in a letter."""
        match = re.search(r"#([0-9a-f]{64})", self.letter_to(email, subject, number=number))
        assert match is not None
        return match[1]


@dataclass
class Reply:
    """A reply: status, headers by lower-case name, JSON."""

    status: int
    headers: dict[str, str]
    text: str

    @property
    def json(self) -> Any:
        return json.loads(self.text)

    @property
    def code(self) -> str:
        return str(self.json["error"]["code"])


@dataclass
class Browser:
    """A browser at a server's own pages: it sends Origin, keeps its cookie and the token of its session."""

    base_url: str
    email: str = ""
    person_id: str = ""
    organization: str = ""
    cookie: str | None = None
    csrf: str | None = None
    headers: dict[str, str] = field(default_factory=dict)

    def send(self, method: str, path: str, body: object = None, **headers: str) -> Reply:
        sent = {"Origin": self.base_url, **self.headers}
        if self.cookie is not None:
            sent["Cookie"] = self.cookie
        if self.csrf is not None:
            sent["X-CSRF-Token"] = self.csrf
        sent |= {name.replace("_", "-"): value for name, value in headers.items()}
        reply = send(self.base_url, method, path, body, {name: value for name, value in sent.items() if value})
        cookie = reply.headers.get("set-cookie")
        if cookie is not None:
            self.cookie = cookie.partition(";")[0]
        if reply.status == 200 and "csrf_token" in reply.text:
            self.csrf = reply.json["csrf_token"]
        return reply

    def get(self, path: str, **headers: str) -> Reply:
        return self.send("GET", path, **headers)

    def post(self, path: str, body: object = None, **headers: str) -> Reply:
        return self.send("POST", path, body if body is not None else {}, **headers)

    def delete(self, path: str, **headers: str) -> Reply:
        return self.send("DELETE", path, **headers)

    def sign_in(self, password: str = PASSWORD, **fields: str) -> Reply:
        return self.post("/account/sign-in", {"email": self.email, "password": password, **fields})

    def at(self, organization: str | None = None) -> str:
        """The path of an organization, the browser's own by default."""
        return f"/account/organizations/{organization or self.organization}"

    def admin_key(self, name: str = "for a test") -> str:
        """A new key for administration, made by this person."""
        made = self.post(f"{self.at()}/admin_api_keys", {"name": name})
        assert made.status == 200, made.text
        return str(made.json["value"])

    def project(self) -> str:
        """The organization's first project."""
        found = self.get(f"{self.at()}/projects")
        assert found.status == 200, found.text
        return str(found.json["data"][0]["id"])


def send(base_url: str, method: str, path: str, body: object = None, headers: dict[str, str] | None = None) -> Reply:
    """One request, with a JSON body if there is one; sent again when the machine is too busy to take it."""
    for _ in range(BUSY_TRIES_MAX):
        reply = _send(base_url, method, path, body, headers)
        if reply.status != 503 or reply.code != "overloaded":
            break
        time.sleep(1)
    return reply


def _send(base_url: str, method: str, path: str, body: object, headers: dict[str, str] | None) -> Reply:
    address = urlsplit(base_url)
    connection = http.client.HTTPConnection(address.hostname or "", address.port, timeout=60)
    try:
        sent = dict(headers or {})
        content = None if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
        if content is not None:
            sent.setdefault("Content-Type", "application/json")
        connection.request(method, path, body=content, headers=sent)
        reply = connection.getresponse()
        found = {name.lower(): value for name, value in reply.getheaders()}
        return Reply(reply.status, found, reply.read().decode())
    finally:
        connection.close()


@dataclass
class People:
    """A server with mail, and the people who come to it."""

    server: TesseraServer
    mail: MailServer
    _numbers: Any = field(default_factory=count)

    @property
    def base_url(self) -> str:
        return self.server.base_url

    def new_email(self, name: str = "ada") -> str:
        return f"{name}{next(self._numbers)}@example.com"

    def browser(self, email: str = "") -> Browser:
        return Browser(self.base_url, email)

    def newcomer(self, name: str = "Ada") -> Browser:
        """Somebody who signed up by mail and is signed in."""
        browser = self.browser(self.new_email(name.lower()))
        asked = browser.post("/account/sign-up", {"email": browser.email, "name": name, "password": PASSWORD})
        assert asked.status == 200, asked.text
        token = self.mail.token_to(browser.email, "Confirm")
        return self._settled(browser, browser.post("/account/sign-up/confirm", {"token": token, "password": PASSWORD}))

    def member(self, owner: Browser, role: str) -> Browser:
        """Somebody new, invited into an organization, who signed up by that invitation."""
        browser = self.browser(self.new_email(role))
        invited = owner.post(f"{owner.at()}/invites", {"email": browser.email, "role": role})
        assert invited.status == 200, invited.text
        token = self.mail.token_to(browser.email, "invited")
        body = {"token": token, "name": role, "password": PASSWORD}
        self._settled(browser, browser.post("/account/sign-up/invited", body))
        browser.organization = owner.organization
        return browser

    def _settled(self, browser: Browser, reply: Reply) -> Browser:
        assert reply.status == 200, reply.text
        browser.person_id = reply.json["person"]["id"]
        browser.organization = browser.get("/account/organizations").json["data"][0]["id"]
        return browser


def running_people(
    folder: Path, *, sign_up: str = "open", top: str = "", tries: int = 1_000_000, letters: int = 1_000_000
) -> Iterator[People]:
    """A server with mail for the time of a block."""
    with MailServer() as mail:
        config = CONFIG.format(top=f'sign_up = "{sign_up}"\n{top}', port=mail.port, tries=tries, letters=letters)
        with running_server(folder, config=config) as server:
            yield People(server, mail)
            server.verify()


@pytest.fixture(scope="module")
def people(tmp_path_factory: pytest.TempPathFactory) -> Iterator[People]:
    """One server with mail for the tests of a module; its ledger and its audit log must be whole at the end."""
    yield from running_people(tmp_path_factory.mktemp("people"))
