"""What a scripted provider can be told to send: whole replies, streams, and every way to break them."""

import gzip
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Any


@dataclass(frozen=True)
class Pause:
    """Sends nothing for a while."""

    seconds: float


class End(Enum):
    """What happens to the connection after the last byte of a script."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


@dataclass(frozen=True)
class Reply:
    """What to send for one request: raw bytes of the whole HTTP reply, head included, and pauses; then `end`.

    `endless` repeats `pieces[-1]` until the client goes away.
    """

    pieces: tuple[bytes | Pause, ...]
    end: End = End.KEEP
    endless: bool = False


def raw_reply(*pieces: bytes | Pause, end: End = End.KEEP) -> Reply:
    """Exactly these bytes."""
    return Reply(pieces, end)


def head(status: int, headers: Mapping[str, str]) -> bytes:
    """A status line and headers."""
    lines = [f"HTTP/1.1 {status} Scripted", *(f"{name}: {value}" for name, value in headers.items())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode()


def bytes_reply(
    body: bytes,
    *,
    status: int = 200,
    content_type: str = "application/json",
    headers: Mapping[str, str] | None = None,
    content_length: int | None = None,
    cut_at: int | None = None,
    delay_s: float = 0,
    end: End = End.KEEP,
) -> Reply:
    """A reply with a length. `content_length` lies about it; `cut_at` sends only that many bytes and closes."""
    length = len(body) if content_length is None else content_length
    named = {"content-type": content_type, "content-length": str(length), **(headers or {})}
    start: tuple[bytes | Pause, ...] = (Pause(delay_s),) if delay_s else ()
    if cut_at is not None:
        return Reply((*start, head(status, named) + body[:cut_at]), End.CLOSE)
    return Reply((*start, head(status, named) + body), end)


def json_reply(body: object, **options: Any) -> Reply:
    """A JSON reply; options as in `bytes_reply`."""
    return bytes_reply(json.dumps(body).encode(), **options)


def error_reply(status: int, *, code: str = "scripted", message: str = "scripted error", **options: Any) -> Reply:
    """An error as OpenAI writes it."""
    body = {"error": {"message": message, "type": "scripted_error", "param": None, "code": code}}
    return json_reply(body, status=status, **options)


def html_reply(status: int = 200) -> Reply:
    """What a misconfigured proxy in front of a provider says."""
    return bytes_reply(b"<html><body>Welcome</body></html>", status=status, content_type="text/html; charset=utf-8")


def sse_reply(
    events: Sequence[object],
    *,
    delay_s: float = 0,
    cut_at: int | None = None,
    end: End = End.KEEP,
    headers: Mapping[str, str] | None = None,
) -> Reply:
    """An event stream in chunked encoding: each event bytes (sent as they are), text or JSON (sent as `data:`).

    `delay_s` lies between events; `cut_at` closes the connection after that many bytes of the stream.
    """
    frames = [
        e if isinstance(e, bytes) else f"data: {e if isinstance(e, str) else json.dumps(e)}\n\n".encode()
        for e in events
    ]
    if cut_at is not None:
        kept, room = [], cut_at
        for frame in frames:
            kept.append(frame[:room])
            room -= len(kept[-1])
        frames = [frame for frame in kept if frame]
    pieces: list[bytes | Pause] = [
        head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked", **(headers or {})})
    ]
    for index, frame in enumerate(frames):
        if delay_s and index:
            pieces.append(Pause(delay_s))
        pieces.append(b"%x\r\n%b\r\n" % (len(frame), frame))
    if cut_at is not None:
        return Reply(tuple(pieces), End.CLOSE)
    return Reply((*pieces, b"0\r\n\r\n") if end is not End.HANG else tuple(pieces), end)


def endless_sse(event: object, *, delay_s: float = 0.001) -> Reply:
    """One event, again and again, until the client leaves."""
    frame = f"data: {json.dumps(event)}\n\n".encode()
    start = head(200, {"content-type": "text/event-stream", "transfer-encoding": "chunked"})
    return Reply((start, Pause(delay_s), b"%x\r\n%b\r\n" % (len(frame), frame)), endless=True)


def drip(reply: Reply, *, every_s: float) -> Reply:
    """The same reply, one byte at a time."""
    whole = b"".join(piece for piece in reply.pieces if isinstance(piece, bytes))
    pieces: list[bytes | Pause] = []
    for byte in whole:
        pieces += [bytes([byte]), Pause(every_s)]
    return Reply(tuple(pieces), reply.end)


def gzip_bomb(size: int = 100_000_000) -> Reply:
    """A short gzip body that grows to `size` bytes when unpacked."""
    return bytes_reply(gzip.compress(b" " * size), headers={"content-encoding": "gzip"})


def hang() -> Reply:
    """Takes the request and never answers."""
    return Reply((), End.HANG)


def reset() -> Reply:
    """Takes the request and resets the connection."""
    return Reply((), End.RESET)


def close_silently() -> Reply:
    """Takes the request and closes the connection without a byte."""
    return Reply((), End.CLOSE)


def chat_completion(
    text: str = "ok", *, prompt_tokens: int = 10, completion_tokens: int = 2, model: str = "scripted", **more: object
) -> dict[str, object]:
    """A chat completion object with its usage."""
    return {
        "id": "chatcmpl-scripted",
        "object": "chat.completion",
        "created": 1_700_000_000,
        "model": model,
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "content": text, "refusal": None},
                "finish_reason": "stop",
                "logprobs": None,
            }
        ],
        "usage": {
            "prompt_tokens": prompt_tokens,
            "completion_tokens": completion_tokens,
            "total_tokens": prompt_tokens + completion_tokens,
        },
        **more,
    }


def chat_reply(text: str = "ok", **more: Any) -> Reply:
    """An ordinary answer to a chat call; arguments as in `chat_completion`."""
    return json_reply(chat_completion(text, **more))


def chat_events(
    words: Sequence[str], *, prompt_tokens: int = 10, completion_tokens: int | None = None, usage: bool = True
) -> list[object]:
    """The events of a streamed chat answer, usage chunk and `[DONE]` included."""
    start = {
        "id": "chatcmpl-scripted",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "scripted",
    }

    def chunk(delta: object, finish: str | None = None) -> object:
        return {**start, "choices": [{"index": 0, "delta": delta, "finish_reason": finish}], "usage": None}

    events = [chunk({"role": "assistant", "content": ""}), *(chunk({"content": word}) for word in words)]
    events.append(chunk({}, "stop"))
    if usage:
        output = len(words) if completion_tokens is None else completion_tokens
        counted = {"prompt_tokens": prompt_tokens, "completion_tokens": output, "total_tokens": prompt_tokens + output}
        events.append({**start, "choices": [], "usage": counted})
    return [*events, "[DONE]"]
