"""Bounds on guessing: tries are counted, before they are allowed, by account and by network."""

import ipaddress

from tessera.domain.errors import ErrorCode, TesseraError
from tessera.flows.people.accounts import Accounts

_IPV6_NETWORK = 64
"""One household or host usually has a whole /64 to itself."""


async def count_try(accounts: Accounts, what: str, who: str, address: str) -> None:
    """Counts a try of `what` against one account from one network, and from that network at all.

    Per account and network, so that a stranger cannot lock a person out; ten times as many per account from anywhere.
    Raises [rate_limit_exceeded].
    """
    limits = accounts.limits
    network, account = network_of(address), accounts.digest_of("try", who)[:32]
    bounds = {
        f"{what}:{account}:{network}": limits.tries_per_account_max,
        f"{what}:{account}": limits.tries_per_account_max * 10,
        f"{what}@{network}": limits.tries_per_address_max,
    }
    await _count(accounts, bounds, "Too many tries")


async def count_letter(accounts: Accounts, email: str, address: str) -> None:
    """Counts a letter that a stranger wants sent to a mailbox. Raises [rate_limit_exceeded]."""
    limits = accounts.limits
    bounds = {
        f"letter:{accounts.digest_of('try', email)[:32]}": limits.letters_per_mailbox_max,
        f"letter@{network_of(address)}": limits.tries_per_address_max,
    }
    await _count(accounts, bounds, "Too many letters")


def network_of(address: str) -> str:
    """The network that is counted as one: an IPv4 address, or the /64 of an IPv6 address."""
    try:
        parsed = ipaddress.ip_address(address)
    except ValueError:
        return "unknown"
    if isinstance(parsed, ipaddress.IPv6Address):
        if parsed.ipv4_mapped is not None:
            return str(parsed.ipv4_mapped)
        return str(ipaddress.ip_network((parsed, _IPV6_NETWORK), strict=False).network_address)
    return str(parsed)


async def _count(accounts: Accounts, bounds: dict[str, int], what: str) -> None:
    window_s = accounts.limits.window_s
    counts = await accounts.people.count_tries(tuple(bounds), window_s)
    if any(count > bound for count, bound in zip(counts, bounds.values(), strict=True)):
        wait_s = window_s - accounts.now() % window_s
        raise TesseraError(
            ErrorCode.RATE_LIMIT_EXCEEDED,
            f"{what}. Wait {-(-wait_s // 60)} minutes.",
            retry_after_s=wait_s,
        )
