"""The events of a response said as chat completion chunks."""

from typing import Any

import msgspec

from tessera.domain.dialects.frames import make_frame
from tessera.domain.dialects.watch import TERMINAL

_CALLS = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}


class ChatWriter:
    """Writes chunks for one response. Reasoning has no place in chat and is left out; its tokens stay in the usage.

    Some servers say an item in pieces, some only when it is done, some only in the last event: it is said once.
    """

    def __init__(self, model: str, fallback_id: str = "") -> None:
        self._model = model
        self._fallback_id = fallback_id
        self._id = ""
        self._created = 0
        self._tier: object = None
        self._calls: dict[object, tuple[int, str]] = {}
        self._started = False
        self._said: set[object] = set()

    def head(self) -> dict[str, Any]:
        """What every chunk of this stream begins with."""
        head = {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
        }
        return head if self._tier is None else {**head, "service_tier": self._tier}

    def write(self, event: dict[str, Any]) -> list[bytes]:
        """The chunks that say one event; often none."""
        kind = event.get("type")
        if kind == "response.created":
            response = event["response"]
            self._id = chat_id(response.get("id"), self._fallback_id)
            self._created = int(response.get("created_at") or 0)
            return self._start()
        if kind in ("response.output_text.delta", "response.refusal.delta"):
            self._note(event)
        if kind == "response.output_text.delta":
            return [*self._start(), self._chunk({"content": event["delta"]})]
        if kind == "response.refusal.delta":
            return [*self._start(), self._chunk({"refusal": event["delta"]})]
        if kind in ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta"):
            return self._arguments(event)
        if kind == "response.output_item.added":
            return self._call(event["item"], event.get("output_index"))
        if kind == "response.output_item.done":
            return self._rest(event["item"], event.get("output_index"))
        if kind in TERMINAL and not self._said:
            return [
                chunk
                for index, item in enumerate(event["response"].get("output") or ())
                for chunk in self._rest(item, index)
            ]
        return []

    def finish(self, reason: str) -> bytes:
        """The chunk that closes the one choice."""
        return b"".join(self._start()) + self._chunk({}, reason)

    def _start(self) -> list[bytes]:
        if self._started:
            return []
        self._started = True
        return [self._chunk({"role": "assistant", "content": ""})]

    def _note(self, event: dict[str, Any]) -> None:
        self._said.add(event.get("output_index"))
        if event.get("item_id"):
            self._said.add(event["item_id"])

    def _rest(self, item: dict[str, Any], index: object) -> list[bytes]:
        """All of an item of which nothing was said while it was made."""
        if {None, index, str(item.get("id"))} & self._said:
            return []
        if item.get("type") == "message":
            deltas = [
                {"refusal" if "refusal" in part else "content": text}
                for part in item.get("content") or ()
                if isinstance(text := part.get("refusal") or part.get("text"), str)
            ]
            if deltas:
                self._said.add(index)
            return [*self._start(), *map(self._chunk, deltas)]
        kind = str(item.get("type"))
        if kind not in _CALLS:
            return []
        begun = [] if index in self._calls else self._call(item, index)
        return [*begun, *self._arguments({"output_index": index, "delta": item.get(_CALLS[kind][1]) or ""})]

    def _call(self, item: dict[str, Any], output_index: object) -> list[bytes]:
        known = _CALLS.get(str(item.get("type")))
        if known is None:
            return []
        kind, given = known
        index = len(self._calls)
        self._calls[output_index] = (index, kind)
        called = {"name": item.get("name"), given: ""}
        call = {"index": index, "id": item.get("call_id"), "type": kind, kind: called}
        return [*self._start(), self._chunk({"tool_calls": [call]})]

    def _arguments(self, event: dict[str, Any]) -> list[bytes]:
        self._note(event)
        index, kind = self._calls[event.get("output_index")]
        given = "arguments" if kind == "function" else "input"
        return [self._chunk({"tool_calls": [{"index": index, kind: {given: event["delta"]}}]})]

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return make_frame(msgspec.json.encode({**self.head(), "choices": [choice]}))


def chat_id(response_id: object, fallback_id: str = "") -> str:
    """A chat completion's id from a response's; of one that has none, from what is given instead."""
    return "chatcmpl-" + str(response_id or fallback_id).removeprefix("resp_")
