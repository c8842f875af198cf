"""Live calls whose providers do what each test tells them to, and what is left of a call afterwards."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from live_calls import CONFIG, CREDENTIAL, Live
from raw_http import dial, request
from receipts import assert_sound
from scripted_provider import ScriptedProvider
from servers import running_server

HELLO = {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "max_completion_tokens": 50}


@dataclass(frozen=True)
class Seen:
    """A call as its client saw it."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def error(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)["error"]
        return found

    @property
    def events(self) -> list[Any]:
        """The data of a stream's frames; `[DONE]` as text."""
        data = [line[6:] for line in self.body.decode().splitlines() if line.startswith("data: ")]
        return [line if line == "[DONE]" else json.loads(line) for line in data]

    @property
    def text(self) -> str:
        chunks = [event for event in self.events if isinstance(event, dict)]
        return "".join(choice["delta"].get("content") or "" for chunk in chunks for choice in chunk.get("choices", ()))


def call(live: Live, *, path: str = "/chat/completions", headers: dict[str, str] | None = None, **changes: Any) -> Seen:
    """Sends the ordinary call, changed as asked."""
    return Seen(*live.post(path, json.dumps({**HELLO, **changes}).encode(), **(headers or {})))


def settled(live: Live) -> dict[str, Any]:
    """The newest receipt, sound, once nothing is held any more."""
    deadline = time.monotonic() + 15
    while live.get("/balance")["held_nanos"]:
        assert time.monotonic() < deadline, "a hold was left open"
        time.sleep(0.02)
    receipt = live.last_receipt()
    assert_sound(receipt)
    return receipt


def assert_free(live: Live) -> dict[str, Any]:
    """The newest receipt, which must have cost nothing."""
    receipt = settled(live)
    assert receipt["charge"]["nanos"] == 0
    assert live.get("/balance")["available"] == "5.00"
    return receipt


def until(true: Callable[[], object], seconds: float = 15) -> None:
    """Waits for something to become true."""
    deadline = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < deadline
        time.sleep(0.01)


@contextlib.contextmanager
def live_server(folder: Path, limits: str = "", provider: str = "") -> Iterator[Live]:
    """A server of a test's own, with lines of its own under `[limits]` and its first `[[provider]]`, and a live account
    with money."""
    with ScriptedProvider() as first, ScriptedProvider() as second, ScriptedProvider() as images:
        config = CONFIG.format(first=first.base_url, second=second.base_url, image_ports=json.dumps([images.port]))
        config = config.replace("ejection_seconds = 0\n", limits or "ejection_seconds = 0\n")
        config = config.replace('name = "first"\n', f'name = "first"\n{provider}')
        with running_server(folder, config=config, env={"LOCAL_KEY": CREDENTIAL}) as server:
            yield Live(server, first, second, images, server.account(mode="live", credit="5.00"))
            if server.process.poll() is None:
                server.verify()


def start(live: Live, **changes: Any) -> socket.socket:
    """A raw connection that has sent the ordinary call and has read nothing yet."""
    body = json.dumps({**HELLO, **changes}).encode()
    connection = dial(live.server.base_url)
    connection.sendall(request("POST", "/v1/chat/completions", live.account.key, body))
    return connection
