"""The head of a request, from parts that were checked: nothing in it can end a line or frame a body.

A head is built for every call, so names and paths, which repeat, are checked once; values are checked each time.
"""

import re
from collections.abc import Mapping
from functools import lru_cache

OWN_NAMES = frozenset(
    {"host", "content-length", "transfer-encoding", "connection", "upgrade", "te", "trailer", "expect"}
)
"""Headers that say where a request goes and where its body ends: written here and nowhere else."""

_NAME = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", re.ASCII)
_PATH = re.compile(r"/[!-\"$->@-~]*", re.ASCII)


@lru_cache(maxsize=256)
def _request_line(host: str, path: str) -> str:
    if _PATH.fullmatch(path) is None:
        raise ValueError("a path starts with a slash and is printable ASCII without spaces, query or fragment")
    return f"POST {path} HTTP/1.1\r\nHost: {host}\r\nContent-Length: "


@lru_cache(maxsize=256)
def _label(name: str) -> str:
    if _NAME.fullmatch(name) is None or name.lower() in OWN_NAMES:
        raise ValueError(f"{name!r} is not a header a request may bring along")
    return f"\r\n{name}: "


def request_head(host: str, path: str, headers: Mapping[str, str], body_bytes: int) -> bytes:
    """The head of a POST request, empty line included. `host` as the Host header has it, port included.

    Raises ValueError for a path, name or value that could change where the request goes or how it is framed.
    """
    parts = [_request_line(host, path), str(body_bytes)]
    for name, value in headers.items():
        if not value.isprintable():
            raise ValueError(f"the value of {name!r} is not printable")
        parts += (_label(name), value)
    parts.append("\r\n\r\n")
    return "".join(parts).encode("ascii")
