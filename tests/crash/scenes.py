"""Calls that between them pass every point: what the client sends, what its providers do, what the database does.

Which of them a provider is to answer it reads from the call's text, so that one provider serves all scenes.
"""

import base64
import json
import sqlite3
from dataclasses import dataclass
from typing import Any, ClassVar

from image_files import png_claiming
from scripted_provider import (
    Pause,
    Received,
    Reply,
    chat_completion,
    chat_events,
    chat_reply,
    endless_sse,
    error_reply,
    html_reply,
    json_reply,
    raw_reply,
    sse_reply,
)

OK = chat_reply("one two", prompt_tokens=9, completion_tokens=2)
STREAM = sse_reply(chat_events(["one ", "two ", "three"], prompt_tokens=9), delay_s=0.002)
STREAM = Reply((STREAM.pieces[0], Pause(0.01), *STREAM.pieces[1:]))
REFUSAL = error_reply(400)
BROKEN = error_reply(500)
FAILING = {"error": {"message": "broken inside", "type": "server_error", "code": None}}
LONG = "word " * 4000
UNCOUNTED = sse_reply(chat_events([LONG, LONG], usage=False), delay_s=0.005)
CAPPED = sse_reply(chat_events([LONG, LONG]), delay_s=0.005)
ENDLESS = endless_sse(chat_events(["word "])[1])
NO_USAGE = json_reply({**chat_completion(LONG), "usage": None})


def late(reply: Reply, seconds: float) -> Reply:
    """The same reply after a silence."""
    return Reply((Pause(seconds), *reply.pieces), reply.end)


def in_parts(reply: Reply) -> Reply:
    """The same reply, its body some time after its head."""
    whole = b"".join(piece for piece in reply.pieces if isinstance(piece, bytes))
    head, gap, body = whole.partition(b"\r\n\r\n")
    return raw_reply(head + gap + body[:10], Pause(0.01), body[10:])


@dataclass(frozen=True)
class Scene:
    """One call. `first` and `second` are what the providers answer; `database` names what the disk does, and from which
    statement on. The client leaves when the call waits at a point whose name begins with `leaves`; with `stops` it is
    the server that ends. `twice` makes the call again. `bills_in_full` says that the
    providers bill all of an answer nobody reads to its end. `fresh` scenes need a ledger nobody has written to yet."""

    name: str
    first: Reply = OK
    second: Reply = OK
    stream: bool = False
    key: bool = False
    image_bytes: int = 0
    credit: str = "5.00"
    keep_alive_s: float = 15
    database: str = ""
    leaves: str = ""
    stops: bool = False
    bills_in_full: bool = False
    twice: bool = False
    output_tokens_max: int = 50
    loss_max_nanos: int = 10**12
    fresh: bool = False
    status: tuple[int, ...] = (200,)

    def body(self) -> bytes:
        """What the client sends."""
        content: list[dict[str, Any]] = [{"type": "text", "text": self.name}]
        if self.image_bytes:
            image = base64.b64encode(png_claiming(64, 64) + bytes(self.image_bytes)).decode()
            content.append({"type": "image_url", "image_url": {"url": f"data:image/png;base64,{image}"}})
        cap = self.output_tokens_max
        call = {"model": "gpt-4o", "messages": [{"role": "user", "content": content}], "max_completion_tokens": cap}
        return json.dumps({**call, "stream": self.stream}).encode()


SENT = "sending.open_upstream: await provider.send"
HEAD = "exchange.Exchange.start"
PIECE = "sse._send_frames: await exchange.send_piece"
COMMENT = "sse._wait: await exchange.send_piece"
METER = "metering.OutputMeter.over"
HELD = "storage.LedgerStorage.hold"

SCENES = [
    Scene("whole", first=in_parts(OK)),
    Scene("whole under a key", key=True),
    Scene("again under a key", key=True, twice=True),
    Scene("stream", stream=True, first=STREAM),
    Scene("stream under a key", stream=True, key=True, first=STREAM),
    Scene("fallback", first=BROKEN),
    Scene("refused", first=in_parts(REFUSAL), status=(400,)),
    Scene("stream refused", stream=True, first=REFUSAL, status=(400,)),
    Scene("nobody serves", first=BROKEN, second=BROKEN, status=(502,)),
    Scene("not what was asked for", first=html_reply()),
    Scene("not JSON", first=raw_reply(b"HTTP/1.1 200 OK\r\ncontent-length: 1\r\n\r\n{")),
    Scene("stream spoiled at once", stream=True, first=sse_reply([FAILING]), second=STREAM),
    Scene("stream cut", stream=True, first=sse_reply(chat_events(["one ", "two "]), cut_at=500)),
    Scene("losses past their bound", stream=True, loss_max_nanos=0, first=sse_reply(chat_events(["one "]), cut_at=400)),
    Scene("stream fails", stream=True, first=sse_reply([*chat_events(["one ", "two "])[:3], FAILING])),
    Scene("stream past its cap", stream=True, first=CAPPED),
    Scene("stream uncounted by the provider", stream=True, output_tokens_max=9000, first=UNCOUNTED),
    Scene("uncounted by the provider", first=NO_USAGE),
    Scene("slow head", stream=True, keep_alive_s=0.02, first=late(STREAM, 0.1)),
    Scene("slow head, then refused", stream=True, keep_alive_s=0.02, first=late(REFUSAL, 0.1)),
    Scene("slow stream", stream=True, keep_alive_s=0.02, first=sse_reply(chat_events(["one ", "two"]), delay_s=0.1)),
    Scene("large body", image_bytes=9_000_000, first=late(OK, 0.05)),
    Scene("leaves as money is held", leaves=HELD),
    Scene("leaves before the head", leaves=SENT, first=late(OK, 0.05)),
    Scene("leaves a stream before its head", stream=True, leaves="sse.send_stream", first=late(STREAM, 0.05)),
    Scene("leaves as the head is sent", stream=True, leaves=HEAD, first=STREAM),
    Scene("leaves mid-stream", stream=True, leaves=PIECE, first=STREAM),
    Scene(
        "leaves after much", stream=True, output_tokens_max=9000, leaves="metering.OutputMeter.over", first=UNCOUNTED
    ),
    Scene("leaves, and is read on", stream=True, bills_in_full=True, leaves=PIECE, first=STREAM),
    Scene("leaves an endless answer", stream=True, bills_in_full=True, leaves=PIECE, first=ENDLESS),
    Scene("billed in full, cut at its cap", stream=True, bills_in_full=True, first=CAPPED),
    Scene("billed in full", stream=True, bills_in_full=True, first=STREAM),
    Scene("billed in full, stops", stream=True, bills_in_full=True, leaves=PIECE, stops=True, first=STREAM),
    Scene("stops before the head", leaves=SENT, stops=True, first=late(OK, 0.05)),
    Scene("stops mid-stream", stream=True, leaves="wire.Connection.read", stops=True, first=late(STREAM, 0.01)),
    Scene(
        "stops after a slow head", stream=True, keep_alive_s=0.02, leaves=COMMENT, stops=True, first=late(STREAM, 0.2)
    ),
    Scene("too little money", credit="0.000000001", status=(402,)),
    Scene("no database for the hold", database="hold unreachable", status=(503,)),
    Scene("no database for the settlement", database="settlement unreachable"),
    Scene("nowhere for the settlement", database="settlement nowhere"),
    Scene("group with a bad hold", database="bad hold"),
    Scene("settlement that breaks a constraint", database="bad settlement", status=(500,)),
    Scene("settlement after the hold expired", database="expired", key=True, status=(500,)),
    Scene("lease looked at by a sweeper", database="lease busy", fresh=True),
]


def answer(position: int, request: Received) -> Reply:
    """What a provider answers, by the call's text."""
    name = request.json()["messages"][0]["content"][0]["text"]
    scene = next(scene for scene in SCENES if scene.name == name)
    return (scene.first, scene.second)[position]


_HIT = {"unreachable": "BEGIN IMMEDIATE", "bad hold": "INSERT INTO hold (", "bad settlement": "INSERT INTO usage"}
"""Which statement a weather strikes."""


class Weather:
    """What the database's connections do in this process; None lets everything through."""

    now: ClassVar[str] = ""
    left: ClassVar[int] = 0

    @classmethod
    def set(cls, weather: str, statements: int = 0) -> None:
        """Begins a weather; `statements` is how often it strikes, 0 without end."""
        cls.now, cls.left = weather, statements or 1_000_000

    @classmethod
    def strike(cls, sql: str) -> None:
        """Raises what the statement meets."""
        if cls.left <= 0:
            return
        hit = {
            "unreachable": "BEGIN IMMEDIATE",
            "bad hold": "INSERT INTO hold (",
            "bad settlement": "INSERT INTO usage",
        }
        if cls.now in hit and sql.strip().startswith(hit[cls.now]):
            cls.left -= 1
            if cls.now == "unreachable":
                raise sqlite3.OperationalError("unable to open database file")
            raise sqlite3.IntegrityError("CHECK constraint failed: simulated")


class Connection(sqlite3.Connection):
    """A real connection under that weather."""

    def execute(self, sql: str, parameters: Any = (), /) -> sqlite3.Cursor:
        Weather.strike(sql)
        return super().execute(sql, parameters)

    def executemany(self, sql: str, parameters: Any, /) -> sqlite3.Cursor:
        Weather.strike(sql)
        return super().executemany(sql, parameters)
