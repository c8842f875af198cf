"""A request body, opened once: small JSON to work on, big image data left where it is.

Decoding a 15 MB string only to pass it on unchanged would cost more than everything else a call does. So the payload
of each long `data:` URL is found by searching for its ends and leaves only a short mark in the *skeleton*, which is
what gets parsed. A mark carries a digest of everything else in the body: no caller can write a string that contains
the digest of the text it stands in, however it is escaped.
"""

import re
from bisect import bisect_right
from collections.abc import Callable, Generator
from hashlib import blake2b
from itertools import accumulate
from typing import Any, NoReturn

import msgspec
import pybase64

from tessera.domain.errors import ErrorCode, TesseraError

PAYLOAD_MIN = 4096
"""Bytes of base64 from which a payload is worth leaving out; shorter ones are ordinary text."""

_WRITTEN_BACK_BYTES_MAX = 64 * 1024
"""A larger body is not written back to see whether it comes out the same: counting its keys takes less."""

_HEADER_MAX = 128
_PIECE = 1 << 20
_SHORT_AT_ONCE = 1_000
_STRING = re.compile(rb'"[^"\\]*+(?:\\.[^"\\]*+)*+"', re.DOTALL)
_KEY_END = re.compile(rb'"[ \t\r\n]*:')
_DATA_URL = re.compile(r"data:([^,;]{0,100})((?:;[^,;]{0,100}){0,4}),", re.IGNORECASE)
_decode_text: Callable[[bytes], str] = msgspec.json.Decoder(str).decode
_decode: Callable[[bytes], Any] = msgspec.json.Decoder().decode
_encode: Callable[[Any], bytes] = msgspec.json.Encoder().encode


class Body(msgspec.Struct, frozen=True, kw_only=True):
    """A valid JSON object as it came (`raw`) and decoded (`value`).

    `skeleton` is `raw` with marks in the place of long payloads, and `value` is decoded from it. `text` gives the
    caller's own string back, `data_url` a payload as a view into `raw`, `offset` a place of the skeleton in `raw`.
    `are_base64` says of each payload whether all of it was found to be strict base64.
    """

    raw: bytes
    skeleton: bytes
    value: dict[str, Any]
    payloads: tuple[tuple[int, int], ...] = ()
    are_base64: tuple[bool, ...] = ()
    mark: str = ""
    marks_at: tuple[int, ...] = ()
    saved: tuple[int, ...] = ()

    def text(self, string: str) -> str:
        """The caller's own string for a string out of `value`."""
        if not self.payloads or self.mark not in string:
            return string
        return re.sub(re.escape(self.mark) + r"([0-9a-f]{8})", self._written, string)

    def _written(self, match: re.Match[str]) -> str:
        start, end = self.payloads[int(match[1], 16)]
        return self.raw[start:end].replace(b"\\/", b"/").decode("ascii")

    def bytes_of(self, piece: bytes) -> bytes:
        """The caller's own bytes for a piece of the skeleton."""
        mark = self.mark.encode()
        if not self.payloads or mark not in piece:
            return piece
        head, *rest = piece.split(mark)
        return head + b"".join(self.raw[slice(*self.payloads[int(part[:8], 16)])] + part[8:] for part in rest)

    def data_url(self, string: str) -> tuple[str, memoryview, bool] | None:
        """Media type and text of a base64 `data:` URL out of `value`, and whether the text is known to be strict
        base64; None for any other string.

        The text is a view into `raw`; a copy only where the caller escaped its slashes or it is very short.
        """
        match = _DATA_URL.match(string)
        if match is None or not match[2].lower().endswith(";base64"):
            return None
        payload = string[match.end() :]
        if self.payloads and payload.startswith(self.mark) and len(payload) == len(self.mark) + 8:
            index = int(payload[-8:], 16)
            start, end = self.payloads[index]
            if self.are_base64[index] or self.raw.find(b"\\", start, end) < 0:
                return match[1], memoryview(self.raw)[start:end], self.are_base64[index]
            return match[1], memoryview(self.raw[start:end].replace(b"\\/", b"/")), False
        return match[1], memoryview(self.text(payload).encode()), False

    def offset(self, place: int) -> int:
        """Where in `raw` the byte at `place` of the skeleton stands; never asked for a place inside a mark."""
        before = bisect_right(self.marks_at, place - 1)
        return place + self.saved[before - 1] if before else place


def open_body(raw: bytes, *, depth_max: int = 64) -> Body:
    """Decodes a request body. Raises [invalid_request] naming the place for anything that is not one plain object:
    other JSON, bad UTF-8, lone surrogates, NaN, a duplicate key anywhere, nesting beyond `depth_max`."""
    if raw.find(b'"data:') < 0:
        return Body(raw=raw, skeleton=raw, value=_checked(raw, depth_max))
    steps = opening(raw, depth_max=depth_max)
    while True:
        try:
            next(steps)
        except StopIteration as done:
            body: Body = done.value
            return body


def opening(raw: bytes, *, depth_max: int = 64) -> Generator[None, None, Body]:
    """`open_body` in steps, with a yield after each megabyte of a payload and each thousand short ones, so that other
    calls can run in between."""
    payloads = yield from _find_payloads(raw)
    if not payloads:
        return Body(raw=raw, skeleton=raw, value=_checked(raw, depth_max))
    texts, at = [], 0
    for start, end, _ in payloads:
        texts.append(raw[at:start])
        at = end
    texts.append(raw[at:])
    digest = blake2b(digest_size=16)
    for text in texts:
        digest.update(text)
        digest.update(b"\0")
    mark = digest.hexdigest()
    pieces = [texts[0]]
    for index, text in enumerate(texts[1:]):
        pieces.append(f"{mark}{index:08x}".encode())
        pieces.append(text)
    skeleton = b"".join(pieces)
    width = len(mark) + 8
    ends = list(accumulate(len(text) + (width if index else 0) for index, text in enumerate(texts)))
    for end in ends[:-1]:
        if _KEY_END.match(skeleton, end + width):
            raise _invalid("A key is longer than a key may be.")
    return Body(
        raw=raw,
        skeleton=skeleton,
        value=_checked(skeleton, depth_max),
        payloads=tuple((start, end) for start, end, _ in payloads),
        are_base64=tuple(is_base64 for _, _, is_base64 in payloads),
        mark=mark,
        marks_at=tuple(ends[:-1]),
        saved=tuple(accumulate(end - start - width for start, end, _ in payloads)),
    )


def _find_payloads(raw: bytes) -> Generator[None, None, list[tuple[int, int, bool]]]:
    """Each long payload: the bytes between a data URL's comma and the quote that ends its string. Start, end, and
    whether it is strict base64 from the first character to the last."""
    found = []
    looked = 0
    at = raw.find(b'"data:')
    while at >= 0:
        looked += 1
        if looked % _SHORT_AT_ONCE == 0:
            yield
        at += 6
        comma = raw.find(b",", at, at + _HEADER_MAX)
        if comma >= 0 and raw.find(b'"', at, comma + 1 + PAYLOAD_MIN) < 0:
            end, is_base64 = yield from _measure(raw, comma + 1)
            if end >= 0 and (is_base64 or (yield from _is_plain(raw, comma + 1, end))):
                found.append((comma + 1, end, is_base64))
            at = max(end, comma)
        at = raw.find(b'"data:', at)
    return found


def _measure(raw: bytes, start: int) -> Generator[None, None, tuple[int, bool]]:
    """Where the string from `start` on ends, -1 if nowhere, and whether it is strict base64: the standard alphabet,
    padded at its end only. Piece by piece, to stay small: what the quote is looked for in is in the cache then."""
    view = memoryview(raw)
    is_base64 = True
    for at in range(start, len(raw), _PIECE):
        stop = raw.find(b'"', at, at + _PIECE)
        last = min(at + _PIECE, len(raw)) if stop < 0 else stop
        try:
            is_base64 = is_base64 and (len(pybase64.b64decode(view[at:last], validate=True)) % 3 == 0 or stop >= 0)
        except ValueError:
            is_base64 = False
        if stop >= 0:
            return stop, is_base64
        yield
    return -1, False


def _is_plain(raw: bytes, start: int, end: int) -> Generator[None, None, bool]:
    """Whether a payload is what any JSON parser would read as itself: printable ASCII, escaped slashes at most."""
    escapes = raw.count(b"\\", start, end)
    if escapes != raw.count(b"\\/", start, end) or raw.find(b"\x7f", start, end) >= 0:
        return False
    for at in range(start, end, _PIECE):
        piece = raw[at : min(at + _PIECE, end)]
        # Each backslash stands before a slash: without them, what is left is read as it stands.
        try:
            text = _decode_text(b'"%b"' % (piece.replace(b"\\", b"") if escapes else piece))
        except (msgspec.DecodeError, UnicodeDecodeError):
            return False
        if not text.isascii():
            return False
        yield
    return True


def _checked(skeleton: bytes, depth_max: int) -> dict[str, Any]:
    try:
        value = _decode(skeleton)
    except UnicodeDecodeError:
        raise _invalid("The body is not valid UTF-8.") from None
    except RecursionError:
        raise _invalid(f"The body is nested deeper than {depth_max} levels.") from None
    except msgspec.MsgspecError as error:
        reason = f"The body is not valid JSON: {error}." if skeleton else "The body is empty: send a JSON object."
        raise _invalid(reason) from None
    if type(value) is not dict:
        raise _invalid("The body must be a JSON object.")
    if _comes_back(skeleton, value, depth_max):
        return value
    # In valid JSON each colon outside strings ends one key, so a key that a dict swallowed shows as a colon too many.
    pairs = _pairs(value, depth_max)
    if not _is_that_many(skeleton, pairs) and _STRING.sub(b"", skeleton).count(b":") != pairs:
        _refuse_duplicate(skeleton)
    return value


def _comes_back(skeleton: bytes, value: dict[str, Any], depth_max: int) -> bool:
    """Whether a body opens no more objects and lists than may stand inside each other, and its value is written back
    byte for byte, so that no key was swallowed. Most clients write as we do: no white space, few escapes."""
    if len(skeleton) > _WRITTEN_BACK_BYTES_MAX:
        return False
    opened = len(skeleton) - len(skeleton.translate(None, b"{["))
    return opened <= depth_max and _encode(value) == skeleton


def _is_that_many(skeleton: bytes, pairs: int) -> bool:
    """Whether there are surely no more keys than this; found without looking at the strings, as in most bodies.

    Without white space before any colon, each key ends in a quote and a colon. What else has them is in a string, and
    only makes them more.
    """
    return skeleton.count(b'":') == pairs and not any(map(skeleton.count, (b" :", b"\n:", b"\t:", b"\r:")))


def _pairs(value: dict[str, Any], depth_max: int) -> int:
    """How many keys a value has, in itself and below, looked at level by level."""
    count = 0
    level: list[Any] = [value]
    for _ in range(depth_max):
        deeper = []
        for owner in level:
            if type(owner) is dict:
                count += len(owner)
                owner = owner.values()
            for inner in owner:
                if type(inner) is dict or type(inner) is list:
                    deeper.append(inner)
        if not deeper:
            return count
        level = deeper
    raise _invalid(f"The body is nested deeper than {depth_max} levels.")


def _refuse_duplicate(skeleton: bytes) -> NoReturn:
    """Names the key that stands twice. Slow, and only for bodies that are refused."""
    import json  # only for bodies that are refused

    def check(pairs: list[tuple[str, Any]]) -> None:
        seen = set()
        for key, _ in pairs:
            if key in seen:
                raise _invalid(f"The key {key[:100]!r} stands twice in one object.", param=key[:100])
            seen.add(key)

    json.loads(skeleton, object_pairs_hook=check)
    raise _invalid("A key stands twice in one object.")


def _invalid(message: str, param: str | None = None) -> TesseraError:
    return TesseraError(ErrorCode.INVALID_REQUEST, message, param=param)
