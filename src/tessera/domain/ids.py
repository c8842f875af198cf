"""Identifiers: a prefix that says what it names, then 32 hexadecimal digits that sort by time of making.

48 bits of milliseconds and 80 random bits. Time order keeps the database's primary keys appending at one end.
"""


def make_id(prefix: str, time_ms: int, random: bytes) -> str:
    """`prefix_` and 32 digits from a time in milliseconds since 1970 and ten random bytes."""
    return f"{prefix}_{time_ms:012x}{random.hex()}"
