"""Stripe's signatures: what is signed is known by its secret; nothing else is (T2)."""

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from tessera.domain.payments.signatures import AHEAD_S, TOLERANCE_S, sign, signing_secret

NOW = 1_795_000_000
SECRETS = st.text(st.characters(codec="ascii", categories=("L", "N")), min_size=1, max_size=40)


@given(body=st.binary(max_size=200), secrets=st.lists(SECRETS, min_size=1, max_size=4, unique=True), data=st.data())
def test_what_a_secret_signed_is_known_by_it(body: bytes, secrets: list[str], data: st.DataObject) -> None:
    place = data.draw(st.integers(0, len(secrets) - 1))
    age = data.draw(st.integers(-AHEAD_S, TOLERANCE_S))
    assert signing_secret(body, sign(body, secrets[place], NOW - age), secrets, NOW) == place


@given(body=st.binary(max_size=200), other=st.binary(max_size=200))
def test_another_body_is_not_signed(body: bytes, other: bytes) -> None:
    assume(body != other)
    assert signing_secret(other, sign(body, "whsec", NOW), ["whsec"], NOW) is None


@given(header=st.text(max_size=300) | st.from_regex(r"t=[0-9]{10},v1=[0-9a-f]{64}", fullmatch=True))
def test_a_header_that_nobody_signed_is_refused_and_never_breaks(header: str) -> None:
    assert signing_secret(b"body", header, ["whsec"], NOW) is None


@given(place=st.integers(0, 200), letter=st.characters())
def test_one_letter_changed_is_refused_or_says_the_same(place: int, letter: str) -> None:
    header = sign(b"body", "whsec", NOW)
    place %= len(header)
    assume(header[place] != letter)
    assert signing_secret(b"body", header[:place] + letter + header[place + 1 :], ["whsec"], NOW) is None


@pytest.mark.parametrize(("age", "taken"), [(300, True), (301, False), (-60, True), (-61, False)])
def test_the_signed_time_is_about_now(age: int, taken: bool) -> None:
    assert (signing_secret(b"", sign(b"", "whsec", NOW - age), ["whsec"], NOW) is not None) is taken


def test_an_empty_secret_signs_nothing() -> None:
    assert signing_secret(b"", sign(b"", "", NOW), ["", "whsec"], NOW) is None
