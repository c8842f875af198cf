"""What steps of a call cost by themselves on one core: `python -m benchmarks.micro`. Microseconds, best of seven runs.

Pure work: no socket, no disk. `dialects.py` has more of bodies and frames, `ledger.py` the ledger, `quote_lines.py` the
command line.
"""

import base64
import struct
import time
from collections.abc import Callable
from datetime import UTC, datetime
from itertools import cycle

from benchmarks.dialects import EDITS, best_us
from benchmarks.gateway.bodies import image_body, reply, small_body, stream_body, stream_frames

from tessera.adapters.media.base64_prefix import open_base64
from tessera.adapters.media.header import probe_header, read_header
from tessera.adapters.tokenizers import counter_for
from tessera.bootstrap import new_id
from tessera.catalog.catalogue import load_catalogue
from tessera.cli._quote_lines import QuoteAsk, Quoter
from tessera.domain.dialects.body import Body, open_body
from tessera.domain.dialects.chat import parse_chat
from tessera.domain.dialects.relay import StreamRelay
from tessera.domain.dialects.splice import splice
from tessera.domain.dialects.usage import read_reply
from tessera.domain.money import Mode
from tessera.domain.pricing.charge import charge
from tessera.domain.pricing.quote import QuotedImage, build_quote
from tessera.domain.quantities import Quantities
from tessera.domain.request import Detail, InferenceRequest, Surface, Tier
from tessera.domain.tokens import count_request

MODEL = "gpt-4o"
_EXIF_BYTES = 60_000


def measure() -> dict[str, float]:
    """Every figure by what it is a figure of, in microseconds."""
    found: dict[str, float] = {}
    for name, (work, times) in {**_headers(), **_quotes(), **_bodies(), **_replies()}.items():
        work()
        found[name] = round(best_us(work, times), 2)
    return found


def _headers() -> dict[str, tuple[Callable[[], object], int]]:
    png, jpeg = _png_of(image_body(1_000_000)), _jpeg()
    texts = {name: memoryview(base64.b64encode(data)) for name, data in (("PNG", png), ("JPEG", jpeg))}

    def header(text: memoryview) -> object:
        return read_header(open_base64(text, bytes_max=50_000_000, param=None), None)

    return {
        "image header: PNG": (lambda: probe_header(png, complete=True), 5000),
        "image header: JPEG behind 60 KB of EXIF": (lambda: probe_header(jpeg, complete=True), 5000),
        "image header from base64, all of it checked: JPEG of 60 KB": (lambda: header(texts["JPEG"]), 3000),
        "image header from base64, all of it checked: PNG of 750 KB": (lambda: header(texts["PNG"]), 1000),
    }


def _quotes() -> dict[str, tuple[Callable[[], object], int]]:
    catalogue = load_catalogue()
    today = datetime.now(UTC).date()
    row = catalogue.price_book().price(MODEL, Tier.DEFAULT, as_of=today)
    rules, framing = catalogue.image_rules(MODEL, today), catalogue.framing(MODEL)
    counter = counter_for(framing.encoding)
    images, words = parse_chat(open_body(image_body(2_000))), parse_chat(open_body(small_body()))
    usage = Quantities(input_tokens=1_105, cached_input_tokens=64, input_image_tokens=765, output_tokens=200)

    def quote(request: InferenceRequest, sizes: list[tuple[int, int]]) -> object:
        count = count_request(request, sizes, rules, framing, counter)
        now = int(time.time())
        return build_quote(
            id=new_id("quote"),
            created_at=now,
            expires_at=now + 900,
            mode=Mode.LIVE,
            model=MODEL,
            service_tier=Tier.DEFAULT,
            price_version="benchmark",
            count=count,
            images=[QuotedImage(index=index, count=image) for index, image in enumerate(count.images)],
            rows=(row,),
            output_max_tokens=200,
            choices=1,
        )

    defaults = QuoteAsk(width=1, height=1, model=MODEL, detail=Detail.AUTO, as_of=today, tier="default")
    quoter = Quoter(catalogue, catalogue.price_book(), defaults)
    sizes = cycle(QuoteAsk(width=width, height=9_000 - width) for width in range(16, 8_984))

    return {
        "quote: one image by its size, every size another": (lambda: quoter.quote(next(sizes)), 5000),
        "quote: one image and a short prompt, counted and priced": (lambda: quote(images, [(2048, 1536)]), 2000),
        "quote: the small body's text, counted and priced": (lambda: quote(words, []), 2000),
        "charge": (lambda: charge(row, usage), 5000),
    }


def _bodies() -> dict[str, tuple[Callable[[], object], int]]:
    def whole(raw: bytes) -> object:
        body: Body = open_body(raw)
        return splice(Surface.CHAT, body, parse_chat(body), EDITS)

    small, large = small_body(), image_body(5_000_000)
    return {
        "body opened, parsed, spliced: 555 B": (lambda: whole(small), 2000),
        "body opened, parsed, spliced: 5 MB": (lambda: whole(large), 20),
    }


def _replies() -> dict[str, tuple[Callable[[], object], int]]:
    raw, frame = reply(), stream_frames()[0]
    asked = parse_chat(open_body(stream_body("paced")))
    relay = StreamRelay(Surface.CHAT, Surface.CHAT, include_usage=asked.include_usage, model=asked.model)
    return {
        "usage of a reply of 888 B read": (lambda: read_reply(Surface.CHAT, raw), 5000),
        "one frame of a stream relayed": (lambda: relay.feed(frame), 5000),
    }


def _png_of(body: bytes) -> bytes:
    return base64.b64decode(body.partition(b"base64,")[2].partition(b'"')[0])


def _jpeg() -> bytes:
    """A file with the header of a 2048 × 1536 JPEG, its size behind a large EXIF segment."""
    exif = b"Exif\0\0" + bytes(_EXIF_BYTES)
    size = struct.pack(">BHHB", 8, 1536, 2048, 3) + bytes((1, 0x22, 0, 2, 0x11, 1, 3, 0x11, 1))
    segments = [(0xE1, exif), (0xC0, size), (0xDA, bytes((3, 1, 0, 2, 17, 3, 17, 0, 63, 0)))]
    parts = [bytes((0xFF, kind)) + struct.pack(">H", len(data) + 2) + data for kind, data in segments]
    return b"\xff\xd8" + b"".join(parts) + bytes(1000) + b"\xff\xd9"


if __name__ == "__main__":
    for name, figure in measure().items():
        print(f"{name:60} {figure:10,.2f} us")
