"""What a key may be used for: what is stored is what is meant, and what is not meant is refused by name."""

from ipaddress import ip_address, ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.domain.key_rules import ENDPOINTS, KeyRules, check_entry, made_rules
from tessera.http.route import Door
from tessera.http.routes import ROUTES


def refused(rules: KeyRules, path: str = "/v1/responses", address: str = "192.0.2.1") -> TesseraError:
    with pytest.raises(TesseraError) as caught:
        check_entry(rules, path, address)
    assert caught.value.code is ErrorCode.PERMISSION_DENIED
    return caught.value


def test_every_route_that_a_key_opens_can_be_named() -> None:
    for route in ROUTES:
        if route.door is Door.KEY:
            check_entry(KeyRules(endpoints=ENDPOINTS), route.path, "")


@pytest.mark.parametrize(
    ("rules", "param"),
    [
        (KeyRules(endpoints=()), "endpoints"),
        (KeyRules(endpoints=("/v1/chat",)), "endpoints"),
        (KeyRules(models=()), "models"),
        (KeyRules(models=("",)), "models"),
        (KeyRules(models=("a\nb",)), "models"),
        (KeyRules(models=tuple(f"m{number}" for number in range(101))), "models"),
        (KeyRules(ip_ranges=("10.0.0.1/8",)), "ip_ranges"),
        (KeyRules(ip_ranges=("home",)), "ip_ranges"),
        (KeyRules(ip_ranges=()), "ip_ranges"),
        (KeyRules(output_tokens_max=15), "output_tokens_max"),
        (KeyRules(output_tokens_max=2**31 + 1), "output_tokens_max"),
    ],
)
def test_a_rule_that_makes_no_sense_is_refused_by_name(rules: KeyRules, param: str) -> None:
    with pytest.raises(TesseraError) as caught:
        made_rules(rules)
    assert (caught.value.code, caught.value.param) == (ErrorCode.INVALID_REQUEST, param)


def test_rules_without_any_rule_are_none() -> None:
    assert made_rules(KeyRules()) is None


def test_an_endpoint_stands_for_what_is_beneath_it_and_for_nothing_beside_it() -> None:
    rules = KeyRules(endpoints=("/v1/responses",))
    check_entry(rules, "/v1/responses", "")
    check_entry(rules, "/v1/responses/input_tokens", "")
    for path in ("/v1/responses2", "/v1/chat/completions", "/v1", "/V1/responses", "/v1/responsesX/input_tokens"):
        error = refused(rules, path)
        assert (error.details["rule"], error.details["missing"]) == ("endpoints", path)
        assert path in error.message


def test_an_ipv4_address_is_the_same_however_it_arrives() -> None:
    rules = made_rules(KeyRules(ip_ranges=("::ffff:192.0.2.0/120",)))
    assert rules is not None
    assert rules.ip_ranges == ("192.0.2.0/24",)
    check_entry(rules, "/", "192.0.2.9")
    check_entry(rules, "/", "::ffff:192.0.2.9")
    refused(rules, address="192.0.3.9")


@pytest.mark.parametrize("address", ["", "unknown", "192.0.2.1:443", "testclient", "1"])
def test_what_is_no_address_is_in_no_range(address: str) -> None:
    refused(KeyRules(ip_ranges=("0.0.0.0/0", "::/0")), address=address)


ADDRESSES = st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)).map(str)


@st.composite
def networks(draw: st.DrawFn) -> str:
    address = ip_address(draw(ADDRESSES))
    return str(ip_network((address, draw(st.integers(0, address.max_prefixlen))), strict=False))


@given(ADDRESSES, st.lists(networks(), min_size=1, max_size=5))
def test_an_address_is_allowed_if_and_only_if_a_range_holds_it(address: str, ranges: list[str]) -> None:
    rules = made_rules(KeyRules(ip_ranges=tuple(ranges)))
    assert rules is not None
    found = ip_address(address)
    mapped = getattr(found, "ipv4_mapped", None) or found
    expected = any(mapped in ip_network(one) for one in rules.ip_ranges or ())
    try:
        check_entry(rules, "/", address)
    except TesseraError:
        assert not expected
    else:
        assert expected


@given(st.lists(networks(), min_size=1, max_size=5), st.lists(st.sampled_from(ENDPOINTS), min_size=1))
def test_making_rules_twice_or_in_another_order_changes_nothing(ranges: list[str], endpoints: list[str]) -> None:
    made = made_rules(KeyRules(ip_ranges=tuple(ranges), endpoints=tuple(endpoints)))
    again = made_rules(KeyRules(ip_ranges=tuple(reversed(ranges)), endpoints=tuple(reversed(endpoints))))
    assert made == again
    assert made is not None
    assert made_rules(made) == made
