"""A rig on loopback for the guarded fetch: a DNS server, a web server that misbehaves on request, and a canary.

127.0.0.1 plays the public internet (tests allow it), 127.0.0.2 and ::1 play the private network: the canary listens
there and counts who connects.
"""

import asyncio
import contextlib
import gzip
import ipaddress
import socket
import struct
from collections import Counter
from collections.abc import AsyncIterator, Sequence
from urllib.parse import parse_qs, unquote, urlsplit

from aiohttp.abc import AbstractResolver, ResolveResult

import image_files as files

PUBLIC, PRIVATE = "127.0.0.1", "127.0.0.2"
IMAGE = files.saved("PNG")
_A, _CNAME, _AAAA = 1, 5, 28


class NameServer(asyncio.DatagramProtocol):
    """Answers A and AAAA from `names`: each name has a list of answers, one a query; the last one stays."""

    def __init__(self) -> None:
        self.names: dict[str, list[Sequence[str]]] = {}
        self.asked: Counter[str] = Counter()
        self._seen: Counter[tuple[str, int]] = Counter()
        self.port = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self.port = transport.get_extra_info("sockname")[1]

    def datagram_received(self, data: bytes, address: tuple[str, int]) -> None:
        name, end = _read_name(data, 12)
        kind = struct.unpack_from(">H", data, end)[0]
        self.asked[name] += 1
        plan = self.names.get(name, [[]])
        turn = min(self._seen[name, kind], len(plan) - 1)
        self._seen[name, kind] += 1
        records = [record for answer in plan[turn] for record in self._records(name, answer, kind)]
        head = data[:2] + struct.pack(">HHHHH", 0x8180, 1, len(records), 0, 0)
        self._transport.sendto(head + data[12 : end + 4] + b"".join(records), address)  # type: ignore[attr-defined]

    def _records(self, owner: str, answer: str, kind: int) -> list[bytes]:
        if answer.startswith("cname:"):
            target = answer.removeprefix("cname:")
            inner = [r for a in self.names.get(target, [[]])[-1] for r in self._records(target, a, kind)]
            return [_record(owner, _CNAME, _write_name(target)), *inner]
        packed = ipaddress.ip_address(answer).packed
        found = _A if len(packed) == 4 else _AAAA
        return [_record(owner, found, packed)] if found == kind else []


class Resolver(AbstractResolver):
    """A resolver that asks the name server over a real socket, as an operating system would."""

    def __init__(self, server: NameServer) -> None:
        self._server = server

    async def resolve(
        self, host: str, port: int = 0, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[ResolveResult]:
        found: list[ResolveResult] = []
        for kind, its_family in ((_A, socket.AF_INET), (_AAAA, socket.AF_INET6)):
            for address in _addresses(await self._ask(host, kind), kind):
                found.append(
                    ResolveResult(
                        hostname=host, host=address, port=port, family=its_family, proto=0, flags=socket.AI_NUMERICHOST
                    )
                )
        if not found:
            raise OSError("no such name")
        return found

    async def _ask(self, host: str, kind: int) -> bytes:
        loop = asyncio.get_running_loop()
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sock:
            sock.setblocking(False)
            sock.connect((PUBLIC, self._server.port))
            query = struct.pack(">HHHHHH", 7, 0x0100, 1, 0, 0, 0) + _write_name(host) + struct.pack(">HH", kind, 1)
            await loop.sock_sendall(sock, query)
            return await loop.sock_recv(sock, 4_096)

    async def close(self) -> None:
        pass


def _write_name(name: str) -> bytes:
    return b"".join(bytes((len(part),)) + part.encode() for part in name.rstrip(".").split(".")) + b"\0"


def _read_name(data: bytes, at: int) -> tuple[str, int]:
    parts = []
    while data[at]:
        parts.append(data[at + 1 : at + 1 + data[at]].decode())
        at += 1 + data[at]
    return ".".join(parts), at + 1


def _record(owner: str, kind: int, data: bytes) -> bytes:
    return _write_name(owner) + struct.pack(">HHIH", kind, 1, 0, len(data)) + data


def _addresses(reply: bytes, kind: int) -> list[str]:
    count = struct.unpack_from(">H", reply, 6)[0]
    at = _read_name(reply, 12)[1] + 4
    found = []
    for _ in range(count):
        at = _read_name(reply, at)[1]
        its_kind, _, _, length = struct.unpack_from(">HHIH", reply, at)
        at += 10
        if its_kind == kind:
            found.append(str(ipaddress.ip_address(reply[at : at + length])))
        at += length
    return found


class StrangeServer:
    """Serves one connection as its path says. `requests` are the heads it read, by path."""

    def __init__(self) -> None:
        self.port = 0
        self.heads: list[str] = []
        self.sent_bytes = 0
        self.open = 0

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open += 1
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            self.heads.append(head)
            await self._answer(urlsplit(head.split(" ")[1]), writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass
        finally:
            self.open -= 1
            writer.close()
            with contextlib.suppress(ConnectionError):
                await writer.wait_closed()

    async def _answer(self, target: object, writer: asyncio.StreamWriter) -> None:
        path, query = target.path, parse_qs(target.query, keep_blank_values=True)  # type: ignore[attr-defined]
        name = path.strip("/").split("/")[0].replace("-", "_").split(".")[0]
        if path.startswith("/redirect/"):
            location = query["to"][0]
            extra = f"Location: {location}\r\nSet-Cookie: a=b\r\n"
            await self._send(writer, self.head(int(path.split("/")[2]), 0, extra))
        elif path.startswith("/status/"):
            await self._send(writer, self.head(int(path.split("/")[2]), len(IMAGE)) + IMAGE)
        elif path.startswith("/body/"):
            body = bytes.fromhex(unquote(path.split("/")[2]))
            await self._send(writer, self.head(200, len(body)) + body)
        else:
            await getattr(self, f"_{name}")(writer)

    @staticmethod
    def head(status: int, length: int | None, extra: str = "", kind: str = "image/png") -> bytes:
        size = "" if length is None else f"Content-Length: {length}\r\n"
        return f"HTTP/1.1 {status} X\r\nContent-Type: {kind}\r\n{size}{extra}\r\n".encode("latin-1")

    async def _send(self, writer: asyncio.StreamWriter, data: bytes) -> None:
        writer.write(data)
        self.sent_bytes += len(data)
        await writer.drain()

    async def _image(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, self.head(200, len(IMAGE)) + IMAGE)

    async def _circle(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, self.head(302, 0, "Location: /circle\r\n"))

    async def _chunked(self, writer: asyncio.StreamWriter) -> None:
        pieces = b"".join(b"1\r\n%b\r\n" % IMAGE[i : i + 1] for i in range(len(IMAGE)))
        await self._send(writer, self.head(200, None, "Transfer-Encoding: chunked\r\n") + pieces + b"0\r\n\r\n")

    async def _drip(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, self.head(200, len(IMAGE)))
        for byte in IMAGE:
            await self._send(writer, bytes((byte,)))
            await asyncio.sleep(0.02)

    async def _drip_head(self, writer: asyncio.StreamWriter) -> None:
        for byte in self.head(200, len(IMAGE)) * 50:
            await self._send(writer, bytes((byte,)))
            await asyncio.sleep(0.02)

    async def _silent(self, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(30)

    async def _endless(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, self.head(200, None) + IMAGE)
        while True:
            await self._send(writer, bytes(65_536))

    async def _endless_head(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, b"HTTP/1.1 200 X\r\n")
        while True:
            await self._send(writer, b"X-A: " + b"a" * 1_000 + b"\r\n")

    async def _endless_page(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, self.head(200, None) + b"<html>" + b" " * 600)
        while True:
            await self._send(writer, bytes(65_536))

    async def _too_few(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, self.head(200, len(IMAGE) + 100) + IMAGE)

    async def _too_many(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, self.head(200, len(IMAGE)) + IMAGE + b"HTTP/1.1 200 X\r\n\r\nevil")

    async def _claims_much(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, self.head(200, 10**12) + IMAGE)

    async def _bad_length(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, b"HTTP/1.1 200 X\r\nContent-Length: -5\r\n\r\n" + IMAGE)

    async def _two_lengths(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, self.head(200, 5, f"Content-Length: {len(IMAGE)}\r\n") + IMAGE)

    async def _page(self, writer: asyncio.StreamWriter) -> None:
        body = b"<!doctype html><html><body>Sorry, not found</body></html>"
        await self._send(writer, self.head(200, len(body)) + body)

    async def _empty(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, self.head(200, 0))

    async def _gzip(self, writer: asyncio.StreamWriter) -> None:
        body = gzip.compress(IMAGE + bytes(50_000_000))
        await self._send(writer, self.head(200, len(body), "Content-Encoding: gzip\r\n") + body)

    async def _identity(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, self.head(200, len(IMAGE), "Content-Encoding: identity\r\n") + IMAGE)

    async def _not_http(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, b"220 smtp.example.com ESMTP\r\n")

    async def _nothing(self, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    async def _refresh(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, self.head(200, len(IMAGE), f"Refresh: 0; url=http://{PRIVATE}/\r\n") + IMAGE)

    async def _wrong_type(self, writer: asyncio.StreamWriter) -> None:
        await self._send(writer, self.head(200, len(IMAGE), kind="text/html") + IMAGE)


class Rig:
    """The three servers together. `touched` counts connections to the private network."""

    def __init__(self, web: StrangeServer, dns: NameServer) -> None:
        self.web, self.dns, self.touched = web, dns, 0

    @property
    def port(self) -> int:
        return self.web.port

    def url(self, path: str, host: str = PUBLIC) -> str:
        return f"http://{host}:{self.port}/{path}"

    async def canary(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.touched += 1
        writer.write(StrangeServer.head(200, len(IMAGE)) + IMAGE)
        writer.close()


@contextlib.asynccontextmanager
async def strange_servers() -> AsyncIterator[Rig]:
    """The rig, up; the private network listens on the same port as the public one."""
    loop = asyncio.get_running_loop()
    web = StrangeServer()
    rig = Rig(web, NameServer())
    transport, _ = await loop.create_datagram_endpoint(lambda: rig.dns, local_addr=(PUBLIC, 0))
    async with contextlib.AsyncExitStack() as stack:
        stack.callback(transport.close)
        public = await asyncio.start_server(web.serve, PUBLIC, 0, limit=1 << 20)
        web.port = public.sockets[0].getsockname()[1]
        private = await asyncio.start_server(rig.canary, PRIVATE, web.port)
        listening = [public, private]
        with contextlib.suppress(OSError):  # a machine without IPv6 has one private address less
            listening.append(await asyncio.start_server(rig.canary, "::1", web.port))
        for server in listening:
            stack.callback(server.close)
        yield rig
