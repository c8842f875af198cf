"""A TCP proxy that does to connections what networks do: it delays, cuts up, trickles, half-closes and resets them.

What befalls a connection follows from the proxy's seed and the connection's number, each direction apart.
"""

import asyncio
import contextlib
import socket
import struct
import threading
from collections import Counter
from dataclasses import dataclass
from random import Random

RESET = struct.pack("ii", 1, 0)
PIECE_BYTES = 65_536


@dataclass(frozen=True)
class Fate:
    """What befalls one direction of a connection after `at_bytes` of it have passed."""

    kind: str
    at_bytes: int


KINDS = ("none", "none", "pieces", "trickle", "pause", "half close", "reset", "stall")


def draw_fate(random: Random, turn: int) -> Fate:
    """Each kind in its turn, somewhere in a head or a short body."""
    return Fate(KINDS[turn % len(KINDS)], random.choice((0, 1, random.randrange(100), random.randrange(400))))


class ChaosProxy:
    """Listens on `port` and passes connections on to `target_port`; counts in `fired` what it did to them."""

    def __init__(self, target_port: int, seed: int, *, stall_s: float = 0.6) -> None:
        self._target_port = target_port
        self._seed = seed
        self._stall_s = stall_s
        self._number = 0
        self._ready = threading.Event()
        self._thread = threading.Thread(target=self._run, name="chaos-proxy", daemon=True)
        self.port = 0
        self.calm = False
        self.fired: Counter[str] = Counter()

    def __enter__(self) -> "ChaosProxy":
        self._thread.start()
        assert self._ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(10)

    def _run(self) -> None:
        asyncio.run(self._serve())

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._stop = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        server = await asyncio.start_server(self._accept, "127.0.0.1", 0)
        self.port = server.sockets[0].getsockname()[1]
        self._ready.set()
        await self._stop.wait()
        server.close()
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._number += 1
        random = Random(f"{self._seed} {self._number}")
        # Three and eight have no common divisor: every kind meets every other.
        up, down = draw_fate(random, self._number), draw_fate(random, self._number * 3 + self._seed)
        try:
            onward = await asyncio.open_connection("127.0.0.1", self._target_port)
        except OSError:
            writer.close()
            return
        ways = (
            self._pass(reader, onward[1], writer, up, random),
            self._pass(onward[0], writer, onward[1], down, random),
        )
        try:
            await asyncio.gather(*ways)
        finally:
            self._tasks.discard(task)
            for end in (writer, onward[1]):
                end.close()

    async def _pass(
        self,
        source: asyncio.StreamReader,
        sink: asyncio.StreamWriter,
        back: asyncio.StreamWriter,
        fate: Fate,
        random: Random,
    ) -> None:
        """Passes one direction on until its fate or its end."""
        passed = 0
        with contextlib.suppress(OSError):
            while piece := await source.read(PIECE_BYTES):
                ends = passed + len(piece) > fate.at_bytes and fate.kind not in ("none", "pieces") and not self.calm
                whole = piece[: fate.at_bytes - passed] if ends else piece
                if fate.kind == "pieces" and not self.calm:
                    await self._send_in_pieces(whole, sink, random)
                else:
                    sink.write(whole)
                    await sink.drain()
                passed += len(whole)
                if ends and not await self._befall(fate, piece[len(whole) :], sink, back):
                    return
                passed += len(piece) - len(whole)
                if ends:
                    fate = Fate("none", 0)
            if sink.can_write_eof():
                sink.write_eof()

    async def _befall(self, fate: Fate, rest: bytes, sink: asyncio.StreamWriter, back: asyncio.StreamWriter) -> bool:
        """Does it. Returns whether the connection goes on."""
        self.fired[fate.kind] += 1
        if fate.kind == "trickle":
            for at in range(min(len(rest), 40)):
                sink.write(rest[at : at + 1])
                await sink.drain()
                await asyncio.sleep(0.001)
            rest = rest[40:]
        elif fate.kind == "pause":
            await asyncio.sleep(0.15)
        elif fate.kind == "stall":
            await asyncio.sleep(self._stall_s)
        elif fate.kind == "half close":
            sink.write_eof()
            return False
        elif fate.kind == "reset":
            for end in (sink, back):
                end.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                end.transport.abort()
            return False
        sink.write(rest)
        await sink.drain()
        return True

    async def _send_in_pieces(self, data: bytes, sink: asyncio.StreamWriter, random: Random) -> None:
        self.fired["pieces"] += 1
        at = 0
        while at < len(data):
            size = random.choice((1, 2, 7, 100, 1_000))
            sink.write(data[at : at + size])
            await sink.drain()
            await asyncio.sleep(0)
            at += size
