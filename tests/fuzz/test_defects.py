"""Each target notices a defect: a property that holds whatever the code does would prove nothing."""

import re
from collections.abc import Callable
from typing import Any

import pytest

import tessera.adapters.media.base64_prefix as base64_prefix
import tessera.adapters.media.header as header
import tessera.adapters.media.urls as urls
import tessera.domain.dialects.receipt as receipt
import tessera.domain.dialects.splice as splice
from fuzz import corpus
from fuzz.targets import target
from tessera.adapters.providers.openai.framing import ReplyParser
from tessera.domain.dialects.frames import FrameCutter
from tessera.server.connection import HttpConnection

Plant = Callable[[pytest.MonkeyPatch], None]


def _sides_swapped(patch: pytest.MonkeyPatch) -> None:
    """A GIF is said to be as wide as it is high."""

    def read(source: Any) -> Any:
        found = right(source)
        return type(found)(format="gif", width=found.height, height=found.width, frames=found.frames)

    right = header.read_gif
    patch.setattr(header, "read_gif", read)


def _anything_is_base64(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(base64_prefix, "_is_base64", lambda text: len(text) > 0 and len(text) % 4 == 0)


def _cap_left_alone(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(splice, "_wanted", lambda *_: {})


def _rest_forgotten(patch: pytest.MonkeyPatch) -> None:
    """What a chunk leaves unfinished is lost when it is short."""

    def feed(self: FrameCutter, chunk: bytes) -> Any:
        frames = right(self, chunk)
        self.rest = self.rest if len(self.rest) > 2 else b""
        return frames

    right = FrameCutter.feed
    patch.setattr(FrameCutter, "feed", feed)


def _charge_of_others_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(receipt, "_OURS", frozenset())


def _quick_way_looks_less(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(receipt, "_ANY_OF_OURS", re.compile(rb"never"))


def _single_bytes_lost(patch: pytest.MonkeyPatch) -> None:
    def on_body(self: ReplyParser, piece: bytes) -> None:
        if len(piece) > 1:
            right(self, piece)

    right = ReplyParser.on_body
    patch.setattr(ReplyParser, "on_body", on_body)


def _bytes_that_come_alone_lost(patch: pytest.MonkeyPatch) -> None:
    def on_body(self: HttpConnection, piece: bytes) -> None:
        if len(piece) > 1:
            right(self, piece)

    right = HttpConnection.on_body
    patch.setattr(HttpConnection, "on_body", on_body)


def _no_limit_is_kept(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(HttpConnection, "_look_at_clock", lambda self: None)


def _any_host_is_ipv6(patch: pytest.MonkeyPatch) -> None:
    patch.setattr(urls, "_is_ipv6", lambda *_: True)


@pytest.mark.parametrize(
    ("name", "plant"),
    [
        ("header", _sides_swapped),
        ("base64_text", _anything_is_base64),
        ("bodies", _cap_left_alone),
        ("streams", _rest_forgotten),
        ("replies", _charge_of_others_kept),
        ("replies", _quick_way_looks_less),
        ("upstream_http", _single_bytes_lost),
        ("connections", _bytes_that_come_alone_lost),
        ("connections", _no_limit_is_kept),
        ("addresses", _any_host_is_ipv6),
    ],
)
def test_a_target_notices_a_planted_defect(name: str, plant: Plant, monkeypatch: pytest.MonkeyPatch) -> None:
    module = target(name)
    plant(monkeypatch)

    def check_all() -> None:
        for data in [*module.seeds(), *corpus.read(name)]:
            module.check(data)

    with pytest.raises(Exception):  # noqa: B017, PT011 - a property broken, or the code under test at a loss
        check_all()
