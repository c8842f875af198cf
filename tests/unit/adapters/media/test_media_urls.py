"""The text of an address: one parser, and nothing that parsers disagree about."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from tessera.adapters.media.urls import BadUrlError, parse_url

PORTS = frozenset((80, 443))


def parse(text: str, origin: str | None = None) -> URL:
    return parse_url(text, ports=PORTS, chars_max=8_192, origin=URL(origin) if origin else None)


@pytest.mark.parametrize(
    "text",
    [
        "https://example.com/a.png",
        "http://example.com",
        "HTTP://EXAMPLE.com:80/a%20b.png?x=1&y=%2F#part",
        "https://my_bucket.example.com/a@2x.png?user=a@b.c",
        "https://example.com:443/a",
        "https://bücher.example/a.png",
        "https://1.1.1.1/a.png",
        "https://[2606:4700::1111]/a.png",
        "https://example.com./a.png",
    ],
)
def test_an_ordinary_address_passes(text: str) -> None:
    url = parse(text)
    assert url.scheme in ("http", "https")
    assert url.raw_host
    assert not url.raw_fragment


@pytest.mark.parametrize(
    "text",
    [
        "", "x", "example.com/a.png", "/a.png", "//example.com/a.png", "http:", "http://", "http:///a",
        "https:example.com",
        "ftp://example.com/a", "file:///etc/passwd", "gopher://example.com", "data:image/png;base64,AAAA",
        "javascript:1",
        "http://user@example.com/", "http://user:pass@example.com/", "http://@example.com/", "http://:@example.com/",
        "http://example.com\\@evil.com/", "http:\\\\example.com", "http://example.com/\\..", "https:/\\example.com",
        "http://exa\tmple.com/", "http://example.com/\n", " http://example.com", "http://example.com/a b",
        "http://e\x00.com",
        "http://e\x7f.com", "http://e\u200b.com/", "http://e\u202e.com/", "http://exa\u00a0mple.com",
        "http://a\ufeff.com/",
        "http://example.com:22/", "http://example.com:8080/", "http://example.com:0/", "http://example.com:99999/",
        "http://example.com:-1/", "http://example.com:80a/", "http://[fe80::1%25eth0]/", "http://[::1", "http://]/",
        "1://[::1]@", "http://[:1]/", "http://[1.2:3]/", "http://[::\uff45]/", "http://[2606:4700::\uff11]/",
        "http://%65xample.com/", "http://exa%2fmple.com/", "http://example.com%40evil.com/", "http://a,b/", "http://a;b/",
        "http://example.com%00.evil.com/", "https://" + "a" * 8_200 + ".com",
    ],
)  # fmt: skip
def test_an_odd_address_is_refused(text: str) -> None:
    with pytest.raises(BadUrlError):
        parse(text)


@pytest.mark.parametrize(
    ("location", "expected"),
    [
        ("/b.png", "https://example.com/b.png"),
        ("b.png", "https://example.com/dir/b.png"),
        ("//other.com/b.png", "https://other.com/b.png"),
        ("http://other.com/b.png", "http://other.com/b.png"),
        ("?x=1", "https://example.com/dir/a.png?x=1"),
    ],
)
def test_a_redirect_may_be_relative(location: str, expected: str) -> None:
    assert parse(location, "https://example.com/dir/a.png") == URL(expected)


@pytest.mark.parametrize(
    "location",
    ["", "//user@other.com/", "http://user:p@other.com/", "//@other.com/", "\\\\other.com/", "file:///etc/passwd",
     "//other.com:22/", "ftp://other.com/", "/a\r\nHost: x", "http://"],
)  # fmt: skip
def test_an_odd_redirect_is_refused(location: str) -> None:
    with pytest.raises(BadUrlError):
        parse(location, "https://example.com/dir/a.png")


@given(st.text(max_size=80), st.sampled_from(["", "http://", "https://", "http://example.com", "http://a@", "//"]))
def test_no_text_does_worse_than_be_refused(text: str, start: str) -> None:
    try:
        url = parse(start + text)
    except BadUrlError:
        return
    assert url.scheme in ("http", "https")
    assert url.port in PORTS
    assert url.raw_user is None
