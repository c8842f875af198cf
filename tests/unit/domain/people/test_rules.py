"""What e-mail addresses, names and passwords must be."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.people.rules import (
    check_password,
    normal_email,
    normal_name,
    normal_organization_name,
    normal_password,
    normal_project_name,
)

NOT_ADDRESSES = [
    "",
    "a",
    "a@",
    "@b.c",
    "a@b",
    "a@b.",
    "a@.b",
    "a@-b.c",
    "a@b-.c",
    "a b@c.de",
    "a@b.c\nx",
    "a..b@c.de",
    ".a@b.cd",
    "a.@b.cd",
    "a@b..cd",
    "a@127.0.0.1",
    "ä@b.cd",
    "a@ä.cd",
    "a@b.cd,x@y.zz",
    "a@b.cd>\r\nBcc: x@y.zz",
    "<a@b.cd>",
    "a" * 65 + "@b.cd",
    "\u212aate@example.com",  # a Kelvin sign, which is a k in lower case
    "kate@\u212a.example",
    "a@" + "b" * 64 + ".cd",
    "a@" + "b." * 130 + "cd",
]


@pytest.mark.parametrize("text", NOT_ADDRESSES)
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(TesseraError) as caught:
        normal_email(text)
    assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_REQUEST, "email")


@pytest.mark.parametrize("text", ["ada@example.com", "a+b@example.co.uk", "o'neil@x-y.example", " Ada@Example.COM "])
def test_an_address_is_kept_in_lower_case(text: str) -> None:
    assert normal_email(text) == text.strip().lower()


@given(st.text(max_size=80))
def test_an_address_is_refused_or_stays_what_it_became(text: str) -> None:
    try:
        email = normal_email(text)
    except TesseraError:
        return
    assert normal_email(email) == email
    assert email.isascii()
    assert not set(email) & set(' \r\n\t<>,;"\\')


@given(st.text(max_size=260))
def test_a_name_is_printable_and_stays_what_it_became(text: str) -> None:
    try:
        name = normal_name(text)
    except TesseraError:
        return
    assert 0 < len(name) <= 200
    assert name.isprintable()
    assert normal_name(name) == name


@pytest.mark.parametrize("name", ["org_0123", "ORG_x", " Org_1"])
def test_an_organization_is_not_named_like_an_id(name: str) -> None:
    with pytest.raises(TesseraError):
        normal_organization_name(name)


@pytest.mark.parametrize("name", ["prj_0123", "PRJ_x", " Prj_1"])
def test_a_project_is_not_named_like_an_id(name: str) -> None:
    with pytest.raises(TesseraError):
        normal_project_name(name)


@pytest.mark.parametrize(
    ("password", "email"),
    [
        ("", ""),
        ("ninechars", ""),
        ("x" * 257, ""),
        ("Password1234", ""),
        ("1234567890", ""),
        ("aabbaabbaabb", ""),
        ("ada.lovelace1", "ada.lovelace@example.com"),
    ],
)
def test_a_password_that_is_guessed_first_is_refused(password: str, email: str) -> None:
    with pytest.raises(TesseraError) as caught:
        check_password(password, email)
    assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_REQUEST, "password")


@pytest.mark.parametrize(
    "password", ["correct horse battery", "пароль-для-входа", "x7#kQ9!mZ2", "no classes demanded here"]
)
def test_a_long_password_of_any_characters_is_taken(password: str) -> None:
    check_password(password, "ada@example.com")


@given(st.text(max_size=50))
def test_a_password_is_the_same_however_it_was_typed(text: str) -> None:
    assert normal_password(unicodedata.normalize("NFD", text)) == normal_password(text)
