"""Opening request bodies: what is refused, and that nothing of the caller's bytes is lost."""

import base64
import json
import re
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from tessera.domain.dialects.body import PAYLOAD_MIN, open_body, opening
from tessera.domain.errors import ErrorCode, TesseraError

PAYLOAD = base64.b64encode(bytes(range(256)) * 32).decode()
MEGABYTE = 1 << 20
LEAVES = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | st.floats(allow_nan=False, allow_infinity=False)
VALUES = st.recursive(
    LEAVES | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=20,
)
OBJECTS = st.dictionaries(st.text(), VALUES, max_size=6)


@pytest.mark.parametrize(
    "raw",
    [
        b"",
        b"null",
        b"[]",
        b'"text"',
        b"{",
        b"{} {}",
        b"\xff\xfe",
        b"\xef\xbb\xbf{}",
        b'{"a":"\xff"}',
        b'{"\xff":1}',
        b'{"a":"\xed\xa0\x80"}',
        b'{"a":"\\ud800"}',
        b'{"a":"\\udc00x"}',
        b'{"a":NaN}',
        b'{"a":Infinity}',
        b'{"a":-Infinity}',
        b'{"a":1e400}',
        b'{"a":' + b"9" * 5000 + b"}",
        b'{"a":01}',
        b"{'a':1}",
        b'{"a":"line\nbreak"}',
        b'{"a":1,}',
        b'{"a":1,"a":1}',
        b'{"a":{"b":[{"c":1,"c":2}]}}',
        b'{"ab":1,"\\u0061b":2}',
        b'{"__proto__":1,"__proto__":2}',
        b"[" * 100_000,
        b'{"a":' * 100_000 + b"1" + b"}" * 100_000,
        b'{"a":' + b"[" * 65 + b"]" * 65 + b"}",
    ],
)
def test_what_is_not_one_plain_object_is_refused(raw: bytes) -> None:
    with pytest.raises(TesseraError) as refused:
        open_body(raw)
    assert refused.value.code is ErrorCode.INVALID_REQUEST


def test_a_body_that_is_not_there_is_called_empty() -> None:
    with pytest.raises(TesseraError, match="The body is empty: send a JSON object"):
        open_body(b"")


def test_a_duplicate_key_is_named() -> None:
    with pytest.raises(TesseraError) as refused:
        open_body(b'{"messages":[{"role":"user","role":"system"}]}')
    assert refused.value.param == "role"
    assert "twice" in refused.value.message


SPACES = st.text(alphabet=" \t\r\n", max_size=2)
MEMBERS = st.lists(
    st.tuples(SPACES, st.sampled_from(["a", "b", "a:", 'a":', ""]), SPACES, st.text(alphabet=' ":\\a\n', max_size=6)),
    max_size=4,
)


@given(MEMBERS)
def test_a_key_that_stands_twice_is_refused_however_it_is_written(members: list[tuple[str, str, str, str]]) -> None:
    written = [f"{before}{json.dumps(key)}{after}:{json.dumps(value)}" for before, key, after, value in members]
    raw = f"{{{','.join(written)}}}".encode()
    if len({key for _, key, _, _ in members}) == len(members):
        assert open_body(raw).value == json.loads(raw)
    else:
        with pytest.raises(TesseraError, match="stands twice"):
            open_body(raw)


def test_colons_and_quotes_inside_strings_are_not_keys() -> None:
    text = 'say "a":1, {"b":2}\\":'
    assert open_body(json.dumps({"x": text, "y:": [text]}).encode()).value == {"x": text, "y:": [text]}


@given(OBJECTS)
def test_any_object_opens_to_itself(value: dict[str, Any]) -> None:
    assert open_body(json.dumps(value).encode()).value == value
    assert open_body(json.dumps(value, ensure_ascii=False).encode()).value == value


@given(st.text(max_size=40) | st.binary(max_size=60))
def test_nothing_but_a_refusal_comes_out_of_rubbish(rubbish: str | bytes) -> None:
    raw = rubbish if isinstance(rubbish, bytes) else rubbish.encode("utf-8", "surrogatepass")
    with suppress(TesseraError):
        open_body(raw)


def image_body(url: str, **more: object) -> bytes:
    return json.dumps({"a": {"url": url}, **more}).encode()


def test_a_long_payload_is_a_view_into_the_body_and_not_in_the_value() -> None:
    raw = image_body(f"data:image/png;base64,{PAYLOAD}")
    body = open_body(raw)
    url = body.value["a"]["url"]
    assert len(url) < 100
    found = body.data_url(url)
    assert found is not None
    media_type, data, is_base64 = found
    assert (media_type, is_base64) == ("image/png", True)
    assert data.obj is raw
    assert bytes(data) == PAYLOAD.encode()
    assert body.text(url) == f"data:image/png;base64,{PAYLOAD}"


def test_escaped_slashes_are_read_as_slashes() -> None:
    raw = image_body(f"data:image/jpeg;base64,{PAYLOAD}").replace(b"/", b"\\/")
    body = open_body(raw)
    found = body.data_url(body.value["a"]["url"])
    assert found is not None
    assert found[0] == "image/jpeg"
    assert (bytes(found[1]), found[2]) == (PAYLOAD.encode(), False)
    assert body.text(body.value["a"]["url"]) == f"data:image/jpeg;base64,{PAYLOAD}"
    assert body.bytes_of(body.skeleton) == raw


def test_a_short_payload_is_found_too() -> None:
    found = open_body(image_body("data:image/gif;base64,R0lGOD")).data_url("data:image/gif;base64,R0lGOD")
    assert found is not None
    assert (found[0], bytes(found[1])) == ("image/gif", b"R0lGOD")


@pytest.mark.parametrize("url", ["https://a/b", "data:image/png,abc", "data:", "data:image/png;base64", "text"])
def test_other_strings_are_no_base64_data_urls(url: str) -> None:
    assert open_body(b"{}").data_url(url) is None


@pytest.mark.parametrize("bad", ["\n", "\x00", "\x7f", "é"])
def test_a_payload_that_json_forbids_is_not_hidden_from_the_parser(bad: str) -> None:
    raw = b'{"u":"data:image/png;base64,' + PAYLOAD.encode() + bad.encode() + PAYLOAD.encode() + b'"}'
    if bad in "\x7fé":
        assert open_body(raw).payloads == ()
    else:
        with pytest.raises(TesseraError):
            open_body(raw)


PAYLOAD_TEXTS = st.sampled_from(
    [PAYLOAD, PAYLOAD.replace("/", "\\/"), "plain text, no base64. " * 300, "%3Csvg%3E" * 600]
)
BETWEEN = st.sampled_from(
    [b"", b"=", b" ", b"~", b"\\/", b"\x7f", b"\x1f", b"\n", b"\\n", b"\\", b"\\u0041", b"\xc3\xa9", b"\xff"]
)


@given(PAYLOAD_TEXTS, BETWEEN, PAYLOAD_TEXTS)
@example("x" * (1 << 20), b"\\/", PAYLOAD)
@example("A" * ((1 << 20) - 1), b"\\/", PAYLOAD)
@example("A" * ((1 << 20) - 1), b"\xc3\xa9", PAYLOAD)
def test_only_a_payload_that_stands_for_itself_is_left_out(before: str, between: bytes, after: str) -> None:
    payload = before.encode() + between + after.encode()
    unescaped = payload.replace(b"\\/", b"/")
    stands_for_itself = b"\\" not in unescaped and all(0x20 <= byte <= 0x7E for byte in unescaped)
    with suppress(TesseraError):
        body = open_body(b'{"a":"data:image/png;base64,' + payload + b'"}')
        assert bool(body.payloads) == stands_for_itself


ENDS = st.sampled_from([b"", b"=", b"==", b"AA==", b"AAA=", b"A", b"-", b" "])


@given(ENDS, st.integers(0, 3), ENDS, st.sampled_from([8_000, MEGABYTE - 2, MEGABYTE, MEGABYTE + 4]))
@example(b"AA==", 0, b"AAAA", MEGABYTE - 4)
@example(b"", 0, b"=", MEGABYTE)
def test_what_is_called_strict_base64_is_that_as_a_whole(middle: bytes, more: int, last: bytes, size: int) -> None:
    payload = b"A" * size + middle + b"A" * (more + 2 * PAYLOAD_MIN) + last
    body = open_body(image_body("data:image/png;base64," + payload.decode()))
    strict = len(payload) % 4 == 0 and re.fullmatch(rb"[A-Za-z0-9+/]*={0,2}", payload) is not None
    assert body.are_base64 == (strict,)


def test_a_large_body_is_opened_a_megabyte_at_a_time() -> None:
    raw = image_body("data:image/png;base64," + "A" * (5 * MEGABYTE), other="data:image/png;base64," + PAYLOAD)
    steps = opening(raw)
    for _ in range(5):
        next(steps)
    with pytest.raises(StopIteration) as done:
        next(steps)
    assert done.value.value == open_body(raw)


def test_a_body_full_of_short_payloads_is_opened_a_thousand_at_a_time() -> None:
    raw = json.dumps({"urls": ["data:image/png;base64,AAAA"] * 3_500}).encode()
    assert sum(1 for _ in opening(raw)) == 3
    assert open_body(raw).payloads == ()


def test_a_caller_who_writes_what_looks_like_a_mark_gets_it_back() -> None:
    first = open_body(image_body(f"data:image/png;base64,{PAYLOAD}"))
    forged = f"{first.mark}00000000"
    for text in (forged, f"data:image/png;base64,{forged}", "".join(f"\\u{ord(c):04x}" for c in forged)):
        raw = b'{"t":"' + text.encode() + b'",' + image_body(f"data:image/png;base64,{PAYLOAD}")[1:]
        body = open_body(raw)
        assert body.text(body.value["t"]) == json.loads(raw)["t"]
        assert body.bytes_of(body.skeleton) == raw


def test_a_data_url_inside_another_string_stays_text() -> None:
    text = f'look: "data:image/png;base64,{PAYLOAD}'
    raw = json.dumps({"t": text}).encode()
    body = open_body(raw)
    assert body.text(body.value["t"]) == text
    assert body.bytes_of(body.skeleton) == raw


def test_a_key_that_hides_a_payload_is_refused() -> None:
    key = f"data:,{PAYLOAD}"
    with pytest.raises(TesseraError):
        open_body(json.dumps({key: 1}).encode())


@given(st.lists(st.tuples(st.text(max_size=20), st.integers(0, 3 * PAYLOAD_MIN), st.booleans()), max_size=5))
def test_skeleton_and_payloads_together_are_the_body(parts: list[tuple[str, int, bool]]) -> None:
    value = {"parts": [[text, f"data:image/png;base64,{'Ab/+' * (size // 4)}"] for text, size, _ in parts]}
    raw = json.dumps(value).encode()
    if any(escape for _, _, escape in parts):
        raw = raw.replace(b"/", b"\\/")
    body = open_body(raw)
    assert body.bytes_of(body.skeleton) == raw
    assert [[body.text(a), body.text(b)] for a, b in body.value["parts"]] == value["parts"]
    width = 5 if b"\\/" in raw else 4
    assert len(body.payloads) == sum(size // 4 * width >= PAYLOAD_MIN for _, size, _ in parts)
    # Every place outside marks maps to the same byte of the body.
    start = 0
    for mark_at in (*body.marks_at, len(body.skeleton)):
        for place in {start, (start + mark_at) // 2, mark_at - 1}:
            if start <= place < mark_at:
                assert raw[body.offset(place)] == body.skeleton[place]
        start = mark_at + len(body.mark) + 8
