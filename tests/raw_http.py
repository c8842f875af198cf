"""HTTP as bytes on a socket, for requests that no client library would send."""

import contextlib
import json
import re
import socket
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

CLOSED, OPEN = "closed", "open"
_LENGTH = re.compile(rb"\r\ncontent-length: ?(\d+)", re.IGNORECASE)


@dataclass(frozen=True)
class Heard:
    """What came back: the bytes, and whether the server `closed` the connection or left it `open`."""

    data: bytes
    end: str

    @property
    def status(self) -> int:
        """The status of the first reply; 0 when none came."""
        return int(self.data[9:12]) if self.data.startswith(b"HTTP/1.1 ") else 0

    @property
    def replies(self) -> int:
        return self.data.count(b"HTTP/1.1 ")

    def error(self) -> dict[str, Any]:
        """The error object of the first reply."""
        found: dict[str, Any] = json.loads(self.data.partition(b"\r\n\r\n")[2])["error"]
        return found


def dial(base_url: str, seconds: float = 20) -> socket.socket:
    """A connection to a server."""
    address = urlsplit(base_url)
    assert address.hostname is not None
    return socket.create_connection((address.hostname, address.port or 80), timeout=seconds)


def talk(base_url: str, data: bytes, *, linger_s: float = 0.5) -> Heard:
    """Sends bytes and listens until the server closes or has sent a whole reply and then nothing for `linger_s`."""
    with dial(base_url) as connection:
        with contextlib.suppress(ConnectionError):
            connection.sendall(data)
        return listen(connection, linger_s=linger_s)


def listen(connection: socket.socket, *, linger_s: float = 0.5, seconds: float = 20) -> Heard:
    """Listens until the server closes or, after the first bytes, says nothing for `linger_s`."""
    heard = b""
    connection.settimeout(seconds)
    try:
        while piece := connection.recv(65_536):
            heard += piece
            connection.settimeout(linger_s)
    except TimeoutError:
        return Heard(heard, OPEN)
    except ConnectionError:
        pass
    return Heard(heard, CLOSED)


def ask(base_url: str, data: bytes) -> Heard:
    """Sends bytes and listens to one whole reply. What comes after it, or the connection's end, is not waited for."""
    with dial(base_url) as connection:
        connection.sendall(data)
        return hear(connection)


def hear(connection: socket.socket, *, seconds: float = 20) -> Heard:
    """Listens to one whole reply, as long as its head says, or until the server closes. Raises TimeoutError."""
    heard = b""
    connection.settimeout(seconds)
    while not _is_whole(heard):
        piece = connection.recv(65_536)
        if not piece:
            return Heard(heard, CLOSED)
        heard += piece
    return Heard(heard, OPEN)


def _is_whole(heard: bytes) -> bool:
    head, end, body = heard.partition(b"\r\n\r\n")
    if not end:
        return False
    length = _LENGTH.search(head)
    return len(body) >= int(length[1]) if length else body.endswith(b"0\r\n\r\n")


def request(method: str, path: str, key: str | None = None, body: bytes | None = None, *lines: str) -> bytes:
    """An ordinary request with further header lines."""
    head = [f"{method} {path} HTTP/1.1", "Host: test"]
    if key is not None:
        head.append(f"Authorization: Bearer {key}")
    if body is not None:
        head += ["Content-Type: application/json", f"Content-Length: {len(body)}"]
    return "\r\n".join([*head, *lines, "", ""]).encode("latin-1") + (body or b"")


def chat(key: str, *lines: str, path: str = "/v1/chat/completions") -> bytes:
    """The head of a call without its end: lines that say how the body comes, the empty line, the body, must follow."""
    return request("POST", path, key, None, "Content-Type: application/json", *lines)[:-2]
