"""Sends calls to a server at a steady pace, whether or not it answers, and prints what came back as JSON.

python overload_load.py HOST PORT KEY DELAY_MS CONNECTIONS CALLS_A_SECOND SECONDS

With a pace of 0 every connection sends its next call when the last was answered. Calls that find no connection free are
counted as `unsent`.
"""

import asyncio
import json
import sys
import time
from collections import deque

BODY = json.dumps(
    {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "max_completion_tokens": 5}
).encode()


class Load:
    """What all connections have in common."""

    def __init__(self, request: bytes, pace: float, end: float) -> None:
        self.request = request
        self.pace = pace
        self.end = end
        self.free: deque[Connection] = deque()
        self.served = 0
        self.refused_ms: list[float] = []
        self.without_retry_after = 0
        self.other: dict[str, int] = {}
        self.unsent = 0


class Connection(asyncio.Protocol):
    """A connection that is kept open; one call at a time."""

    def __init__(self, load: Load) -> None:
        self._load = load
        self._received = b""
        self._sent_at = 0.0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        if self._load.pace:
            self._load.free.append(self)
        else:
            self.send()

    def connection_lost(self, error: Exception | None) -> None:
        if time.monotonic() < self._load.end:
            self._count("connection lost")

    def send(self) -> None:
        self._sent_at = time.monotonic()
        self._transport.write(self._load.request)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, gap, body = self._received.partition(b"\r\n\r\n")
        if not gap:
            return
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        if len(body) < length:
            return
        self._received = b""
        load, now = self._load, time.monotonic()
        status = lines[0].split()[1]
        if status == b"200":
            load.served += now <= load.end
        elif status == b"503":
            load.refused_ms.append((now - self._sent_at) * 1000)
            load.without_retry_after += not any(line.startswith(b"retry-after:") for line in lines)
        else:
            self._count(status.decode())
        if load.pace:
            load.free.append(self)
        elif now < load.end:
            self.send()

    def _count(self, what: str) -> None:
        self._load.other[what] = self._load.other.get(what, 0) + 1


async def main() -> None:
    host, port, key, delay_ms, connections, pace, seconds = sys.argv[1:]
    head = (
        f"POST /v1/chat/completions HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Bearer {key}\r\n"
        f"Content-Type: application/json\r\nTessera-Sandbox-Fault: delay_ms={delay_ms}\r\n"
        f"Content-Length: {len(BODY)}\r\n\r\n"
    )
    loop = asyncio.get_running_loop()
    begin = time.monotonic() + (0.5 if float(pace) else 0)
    load = Load(head.encode() + BODY, float(pace), begin + float(seconds))
    for _ in range(int(connections)):
        await loop.create_connection(lambda: Connection(load), host, int(port))
    sent = 0
    while (now := time.monotonic()) < load.end:
        while load.pace and begin + sent / load.pace <= now:
            sent += 1
            if load.free:
                load.free.popleft().send()
            else:
                load.unsent += 1
        await asyncio.sleep(0.001 if load.pace else 0.05)
    await asyncio.sleep(0.5)
    refused = sorted(load.refused_ms)
    found = {
        "served_per_second": load.served / float(seconds),
        "sent": sent,
        "refused": len(refused),
        "refused_p99_ms": refused[len(refused) * 99 // 100] if refused else None,
        "without_retry_after": load.without_retry_after,
        "unsent": load.unsent,
        "other": load.other,
    }
    print(json.dumps(found))


asyncio.run(main())
