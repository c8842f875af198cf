"""Addresses from strangers: plain ones only, read alike by another parser, and never one of ours in disguise."""

import ipaddress
import socket
from collections.abc import Iterator
from urllib.parse import urlsplit

from yarl import URL

from tessera.adapters.media.addresses import AddressPolicy
from tessera.adapters.media.urls import BadUrlError, parse_url

PORTS = frozenset((80, 443))
POLICY = AddressPolicy()
ORIGIN = URL("https://pictures.example.com/a/b.png?c=d")
WORDS = tuple(
    word.encode()
    for word in (
        "http://", "https://", "//", "@", ":80", ":443", ":0443", ":22", "localhost", "127.0.0.1", "127.1", "0x7f.1",
        "0177.0.0.1", "2130706433", "[::1]", "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[fe80::1%25eth0]", "%2e",
        "%00", "%40", "%5c", "\\", "#", "?", "..", "/../", "169.254.169.254", "①②⑦.⓪.⓪.①", "ｅ", "。", "xn--", "ß",
        "\u200d", "\t", "file://", "gopher://", "user:pw@",
    )
)  # fmt: skip


def seeds() -> Iterator[bytes]:
    """Ordinary addresses and the usual disguises; the first byte says whether it is a redirect."""
    for text in (
        "https://example.com/a.jpg",
        "http://example.com:80/a%20b.png?x=1#y",
        "https://EXAMPLE.com./a",
        "https://bücher.example/ü",
        "http://127.0.0.1/",
        "http://0x7f.1/",
        "http://2130706433/",
        "http://0177.0.0.1/",
        "http://[::1]/",
        "http://[::ffff:10.0.0.1]:443/a",
        "http://a@b/",
        "http://example.com\\@127.0.0.1/",
        "http://①②⑦.⓪.⓪.①/",
        "//example.net/c",
        "../c.png",
        "?e=f",
        "https:///a",
        "https://example.com:0443/",
        "https://8.8.8.8/a",
    ):
        yield b"\0" + text.encode()
        yield b"\1" + text.encode()


def check(data: bytes) -> None:
    """What is accepted is plain, stays itself, and means the same host to everyone."""
    text = data[1:].decode("utf-8", "replace")
    origin = ORIGIN if data[:1] == b"\1" else None
    try:
        url = parse_url(text, ports=PORTS, chars_max=2_000, origin=origin)
    except BadUrlError as why:
        assert 5 < len(str(why)) < 120
        return
    host = url.raw_host
    assert url.scheme in ("http", "https")
    assert url.port in PORTS
    assert host
    assert url.raw_user is None
    assert url.raw_password is None
    assert not url.raw_fragment
    written = str(url)
    assert written.isascii()
    assert not any(character <= " " or character == "\\" for character in written)
    again = parse_url(written, ports=PORTS, chars_max=40_000)
    assert (again.scheme, again.raw_host, again.port) == (url.scheme, host, url.port)
    other = urlsplit(written)
    assert other.hostname == host
    assert (other.port or url.port) == url.port
    assert other.username is None
    _check_host(host)


def _check_host(host: str) -> None:
    """A host that any resolver would read as an address is that address to the guard; an allowed one is public."""
    try:
        read = ipaddress.ip_address(host)
    except ValueError:
        assert not POLICY.allows(host)
        return
    if POLICY.allows(host):
        assert read.is_global
        assert not read.is_multicast
        if read.version == 4:
            assert socket.inet_aton(host) == read.packed
