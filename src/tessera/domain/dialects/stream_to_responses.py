"""Chat completion chunks said as the events of a response."""

from typing import Any

import msgspec

from tessera.domain.dialects.frames import make_frame
from tessera.domain.dialects.repeated import NONE, Settings
from tessera.domain.dialects.usage import thought_and_said


class ResponsesWriter:
    """Writes events for one chat completion of one choice. Items appear in the order in which they begin.

    `fallback_id` is the id of an answer that has none, `repeated` the settings of the request that a response repeats.
    """

    def __init__(self, model: str, fallback_id: str = "", repeated: Settings = NONE) -> None:
        self._model = model
        self._repeated = repeated
        self._fallback_id = fallback_id
        self.sequence = 0
        self._id = ""
        self._created = 0
        self._items: list[dict[str, Any]] = []
        self._at: dict[object, int] = {}
        self._texts: dict[int, list[str]] = {}
        self._calls: dict[object, tuple[int, object]] = {}
        self._last_call: object = 0
        self._frames: list[bytes] = []

    def write(self, chunk: dict[str, Any]) -> list[bytes]:
        """The events that say one chunk."""
        if chunk.get("id") or chunk.get("choices"):
            self._start(chunk)
        for choice in chunk.get("choices") or ():
            if choice.get("index", 0) == 0:
                self._delta(choice.get("delta") or {})
        return self._taken()

    def finish(self, reason: str, usage: dict[str, Any], tier: object) -> tuple[list[bytes], dict[str, Any]]:
        """The frames that close what is open, and the final event, not yet framed."""
        self._start({})
        whole = reason not in ("length", "content_filter")
        for index, item in enumerate(self._items):
            self._close(index, item, "completed" if whole else "incomplete")
        response = self._response(self._items, usage, reason, tier)
        kind = "response.completed" if whole else "response.incomplete"
        frames = self._taken()
        return frames, {"type": kind, "sequence_number": self.sequence, "response": response}

    def _response(
        self, items: list[dict[str, Any]], usage: dict[str, Any] | None, reason: str | None, tier: object
    ) -> dict[str, Any]:
        made = response_object(self._id, self._created, self._model, items, usage, reason, tier)
        return {**made, **self._repeated}

    def _taken(self) -> list[bytes]:
        frames, self._frames = self._frames, []
        return frames

    def _start(self, chunk: dict[str, Any]) -> None:
        if self._id:
            return
        self._id = response_id(chunk.get("id"), self._fallback_id)
        self._created = int(chunk.get("created") or 0)
        empty = self._response([], None, None, None)
        self._emit("response.created", response=empty)
        self._emit("response.in_progress", response=empty)

    def _delta(self, delta: dict[str, Any]) -> None:
        thought, said = delta.get("reasoning_content") or delta.get("reasoning"), delta.get("content")
        if isinstance(said, list):
            thought, said = thought_and_said(said)
        if isinstance(thought, str) and thought:
            index = self._reasoning()
            self._grow(index, "response.reasoning_text.delta", thought, content_index=0)
        if said:
            index = self._part("output_text")
            self._grow(index, "response.output_text.delta", said, content_index=0, logprobs=[])
        if delta.get("refusal"):
            index = self._part("refusal")
            self._grow(index, "response.refusal.delta", delta["refusal"], content_index=0)
        for call in delta.get("tool_calls") or ():
            self._call(call)

    def _reasoning(self) -> int:
        if "reasoning" not in self._at:
            item = {"id": self._name("rs"), "type": "reasoning", "summary": [], "content": []}
            self._open("reasoning", item)
            self._add_part(self._at["reasoning"], {"type": "reasoning_text", "text": ""})
        return self._at["reasoning"]

    def _part(self, kind: str) -> int:
        """The message item that carries text of this kind, opened when its first text comes."""
        if kind not in self._at:
            item = {
                "id": self._name("msg"),
                "type": "message",
                "role": "assistant",
                "status": "in_progress",
                "content": [],
            }
            self._open(kind, item)
            self._add_part(self._at[kind], text_part(kind, ""))
        return self._at[kind]

    def _add_part(self, index: int, part: dict[str, Any]) -> None:
        item_id = self._items[index]["id"]
        self._emit("response.content_part.added", item_id=item_id, output_index=index, content_index=0, part=part)

    def _call(self, call: dict[str, Any]) -> None:
        kind, given = ("custom", "input") if "custom" in call else ("function", "arguments")
        called = call.get(kind) or {}
        number = call.get("index")
        index = self._call_at(number, call.get("id"), called.get("name"))
        if index is None:
            item = {
                "id": self._name("fc"),
                "type": "custom_tool_call" if kind == "custom" else "function_call",
                "call_id": call.get("id") or self._name("call"),
                "name": called.get("name") or "",
                given: "",
                "status": "in_progress",
            }
            index = len(self._items)
            self._open(("call", index), item)
            if number is not None:
                self._last_call = number
            self._calls[self._last_call] = (index, call.get("id"))
        item = self._items[index]
        item["name"] = item["name"] or called.get("name") or ""
        if called.get(given):
            custom = item["type"] == "custom_tool_call"
            event = "response.custom_tool_call_input.delta" if custom else "response.function_call_arguments.delta"
            self._grow(index, event, called[given])

    def _call_at(self, number: object, call_id: object, name: object) -> int | None:
        """The item that a piece of a call belongs to; None where a call begins.

        Not every server numbers its calls: some call all of them 0 and tell them apart by their ids (Gemini, earlier
        Ollama). Others give every piece an id of its own (earlier vLLM), but only the first one a name.
        """
        known = self._calls.get(self._last_call if number is None else number)
        if known is None:
            return None
        index, known_id = known
        another = call_id != known_id if call_id and known_id else number is None
        return None if name and another else index

    def _open(self, key: object, item: dict[str, Any]) -> None:
        index = len(self._items)
        self._at[key] = index
        self._items.append(item)
        self._texts[index] = []
        self._emit("response.output_item.added", output_index=index, item=item)

    def _grow(self, index: int, event: str, text: object, **more: object) -> None:
        if type(text) is not str:
            raise TypeError("what an item grows by is text")
        self._texts[index].append(text)
        self._emit(event, item_id=self._items[index]["id"], output_index=index, delta=text, **more)

    def _close(self, index: int, item: dict[str, Any], status: str) -> None:
        text = "".join(self._texts[index])
        where: dict[str, Any] = {"item_id": item["id"], "output_index": index}
        if item["type"] == "message":
            item["status"] = status
            kind = "output_text" if self._at.get("output_text") == index else "refusal"
            part = text_part(kind, text)
            item["content"] = [part]
            if kind == "refusal":
                self._emit("response.refusal.done", **where, content_index=0, refusal=text)
            else:
                self._emit("response.output_text.done", **where, content_index=0, text=text, logprobs=[])
            self._emit("response.content_part.done", **where, content_index=0, part=part)
        elif item["type"] == "reasoning":
            part = {"type": "reasoning_text", "text": text}
            item["content"] = [part]
            self._emit("response.reasoning_text.done", **where, content_index=0, text=text)
            self._emit("response.content_part.done", **where, content_index=0, part=part)
        elif item["type"] == "custom_tool_call":
            item["input"], item["status"] = text, status
            self._emit("response.custom_tool_call_input.done", **where, input=text)
        else:
            item["arguments"], item["status"] = text, status
            self._emit("response.function_call_arguments.done", **where, name=item["name"], arguments=text)
        self._emit("response.output_item.done", output_index=index, item=item)

    def _emit(self, kind: str, **fields: object) -> None:
        event = {"type": kind, "sequence_number": self.sequence, **fields}
        self.sequence += 1
        self._frames.append(make_frame(msgspec.json.encode(event), kind))

    def _name(self, prefix: str) -> str:
        return f"{prefix}_{self._id.removeprefix('resp_')}_{len(self._items)}"


def text_part(kind: str, text: object) -> dict[str, Any]:
    """A content part of an answer: output text or a refusal. Raises TypeError for what is not text."""
    if type(text) is not str:
        raise TypeError("a part holds text")
    if kind == "refusal":
        return {"type": "refusal", "refusal": text}
    return {"type": "output_text", "text": text, "annotations": [], "logprobs": []}


def response_id(chat_id: object, fallback_id: str = "") -> str:
    """A response's id from a chat completion's; of one that has none, from what is given instead."""
    return "resp_" + (str(chat_id or fallback_id).removeprefix("chatcmpl-") or "0")


def response_object(
    name: str,
    created: int,
    model: str,
    output: list[dict[str, Any]],
    usage: dict[str, Any] | None,
    reason: str | None,
    tier: object,
) -> dict[str, Any]:
    """A response. `reason` is how chat says it ended; None while it is in progress."""
    details = None
    status = "in_progress" if reason is None else "completed"
    if reason in ("length", "content_filter"):
        status = "incomplete"
        details = {"reason": "content_filter" if reason == "content_filter" else "max_output_tokens"}
    return {
        "id": name,
        "object": "response",
        "created_at": created,
        "status": status,
        "error": None,
        "incomplete_details": details,
        "instructions": None,
        "metadata": {},
        "model": model,
        "output": output,
        "parallel_tool_calls": True,
        "temperature": None,
        "text": {"format": {"type": "text"}},
        "tool_choice": "auto",
        "tools": [],
        "top_p": None,
        "service_tier": tier,
        "usage": usage,
    }
