"""Images in the body: base64 text checked whole, decoded only where the header is.

Strict, as providers are: the standard alphabet, padded, no white space. The text may hold JSON escapes (`\\/`, and
`+` written as a code), because it is a view into the request's own bytes; they are undone only when present.
"""

import binascii

import msgspec
import pybase64

from tessera.adapters.media.source import TruncatedError
from tessera.domain.errors import ErrorCode, TesseraError

_WINDOW_CHARS = 4_096
_CHECK_CHARS = 1 << 20
_ESCAPED_CHARS_MAX = 6  # the longest way JSON has to write one character

_JSON_TEXT = msgspec.json.Decoder(str)


class Base64Text:
    """A file as valid base64: random access without decoding more than a window around what is asked for."""

    __slots__ = ("_start", "_text", "_window", "size")

    def __init__(self, text: memoryview) -> None:
        self._text = text
        self.size = decoded_bytes(text)
        self._start = 0
        self._window = pybase64.b64decode(text[:_WINDOW_CHARS], validate=True)

    def take(self, offset: int, length: int) -> bytes:
        end = offset + length
        if end > self.size:
            raise TruncatedError
        begin = offset - self._start
        if begin < 0 or end - self._start > len(self._window):
            first = offset // 3 * 4
            last = (end + 2) // 3 * 4
            self._window = pybase64.b64decode(self._text[first : max(last, first + _WINDOW_CHARS)], validate=True)
            self._start = offset // 3 * 3
            begin = offset - self._start
        return self._window[begin : begin + length]

    def take_up_to(self, offset: int, length: int) -> bytes:
        return self.take(offset, min(length, self.size - offset)) if offset < self.size else b""

    def whole(self) -> bytes:
        """The file's bytes, decoded."""
        return pybase64.b64decode(self._text, validate=True)


def decoded_bytes(text: memoryview) -> int:
    """How many bytes padded base64 text decodes to, from its length and its last two characters."""
    padding = bytes(text[-2:]).count(b"=")
    return len(text) // 4 * 3 - padding


def open_base64(text: memoryview, *, bytes_max: int, param: str | None = None, is_base64: bool = False) -> Base64Text:
    """Checks base64 text from its first character to its last, unless `is_base64` says that this was done, and gives
    access to the file in it.

    Size comes first, from the length alone. Raises [invalid_base64_image, image_too_large].
    """
    if len(text) // 4 * 3 > bytes_max * _ESCAPED_CHARS_MAX + 3:
        raise too_large(bytes_max, param)
    if not (is_base64 or _is_base64(text)):
        text = _without_escapes(text, param)
        if not _is_base64(text):
            raise _invalid(text, param)
    if decoded_bytes(text) > bytes_max:
        raise too_large(bytes_max, param)
    return Base64Text(text)


def too_large(bytes_max: int, param: str | None) -> TesseraError:
    """The refusal of a file over the limit, the same for bodies and addresses."""
    return TesseraError(
        ErrorCode.IMAGE_TOO_LARGE,
        f"The image is larger than {bytes_max // 1_000_000} MB, the limit of this server. Shrink or compress it.",
        param=param,
    )


def _is_base64(text: memoryview) -> bool:
    """Whether the whole text is strict base64, decoded piece by piece so that little memory is used."""
    length = len(text)
    if not length or length % 4:
        return False
    try:
        for start in range(0, length - 4, _CHECK_CHARS):
            piece = pybase64.b64decode(text[start : min(start + _CHECK_CHARS, length - 4)], validate=True)
            if len(piece) % 3:
                return False  # padding before the end
        pybase64.b64decode(text[-4:], validate=True)
    except (binascii.Error, ValueError):
        return False
    return True


def _without_escapes(text: memoryview, param: str | None) -> memoryview:
    if not _contains(text, b"\\"):
        raise _invalid(text, param)
    raw = bytes(text)
    if raw.count(b"\\") == raw.count(b"\\/"):
        return memoryview(raw.replace(b"\\/", b"/"))
    try:
        return memoryview(_JSON_TEXT.decode(b'"' + raw + b'"').encode("ascii"))
    except (msgspec.DecodeError, UnicodeError):
        raise _invalid(text, param) from None


def _contains(text: memoryview, *marks: bytes) -> bool:
    """Whether any of the marks is in the text, looked for piece by piece: a view cannot search itself."""
    for start in range(0, len(text), _CHECK_CHARS):
        piece = bytes(text[start : start + _CHECK_CHARS])
        if any(mark in piece for mark in marks):
            return True
    return False


def _invalid(text: memoryview, param: str | None) -> TesseraError:
    if not len(text):
        detail = "it is empty"
    elif _contains(text, b"-", b"_"):
        detail = "it uses the URL-safe alphabet; use the standard one, with + and /"
    elif _contains(text, b" ", b"\n", b"\r", b"\t"):
        detail = "it contains white space or line breaks; send it as one line"
    elif len(text) % 4:
        detail = "its length is not a multiple of four; pad it with ="
    else:
        detail = "it contains characters outside the standard alphabet"
    return TesseraError(ErrorCode.INVALID_BASE64_IMAGE, f"The image's data is not valid base64: {detail}.", param=param)
