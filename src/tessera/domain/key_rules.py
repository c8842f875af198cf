"""What an API key may be used for: endpoints, models, addresses, output. Checked before a call costs any work.

Always holds: what a rule cannot decide (an address that is none, an empty list) is refused, never let through.
"""

from ipaddress import IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network

import msgspec

from tessera.domain.errors import ErrorCode, TesseraError

ENDPOINTS = (
    "/v1/chat/completions",
    "/v1/responses",
    "/v1/responses/input_tokens",
    "/v1/models",
    "/v1/quotes",
    "/v1/requests",
    "/v1/balance",
    "/v1/ledger",
    "/v1/usage",
    "/v1/events",
    "/v1/statements",
    "/v1/topups",
    "/v1/vouchers/redeem",
)
"""What a rule on endpoints can name: the routes that API keys open; each stands for all that is beneath it too."""

ENTRIES_MAX = 100
ENTRY_LENGTH_MAX = 200
OUTPUT_TOKENS_MIN = 16
OUTPUT_TOKENS_MAX = 2**31
"""The least and most a rule can cap an answer at; the Responses API takes no cap below 16 (OpenAI API reference)."""


class KeyRules(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """What one key may be used for; None is no rule.

    `endpoints` are of `ENDPOINTS`. `models` are ids or aliases; one names the model under all its names, dated ids
    among them. `ip_ranges` are addresses or networks in CIDR, of IPv4 and IPv6, as `made_rules` writes them.
    `output_tokens_max` caps each answer: a call that names no cap of its own gets this one, a call that asks for more
    is refused.
    """

    endpoints: tuple[str, ...] | None = None
    models: tuple[str, ...] | None = None
    ip_ranges: tuple[str, ...] | None = None
    output_tokens_max: int | None = None


NO_RULES = KeyRules()


def made_rules(rules: KeyRules) -> KeyRules | None:
    """Rules as they are stored: checked, sorted, each entry once, networks in one form; None if there is no rule.

    Raises [invalid_request] naming the rule. Whether a model exists is for whoever has the catalogue.
    """
    made = KeyRules(
        endpoints=_entries("endpoints", rules.endpoints),
        models=_entries("models", rules.models),
        ip_ranges=_entries("ip_ranges", _networks(rules.ip_ranges)),
        output_tokens_max=rules.output_tokens_max,
    )
    for endpoint in made.endpoints or ():
        if endpoint not in ENDPOINTS:
            raise _invalid("endpoints", f"{endpoint!r} is none of {', '.join(ENDPOINTS)}.")
    cap = made.output_tokens_max
    if cap is not None and not OUTPUT_TOKENS_MIN <= cap <= OUTPUT_TOKENS_MAX:
        raise _invalid("output_tokens_max", f"It must be {OUTPUT_TOKENS_MIN} to {OUTPUT_TOKENS_MAX}.")
    return None if made == NO_RULES else made


def check_entry(rules: KeyRules, path: str, address: str) -> None:
    """Whether a key may be used on a path from an address. Raises [permission_denied] naming what is missing."""
    if rules.endpoints is not None and not _is_within(path, rules.endpoints):
        raise _denied("endpoints", path[:ENTRY_LENGTH_MAX], f"This API key may not use {path[:ENTRY_LENGTH_MAX]}.")
    if rules.ip_ranges is not None and not _is_in_ranges(address, rules.ip_ranges):
        raise _denied("ip_ranges", address[:64], f"This API key may not be used from the address {address[:64]!r}.")


def model_denied(model_id: str) -> TesseraError:
    """What a call for a model outside a key's rules is refused with."""
    return _denied("models", model_id, f"This API key may not use the model {model_id}.", param="model")


def output_denied(asked: int, output_tokens_max: int, param: str) -> TesseraError:
    """What a call is refused with that asks for more output than its key may have."""
    text = (
        f"{param} is {asked}; this API key may have at most {output_tokens_max} output tokens. Ask for that, or none."
    )
    return _denied("output_tokens_max", str(asked), text, param=param)


def _entries(name: str, entries: tuple[str, ...] | None) -> tuple[str, ...] | None:
    if entries is None:
        return None
    if not 1 <= len(entries) <= ENTRIES_MAX:
        raise _invalid(name, f"It has 1 to {ENTRIES_MAX} entries; leave it out for no such rule.")
    for entry in entries:
        if not 0 < len(entry) <= ENTRY_LENGTH_MAX or not entry.isprintable():
            raise _invalid(name, f"An entry has 1 to {ENTRY_LENGTH_MAX} printable characters.")
    return tuple(sorted(set(entries)))


def _networks(ranges: tuple[str, ...] | None) -> tuple[str, ...] | None:
    """Networks in one form; bits beyond the prefix are refused, for what was meant is not known."""
    if ranges is None:
        return None
    made = []
    for text in ranges[: ENTRIES_MAX + 1]:
        try:
            network = ip_network(text)
        except ValueError:
            shown = text[:64]
            raise _invalid(
                "ip_ranges", f"{shown!r} is no address and no network such as 203.0.113.0/24 or 2001:db8::/32."
            ) from None
        made.append(str(_unmapped(network)))
    return tuple(made)


def _unmapped(network: IPv4Network | IPv6Network) -> IPv4Network | IPv6Network:
    """An IPv4 network that is written as IPv6 (::ffff:0:0/96, RFC 4291) in its own form."""
    if isinstance(network, IPv6Network) and network.prefixlen >= 96:
        start = network.network_address.ipv4_mapped
        if start is not None:
            return IPv4Network((start, network.prefixlen - 96))
    return network


def _is_within(path: str, endpoints: tuple[str, ...]) -> bool:
    return any(path == endpoint or path.startswith(endpoint + "/") for endpoint in endpoints)


def _is_in_ranges(address: str, ranges: tuple[str, ...]) -> bool:
    try:
        found = ip_address(address.partition("%")[0])
    except ValueError:
        return False
    if isinstance(found, IPv6Address) and found.ipv4_mapped is not None:
        found = found.ipv4_mapped
    return any(found in ip_network(network) for network in ranges)


def _invalid(name: str, text: str) -> TesseraError:
    return TesseraError(ErrorCode.INVALID_REQUEST, f"{name}: {text}", param=name)


def _denied(rule: str, missing: str, text: str, param: str | None = None) -> TesseraError:
    return TesseraError(
        ErrorCode.PERMISSION_DENIED,
        f"{text} Whoever administers the key can change its rules.",
        param=param,
        details={"rule": rule, "missing": missing},
    )
