"""Identifiers: a prefix that says what it names, then 26 characters that sort by time of making.

48 bits of milliseconds and 80 random bits in Crockford's base 32, as the ULID specification has them.
Time order keeps the database's primary keys appending at one end.
"""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"
_PAIRS = [high + low for high in _ALPHABET for low in _ALPHABET]


def make_id(prefix: str, time_ms: int, random: bytes) -> str:
    """`prefix_` and 26 characters from a time in milliseconds since 1970 and ten random bytes."""
    value = (time_ms & 0xFFFF_FFFF_FFFF) << 80 | int.from_bytes(random, "big")
    digits = [_PAIRS[value >> shift & 0x3FF] for shift in range(120, -10, -10)]
    return prefix + "_" + "".join(digits)
