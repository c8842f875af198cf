"""Sends calls to a server at a steady pace, whether or not it answers, and prints what came back as JSON.

python overload_load.py --port 8080 --key sk-tess-… --connections 500 --pace 4000 --seconds 3

With a pace of 0 every connection sends its next call when the last was answered. Calls that find no connection free are
counted as `unsent`. A call is `good` when its whole 200 came within the deadline, counted from when it was due. With
--new each call has a connection of its own, with --split its head and its body are sent apart. With --watch, somebody
asks the operator's paths every 100 ms meanwhile, over new connections.
"""

import argparse
import asyncio
import json
import time
from collections import deque
from typing import cast

import uvloop

BODY = json.dumps(
    {"model": "gpt-4o", "messages": [{"role": "user", "content": "Hello"}], "max_completion_tokens": 5}
).encode()
WATCHED = ("/healthz", "/readyz", "/metrics")


class Load:
    """What all connections have in common."""

    def __init__(self, asked: argparse.Namespace) -> None:
        self.asked = asked
        fault = f"Tessera-Sandbox-Fault: delay_ms={asked.delay_ms}\r\n" if asked.delay_ms else ""
        self.head = (
            f"POST /v1/chat/completions HTTP/1.1\r\nHost: {asked.host}:{asked.port}\r\n"
            f"Authorization: Bearer {asked.key}\r\nContent-Type: application/json\r\n{fault}"
            f"{'Connection: close' if asked.new else 'Accept: */*'}\r\nContent-Length: {len(BODY)}\r\n\r\n"
        ).encode()
        self.begin = self.end = 0.0
        self.free: deque[Connection] = deque()
        self.served = 0
        self.good_ms: list[float] = []
        self.refused_ms: list[float] = []
        self.watched_ms: list[float] = []
        self.watched_failed = 0
        self.without_retry_after = 0
        self.other: dict[str, int] = {}
        self.unsent = 0
        self.late_ms = 0.0
        self.dialling: set[asyncio.Future[object]] = set()

    def count(self, what: str) -> None:
        self.other[what] = self.other.get(what, 0) + 1

    def dial(self, due: float | None) -> None:
        """Opens a connection; with a time, for one call that is due then."""
        loop = asyncio.get_running_loop()
        made = loop.create_connection(lambda: Connection(self, due), self.asked.host, self.asked.port)
        task = asyncio.ensure_future(made)
        if self.asked.pace and self.asked.new:
            loop.call_later(self.asked.deadline, task.cancel)
        self.dialling.add(task)
        task.add_done_callback(self._dialled)

    def _dialled(self, task: "asyncio.Future[object]") -> None:
        self.dialling.discard(task)
        if task.cancelled():
            self.count("not connected")
        elif task.exception() is not None:
            self.count(type(task.exception()).__name__)


class Connection(asyncio.Protocol):
    """One call at a time."""

    def __init__(self, load: Load, due: float | None = None) -> None:
        self._load = load
        self._received = b""
        self._due = due

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast(asyncio.Transport, transport)
        if self._due is not None:
            self.send(self._due)
        elif self._load.asked.pace:
            self._load.free.append(self)
        else:
            self.send(time.monotonic())

    def connection_lost(self, error: Exception | None) -> None:
        if self._due is not None:
            self._load.count("connection lost")

    def send(self, due: float) -> None:
        if self._transport.is_closing():
            # The server waits only so long for a first request.
            self._load.unsent += 1
            return
        self._due = due
        if self._load.asked.split:
            self._transport.write(self._load.head)
            asyncio.get_running_loop().call_later(0.001, self._transport.write, BODY)
        else:
            self._transport.write(self._load.head + BODY)

    def data_received(self, data: bytes) -> None:
        self._received += data
        head, gap, body = self._received.partition(b"\r\n\r\n")
        if not gap:
            return
        lines = head.lower().split(b"\r\n")
        length = next(int(line[15:]) for line in lines if line.startswith(b"content-length:"))
        if len(body) < length or self._due is None:
            return
        self._received = b""
        self._answered(lines)
        load = self._load
        if load.asked.new:
            self._transport.close()
        if load.asked.pace and not load.asked.new:
            load.free.append(self)
        elif not load.asked.pace and time.monotonic() < load.end:
            if load.asked.new:
                load.dial(time.monotonic())
            else:
                self.send(time.monotonic())

    def _answered(self, lines: list[bytes]) -> None:
        load, now = self._load, time.monotonic()
        assert self._due is not None
        took, self._due = now - self._due, None
        status = lines[0].split()[1]
        if status == b"200":
            load.served += now <= load.end
            if took <= load.asked.deadline:
                load.good_ms.append(took * 1000)
        elif status == b"503":
            load.refused_ms.append(took * 1000)
            load.without_retry_after += not any(line.startswith(b"retry-after:") for line in lines)
        else:
            load.count(status.decode())


async def watch(load: Load) -> None:
    """Asks the operator's paths until the load ends."""
    while time.monotonic() < load.end:
        for path in WATCHED:
            began = time.monotonic()
            try:
                async with asyncio.timeout(10):
                    reader, writer = await asyncio.open_connection(load.asked.host, load.asked.port)
                    writer.write(f"GET {path} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n".encode())
                    status = (await reader.read()).split(b" ")[1]
                    writer.close()
            except (OSError, TimeoutError, IndexError):
                status = b"none"
            load.watched_failed += status != b"200"
            load.watched_ms.append(1000 * (time.monotonic() - began))
        await asyncio.sleep(0.1)


async def send_all(load: Load) -> int:
    """Sends until the end; how many calls were due."""
    asked = load.asked
    sent = 0
    while (now := time.monotonic()) < load.end:
        while asked.pace and load.begin + sent / asked.pace <= now:
            due = load.begin + sent / asked.pace
            sent += 1
            load.late_ms = max(load.late_ms, 1000 * (now - due))
            if asked.new:
                load.dial(due)
            elif load.free:
                load.free.popleft().send(due)
            else:
                load.unsent += 1
        await asyncio.sleep(0.001 if asked.pace else 0.05)
    return sent


async def main(asked: argparse.Namespace) -> None:
    load, loop = Load(asked), asyncio.get_running_loop()
    load.begin = time.monotonic()
    load.end = load.begin + 1e9
    for _ in range(0 if asked.new and asked.pace else asked.connections):
        load.dial(time.monotonic() if asked.new else None)
        if len(load.dialling) >= 100:
            await asyncio.gather(*load.dialling)
    await asyncio.gather(*load.dialling)
    load.begin = time.monotonic() + (0.2 if asked.pace else 0)
    load.end = load.begin + asked.seconds
    watching = loop.create_task(watch(load)) if asked.watch else None
    sent = await send_all(load)
    await asyncio.sleep(asked.deadline if asked.pace else 0.5)
    if watching is not None:
        await watching
    print(json.dumps(found(load, sent)))


def found(load: Load, sent: int) -> dict[str, object]:
    """What is printed. Rates are per second of the time in which calls were sent."""
    seconds = load.asked.seconds
    return {
        "served_per_second": load.served / seconds,
        "good_per_second": len(load.good_ms) / seconds,
        "good_p50_ms": share(load.good_ms, 50),
        "good_p99_ms": share(load.good_ms, 99),
        "sent": sent,
        "refused": len(load.refused_ms),
        "refused_p50_ms": share(load.refused_ms, 50),
        "refused_p99_ms": share(load.refused_ms, 99),
        "watched": len(load.watched_ms),
        "watched_failed": load.watched_failed,
        "watched_max_ms": max(load.watched_ms, default=None),
        "without_retry_after": load.without_retry_after,
        "unsent": load.unsent,
        "late_max_ms": load.late_ms,
        "other": load.other,
    }


def share(values: list[float], percent: int) -> float | None:
    """The value below which so many percent are."""
    return sorted(values)[len(values) * percent // 100] if values else None


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--key", required=True)
    parser.add_argument("--delay-ms", type=int, default=0, help="how long the sandbox takes for a call")
    parser.add_argument("--connections", type=int, default=100)
    parser.add_argument("--pace", type=float, default=0, help="calls a second")
    parser.add_argument("--seconds", type=float, default=3)
    parser.add_argument("--deadline", type=float, default=2, help="seconds within which a reply is worth something")
    parser.add_argument("--new", action="store_true")
    parser.add_argument("--split", action="store_true")
    parser.add_argument("--watch", action="store_true")
    return parser.parse_args()


if __name__ == "__main__":
    uvloop.run(main(arguments()))
