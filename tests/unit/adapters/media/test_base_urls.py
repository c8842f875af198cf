"""Which addresses of providers may be entered, and how they are guarded."""

import pytest

from tessera.adapters.media.base_urls import GuardedBaseUrls
from tessera.domain.errors import ErrorCode, TesseraError

TRUSTED = "http://10.0.0.5:8000/v1"


@pytest.mark.parametrize(
    ("entered", "used"),
    [
        ("https://api.example.com/v1", "https://api.example.com/v1"),
        (" https://api.example.com/v1/\n", "https://api.example.com/v1"),
        ("https://API.Example.com:443", "https://api.example.com"),
        ("https://[2606:4700:4700::1111]/v1", "https://[2606:4700:4700::1111]/v1"),
    ],
)
def test_a_public_address_by_https_is_taken_and_guarded(entered: str, used: str) -> None:
    addresses = GuardedBaseUrls()
    assert addresses.check(entered) == used
    guard = addresses.guard_of(used)
    assert guard is not None
    assert [guard(address) for address in ("8.8.8.8", "127.0.0.1", "169.254.169.254")] == [True, False, False]


@pytest.mark.parametrize(
    "entered",
    [
        "", "api.example.com/v1", "ftp://api.example.com", "http://api.example.com/v1", "https://api.example.com:8443/v1",
        "https://user@api.example.com/v1", "https://user:secret@api.example.com/v1", "https://@api.example.com/v1",
        "https://api.example.com\\@evil.example/v1", "https://api.exa mple.com", "https://api.example.com/\x00",
        "https://api.example.com/v1?x=1", "https://api.example.com/v1?", "https://api.example.com/v1#x",
        "https://127.0.0.1/v1", "https://10.0.0.5/v1", "https://169.254.169.254/latest", "https://2130706433/v1",
        "https://127.1/v1", "https://[::1]/v1", "https://[::ffff:127.0.0.1]/v1", "https://[64:ff9b::7f00:1]/v1",
        "https://[fe80::1%25eth0]/v1", "https:///v1", "https://" + "a" * 3000, "file:///etc/passwd", TRUSTED,
    ],
)  # fmt: skip
def test_any_other_is_refused_by_name(entered: str) -> None:
    with pytest.raises(TesseraError) as caught:
        GuardedBaseUrls().check(entered)
    assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_REQUEST, "base_url")
    assert "secret" not in caught.value.message


def test_an_address_that_the_configuration_names_is_trusted_and_nothing_near_it() -> None:
    addresses = GuardedBaseUrls([TRUSTED + "/"])
    assert addresses.check(TRUSTED) == addresses.check(f"{TRUSTED}/") == TRUSTED
    assert addresses.guard_of(TRUSTED) is None
    for near in ("http://10.0.0.5:8000/v2", "http://10.0.0.5:8001/v1", "http://10.0.0.5:8000", f"{TRUSTED}/../v1"):
        with pytest.raises(TesseraError):
            addresses.check(near)
    assert addresses.guard_of("https://api.example.com/v1") is not None
