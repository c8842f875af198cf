"""A provider's event stream on its way to the caller, its last word held back until the call is settled."""

from typing import Any

import msgspec

from tessera.domain.dialects.errors import error_object
from tessera.domain.dialects.frames import Frame, FrameCutter, OverlongFrameError, make_frame
from tessera.domain.dialects.receipt import Receipt, usage_object, with_receipt
from tessera.domain.dialects.repeated import NONE, Settings
from tessera.domain.dialects.spans import members
from tessera.domain.dialects.stream_to_chat import ChatWriter
from tessera.domain.dialects.stream_to_responses import ResponsesWriter
from tessera.domain.dialects.usage import NotAReplyError, ReplyFacts
from tessera.domain.dialects.watch import DONE, ChatWatch, ResponsesWatch, Verdict
from tessera.domain.errors import TesseraError
from tessera.domain.request import Surface


class StreamRelay:
    """Feed it what the provider sends; forward what it returns; settle when `finished`; then send `finish`'s frames.

    On one surface the provider's frames are passed on as they came, comments included; between surfaces each event is
    said anew. Held back are: in chat the usage chunk and `[DONE]`, in responses the final event. Usage beside text is
    taken out, and comments before the first event, so that another provider can still be asked. `fallback_id` is the
    id of an answer that has none, `repeated` what a response repeats of its request. A stream ends with exactly one of
    `finish` and `fail`. `error` is the provider's own error, or None; `output_chars` is how many characters of output
    have come so far. One use, one stream.
    """

    def __init__(
        self,
        upstream: Surface,
        caller: Surface,
        *,
        include_usage: bool,
        model: str,
        fallback_id: str = "",
        repeated: Settings = NONE,
    ) -> None:
        if {upstream, caller} - {Surface.CHAT, Surface.RESPONSES}:
            raise ValueError(f"no relay from {upstream} to {caller}")
        self._upstream = upstream
        self._caller = caller
        self._include_usage = include_usage
        self._model = model
        self._cutter = FrameCutter()
        self._watch: ChatWatch | ResponsesWatch = ChatWatch() if upstream is Surface.CHAT else ResponsesWatch()
        self._writer: ChatWriter | ResponsesWriter | None = None
        if upstream is not caller and caller is Surface.CHAT:
            self._writer = ChatWriter(model, fallback_id)
        elif upstream is not caller:
            self._writer = ResponsesWriter(model, fallback_id, repeated)
        self._held: bytes | None = None
        self._done: bytes | None = None
        self._cut = False
        self._begun = False
        self.output_chars = 0
        self.finished = False

    @property
    def facts(self) -> ReplyFacts:
        """What is known of the reply so far."""
        return self._watch.facts

    @property
    def error(self) -> TesseraError | None:
        """What the provider reported instead of an end, or None."""
        return self._watch.facts.error

    def feed(self, chunk: bytes) -> list[bytes]:
        """Takes bytes cut anywhere; returns what may go to the caller now. After the end, nothing."""
        if self.finished:
            return []
        out: list[bytes] = []
        try:
            for frame in self._cutter.feed(chunk):
                out += self._take(frame)
                if self.finished:
                    break
        except TesseraError as error:
            if isinstance(error, OverlongFrameError) and self._watch.output_chars:
                # The last word on a long answer says all of it again, with what its caller wanted beside the text: what
                # was delivered is whole, and paid for.
                self.cut_length()
            elif isinstance(error, NotAReplyError) and isinstance(self._watch, ChatWatch) and self._watch.complete:
                # After the last word of every choice only usage comes: `NaN` in it does not undo an answer.
                self._watch.lose_usage()
                self.finished = True
            else:
                self._watch.fail(error)
                self.finished = True
        self.output_chars = self._watch.output_chars
        return [b"".join(out)] if len(out) > 1 and self._writer is None else out

    def end(self) -> None:
        """Tells that the provider's body ended. A chat stream that said how it ended needs no `[DONE]` to count."""
        watch = self._watch
        if not self.finished and isinstance(watch, ChatWatch):
            self.finished = watch.complete

    def _take(self, frame: Frame) -> list[bytes]:
        data = frame.data
        if data is None:
            return [frame.raw] if self._begun else []
        self._begun = True
        if data.startswith(DONE) and data.strip() == DONE:
            self._done = frame.raw
            self.finished = self._upstream is Surface.CHAT
            return []
        verdict = self._watch.read(data)
        if verdict is Verdict.END:
            self.finished = True
        if verdict is Verdict.HOLD or (verdict is Verdict.END and not isinstance(self._writer, ChatWriter)):
            self._held = data
            return []
        if self._writer is None:
            return [frame.raw if verdict is Verdict.PASS else _without_usage(self._watch.last)]
        try:
            return self._writer.write(self._watch.last)
        except (KeyError, TypeError, AttributeError, ValueError):
            raise NotAReplyError from None

    def cut_length(self) -> None:
        """Ends a stream that ran past its output cap as if the provider had: finish reason `length`.
        The caller aborts the provider, settles, and calls `finish`."""
        self._watch.cut()
        self._cut = True
        self.finished = True

    def finish(self, receipt: Receipt) -> list[bytes]:
        """The terminal frames of a settled stream, charge included."""
        if self._caller is Surface.RESPONSES:
            return self._finish_responses(receipt)
        return self._finish_chat(receipt)

    def fail(self, error: TesseraError) -> list[bytes]:
        """The frames that end a broken stream: a top-level `error`, finish reason `error`, no `[DONE]`."""
        said = error_object(self._caller, error)
        if self._caller is Surface.RESPONSES:
            event = {
                "type": "error",
                "code": error.code.value,
                "message": error.message,
                "param": error.param,
                "sequence_number": self._sequence(),
                **said,
            }
            return [make_frame(msgspec.json.encode(event), "error")]
        choice = {"index": 0, "delta": {}, "finish_reason": "error"}
        return [make_frame(msgspec.json.encode({**self._head(), "choices": [choice], **said}))]

    def _finish_chat(self, receipt: Receipt) -> list[bytes]:
        frames = []
        if isinstance(self._writer, ChatWriter):
            frames.append(self._writer.finish(self.facts.finish_reason or "stop"))
        elif self._cut and isinstance(self._watch, ChatWatch):
            choices = [
                {"index": index, "delta": {}, "finish_reason": "length"} for index in sorted(self._watch.open_choices)
            ]
            frames.append(make_frame(msgspec.json.encode({**self._head(), "choices": choices})))
        if self._include_usage:
            chunk = self._held if self._writer is None else None
            if chunk is None:
                usage = self._watch.usage if isinstance(self._watch, ChatWatch) and self.facts.usage else None
                chunk = msgspec.json.encode({**self._head(), "choices": [], "usage": usage or self._usage(receipt)})
            frames.append(make_frame(_receipted(Surface.CHAT, chunk, receipt)))
        return [*frames, self._done or make_frame(DONE)]

    def _finish_responses(self, receipt: Receipt) -> list[bytes]:
        if isinstance(self._writer, ResponsesWriter):
            reason = self.facts.finish_reason or "stop"
            frames, final = self._writer.finish(reason, self._usage(receipt), self._watch.last.get("service_tier"))
        elif self._cut and isinstance(self._watch, ResponsesWatch):
            response = {**self._watch.cut_response(), "usage": self._usage(receipt)}
            frames, final = (
                [],
                {
                    "type": "response.incomplete",
                    "sequence_number": self._sequence(),
                    "response": response,
                },
            )
        else:
            assert self._held is not None  # finished by its final event
            kind = str(self._watch.last.get("type"))
            return [make_frame(_receipted(Surface.RESPONSES, self._held, receipt), kind)]
        data = msgspec.json.encode(final)
        return [*frames, make_frame(_receipted(Surface.RESPONSES, data, receipt), str(final["type"]))]

    def _usage(self, receipt: Receipt) -> dict[str, Any]:
        """The provider's usage in the caller's words, or what was charged for when it gave none."""
        return usage_object(self._caller, self.facts.usage or receipt.usage)

    def _head(self) -> dict[str, Any]:
        if isinstance(self._writer, ChatWriter):
            return self._writer.head()
        head = self._watch.head if isinstance(self._watch, ChatWatch) else {}
        return {
            "id": head.get("id") or "",
            "object": "chat.completion.chunk",
            "created": head.get("created") or 0,
            "model": head.get("model") or self._model,
        }

    def _sequence(self) -> int:
        if isinstance(self._writer, ResponsesWriter):
            return self._writer.sequence
        return self._watch.sequence + 1 if isinstance(self._watch, ResponsesWatch) else 0


def _without_usage(chunk: dict[str, Any]) -> bytes:
    """A chunk whose usage is not the last word on it, nor its provider's price the caller's."""
    return make_frame(msgspec.json.encode({**chunk, "usage": None}))


def _receipted(surface: Surface, data: bytes, receipt: Receipt) -> bytes:
    """A final event's data with the receipt in its usage; an event that says one thing twice is written anew."""
    try:
        return _with_receipt(surface, data, receipt)
    except ValueError:
        return _with_receipt(surface, msgspec.json.encode(msgspec.json.decode(data)), receipt)


def _with_receipt(surface: Surface, data: bytes, receipt: Receipt) -> bytes:
    if surface is Surface.CHAT:
        return with_receipt(surface, data, receipt, 0, len(data))
    _, start, end = members(data, 0, len(data))["response"]
    return with_receipt(surface, data, receipt, start, end)
