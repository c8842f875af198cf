"""Claims of identity providers: what is taken from them, and that nothing but what is asked for passes."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.people.identities import AGE_S_MAX, CLOCK_DIFFERENCE_S, ClaimsError, Identity, identity_of, name_of

NOW = 1_800_000_000
GOOD: dict[str, Any] = {
    "iss": "https://id.example.com",
    "aud": "us",
    "sub": "ada",
    "nonce": "n",
    "iat": NOW,
    "exp": NOW + 60,
    "email": "Ada@Example.com",
    "email_verified": True,
    "name": " Ada ",
}


def read(**claims: Any) -> Identity:
    changed = {name: value for name, value in {**GOOD, **claims}.items() if value is not ...}
    return identity_of(changed, issuer="https://id.example.com", client_id="us", nonce="n", now=NOW)


def test_a_good_token_names_its_person() -> None:
    assert read() == Identity(issuer="https://id.example.com", subject="ada", email="ada@example.com", name="Ada")


def test_times_are_right_to_the_second_with_a_minute_of_difference() -> None:
    for claims in (
        {"exp": NOW - CLOCK_DIFFERENCE_S + 1},
        {"iat": NOW + CLOCK_DIFFERENCE_S},
        {"iat": NOW - AGE_S_MAX - CLOCK_DIFFERENCE_S},
        {"nbf": NOW + CLOCK_DIFFERENCE_S},
        {"exp": NOW + 0.5, "iat": NOW - 0.5},
    ):
        assert read(**claims).subject == "ada"
    for claims in (
        {"exp": NOW - CLOCK_DIFFERENCE_S},
        {"iat": NOW + CLOCK_DIFFERENCE_S + 1},
        {"iat": NOW - AGE_S_MAX - CLOCK_DIFFERENCE_S - 1},
        {"nbf": NOW + CLOCK_DIFFERENCE_S + 1},
    ):
        with pytest.raises(ClaimsError):
            read(**claims)


@pytest.mark.parametrize("email", ["ada", "ada@b", "äda@example.com", "a@example.com\nb", 7, None, ["a@example.com"]])
def test_an_address_that_cannot_be_used_counts_as_none(email: object) -> None:
    assert read(email=email).email is None


@pytest.mark.parametrize("name", ["", "  ", "x" * 201, "a\nb", 7, None, {}])
def test_a_name_that_cannot_be_used_is_the_addresss_first_part(name: object) -> None:
    found = read(name=name)
    assert (found.name, name_of(found)) == ("", "ada")


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=4,
)


@given(st.sampled_from(["iss", "aud", "sub", "nonce", "iat", "exp", "nbf", "azp", "email_verified", "email"]), _JSON)
def test_any_value_in_place_of_a_claim_is_refused_or_says_the_same(name: str, value: object) -> None:
    try:
        found = read(**{name: value})
    except ClaimsError:
        return
    assert found.issuer == GOOD["iss"]
    assert found.subject == (value if name == "sub" else "ada")
    if name in ("iss", "nonce", "aud"):
        assert value in (GOOD[name], [GOOD["aud"]])
    if name == "email_verified" and value is not True:
        assert found.email is None
