"""Simulated providers: they answer, refuse, hang, lie and break off, and remember what they truly did."""

import json
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from simulation.faults import BEFORE_HEAD, BODY_FAULTS, TIER_FAULTS, USAGE_FAULTS
from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.request import Surface, Tier
from tessera.ports import UpstreamCall

if TYPE_CHECKING:
    from simulation.process import Process

REFUSALS = {
    "provider 400": 400,
    "provider 401": 401,
    "provider 402": 402,
    "provider 429": 429,
    "provider 500": 500,
    "provider 503": 503,
    "provider 529": 529,
}
WORDS = ("tile", "mosaic", "ticket", "cat", "a", "the", "on", "seven", "größer", "🎟")
SLOWEST_STEP_S = 40.0


@dataclass
class Deed:
    """What one try at a provider truly was. `usage` is the last usage the provider stated in time, as it stated it.

    `faults` are what went wrong; `said` is the text that was produced, `stated_tier` what it says served the call;
    `ended` says the answer was given whole.
    """

    request_id: str
    deployment: str
    surface: Surface
    stream: bool
    output_max: int
    asked_tier: Tier
    choices: int
    stated_tier: str | None = None
    faults: list[str] = field(default_factory=list)
    usage: dict[str, Any] | None = None
    usage_true: bool = True
    said: str = ""
    taken: bool = False
    ended: bool = False
    closings: int = 0


class SimProvider:
    """A provider of one process. Implements the `Provider` port."""

    def __init__(self, process: "Process", name: str) -> None:
        self._process = process
        self.name = name

    async def send(self, call: UpstreamCall) -> "SimReply":
        simulation = self._process.simulation
        self._process.check_alive()
        simulation.checker.sent_upstream(call)
        choices, tier = call.request.choices, call.request.tier or Tier.DEFAULT
        output_max = call.output_cap * choices
        deed = Deed(call.request_id, call.deployment.name, call.surface, call.stream, output_max, tier, choices)
        simulation.deeds.setdefault(call.request_id, []).append(deed)
        simulation.note("sent", call.request_id, self.name)
        await self._process.pause(SLOWEST_STEP_S, slowly="provider slow")
        for kind in BEFORE_HEAD:
            if simulation.strikes(kind):
                simulation.fired(kind)
                deed.faults.append(kind)
                return self._refuse(kind, deed)
        deed.taken = True
        if call.on_sent is not None:
            call.on_sent()
        return SimReply(self._process, deed, call)

    async def close(self) -> None:
        """Nothing stays open."""

    def _refuse(self, kind: str, deed: Deed) -> "SimReply":
        if kind == "connection refused":
            raise TesseraError(ErrorCode.PROVIDER_ERROR, "The provider cannot be reached.")
        if kind == "first byte timeout":
            deed.taken = True
            raise TesseraError(ErrorCode.PROVIDER_TIMEOUT, "The provider did not answer in time.")
        if kind == "adapter breaks":
            deed.taken = True
            raise RuntimeError("simulated defect of an adapter")
        return SimReply(self._process, deed, None, REFUSALS[kind])


class SimReply:
    """One answer. Implements the `UpstreamReply` port."""

    def __init__(self, process: "Process", deed: Deed, call: UpstreamCall | None, status: int = 200) -> None:
        self._process = process
        self._deed = deed
        self._call = call
        self.status = status
        self.headers: Mapping[str, str] = {"content-type": "application/json", "retry-after": "3"}
        process.replies.append(deed)

    async def close(self) -> None:
        self._process.check_alive()
        self._deed.closings += 1

    async def chunks(self) -> AsyncIterator[bytes]:
        if self._call is None:
            yield json.dumps({"error": {"message": "simulated refusal", "code": None}}).encode()
            return
        simulation = self._process.simulation
        script = Script(simulation, self._deed, self._call)
        slow = simulation.strikes("provider slow")
        if slow:
            simulation.fired("provider slow")
        for piece in script.pieces():
            parts = self._cut(piece)
            for number, part in enumerate(parts, 1):
                await self._process.pause(SLOWEST_STEP_S if slow else 0.05)
                self._process.check_alive()
                script.given(piece, whole=number == len(parts))
                yield part

    def _cut(self, piece: bytes) -> list[bytes]:
        """A frame arrives whole, or in two reads cut anywhere."""
        random = self._process.simulation.random
        if len(piece) < 2 or random.random() < 0.8:
            return [piece]
        at = random.randrange(1, len(piece))
        return [piece[:at], piece[at:]]


class Script:
    """The bytes of one answer, faults drawn as it goes. `given` tells that a piece has left whole."""

    def __init__(self, simulation: Any, deed: Deed, call: UpstreamCall) -> None:
        self._simulation = simulation
        self._random = simulation.random
        self._deed = deed
        self._call = call
        self._pending: dict[bytes, tuple[str, dict[str, Any] | None]] = {}
        self._body_fault = self._draw(BODY_FAULTS)
        self._usage_fault = self._draw(USAGE_FAULTS)
        self._tier_fault = self._draw(TIER_FAULTS)
        self._texts = [self._random.choice(WORDS) + " " for _ in range(self._random.randint(1, 8))]
        if self._body_fault in ("empty answer", "silent end"):
            self._texts = []

    def _draw(self, kinds: tuple[str, ...]) -> str | None:
        for kind in kinds:
            if self._simulation.strikes(kind):
                return kind
        return None

    def _fire(self, kind: str) -> None:
        self._simulation.fired(kind)
        self._deed.faults.append(kind)

    def given(self, piece: bytes, *, whole: bool) -> None:
        """Notes what the provider has truly said by now. Of half a piece, text may have been heard already."""
        text, usage = self._pending.get(piece, ("", None))
        self._pending[piece] = ("", usage)
        self._deed.said += text
        if whole and usage is not None:
            self._deed.usage = usage

    # ---- usage and tier ------------------------------------------------------------------------------------------

    def _usage(self) -> dict[str, Any] | None:
        """The usage stated at the end; what is untrue is drawn here."""
        random, count = self._random, self._call.count
        inputs = random.randint(1, max(1, count.total.max))
        outputs = random.randint(1, max(1, self._deed.output_max)) if self._texts else 0
        kind = self._usage_fault
        if kind == "usage missing" or self._body_fault == "silent end":
            if kind == "usage missing":
                self._fire(kind)
            return None
        if kind == "usage absurd":
            self._fire(kind)
            self._deed.usage_true = False
            wrong = ((-1, outputs), (inputs, 10**18), (1.5, 1), ("7", 2), (inputs, None))
            inputs_stated, outputs_stated = random.choice(wrong)
            return self._named(inputs_stated, outputs_stated, 0)
        if kind == "usage zero" and self._texts:
            self._fire(kind)
            self._deed.usage_true = False
            return self._named(random.choice((0, inputs)), 0, 0)
        if kind == "usage above the cap":
            self._fire(kind)
            inputs, outputs = inputs * 1000 + 5, outputs * 1000 + 5
        return self._named(inputs, outputs, random.randint(0, inputs) if random.random() < 0.3 else 0)

    def _named(self, inputs: Any, outputs: Any, cached: int) -> dict[str, Any]:
        given, made = ("prompt", "completion") if self._deed.surface is Surface.CHAT else ("input", "output")
        total = inputs + outputs if isinstance(inputs, int) and isinstance(outputs, int) else 1
        return {
            f"{given}_tokens": inputs,
            f"{made}_tokens": outputs,
            f"{given}_tokens_details": {"cached_tokens": cached},
            f"{made}_tokens_details": {"reasoning_tokens": 0},
            "total_tokens": total,
        }

    def _tier(self) -> dict[str, str]:
        stated = "default" if self._random.random() < 0.5 else None
        if self._tier_fault is not None:
            self._fire(self._tier_fault)
            stated = "priority" if self._tier_fault == "tier dearer" else "scale"
        self._deed.stated_tier = stated
        return {} if stated is None else {"service_tier": stated}

    # ---- bytes -----------------------------------------------------------------------------------------------------

    def pieces(self) -> Any:
        """The answer in the pieces the provider writes. Raises what the port may raise."""
        if self._call.stream:
            yield from self._streamed()
        else:
            yield from self._whole()

    def _whole(self) -> Any:
        if self._body_fault == "not JSON":
            self._fire("not JSON")
            yield b"<html>502 Bad Gateway</html>"
            return
        if self._body_fault == "error event":
            self._fire("error event")
            yield json.dumps({"error": {"message": "simulated failure"}}).encode()
            return
        if self._body_fault == "endless":
            self._fire("endless")
            while True:
                yield b" " * 4096
        text = "".join(self._texts)
        usage = self._usage()
        make = self._chat_reply if self._deed.surface is Surface.CHAT else self._response
        body = json.dumps({**make(text, usage), **self._tier()}).encode()
        if self._body_fault in ("cut off", "ends early", "gap timeout"):
            self._fire(self._body_fault)
            yield body[: self._random.randrange(len(body))]
            self._break_off()
            return
        self._note_empty()
        self._pending[body] = (text, usage)
        self._deed.ended = True
        yield body

    def _note_empty(self) -> None:
        if self._body_fault in ("empty answer", "silent end"):
            self._fire(self._body_fault)

    def _break_off(self) -> None:
        if self._body_fault == "cut off":
            raise TesseraError(ErrorCode.PROVIDER_ERROR, "The provider cut the connection.")
        if self._body_fault == "gap timeout":
            raise TesseraError(ErrorCode.PROVIDER_TIMEOUT, "The provider stopped sending.")

    def _streamed(self) -> Any:
        chat = self._deed.surface is Surface.CHAT
        events = self._chat_events() if chat else self._response_events()
        broken = self._body_fault in ("cut off", "ends early", "gap timeout", "error event", "not JSON")
        break_at = self._random.randrange(len(self._texts) + 1) if broken else -1
        for number, (event, text, usage) in enumerate(events):
            if number == break_at:
                assert self._body_fault is not None
                self._fire(self._body_fault)
                if self._body_fault == "error event":
                    yield self._frame({"type": "error", "error": {"message": "simulated failure"}})
                if self._body_fault == "not JSON":
                    yield b"data: <html>\n\n"
                self._break_off()
                return
            if self._body_fault == "endless" and text:
                self._fire("endless")
                yield from self._repeat(event, text)
            frame = event if isinstance(event, bytes) else self._frame(event)
            self._pending[frame] = (text, usage)
            yield frame
        self._deed.ended = True

    def _repeat(self, event: Any, text: str) -> Any:
        frames = self._frame(event) * 20
        while True:
            self._pending[frames] = (text * 20, None)
            yield frames

    def _frame(self, event: dict[str, Any]) -> bytes:
        kind = f"event: {event['type']}\n" if "type" in event else ""
        return f"{kind}data: {json.dumps(event)}\n\n".encode()

    def _chat_events(self) -> Any:
        head = {"id": "c1", "object": "chat.completion.chunk", "created": 1, "model": "m", **self._tier()}

        def choice(index: int, delta: dict[str, Any], reason: str | None = None) -> dict[str, Any]:
            return {**head, "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}

        choices = self._call.request.choices
        for number, text in enumerate(self._texts):
            yield choice(number % choices, {"content": text}), text, None
        self._note_empty()
        if self._body_fault == "silent end":
            yield b"data: [DONE]\n\n", "", None
            return
        for index in range(choices):
            yield choice(index, {}, "stop"), "", None
        usage = self._usage()
        if usage is not None:
            if self._usage_fault == "usage doubled":
                self._fire("usage doubled")
                half = {key: value // 2 if isinstance(value, int) else value for key, value in usage.items()}
                half["total_tokens"] = usage["total_tokens"]
                half.pop("prompt_tokens_details")
                yield {**head, "choices": [], "usage": half}, "", half
            if self._usage_fault == "usage late":
                self._fire("usage late")
                self._deed.usage_true = False
                yield b"data: [DONE]\n\n", "", None
            yield {**head, "choices": [], "usage": usage}, "", usage
        yield b"data: [DONE]\n\n", "", None

    def _response_events(self) -> Any:
        item = {"id": "m1", "type": "message", "role": "assistant", "status": "in_progress", "content": []}
        yield {"type": "response.created", "response": {"id": "r1", "object": "response", "status": "x"}}, "", None
        yield {"type": "response.output_item.added", "output_index": 0, "item": item}, "", None
        for text in self._texts:
            yield {"type": "response.output_text.delta", "output_index": 0, "delta": text}, text, None
        self._note_empty()
        if self._body_fault == "silent end":
            return
        text, usage = "".join(self._texts), self._usage()
        yield {"type": "response.output_item.done", "output_index": 0, "item": self._item(text)}, "", None
        response = {**self._response(text, usage), **self._tier()}
        yield {"type": "response.completed", "response": response}, "", usage

    def _chat_reply(self, text: str, usage: dict[str, Any] | None) -> dict[str, Any]:
        silent = self._body_fault == "silent end"
        message = {"role": "assistant", "content": text or None}
        choice = {"index": 0, "message": message, "finish_reason": None if silent else "stop"}
        return {"id": "c1", "object": "chat.completion", "created": 1, "model": "m", "choices": [choice]} | (
            {"usage": usage} if usage is not None else {}
        )

    def _response(self, text: str, usage: dict[str, Any] | None) -> dict[str, Any]:
        output = [self._item(text)] if text else []
        return {
            "id": "r1",
            "object": "response",
            "created_at": 1,
            "model": "m",
            "status": "completed",
            "output": output,
        } | ({"usage": usage} if usage is not None else {})

    @staticmethod
    def _item(text: str) -> dict[str, Any]:
        part = {"type": "output_text", "text": text, "annotations": []}
        return {"id": "m1", "type": "message", "role": "assistant", "status": "completed", "content": [part]}
