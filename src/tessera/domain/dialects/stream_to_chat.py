"""The events of a response said as chat completion chunks."""

from typing import Any

import msgspec

from tessera.domain.dialects.frames import make_frame

_CALLS = {"function_call": ("function", "arguments"), "custom_tool_call": ("custom", "input")}


class ChatWriter:
    """Writes chunks for one response. Reasoning has no place in chat and is left out; its tokens stay in the usage."""

    def __init__(self, model: str) -> None:
        self._model = model
        self._id = ""
        self._created = 0
        self._tier: object = None
        self._calls: dict[object, tuple[int, str]] = {}
        self._started = False

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
            self._id = chat_id(response.get("id"))
            self._created = int(response.get("created_at") or 0)
            return self._start()
        if kind == "response.output_text.delta":
            return [*self._start(), self._chunk({"content": event["delta"]})]
        if kind == "response.refusal.delta":
            return [*self._start(), self._chunk({"refusal": event["delta"]})]
        if kind in ("response.function_call_arguments.delta", "response.custom_tool_call_input.delta"):
            return self._arguments(event)
        if kind == "response.output_item.added":
            return self._call(event)
        return []

    def finish(self, reason: str) -> bytes:
        """The chunk that closes the one choice."""
        return b"".join(self._start()) + self._chunk({}, reason)

    def _start(self) -> list[bytes]:
        if self._started:
            return []
        self._started = True
        return [self._chunk({"role": "assistant", "content": ""})]

    def _call(self, event: dict[str, Any]) -> list[bytes]:
        item = event["item"]
        known = _CALLS.get(item.get("type"))
        if known is None:
            return []
        kind, given = known
        index = len(self._calls)
        self._calls[event.get("output_index")] = (index, kind)
        called = {"name": item.get("name"), given: item.get(given) or ""}
        call = {"index": index, "id": item.get("call_id"), "type": kind, kind: called}
        return [*self._start(), self._chunk({"tool_calls": [call]})]

    def _arguments(self, event: dict[str, Any]) -> list[bytes]:
        index, kind = self._calls[event.get("output_index")]
        given = "arguments" if kind == "function" else "input"
        return [self._chunk({"tool_calls": [{"index": index, kind: {given: event["delta"]}}]})]

    def _chunk(self, delta: dict[str, Any], reason: str | None = None) -> bytes:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": reason}
        return make_frame(msgspec.json.encode({**self.head(), "choices": [choice]}))


def chat_id(response_id: object) -> str:
    """A chat completion's id from a response's."""
    return "chatcmpl-" + str(response_id or "").removeprefix("resp_")
