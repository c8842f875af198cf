"""Reading a provider's events as they pass: what settling needs, and which of them must wait for it."""

from enum import Enum, auto
from typing import Any

import msgspec

from tessera.domain.dialects.usage import (
    OUTPUT_TEXT_MAX,
    NotAReplyError,
    ReplyFacts,
    item_texts,
    message_texts,
    provider_said,
    response_finish,
    served_tier,
)
from tessera.domain.errors import TesseraError
from tessera.domain.request import Surface

DONE = b"[DONE]"
_decode = msgspec.json.Decoder().decode
_DELTAS = frozenset(
    {
        "response.output_text.delta",
        "response.refusal.delta",
        "response.function_call_arguments.delta",
        "response.custom_tool_call_input.delta",
        "response.reasoning_summary_text.delta",
        "response.reasoning_text.delta",
    }
)
TERMINAL = frozenset({"response.completed", "response.incomplete", "response.failed"})


class Verdict(Enum):
    """What to do with an event: send it on now, as it is or without its usage, keep it for the end, or stop because it
    was the last."""

    PASS = auto()
    STRIP = auto()
    HOLD = auto()
    END = auto()


class Watch:
    """Running facts of one stream. Delivered text is kept up to `OUTPUT_TEXT_MAX` characters; `output_chars` counts
    all of it."""

    def __init__(self) -> None:
        self.output_chars = 0
        self._facts = ReplyFacts()
        self._texts: list[str] = []
        self.last: dict[str, Any] = {}

    @property
    def facts(self) -> ReplyFacts:
        """The facts so far."""
        facts = self._facts
        if len(self._texts) > 1:
            self._texts = ["".join(self._texts)]
        facts.output_text = self._texts[0] if self._texts else ""
        facts.output_chars = self.output_chars
        facts.has_output = facts.output_chars > 0
        return facts

    def fail(self, error: TesseraError) -> None:
        """Notes that the provider reported an error, or sent what no answer is."""
        self._facts.error = error
        self._facts.finish_reason = "error"

    def cut(self) -> None:
        """Notes that the output was cut at its cap."""
        self._facts.finish_reason = "length"

    def read(self, data: bytes) -> Verdict:
        """Reads one event's data; the decoded event is `last`. Raises [provider_error] for what is no event."""
        try:
            event = _decode(data)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            event = None
        if type(event) is not dict:
            raise NotAReplyError
        self.last = event
        if event.get("error") is not None:
            provider_said(event["error"])
        try:
            return self._read(event)
        except (KeyError, TypeError, AttributeError):
            raise NotAReplyError from None

    def _read(self, event: dict[str, Any]) -> Verdict:
        raise NotImplementedError

    def _deliver(self, text: str) -> None:
        room = OUTPUT_TEXT_MAX - self.output_chars
        if room > 0 and text:
            self._texts.append(text[:room])
        self.output_chars += len(text)


class ChatWatch(Watch):
    """Watches chat completion chunks. `usage` is the usage object that stands, as the provider wrote it."""

    def __init__(self) -> None:
        super().__init__()
        self.head: dict[str, Any] = {}
        self.usage: dict[str, Any] = {}
        self.open_choices: set[int] = set()
        self._ended: set[int] = set()

    @property
    def complete(self) -> bool:
        """Whether every choice has said how it ended."""
        return bool(self._ended) and not self.open_choices

    def lose_usage(self) -> None:
        """Notes that what should have told the usage cannot be read; usage that came before it stands."""
        self._facts.absurd = self._facts.usage is None

    def _read(self, event: dict[str, Any]) -> Verdict:
        facts = self._facts
        if not self.head.get("id"):
            # Some servers (Azure) begin with a chunk that has no answer in it, and so no id.
            self.head = {"id": event.get("id"), "created": event.get("created"), "model": event.get("model")}
        tier = event.get("service_tier")
        if tier is not None:
            facts.served_tier = served_tier(tier)
        usage = event.get("usage")
        if usage is not None and facts.take_usage(Surface.CHAT, usage):
            self.usage = usage
        choices = event.get("choices") or ()
        for choice in choices:
            self._choice(choice)
        if usage is None:
            return Verdict.PASS
        return Verdict.STRIP if choices else Verdict.HOLD

    def _choice(self, choice: dict[str, Any]) -> None:
        index = choice.get("index", 0)
        if type(index) is not int:
            raise TypeError("index is not a whole number")
        delta = choice.get("delta")
        if delta:
            content = delta.get("content")
            if len(delta) == 1 and type(content) is str:
                self._deliver(content)
            else:
                for text in message_texts(delta):
                    self._deliver(text)
        reason = choice.get("finish_reason")
        if not reason:
            # Some servers write "" while they go on. One that ended stays so: some providers send its usage in a chunk
            # that looks like a piece of it.
            if index not in self._ended:
                self.open_choices.add(index)
            return
        self.open_choices.discard(index)
        self._ended.add(index)
        if reason == "error":
            provider_said(choice.get("error"))
        self._facts.finish_reason = str(reason)


class ResponsesWatch(Watch):
    """Watches the events of a response."""

    def __init__(self) -> None:
        super().__init__()
        self.response: dict[str, Any] = {}
        self.sequence = -1
        self.items: list[dict[str, Any]] = []
        self._open: dict[str, Any] | None = None
        self._open_from = 0

    def _read(self, event: dict[str, Any]) -> Verdict:
        kind = event.get("type")
        self.sequence += 1
        if kind in _DELTAS:
            delta = event["delta"]
            if type(delta) is not str:
                raise TypeError("delta is not text")
            self._deliver(delta)
            return Verdict.PASS
        if kind in TERMINAL:
            return self._end(event["response"])
        if kind == "error":
            provider_said(event)
        if kind == "response.created":
            response = event["response"]
            if type(response) is not dict:
                raise TypeError("response is not an object")
            self.response = response
        elif kind == "response.output_item.added":
            self._open = event["item"]
            self._open_from = min(self.output_chars, OUTPUT_TEXT_MAX)
            name = event["item"].get("name")
            if isinstance(name, str):
                self._deliver(name)
        elif kind == "response.output_item.done":
            self.items.append(event["item"])
            self._open = None
        return Verdict.PASS

    def _end(self, response: dict[str, Any]) -> Verdict:
        facts = self._facts
        facts.served_tier = served_tier(response.get("service_tier"))
        facts.take_usage(Surface.RESPONSES, response.get("usage"))
        if response.get("status") not in ("completed", "incomplete"):
            provider_said(response.get("error"))
        facts.finish_reason = response_finish(response)
        if not self.output_chars:
            for item in response.get("output") or ():
                for text in item_texts(item):
                    self._deliver(text)
        return Verdict.END

    def cut_response(self) -> dict[str, Any]:
        """The response object of a stream that was cut at its cap: what was delivered, marked incomplete."""
        output = list(self.items)
        if self._open is not None and self._open.get("type") == "message":
            text = "".join(self._texts)[self._open_from :]
            part = {"type": "output_text", "text": text, "annotations": [], "logprobs": []}
            output.append({**self._open, "status": "incomplete", "content": [part]})
        return {
            **self.response,
            "status": "incomplete",
            "incomplete_details": {"reason": "max_output_tokens"},
            "output": output,
        }
