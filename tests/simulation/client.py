"""Simulated clients: they come in by the front door, read slowly, leave at any moment, and repeat."""

import asyncio
import json
from dataclasses import dataclass, field
from random import Random
from typing import TYPE_CHECKING, Any

from simulation.invariants import claim
from tessera.domain.money import format_usd

if TYPE_CHECKING:
    from simulation.process import Process
    from simulation.world import Simulation

MODELS = ("gpt-4o", "gpt-4o", "gpt-4o", "gpt-5.2", "gpt-5.2", "gpt-5.2-pro")
TIERS = ("default", "default", "auto", "priority", "priority", "flex")
LONGEST_STAY_S = 30.0
SLOWEST_READ_S = 20.0
RETRIES_MAX = 4
RETRY_STATUSES = (409, 429, 500, 502, 503, 504)


@dataclass(frozen=True)
class Account:
    """An organization's key in one mode."""

    organization_id: str
    mode: str
    key: str
    key_id: str


@dataclass(frozen=True)
class Plan:
    """One call a client wants made: repeated, it is the same bytes. `revoked` says that its key must be refused."""

    account: Account
    path: str
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...] = ()
    price_max_nanos: int | None = None
    idempotency_key: str | None = None
    quote_first: bool = False
    tries: int = 0
    revoked: bool = False


def draw_plan(random: Random, accounts: list[Account], keys: list[str]) -> Plan:
    """A call somebody might make."""
    account = random.choice(accounts)
    chat = random.random() < 0.6
    body: dict[str, Any] = {"model": random.choice(MODELS), "stream": random.random() < 0.6}
    text = " ".join(random.choice(("describe", "count", "the", "cats", "größe")) for _ in range(random.randint(1, 30)))
    image = f"https://images.example/{random.randint(1, 2000)}x{random.randint(1, 2000)}.png"
    shown = image if random.random() < 0.3 else None
    body |= _chat(random, text, shown, streams=body["stream"]) if chat else _response(random, text, shown)
    if random.random() < 0.3:
        body["service_tier"] = random.choice(TIERS)
    headers, price_max_nanos = _terms(random)
    key = random.choice(keys) if random.random() < 0.2 else None
    if key is not None:
        headers.append((b"idempotency-key", key.encode()))
    path = "/v1/chat/completions" if chat else "/v1/responses"
    encoded = json.dumps(body, ensure_ascii=False).encode()
    return Plan(account, path, encoded, tuple(headers), price_max_nanos, key, random.random() < 0.15)


def _chat(random: Random, text: str, image: str | None, *, streams: bool) -> dict[str, Any]:
    parts: list[dict[str, Any]] = [{"type": "text", "text": text}]
    if image is not None:
        parts.append({"type": "image_url", "image_url": {"url": image}})
    body: dict[str, Any] = {"messages": [{"role": "user", "content": parts}]}
    if random.random() < 0.9:
        body["max_completion_tokens"] = random.randint(1, 300)
    if random.random() < 0.2:
        body["n"] = random.randint(1, 3)
    if streams and random.random() < 0.5:
        body["stream_options"] = {"include_usage": True}
    return body


def _response(random: Random, text: str, image: str | None) -> dict[str, Any]:
    content: list[dict[str, Any]] = [{"type": "input_text", "text": text}]
    if image is not None:
        content.append({"type": "input_image", "image_url": image})
    body: dict[str, Any] = {"input": [{"role": "user", "content": content}]}
    if random.random() < 0.9:
        body["max_output_tokens"] = random.randint(16, 300)
    return body


def _terms(random: Random) -> tuple[list[tuple[bytes, bytes]], int | None]:
    """Headers that say what a call may cost, and the most they allow."""
    headers: list[tuple[bytes, bytes]] = []
    if random.random() < 0.15:
        price_max_nanos = random.randint(1, 30_000_000)
        headers.append((b"tessera-max-price", format_usd(price_max_nanos).encode()))
        if random.random() < 0.5:
            headers.append((b"tessera-fit", b"max-price"))
        return headers, price_max_nanos
    if random.random() < 0.4:
        headers.append((b"tessera-fit", b"balance"))
    return headers, None


@dataclass
class Reply:
    """What a client got: `complete` when the last byte came."""

    status: int = 0
    headers: dict[str, str] = field(default_factory=dict)
    pieces: list[bytes] = field(default_factory=list)
    complete: bool = False

    @property
    def body(self) -> bytes:
        """All bytes received."""
        return b"".join(self.pieces)


class Client:
    """One HTTP request and its client, who may go away."""

    def __init__(self, process: "Process", method: str, path: str, account: Account, plan: Plan | None) -> None:
        self._process = process
        self._simulation: Simulation = process.simulation
        self._method = method
        self._path = path
        self._account = account
        self.plan = plan
        self.reply = Reply()
        self.gone = False
        self._over = process.loop.create_future()
        self._sent_body = False

    async def run(self, body: bytes, headers: tuple[tuple[bytes, bytes], ...] = ()) -> Reply:
        """Makes the request and reads the reply to its end, or leaves."""
        simulation = self._simulation
        self._body = body
        scope = {
            "type": "http",
            "method": self._method,
            "path": self._path,
            "raw_path": self._path.encode(),
            "query_string": b"",
            "root_path": "",
            "scheme": "http",
            "http_version": "1.1",
            "client": ("127.0.0.1", 1),
            "headers": [
                (b"host", b"simulated"),
                (b"authorization", f"Bearer {self._account.key}".encode()),
                (b"content-type", b"application/json"),
                *headers,
            ],
        }
        if simulation.strikes("client leaves"):
            self._process.loop.call_later(simulation.random.random() ** 4 * LONGEST_STAY_S, self.leave)
        self._process.clients.append(self)
        try:
            await self._process.app(scope, self._receive, self._send)
        except asyncio.CancelledError:
            simulation.note("cancelled", self._path)
        except Exception as error:
            # What a server does with it: the connection is cut.
            simulation.note("cut", type(error).__name__, str(error)[:80])
        finally:
            self._process.clients.remove(self)
        return self.reply

    def leave(self) -> None:
        """Closes the connection."""
        if self.gone or self._over.done():
            return
        started = "mid-stream" if self.reply.status else "before the head"
        self._simulation.fired(f"client leaves {started}")
        self.gone = True
        self._over.set_result(None)

    async def _receive(self) -> dict[str, Any]:
        if not self._sent_body:
            self._sent_body = True
            await self._process.pause(0.2)
            return {"type": "http.request", "body": self._body, "more_body": False}
        await asyncio.shield(self._over)
        return {"type": "http.disconnect"}

    async def _send(self, message: dict[str, Any]) -> None:
        simulation = self._simulation
        self._process.check_alive()
        if simulation.strikes("client slow"):
            simulation.fired("client slow")
            await asyncio.sleep(simulation.random.random() * SLOWEST_READ_S)
        elif simulation.random.random() < 0.1:
            await asyncio.sleep(0)
        if self.gone:
            return
        if message["type"] == "http.response.start":
            self.reply.status = message["status"]
            self.reply.headers = {name.decode(): value.decode() for name, value in message["headers"]}
            return
        piece = message.get("body", b"")
        if b'"charge_nanos"' in piece:
            self._check_charge(piece)
        self.reply.pieces.append(piece)
        if not message.get("more_body", False):
            self.reply.complete = True
            if not self._over.done():
                self._over.set_result(None)
        elif simulation.strikes("client leaves at a piece"):
            self.leave()

    def _check_charge(self, piece: bytes) -> None:
        """A reply that says what was charged says it only once that is durable, and within what was agreed."""
        for usage in _usages(piece):
            if self.plan is None or "charge_nanos" not in usage:
                continue
            charge = usage["charge_nanos"]
            self._simulation.checker.charged(usage["request_id"], charge)
            limit = self.plan.price_max_nanos
            claim(limit is None or charge <= limit, f"{charge} was charged over Tessera-Max-Price {limit}")


def _usages(piece: bytes) -> list[dict[str, Any]]:
    found = []
    for line in piece.split(b"\n"):
        text = line.removeprefix(b"data: ")
        if b'"charge_nanos"' not in text:
            continue
        try:
            said = json.loads(text)
        except ValueError:
            continue
        usage = said.get("usage") or (said.get("response") or {}).get("usage")
        if usage:
            found.append(usage)
    return found
