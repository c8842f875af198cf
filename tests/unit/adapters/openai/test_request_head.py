"""The head of a request: exact, and closed to anything that could end a line or frame a body."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.adapters.providers.openai.request_head import OWN_NAMES, request_head


def test_a_head_is_exact() -> None:
    head = request_head("host:8080", "/v1/chat/completions", {"A": "b c", "D-E": "f"}, 12)
    assert head == (
        b"POST /v1/chat/completions HTTP/1.1\r\nHost: host:8080\r\nContent-Length: 12\r\nA: b c\r\nD-E: f\r\n\r\n"
    )


@pytest.mark.parametrize("value", ["a\r\nX: y", "a\nb", "a\rb", "a\0b", "\x7f", "é", "a\x85b", "a\u2028b"])
def test_a_value_that_is_not_printable_ascii_is_refused(value: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        request_head("h", "/", {"X": value}, 0)


@pytest.mark.parametrize("name", ["", "X Y", "X:", "X\r\nY", "é", *sorted(OWN_NAMES), "Content-LENGTH", "Host"])
def test_a_name_that_frames_or_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        request_head("h", "/", {name: "1"}, 0)


@pytest.mark.parametrize("path", ["", "v1", "/a b", "/a\r\nX: y", "/a?b", "/a#b", "/é", "/\x7f"])
def test_a_path_that_is_not_plain_is_refused(path: str) -> None:
    with pytest.raises(ValueError, match=r".+"):
        request_head("h", path, {}, 0)


@given(st.text(), st.text())
def test_whatever_is_let_through_is_one_line(name: str, value: str) -> None:
    try:
        head = request_head("h", "/", {name: value}, 0)
    except ValueError:
        return
    assert head == f"POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 0\r\n{name}: {value}\r\n\r\n".encode()
    assert head.count(b"\n") == head.count(b"\r") == 5
