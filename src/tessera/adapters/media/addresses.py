"""Which addresses may be dialled for a stranger.

The table is ours, so that the answer does not depend on a Python patch release: `ipaddress.is_global` says yes to
NAT64, 6to4, old site-local addresses and multicast in some of them. It is asked too; both must agree.
Sources: IANA's IPv4 and IPv6 special-purpose address registries; cloud vendors' documents for metadata addresses.
"""

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address
Network = ipaddress.IPv4Network | ipaddress.IPv6Network

# Opened by `allow_private_networks`: the operator's own machines.
_PRIVATE: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in (
        "10.0.0.0/8",
        "172.16.0.0/12",
        "192.168.0.0/16",
        "127.0.0.0/8",
        "100.64.0.0/10",  # carrier NAT
        "::1/128",
        "fc00::/7",  # unique local
    )
)
# Cloud metadata and platform services, some inside ranges that look private: only an allow list opens them.
_SERVICES: tuple[Network, ...] = tuple(
    ipaddress.ip_network(text)
    for text in ("168.63.129.16/32", "100.100.100.200/32", "fd00:ec2::254/128", "fd20:ce::254/128")
)
_DENIED: tuple[Network, ...] = _PRIVATE + tuple(
    ipaddress.ip_network(text)
    for text in (
        "0.0.0.0/8",
        "169.254.0.0/16",  # link-local; cloud metadata lives at 169.254.169.254
        "192.0.0.0/24",  # protocol assignments; one cloud keeps metadata at 192.0.0.192
        "192.0.2.0/24",  # documentation
        "192.88.99.0/24",  # old 6to4 relay
        "198.18.0.0/15",  # benchmarks
        "198.51.100.0/24",
        "203.0.113.0/24",
        "224.0.0.0/4",  # multicast
        "240.0.0.0/4",  # reserved, broadcast
        "2001::/23",  # protocol assignments: Teredo, ORCHIDv2, benchmarks
        "2001:db8::/32",  # documentation
        "2002::/16",  # 6to4
        "3fff::/20",  # documentation
    )
)
# Every IPv6 address that may be reached lies here; what is outside (::/96, 64:ff9b::/96, 100:0:0:1::/64, 5f00::/16,
# fe80::/10, fec0::/10, ff00::/8 and all that is not assigned yet) is refused without being listed.
_GLOBAL_UNICAST = ipaddress.IPv6Network("2000::/3")

_LAST_32_BITS: tuple[ipaddress.IPv6Network, ...] = tuple(
    ipaddress.IPv6Network(text)
    for text in ("::/96", "::ffff:0:0/96", "::ffff:0:0:0/96", "64:ff9b::/96", "64:ff9b:1::/48")
)
_SIX_TO_FOUR = ipaddress.IPv6Network("2002::/16")
_TEREDO = ipaddress.IPv6Network("2001::/32")


class AddressPolicy:
    """Decides about one address at a time. `allow` and `deny` are the operator's own networks; deny wins."""

    def __init__(
        self, *, allow_private_networks: bool = False, allow: Iterable[str] = (), deny: Iterable[str] = ()
    ) -> None:
        self._private = _PRIVATE if allow_private_networks else ()
        self._allow = tuple(ipaddress.ip_network(text) for text in allow)
        self._deny = tuple(ipaddress.ip_network(text) for text in deny)

    def allows(self, text: str) -> bool:
        """Whether the address in this text may be dialled. What is no plain address (a name, a zone id) may not."""
        try:
            address = ipaddress.ip_address(text)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.scope_id is not None:
            return False
        return self._allows(address) and all(self._allows(inner) for inner in embedded(address))

    def _allows(self, address: Address) -> bool:
        if _within(address, self._deny):
            return False
        if _within(address, self._allow):
            return True
        if _within(address, _SERVICES):
            return False
        if _within(address, self._private):
            return True
        if _within(address, _DENIED) or not address.is_global or address.is_multicast:
            return False
        return address.version == 4 or address in _GLOBAL_UNICAST


def embedded(address: Address) -> tuple[ipaddress.IPv4Address, ...]:
    """The IPv4 addresses that an IPv6 address carries inside, by which a packet may leave again as IPv4."""
    if isinstance(address, ipaddress.IPv4Address):
        return ()
    bits = int(address)
    if address in _SIX_TO_FOUR:
        return (ipaddress.IPv4Address(bits >> 80 & 0xFFFF_FFFF),)
    if address in _TEREDO:
        client = ~bits & 0xFFFF_FFFF
        return ipaddress.IPv4Address(bits >> 64 & 0xFFFF_FFFF), ipaddress.IPv4Address(client)
    if _within(address, _LAST_32_BITS) and bits > 1:
        return (ipaddress.IPv4Address(bits & 0xFFFF_FFFF),)
    return ()


def _within(address: Address, networks: tuple[Network, ...]) -> bool:
    return any(address in network for network in networks if network.version == address.version)
