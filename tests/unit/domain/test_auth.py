"""Keys say their mode, carry a checksum and are stored as digests only."""

import hmac

from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.auth import key_digest, key_mode, make_key
from tessera.domain.money import Mode

random_bytes = st.binary(min_size=30, max_size=40)


@given(st.sampled_from(Mode), random_bytes)
def test_a_made_key_is_well_formed(mode: Mode, random: bytes) -> None:
    key = make_key(mode, random)
    assert key.startswith(f"sk-tess-{mode}-")
    assert key_mode(key) is mode


@given(random_bytes, st.integers(13, 48), st.sampled_from("0Zz"))
def test_one_changed_character_breaks_the_checksum(random: bytes, place: int, character: str) -> None:
    key = make_key(Mode.LIVE, random)
    changed = key[:place] + character + key[place + 1 :]
    assert changed == key or key_mode(changed) is None


def test_a_key_cannot_change_its_mode() -> None:
    key = make_key(Mode.TEST, bytes(range(30)))
    assert key_mode(key.replace("-test-", "-live-")) is None


@given(st.text(alphabet=st.characters(codec="utf-8"), max_size=200), st.binary(max_size=200))
def test_the_digest_is_hmac_sha_256(key: str, pepper: bytes) -> None:
    assert key_digest(key, pepper) == hmac.digest(pepper, key.encode(), "sha256")


@given(st.text(max_size=80))
def test_any_other_text_is_no_key(text: str) -> None:
    assert key_mode(text) is None


def test_keys_that_share_a_long_prefix_never_meet() -> None:
    first, second = make_key(Mode.LIVE, bytes(29) + b"\1"), make_key(Mode.LIVE, bytes(29) + b"\2")
    assert first[:40] == second[:40]
    assert key_digest(first, b"pepper") != key_digest(second, b"pepper")
    assert key_digest(first, b"pepper") != key_digest(first, b"other pepper")
