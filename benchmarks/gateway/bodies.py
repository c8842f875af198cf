"""What is sent and what the fake provider says: request bodies, the reply and the stream."""

import base64
import json
import random
import struct
import zlib

SMALL_BODY_BYTES = 555
REPLY_BYTES = 888
STREAM_WORDS = 100
SEED = 20_261_122

MODELS = {"plain": "gpt-4o", "paced": "gpt-4.1", "slow": "gpt-4.1-mini"}
"""By what the provider does with a call (a path of its own each), the model that reaches it."""


def small_body() -> bytes:
    """A chat call without images, of `SMALL_BODY_BYTES`."""

    def body(text: str) -> bytes:
        return _encode(_chat("plain", [{"type": "text", "text": text}]))

    padding = SMALL_BODY_BYTES - len(body(""))
    words = "The quick brown fox jumps over the lazy dog. " * 20
    return body(words[:padding])


def image_body(size: int) -> bytes:
    """A chat call of `size` bytes: a data URL of a PNG with a true header whose pixels are noise."""

    def body(url: str) -> bytes:
        image = {"type": "image_url", "image_url": {"url": url, "detail": "high"}}
        return _encode(_chat("plain", [{"type": "text", "text": "What is in this image?"}, image]))

    start = "data:image/png;base64,"
    room = size - len(body(start))
    return body(start + base64.b64encode(_png(room // 4 * 3)).decode())


def stream_body(kind: str) -> bytes:
    """A chat call that asks for a stream with its usage."""
    asked = {"stream": True, "stream_options": {"include_usage": True}}
    return _encode({**_chat(kind, "Count to one hundred."), **asked})


def reply() -> bytes:
    """What the provider answers: a chat completion with usage, `REPLY_BYTES` long."""

    def body(text: str) -> bytes:
        message: dict[str, object] = {"role": "assistant", "content": text, "refusal": None, "annotations": []}
        choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop"}
        start = {"id": "chatcmpl-Bench0000000000000000000000", "object": "chat.completion", "created": 1_790_000_000}
        model = {"model": "gpt-4o-2024-08-06", "choices": [choice], "usage": _usage(96, 48)}
        return _encode({**start, **model, "service_tier": "default", "system_fingerprint": "fp_bench"})

    words = "A mosaic of small square tiles shows a harbour at dusk. " * 20
    return body(words[: REPLY_BYTES - len(body(""))])


def stream_frames() -> list[bytes]:
    """What the provider streams: `STREAM_WORDS` numbered words, the end, the usage, `[DONE]`."""
    start = {"id": "chatcmpl-Bench", "object": "chat.completion.chunk", "created": 1_790_000_000, "model": "gpt-4.1"}

    def chunk(delta: object, finish: str | None = None) -> object:
        choice = {"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}
        return {**start, "system_fingerprint": "fp_bench", "choices": [choice], "usage": None}

    events = [chunk({"content": word}) for word in words()]
    events.append(chunk({}, "stop"))
    events.append({**start, "choices": [], "usage": _usage(20, STREAM_WORDS)})
    return [b"data: " + _encode(event) + b"\n\n" for event in events] + [b"data: [DONE]\n\n"]


def words() -> list[str]:
    """The words of a stream, each once."""
    return [f" word{number:03d}" for number in range(STREAM_WORDS)]


def _chat(kind: str, content: object) -> dict[str, object]:
    system = {"role": "system", "content": "You are a helpful assistant."}
    messages = [system, {"role": "user", "content": content}]
    return {"model": MODELS[kind], "messages": messages, "max_tokens": 200, "temperature": 0.2}


def _usage(prompt: int, completion: int) -> dict[str, object]:
    return {
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "prompt_tokens_details": {"cached_tokens": 0, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 0, "audio_tokens": 0},
    }


def _png(size: int) -> bytes:
    """A file of `size` bytes with the header of a 2048 × 1536 PNG; noise stands where compressed pixels would."""
    noise = random.Random(SEED).randbytes(size - 57)
    parts = [(b"IHDR", struct.pack(">IIBBBBB", 2048, 1536, 8, 2, 0, 0, 0)), (b"IDAT", noise), (b"IEND", b"")]
    chunks = [
        struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data)) for kind, data in parts
    ]
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def _encode(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()
