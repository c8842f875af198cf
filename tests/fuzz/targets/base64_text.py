"""Base64 text out of a body: accepted exactly when a JSON parser and a strict decoder accept it, and read alike."""

import base64
import json
import re
from collections.abc import Iterator

import image_files as files
from tessera.adapters.media.base64_prefix import open_base64
from tessera.adapters.media.source import TruncatedError
from tessera.domain.errors import ErrorCode, TesseraError

BYTES_MAX = 6_000
STRICT = re.compile(rb"(?:[A-Za-z0-9+/]{4})*(?:[A-Za-z0-9+/]{2}==|[A-Za-z0-9+/]{3}=)?", re.ASCII)
WORDS = (
    b"=",
    b"==",
    b"===",
    b"\\/",
    b"\\\\/",
    b"\\u002f",
    b"\\u002B",
    b"\\u003d",
    b"\\n",
    b"\n",
    b" ",
    b"-",
    b"_",
    b'"',
    b"+/+/",
)


def seeds() -> Iterator[bytes]:
    """Small files, and every way to write a slash."""
    for data in (b"a", b"ab", b"abc", bytes(range(256)), b"\xff" * 60, files.saved("GIF", files.picture(9, 7))):
        text = base64.b64encode(data)
        yield text
        yield text.replace(b"/", b"\\/")
        yield text.replace(b"/", b"\\u002f").replace(b"+", b"\\u002b")
        yield text.rstrip(b"=")
        yield base64.urlsafe_b64encode(data)
    yield base64.encodebytes(bytes(100))
    yield base64.b64encode(bytes(5_000))


def check(data: bytes) -> None:
    """Quick and thorough agree."""
    expected = _thorough(data)
    try:
        source = open_base64(memoryview(data), bytes_max=BYTES_MAX)
    except TesseraError as error:
        if error.code is ErrorCode.IMAGE_TOO_LARGE:
            assert len(data) > BYTES_MAX
        else:
            assert error.code is ErrorCode.INVALID_BASE64_IMAGE
            assert expected is None, "valid, and refused"
        return
    assert expected is not None, "not valid, and accepted"
    assert source.size == len(expected) <= BYTES_MAX
    assert source.whole() == expected
    step = len(data) % 7 + 1
    for offset in range(0, len(expected) + 2, max(1, len(expected) // 9)):
        length = offset * step % 29
        assert source.take_up_to(offset, length) == expected[offset : offset + length]
        try:
            assert source.take(offset, length) == expected[offset : offset + length]
        except TruncatedError:
            assert offset + length > len(expected)


def _thorough(data: bytes) -> bytes | None:
    """The file in the text, found the slow way; None when the text is not base64."""
    try:
        text = json.loads(b'"' + data + b'"').encode("ascii") if b"\\" in data else data
    except (ValueError, AttributeError):
        return None
    return base64.b64decode(text) if text and STRICT.fullmatch(text) else None
