"""A sealed secret opens for whom it was sealed, whole, under the key it was sealed with, and otherwise not at all."""

import base64
from collections.abc import Sequence

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from tessera.adapters.storage.sealing import KEY_VERSION, Sealer
from tessera.ports.credentials import UnreadableError

SECRET = "sk-canary-of-the-operator"
ROW = ("openai", "https://api.openai.com/v1", "cred_1")
SEALER = Sealer(bytes(range(32)))


def refused(sealer: Sealer, sealed: str, version: int = KEY_VERSION, row: Sequence[str] = ROW) -> str:
    with pytest.raises(UnreadableError) as caught:
        sealer.open(sealed, version, row)
    assert SECRET not in str(caught.value)
    return str(caught.value)


def test_what_was_sealed_opens_and_shows_nothing_of_itself() -> None:
    first, second = SEALER.seal(SECRET, ROW), SEALER.seal(SECRET, ROW)
    assert SEALER.open(first, KEY_VERSION, ROW) == SEALER.open(second, KEY_VERSION, ROW) == SECRET
    assert first != second
    for sealed in (first, second):
        assert SECRET.encode() not in base64.b64decode(sealed)


def test_a_change_of_any_bit_is_found() -> None:
    content = base64.b64decode(SEALER.seal(SECRET, ROW))
    for place in range(len(content) * 8):
        changed = bytearray(content)
        changed[place // 8] ^= 1 << place % 8
        assert "was changed" in refused(SEALER, base64.b64encode(bytes(changed)).decode())


@pytest.mark.parametrize("damaged", ["", "AAAA", "not base64", "é", base64.b64encode(bytes(27)).decode()])
def test_what_is_no_sealed_text_is_damaged(damaged: str) -> None:
    assert "damaged" in refused(SEALER, damaged)


@pytest.mark.parametrize(
    "row",
    [
        ("other", *ROW[1:]),
        (ROW[0], "https://evil.example/v1", ROW[2]),
        (*ROW[:2], "cred_2"),
        ROW[:2],
        ("openaihttps://api.openai.com/v1", "", ROW[2]),
    ],
)
def test_it_opens_for_no_other_row(row: tuple[str, ...]) -> None:
    assert "was changed" in refused(SEALER, SEALER.seal(SECRET, ROW), row=row)


def test_another_master_key_is_named_as_the_cause() -> None:
    assert "master key" in refused(Sealer(bytes(32)), SEALER.seal(SECRET, ROW))


@pytest.mark.parametrize("version", [0, -1, KEY_VERSION + 1])
def test_a_key_version_that_is_not_known_is_said(version: int) -> None:
    assert f"key version {version}" in refused(SEALER, SEALER.seal(SECRET, ROW), version)


def test_the_key_is_derived_as_rfc_5869_says_and_is_not_the_master_key() -> None:
    info = b"tessera provider credential, key version 1"
    expected = HKDF(algorithm=SHA256(), length=32, salt=None, info=info).derive(bytes(range(32)))
    assert SEALER._key(1) == expected
    assert SEALER._key(2) != expected


def test_neither_key_nor_secret_is_in_a_representation() -> None:
    assert repr(SEALER) == "Sealer(…)"
