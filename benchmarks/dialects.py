"""What reading, splicing and relaying cost: `python benchmarks/dialects.py`, best of several runs on one core.

Prints microseconds per body (opened, parsed, spliced) and per stream frame (relayed on one surface, translated).
"""

import base64
import json
import time
from collections.abc import Callable

from tessera.domain.dialects.body import Body, open_body
from tessera.domain.dialects.chat import parse_chat
from tessera.domain.dialects.receipt import Receipt, finish_reply
from tessera.domain.dialects.relay import StreamRelay
from tessera.domain.dialects.splice import Edits, splice
from tessera.domain.dialects.translate import translate_request
from tessera.domain.request import InferenceRequest, Surface, Tier

EDITS = Edits(model="gpt-4o-2024-08-06", output_cap=300, tier=Tier.DEFAULT)
FRAMES = 1000


def body_of(url: str, text: str) -> bytes:
    """A chat call with one image."""
    parts = [{"type": "text", "text": text}, {"type": "image_url", "image_url": {"url": url, "detail": "high"}}]
    return json.dumps(
        {
            "model": "gpt-4o",
            "messages": [
                {"role": "system", "content": "You are a helpful assistant."},
                {"role": "user", "content": parts},
            ],
            "max_completion_tokens": 300,
            "temperature": 0.2,
            "stream": True,
            "stream_options": {"include_usage": True},
        }
    ).encode()


def best_us(work: Callable[[], object], times: int) -> float:
    """The fastest of seven runs, in microseconds per call."""
    found = float("inf")
    for _ in range(7):
        start = time.perf_counter()
        for _ in range(times):
            work()
        found = min(found, (time.perf_counter() - start) / times)
    return found * 1e6


def bodies() -> None:
    """Opening, parsing and splicing, by size of the image."""
    for name, url, times in (
        ("555 bytes, address", "https://example.com/a.png", 3000),
        ("1 MB image", "data:image/png;base64," + base64.b64encode(bytes(750_000)).decode(), 200),
        ("5 MB image", "data:image/png;base64," + base64.b64encode(bytes(3_750_000)).decode(), 50),
        ("20 MB image", "data:image/png;base64," + base64.b64encode(bytes(15_000_000)).decode(), 10),
    ):
        raw = body_of(url, "x" * max(0, 555 - len(body_of(url, ""))))
        body = open_body(raw)
        request = parse_chat(body)

        def translate(body: Body = body, request: InferenceRequest = request) -> object:
            return translate_request(Surface.CHAT, Surface.RESPONSES, body, request, EDITS)

        def whole(raw: bytes = raw) -> object:
            opened = open_body(raw)
            return splice(Surface.CHAT, opened, parse_chat(opened), EDITS)

        print(
            f"{name:20} {len(raw):>9} B  open {best_us(lambda raw=raw: open_body(raw), times):8.1f}"
            f"  parse {best_us(lambda body=body: parse_chat(body), times):6.1f}"
            f"  splice {best_us(lambda b=body, r=request: splice(Surface.CHAT, b, r, EDITS), times):6.1f}"
            f"  all three {best_us(whole, times):8.1f}  translate {best_us(translate, times):6.1f} us"
        )


def frames() -> None:
    """Relaying a stream of ordinary text chunks, each fed alone and in packets of twenty."""
    head = {"id": "chatcmpl-1", "object": "chat.completion.chunk", "created": 1, "model": "gpt-4o"}
    delta = {**head, "choices": [{"index": 0, "delta": {"content": " word"}, "finish_reason": None}], "usage": None}
    frame = b"data: " + json.dumps(delta).encode() + b"\n\n"
    for name, caller in (("copied", Surface.CHAT), ("translated", Surface.RESPONSES)):
        for together in (1, 20):

            def whole(caller: Surface = caller, together: int = together) -> None:
                relay = StreamRelay(Surface.CHAT, caller, include_usage=True, model="m")
                packet = frame * together
                for _ in range(FRAMES // together):
                    relay.feed(packet)

            print(f"{name:20} {together:>2} frames a packet  {best_us(whole, 5) / FRAMES:6.2f} us a frame")


def receipts() -> None:
    """Putting the charge into a whole reply."""
    reply = {"id": "x", "choices": [{"message": {"content": "word " * 200}}], "usage": {"prompt_tokens": 1}}
    raw = json.dumps(reply).encode()
    receipt = Receipt(charge="0.01", charge_nanos=10_000_000, request_id="req_1")
    print(f"receipt into {len(raw)} B  {best_us(lambda: finish_reply(Surface.CHAT, raw, receipt), 3000):6.1f} us")


if __name__ == "__main__":
    bodies()
    frames()
    receipts()
