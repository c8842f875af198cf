"""Base64 in the body: checked whole and strictly, decoded only where the header is."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

import image_files as files
from tessera.adapters.media.base64_prefix import Base64Text, decoded_bytes, open_base64
from tessera.adapters.media.header import read_header
from tessera.adapters.media.source import TruncatedError
from tessera.domain.dialects.body import open_body
from tessera.domain.errors import ErrorCode, TesseraError

MB = 1_000_000


def text(data: bytes) -> memoryview:
    return memoryview(b'{"url":"' + base64.b64encode(data) + b'"}')[8:-2]


def refused(raw: bytes, *, bytes_max: int = 50 * MB) -> TesseraError:
    with pytest.raises(TesseraError) as caught:
        open_base64(memoryview(raw), bytes_max=bytes_max, param="p")
    assert caught.value.param == "p"
    return caught.value


@given(st.binary(min_size=1, max_size=20_000), st.data())
def test_any_part_of_the_file_is_what_was_encoded(data: bytes, choice: st.DataObject) -> None:
    source = open_base64(text(data), bytes_max=MB)
    assert source.size == len(data)
    for _ in range(8):
        start = choice.draw(st.integers(0, len(data) - 1))
        length = choice.draw(st.integers(0, len(data) - start))
        assert source.take(start, length) == data[start : start + length]
        assert source.take_up_to(start, length + 50) == data[start : start + length + 50]
    assert source.whole() == data
    with pytest.raises(TruncatedError):
        source.take(len(data) - 1, 2)
    assert source.take_up_to(len(data), 1) == b""


@given(st.binary(min_size=1, max_size=300))
def test_the_size_is_known_from_the_length(data: bytes) -> None:
    assert decoded_bytes(text(data)) == len(data)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP", "GIF"])
def test_a_header_is_read_through_base64_as_from_bytes(kind: str) -> None:
    data = files.saved(kind, icc_profile=bytes(200_000)) if kind in ("JPEG", "WEBP") else files.saved(kind)
    header = read_header(open_base64(text(data), bytes_max=MB), None)
    assert (header.format, header.width, header.height) == (kind.lower(), 96, 64)


def test_exif_at_the_end_of_a_webp_is_reached_without_decoding_what_is_before() -> None:
    data = files.saved("WEBP", icc_profile=bytes(3 * MB), exif=files.exif(6))
    assert read_header(Base64Text(text(data)), None).displayed == (64, 96)


@pytest.mark.parametrize(
    ("raw", "words"),
    [
        (b"", "empty"),
        (b"iVBORw0K\n", "line breaks"),
        (b"iVBO Rw0", "white space"),
        (b"iVBO-_0K", "URL-safe"),
        (b"iVBORw0", "multiple of four"),
        (b"iVBORw=K", "outside the standard alphabet"),
        (b"iVB=RwKK", "outside the standard alphabet"),
        (b"====", "outside the standard alphabet"),
        (b"iVB\xc3\xa90", "not valid base64"),
        (b"iVBO*w0K", "outside the standard alphabet"),
        (b"iVBO\\q0K", "not valid base64"),
        (b'iVBO"w0K', "outside the standard alphabet"),
        (b"iVBO\\u00e9w0", "not valid base64"),
        (b"iVBO\\u00e9w0\xe2", "not valid base64"),
        (b"iVB\\\\/", "not valid base64"),
        (b"AAAA" * 300_000 + b"AA=A" + b"AAAA" * 300_000, "outside the standard alphabet"),
        (b"AAAA" * 262_143 + b"AAA=" + b"AAAA", "outside the standard alphabet"),
        (b"AAAA" * 600_000 + b"AA A", "white space"),
    ],
)
def test_what_is_not_strict_base64_is_refused_with_the_reason(raw: bytes, words: str) -> None:
    error = refused(raw)
    assert error.code is ErrorCode.INVALID_BASE64_IMAGE
    assert words in error.message


@given(st.binary(min_size=1, max_size=400), st.integers(0, 10_000), st.sampled_from(list(b" \n\t-_*.,=%\x00\xff")))
def test_one_wrong_character_anywhere_is_found(data: bytes, place: int, wrong: int) -> None:
    raw = bytearray(base64.b64encode(data))
    place %= len(raw)
    if raw[place] == wrong or (wrong == 0x3D and place >= len(raw) - 2):
        return
    raw[place] = wrong
    assert refused(bytes(raw)).code is ErrorCode.INVALID_BASE64_IMAGE


@pytest.mark.parametrize("escape", [(b"/", b"\\/"), (b"+", b"\\u002b"), (b"+", b"\\u002B"), (b"A", b"\\u0041")])
def test_json_escapes_are_undone(escape: tuple[bytes, bytes]) -> None:
    data = files.saved("PNG") + bytes(range(256)) * 40
    raw = base64.b64encode(data).replace(*escape)
    assert b"\\" in raw
    assert open_base64(memoryview(raw), bytes_max=MB).whole() == data


def test_a_file_over_the_limit_is_refused_to_the_byte() -> None:
    assert open_base64(text(bytes(1_000)), bytes_max=1_000).size == 1_000
    error = refused(base64.b64encode(bytes(1_001)), bytes_max=1_000)
    assert error.code is ErrorCode.IMAGE_TOO_LARGE


@given(
    st.binary(min_size=3_100, max_size=9_000), st.integers(0, 12_000), st.sampled_from(["", "=", "-", " ", "\\/", "A"])
)
def test_what_the_body_called_base64_opens_unchecked_as_it_does_checked(data: bytes, at: int, put: str) -> None:
    payload = base64.b64encode(data).decode()
    payload = payload[:at] + put + payload[at:]
    body = open_body(b'{"u":"data:image/png;base64,' + payload.encode() + b'"}')
    found = body.data_url(body.value["u"])
    assert found is not None
    _, data_text, is_base64 = found
    assert is_base64 or put
    if is_base64:
        unchecked = open_base64(data_text, bytes_max=MB, is_base64=True)
        assert unchecked.whole() == open_base64(data_text, bytes_max=MB).whole() == base64.b64decode(payload)
