"""Which addresses may be dialled: every range by itself, whatever this Python thinks of it."""

import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tessera.adapters.media.addresses import AddressPolicy, embedded

PUBLIC = ["8.8.8.8", "1.1.1.1", "93.184.215.14", "2606:4700:4700::1111", "2a00:1450:4001:82a::200e", "2620:fe::fe"]
PRIVATE = ["10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "127.0.0.1", "127.255.255.254", "100.64.0.1",
           "100.127.255.255", "::1", "fc00::1", "fd12:3456::1"]  # fmt: skip
NEVER = [
    "0.0.0.0", "0.1.2.3", "169.254.169.254", "169.254.0.1", "192.0.0.1", "192.0.0.192", "192.0.2.1", "192.88.99.1",
    "198.18.0.1", "198.19.255.255", "198.51.100.1", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1",
    "255.255.255.255", "168.63.129.16", "100.100.100.200", "::", "fd00:ec2::254", "fd20:ce::254",
    "fe80::1", "febf::1", "fec0::1", "feff::1", "ff00::1", "ff02::1", "ff0e::1", "2001:db8::1", "3fff::1",
    "3fff:fff::1",
    "100::1", "100:0:0:1::1", "5f00::1", "2001:20::1", "2001:2f::1", "2001:2::1", "2001:10::1", "2001:1::1",
    "64:ff9b::7f00:1", "64:ff9b::808:808", "64:ff9b:1::1", "64:ff9b:1::808:808", "2002:7f00:1::", "2002:808:808::",
    "::127.0.0.1", "::8.8.8.8", "::ffff:127.0.0.1", "::ffff:8.8.8.8", "::ffff:0:127.0.0.1", "::ffff:0:8.8.8.8",
    "2001::1", "2001:0:808:808::f7f7:f7f7", "4000::1", "8000::1", "e000::1", "1::1",
]  # fmt: skip
NOT_ADDRESSES = ["", "localhost", "127.1", "0x7f.0.0.1", "2130706433", "017700000001", "127.0.0.1.", "fe80::1%eth0",
                 "2606:4700::1111%1", "1.2.3.4/32", "[::1]", " 8.8.8.8", "８.8.8.8"]  # fmt: skip


@pytest.mark.parametrize("address", PUBLIC)
def test_a_public_address_may_be_dialled(address: str) -> None:
    assert AddressPolicy().allows(address)


@pytest.mark.parametrize("address", PRIVATE + NEVER + NOT_ADDRESSES)
def test_nothing_else_may(address: str) -> None:
    assert not AddressPolicy().allows(address)


@pytest.mark.parametrize("address", PRIVATE)
def test_private_networks_open_private_addresses(address: str) -> None:
    assert AddressPolicy(allow_private_networks=True).allows(address)


@pytest.mark.parametrize("address", NEVER)
def test_private_networks_open_no_metadata_service_and_nothing_special(address: str) -> None:
    assert not AddressPolicy(allow_private_networks=True).allows(address)


def test_an_operator_may_deny_and_allow_and_deny_wins() -> None:
    policy = AddressPolicy(allow=["10.1.0.0/16", "8.8.8.0/24"], deny=["8.8.8.8/32", "10.1.2.0/24"])
    assert policy.allows("10.1.3.4")
    assert policy.allows("8.8.8.7")
    assert policy.allows("1.1.1.1")
    assert not policy.allows("10.1.2.3")
    assert not policy.allows("10.2.0.1")
    assert not policy.allows("8.8.8.8")


def test_an_allowed_translator_still_checks_the_address_inside() -> None:
    policy = AddressPolicy(allow=["64:ff9b::/96", "2002::/16", "2001::/32"])
    assert policy.allows("64:ff9b::808:808")
    assert not policy.allows("64:ff9b::7f00:1")
    assert not policy.allows("64:ff9b::a9fe:a9fe")
    assert policy.allows("2002:808:808::1")
    assert not policy.allows("2002:a00:1::1")
    assert policy.allows("2001:0:808:808::fefe:fefe")
    assert not policy.allows("2001:0:808:808::80ff:fffe")
    assert not policy.allows("2001:0:7f00:1::fefe:fefe")


@given(st.integers(0, 2**32 - 1).map(ipaddress.IPv4Address))
def test_each_way_to_carry_an_ipv4_address_is_seen(inner: ipaddress.IPv4Address) -> None:
    number = int(inner)
    for form in (0xFFFF << 32, 0xFFFF << 48, 0x64FF9B << 96, 0x64FF9B0001 << 80):
        assert inner in embedded(ipaddress.IPv6Address(form | number))
    assert inner in embedded(ipaddress.IPv6Address(0x2002 << 112 | number << 80))
    assert inner in embedded(ipaddress.IPv6Address(0x20010000 << 96 | number << 64))
    assert inner in embedded(ipaddress.IPv6Address(0x20010000 << 96 | number ^ 0xFFFF_FFFF))


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_what_is_allowed_is_global_to_python_too(address: ipaddress.IPv4Address | ipaddress.IPv6Address) -> None:
    if AddressPolicy().allows(str(address)):
        assert address.is_global
        assert not address.is_multicast
