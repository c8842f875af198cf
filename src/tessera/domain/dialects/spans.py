"""Where values stand in JSON text, so that one can be replaced and the rest passed on byte for byte."""

import re
from collections.abc import Callable

import msgspec

_KEY = re.compile(rb'[\s,{]*("[^"\\]*+(?:\\.[^"\\]*+)*+")\s*:\s*', re.DOTALL)
_SCALAR = re.compile(rb'\s*:\s*("[^"\\]*+(?:\\.[^"\\]*+)*+"|[-+.0-9eE]+|null|true|false)', re.DOTALL)
_GAP = re.compile(rb"[\s,]*")
_object: Callable[[bytes | memoryview], dict[str, msgspec.Raw]] = msgspec.json.Decoder(dict[str, msgspec.Raw]).decode
_array: Callable[[bytes | memoryview], list[msgspec.Raw]] = msgspec.json.Decoder(list[msgspec.Raw]).decode


def members(text: bytes, start: int, end: int) -> dict[str, tuple[int, int, int]]:
    """The members of the object at `start`…`end`: by name, where its key starts and its value starts and ends.

    The decoder measures the values, in order; only keys are searched here. Raises ValueError for anything that is not
    one object, and for a key that stands twice.
    """
    found = {}
    at = start
    for name, raw in _object(text if end - start == len(text) else memoryview(text)[start:end]).items():
        key = _KEY.match(text, at)
        if key is None or _text(key[1]) != name:
            raise ValueError("a key stands twice in one object")
        begin = key.end()
        at = begin + memoryview(raw).nbytes
        found[name] = (key.start(1), begin, at)
    if text[at:end].strip(b" \t\r\n{") != b"}":
        raise ValueError("a key stands twice in one object")
    return found


def _text(key: bytes) -> str:
    return str(msgspec.json.decode(key)) if key.find(b"\\") >= 0 else key[1:-1].decode()


def scalar(text: bytes, name: str) -> tuple[int, int] | None:
    """Where the value of the one key `name` stands, without measuring the whole text; None when that takes more.

    `text` is an object that has the key, which is plain ASCII. Where nothing is written with `\\u`, a key stands as
    itself, so a name that stands once in quotes is that key; quotes inside strings have a backslash before them.
    """
    quoted = b'"%s"' % name.encode()
    if text.find(b"\\u") >= 0 or text.count(quoted) != 1:
        return None
    found = _SCALAR.match(text, text.index(quoted) + len(quoted))
    return found.span(1) if found else None


def elements(text: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """Start and end of each element of the array at `start`…`end`. Raises ValueError for anything else."""
    found = []
    measured = _array(memoryview(text)[start:end])
    at = text.index(b"[", start) + 1
    for raw in measured:
        gap = _GAP.match(text, at)
        assert gap is not None  # the pattern matches the empty text too
        begin = gap.end()
        at = begin + memoryview(raw).nbytes
        found.append((begin, at))
    return found
