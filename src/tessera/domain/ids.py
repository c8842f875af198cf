"""Identifiers: a prefix that says what it names, then 32 hexadecimal digits that sort by time of making.

48 bits of milliseconds and 80 random bits. Time order keeps the database's primary keys appending at one end.
"""

import re


def make_id(prefix: str, time_ms: int, random: bytes) -> str:
    """`prefix_` and 32 digits from a time in milliseconds since 1970 and ten random bytes."""
    return f"{prefix}_{time_ms:012x}{random.hex()}"


def is_id(text: str, prefix: str) -> bool:
    """Whether a text is written as `make_id` writes ids with this prefix."""
    return re.fullmatch(rf"{re.escape(prefix)}_[0-9a-f]{{32}}", text, re.ASCII) is not None
